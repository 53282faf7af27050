"""The mutants' texts still stand in the code, and some mutants run; `python tests/models/mutants.py` runs them all."""

from __future__ import annotations

import sys

import pytest
from models import mutants, test_families, test_transfo_xl
from models.mutants import MUTANTS, TOLERANCE, Mutant, caught

TABLES = {
    "": test_families.CASES | mutants.EXTRA,
    "pass": test_families.CASES | mutants.EXTRA,
    "small": test_families.SMALL,
    "stored": test_transfo_xl.CASES,
}
SOME = ["tanh gelu is the exact one", "a causal chunk ends one key early"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where the mutants' checkpoints go, those of one case once."""
    return tmp_path_factory.mktemp("mutants")


def test_every_mutant_still_changes_the_code():
    for mutant in MUTANTS:
        assert mutant.source.count(mutant.text) == 1, mutant
        assert mutant.text != mutant.instead, mutant
        compile(mutant.source.replace(mutant.text, mutant.instead), mutant.what, "exec")


def test_every_case_still_exists():
    for mutant in MUTANTS:
        assert mutant.cases
        for case in mutant.cases:
            kind, _, name = case.rpartition(": ")
            assert name in TABLES[kind], mutant


def test_no_mutant_stands_twice():
    assert len({(mutant.module, mutant.text, mutant.instead, mutant.cases) for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.module, mutant.what) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("what", SOME)
def test_a_mutant_is_caught(root, what):
    (mutant,) = (mutant for mutant in MUTANTS if mutant.what == what)
    before = sys.modules["jaxscore.models"]
    case, difference = caught(mutant, root)
    assert case == "gpt2"
    assert difference > 10 * TOLERANCE
    assert sys.modules["jaxscore.models"] is before


def test_what_changes_no_number_survives(root):
    assert (
        caught(Mutant("block", "the same in other words", "approximate=True", "approximate=not False", ("gpt2",)), root)
        is None
    )


def test_a_text_that_is_gone_is_told(root):
    with pytest.raises(AssertionError, match="does not occur once"):
        caught(Mutant("block", "no such text", "jax.nn.elu", "jax.nn.relu", ("gpt2",)), root)
