from __future__ import annotations

import ast
import csv
import re
from pathlib import Path

import pytest

import jaxscore.registry
from jaxscore.errors import did_you_mean
from jaxscore.models.static import BASELINES, EMBEDDINGS
from jaxscore.registry import MINI, MODELS, NOT_COVERED

SCORES = Path(__file__).resolve().parents[1] / "../shared/data/scores/neural-nlp_precomputed-scores.csv"


def _keys_as_written(table: str) -> list[str]:
    tree = ast.parse(Path(jaxscore.registry.__file__).read_text())
    (value,) = [node.value for node in tree.body if isinstance(node, ast.AnnAssign) and node.target.id == table]
    return [key.value for key in value.keys]


@pytest.mark.parametrize("table", ["MODELS", "NOT_COVERED"])
def test_no_name_is_written_twice(table):
    written = _keys_as_written(table)
    assert len(written) == len(set(written)) == len(getattr(jaxscore.registry, table))


def test_no_two_names_differ_only_in_case():
    names = [MINI, *MODELS, *NOT_COVERED]
    assert len({name.lower() for name in names}) == len(names)


def test_names_stay_apart_from_hub_ids_revisions_and_files():
    names = [*MODELS, *NOT_COVERED]
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)] == []
    assert {MINI, *BASELINES, *EMBEDDINGS} & set(names) == set()


def test_hub_ids_are_organisation_and_name():
    hub_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
    assert [given for given in MODELS.values() if not hub_id.fullmatch(given)] == []


def test_only_aliases_share_a_hub_id():
    names: dict[str, list[str]] = {}
    for name, hub_id in MODELS.items():
        names.setdefault(hub_id, []).append(name)
    assert [shared for shared in names.values() if len(shared) > 1] == [
        ["openai-gpt", "openaigpt"],
        ["llama-30b", "llama-33b"],
    ]


def test_reasons_fit_on_a_line_behind_the_name():
    for name, reason in NOT_COVERED.items():
        assert re.fullmatch(r"[^\n{}]{20,}[^\n{}.]", reason), name
        assert len(f"{name}: {reason}") <= 140


def test_the_model_to_score_in_place_of_a_localizer_is_known():
    instead = [reason.rsplit(" ", 1)[1] for name, reason in NOT_COVERED.items() if name.endswith("-loc-10")]
    assert len(instead) == 6
    assert set(instead) <= MODELS.keys()


def test_the_pool_of_2021_is_covered_or_explained():
    if not SCORES.is_file():
        pytest.skip(f"the published scores are not there: {SCORES.name}")
    with SCORES.open(newline="", encoding="utf-8-sig") as file:
        pool = {row["model"].removesuffix("-untrained") for row in csv.DictReader(file)}
    assert len(pool) == 44
    assert pool - MODELS.keys() - NOT_COVERED.keys() - EMBEDDINGS.keys() == set()
    assert pool & NOT_COVERED.keys() == {"lm_1b", "skip-thoughts", "ETM", "transformer"}


@pytest.mark.parametrize(
    ("hub_name", "name"),
    [
        # the platform's own spelling of each, and what it loads
        ("openai-community/openai-gpt", "openai-gpt"),
        ("EleutherAI/gpt-neo-1.3B", "gpt-neo-1.3B"),
        ("EleutherAI/pythia-2.8b", "pythia-2.8b"),
        ("facebook/opt-6.7b", "opt-6.7b"),
        ("tiiuae/falcon-40b", "falcon-40b"),
        ("mosaicml/mpt-30b", "mpt-30b"),
        ("google/gemma-2b", "gemma-2b"),
        ("mistralai/Mistral-7B-v0.1", "mistral-7b"),
        ("microsoft/phi-2", "phi-2"),
        ("Qwen/Qwen2.5-14B", "qwen2.5-14b"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama-1.1b"),
    ],
)
def test_names_of_the_platform(hub_name, name):
    assert MODELS[name] == hub_name


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gtp2", "gpt2"),
        ("gpt-2-xl", "gpt2-xl"),
        ("bert-base-uncase", "bert-base-uncased"),
        ("openai_gpt", "openai-gpt"),
        ("pythia70m", "pythia-70m"),
        ("Qwen2.5-3B", "qwen2.5-3b"),
        ("llama3.2-1b", "llama-3.2-1b"),
        ("tinyllama", "tinyllama-1.1b"),
        ("xlm-mlm-en-248", "xlm-mlm-en-2048"),
        ("rwkv-169m", "rwkv-4-169m"),
    ],
)
def test_misspelt_names_find_the_right_one(typed, meant):
    assert typed not in MODELS
    assert repr(meant) in did_you_mean(typed, [MINI, *MODELS])


def test_names_like_nothing_find_nothing():
    assert did_you_mean("zzzz", [MINI, *MODELS]) == ""


def test_the_registry_imports_nothing():
    tree = ast.parse(Path(jaxscore.registry.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["from __future__ import annotations"]
