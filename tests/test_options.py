"""Options and layers: what is asked for, put into a card or refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxscore.cards import Card, load_benchmark
from jaxscore.errors import JaxscoreError
from jaxscore.options import Options, choose_layers

NAMES = ["drop", *(f"encoder.h.{i}" for i in range(4))]


@pytest.fixture
def card() -> Card:
    return load_benchmark("Simulated2026-encoding")


def test_nothing_asked_changes_nothing(card):
    assert Options().in_force(card) == card


@pytest.mark.parametrize(
    ("options", "where", "value"),
    [
        ({"pooling": "mean"}, "pooling", "mean"),
        ({"context": "sentence"}, "context.group", "sentence"),
        ({"splits": "contiguous"}, "splits.scheme", "contiguous"),
        ({"folds": 3}, "splits.folds", 3),
        ({"regression": "ols"}, "regression.solver", "ols"),
        ({"regression": "ridge"}, "regression.alpha", 100.0),  # the card's
        ({"regression": "ridge:0.5"}, "regression.alpha", 0.5),
        ({"rcond": 1e-12}, "regression.rcond", 1e-12),
        ({"data": "https://host/other.nc"}, "data.source", "https://host/other.nc"),
        ({"data": "here.nc"}, "data.sha256", None),  # the hash belonged to the other file
    ],
)
def test_one_option_changes_one_thing(card, options, where, value):
    found = Options(**options).in_force(card)
    before, after = card, found
    for name in where.split("."):
        before, after = getattr(before, name), getattr(after, name)
    assert after == value
    assert found.model_dump(exclude={where.split(".")[0]}) == card.model_dump(exclude={where.split(".")[0]})


@pytest.mark.parametrize(
    ("options", "window"),
    [
        ({}, 512),
        ({"protocol": "parts"}, None),
        ({"protocol": "joined"}, None),
        ({"protocol": "chained"}, 512),
        ({"protocol": "parts", "window": 300}, 300),
        ({"window": 300}, 300),
    ],
    ids=str,
)
def test_the_window_of_a_card_belongs_to_its_protocol(options, window):
    card = load_benchmark("Pereira2018-encoding")
    assert (card.context.protocol, card.context.window) == ("chained", 512)
    assert Options(**options).in_force(card).context.window == window


def test_local_data_are_found_from_the_working_folder(card, tmp_path):
    assert Options(data="here.nc").in_force(card).source() == str(tmp_path / "here.nc")


def test_ridge_without_alpha_anywhere():
    card = load_benchmark("Pereira2018-encoding")
    assert card.regression.alpha is None
    assert Options(regression="ridge").in_force(card).regression.alpha == 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pooling": "lats"}, ["pooling 'lats'", "Did you mean 'last'?", "last, mean, sum"]),
        ({"context": "pasage"}, ["context 'pasage'", "Did you mean 'passage'?", "passage, story, sentence"]),
        ({"splits": "shufled"}, ["splits 'shufled'", "Did you mean 'shuffled'?", "shuffled, contiguous, grouped"]),
        ({"bos": "allways"}, ["bos 'allways'", "Did you mean 'always'?", "auto, never, always"]),
    ],
)
def test_unknown_choices(options, words):
    with pytest.raises(JaxscoreError) as caught:
        Options(**options)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "options",
    [
        {"regression": "lasso"},
        {"regression": "ridge:much"},
        {"regression": "ridge:0"},
        {"regression": "ridge:-1"},
        {"rcond": 0.0},
        {"rcond": 1.0},
        {"rcond": float("nan")},
    ],
)
def test_not_a_regression(card, options):
    with pytest.raises(JaxscoreError) as caught:
        Options(**options).in_force(card)
    assert str(next(iter(options.values()))) in caught.value.message
    assert "ridge:ALPHA" in caught.value.hint


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, [0, 1, 2, 3, 4]),
        ("drop", [0]),
        ("encoder.h.3, drop", [0, 4]),
        ("0,3", [0, 3]),
        ("1-3", [1, 2, 3]),
        ("3-3,1", [1, 3]),
        ("-1", [4]),
        ("-5", [0]),
        ("2,2,1-2,encoder.h.1", [1, 2]),
    ],
)
def test_layers(asked, expected):
    assert choose_layers(asked, NAMES) == expected


@pytest.mark.parametrize("asked", ["5", "-6", "3-1", "0-5", "encoder.h.4", "0,,1", "1.5", "0;1", "drop 1"])
def test_layers_that_are_not_there(asked):
    with pytest.raises(JaxscoreError, match="No layer") as caught:
        choose_layers(asked, NAMES)
    assert "5: 0 (drop) to 4 (encoder.h.3)" in caught.value.hint


def test_no_layer_at_all():
    with pytest.raises(JaxscoreError, match="layers is empty") as caught:
        choose_layers(" ", NAMES)
    assert "all 5 layers" in caught.value.hint


def test_layers_nearly_named():
    with pytest.raises(JaxscoreError, match=r"No layer 'encoder.h.l'\. Did you mean 'encoder.h"):
        choose_layers("drop,encoder.h.l", NAMES)


@given(st.lists(st.integers(0, 4), min_size=1))
def test_layers_come_sorted_once_each(indices):
    assert choose_layers(",".join(map(str, indices)), NAMES) == sorted(set(indices))
    assert choose_layers(",".join(NAMES[i] for i in indices), NAMES) == sorted(set(indices))
