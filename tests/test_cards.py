"""Cards: those that are shipped, and every way in which one can be wrong, by file, key and reason."""

from __future__ import annotations

import re
import shutil

import pytest

from jaxscore.cards import known_cards, load_benchmark, read_card
from jaxscore.errors import CardError, JaxscoreError

GOOD = """
identifier = "mine"
title = "My study"
follows = "nobody"
[data]
source = "mine.csv"
[splits]
scheme = "shuffled"
[regression]
solver = "ols"
[ceiling]
kind = "none"
source = "raw correlations"
"""


@pytest.fixture
def write(tmp_path):
    """Write GOOD with one text replaced by another; returns the path."""

    def write(old: str = "", new: str = ""):
        assert old in GOOD
        path = tmp_path / "mine.toml"
        path.write_text(GOOD.replace(old, new, 1) if old else GOOD + new, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", known_cards())
def test_shipped_cards(name):
    card = load_benchmark(name)
    assert card.identifier == name
    assert card.ceiling.source
    assert len(f"{name}  {card.title}") <= 110


def test_both_shipped_cards_are_there():
    assert {"Pereira2018-encoding", "Simulated2026-encoding"} <= set(known_cards())
    assert load_benchmark("Simulated2026-encoding").simulated
    assert not load_benchmark("Pereira2018-encoding").simulated


def test_defaults(write):
    card = load_benchmark(write())
    assert (card.pooling, card.context.group, card.context.window) == ("last", "sentence", None)
    assert (card.splits.folds, card.splits.seed, card.regression.rcond) == (None, None, 1e-6)  # the scheme's: 5, 1


def test_data_lie_beside_the_card_wherever_it_is_read_from(write, tmp_path, monkeypatch):
    path = write()
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.copy(path, tmp_path / "elsewhere")
    assert load_benchmark(moved).source() == str(tmp_path / "elsewhere" / "mine.csv")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / load_benchmark("mine.toml").source()).resolve() == (
        tmp_path / "elsewhere" / "mine.csv"
    ).resolve()


@pytest.mark.parametrize("source", ["s3://bucket/key.nc", "https://host/x.csv", "/absolute/x.csv"])
def test_other_sources_stay_as_they_are(write, source):
    assert load_benchmark(write("mine.csv", source)).source() == source


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('scheme = "shuffled"', 'shceme = "shuffled"', ["splits.shceme: unknown key", "Did you mean 'scheme'"]),
        ('title = "My study"', 'titel = "My study"', ["titel: unknown key", "Did you mean 'title'?", "title: missing"]),
        ('follows = "nobody"\n', "", ["follows: missing"]),
        ('source = "mine.csv"', "", ["data.source: missing"]),
        ('[splits]\nscheme = "shuffled"\n', "", ["splits: missing"]),
        ('source = "mine.csv"', "source = 3", ["data.source: ", "string", "3"]),
        ('source = "mine.csv"', 'source = ""', ["data.source: ", "at least 1 character"]),
        ('scheme = "shuffled"', 'scheme = "shufled"', ["splits.scheme: ", "'shuffled'", "'shufled'"]),
        ('scheme = "shuffled"', 'scheme = "shuffled"\nfolds = 1', ["splits.folds: ", "greater than or equal to 3"]),
        ('scheme = "shuffled"', 'scheme = "shuffled"\nfolds = "five"', ["splits.folds: ", "integer", "'five'"]),
        (
            'solver = "ols"',
            'solver = "lasso"',
            ["regression.solver: ", "'ols', 'ridge', 'ridge-loo' or 'ridge-gcv'", "'lasso'"],
        ),
        ('solver = "ols"', 'solver = "ridge"', ["regression: ", "ridge needs alpha"]),
        ('solver = "ols"', 'solver = "ridge"\nalpha = -1.0', ["regression.alpha: ", "greater than 0", "-1.0"]),
        ('solver = "ols"', 'solver = "ols"\nrcond = 2.0', ["regression.rcond: ", "less than 1", "2.0"]),
        ('kind = "none"', 'kind = "published"', ["ceiling: ", "needs value"]),
        ('kind = "none"', 'kind = "neuroid"', ["ceiling: ", "values or coordinate"]),
        ('kind = "none"', 'kind = "neuroid"\nvalues = { a = "x" }', ["ceiling.values.a: ", "number", "'x'"]),
        ('identifier = "mine"', 'identifier = "../mine"', ["identifier: ", "'../mine'"]),
        ('identifier = "mine"', 'identifier = "mine"\nfolder = "x"', ["folder: ", "nknown key"]),
        ("[data]", 'data = "x"\n[dataset]', ["dataset: unknown key", "data: ", "'x'"]),
        ('source = "mine.csv"', 'source = "mine.csv"\nselect = [1]', ["data.select: ", "dictionary"]),
        ('source = "mine.csv"', 'source = "mine.csv"\nselect = { roi = "x" }', ["data.select.roi: ", "list"]),
        ('title = "My study"', "title = My study", ["not readable as TOML", "line 3"]),
    ],
)
def test_malformed(write, old, new, words):
    path = write(old, new)
    with pytest.raises(CardError) as caught:
        read_card(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert [word for word in words if word not in message] == []
    assert re.search(r"jaxscore show \S+-encoding", caught.value.hint)
    assert "pydantic" not in message


def test_every_fault_is_named_at_once(write):
    path = write('scheme = "shuffled"', "folds = 1\nsede = 2")
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert all(key in caught.value.message for key in ("splits.scheme", "splits.folds", "splits.sede"))


def test_not_text(tmp_path):
    (tmp_path / "latin.toml").write_bytes('title = "café"'.encode("latin-1"))
    with pytest.raises(CardError, match=r"latin\.toml: not readable as TOML"):
        read_card(tmp_path / "latin.toml")


def test_a_folder(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(CardError, match=r"folder\.toml: .*directory"):
        read_card(tmp_path / "folder.toml")


def test_missing_file():
    with pytest.raises(CardError, match=r"no card absent\.toml") as caught:
        load_benchmark("absent.toml")
    assert "jaxscore ls benchmarks" in caught.value.hint


def test_unknown_identifier():
    with pytest.raises(JaxscoreError, match=r"'Pereira2018-encodng'\. Did you mean 'Pereira2018-encoding'") as caught:
        load_benchmark("Pereira2018-encodng")
    assert "jaxscore ls benchmarks" in caught.value.hint


def test_schemes_are_those_of_the_splits():
    from typing import get_args

    from jaxscore.cards.parts import Scheme
    from jaxscore.regression.splits import PROTOCOLS, SCHEMES

    assert set(get_args(Scheme)) == {*SCHEMES, *PROTOCOLS, "blocks"}


def test_a_card_extends_another(tmp_path):
    (tmp_path / "base.toml").write_text(
        'identifier = "base"\ntitle = "A"\nfollows = "B"\n[data]\nsource = "a.csv"\n'
        '[splits]\nscheme = "shuffled"\nfolds = 4\n[regression]\nsolver = "ols"\n'
        '[ceiling]\nkind = "none"\nsource = "raw"\n'
    )
    own = tmp_path / "own.toml"
    own.write_text('identifier = "own"\nextends = "base"\n[splits]\nscheme = "contiguous"\n')
    card = load_benchmark(own)
    assert (card.identifier, card.title, card.splits.scheme, card.splits.folds) == ("own", "A", "contiguous", 4)
    assert card.source() == str(tmp_path / "a.csv")
    own.write_text('identifier = "own"\nextends = "Pereira2018-encodin"\n')
    with pytest.raises(CardError, match="Pereira2018-encoding"):
        load_benchmark(own)
    (tmp_path / "base.toml").write_text('identifier = "base"\nextends = "own"\n')
    own.write_text('identifier = "own"\nextends = "base"\n')
    with pytest.raises(CardError, match="circle"):
        load_benchmark(own)
