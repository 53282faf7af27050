"""Passage by passage, sentence by sentence: a model in one pass against a call a group, and other candidates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import sentences

import jaxscore
from jaxscore.errors import DataError
from jaxscore.subjects import BrainModel, StimulusSet, listen_to, read_words


def passages():
    """Ten sentences of three passages, which alternate."""
    groups = list("QPQPRRQPRQ")
    return StimulusSet(
        {"stimulus_id": [f"s{i}" for i in range(10)], "passage_id": groups, "sentence": sentences(10)}, name="set"
    )


def words():
    rows = [(number, word) for number, text in enumerate(sentences(4)) for word in text.split()]
    frame = pd.DataFrame(rows, columns=["sentence_id", "word"])
    frame["stimulus_id"] = range(100, 100 + len(frame))
    frame.attrs["identifier"] = "reading"
    return frame


def lengths(stimuli, average_sentence):
    """A candidate of nobody: the characters of each sentence or word, with plain coordinates."""
    units = [[text] if average_sentence else text.split(" ") for text in stimuli["sentence"]]
    rows = [i for i, own in enumerate(units) for _ in own]
    text = [each for own in units for each in own]
    coords = {name: ("presentation", stimuli[name].to_numpy()[rows]) for name in stimuli.columns}
    coords |= {"set": ("presentation", [stimuli.name] * len(rows)), "neuroid_id": ("neuroid", ["length", "one"])}
    return xr.DataArray([[len(each), 1.0] for each in text], coords, ("presentation", "neuroid"))


@pytest.mark.parametrize("average", [True, False])
def test_one_pass_is_a_call_a_passage(tiny, average):
    model = BrainModel(tiny)
    found = listen_to(model, passages(), "passage_id", average)
    looped = listen_to(lambda **call: model(**call), passages(), "passage_id", average)
    xr.testing.assert_allclose(found, looped, atol=1e-5)
    assert found.indexes["presentation"].equals(looped.indexes["presentation"])
    assert found.indexes["presentation"].names == looped.indexes["presentation"].names


def test_values_are_those_of_jaxscore(tiny):
    frame = passages()
    ours = jaxscore.activations(
        tiny, frame["sentence"].tolist(), frame["passage_id"].tolist(), ids=frame["stimulus_id"]
    )
    found = listen_to(BrainModel(tiny), frame, "passage_id")
    order = found["stimulus_id"].values.tolist()
    assert order == ["s0", "s2", "s6", "s9", "s1", "s3", "s7", "s4", "s5", "s8"]
    rows = [ours["stimulus_id"].values.tolist().index(name) for name in order]
    expected = np.concatenate(list(ours["activations"].values[:, rows]), axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_hooks_see_the_groups(tiny):
    model, seen = BrainModel(tiny), []
    model.register_stimulus_set_hook(lambda each: (seen.append((each.name, len(each))), each)[1])
    model.register_activations_hook(lambda states: {name: own - own.mean(0) for name, own in states.items()})
    found = listen_to(model, passages(), "passage_id")
    assert seen == [("set-Q", 4), ("set-P", 3), ("set-R", 3)]
    looped = listen_to(lambda **call: model(**call), passages(), "passage_id")
    np.testing.assert_allclose(found, looped, atol=1e-5)


def test_another_candidate_gets_named_groups():
    found = listen_to(lengths, passages(), "passage_id")
    assert found["set"].values.tolist() == ["set-Q"] * 4 + ["set-P"] * 3 + ["set-R"] * 3
    assert found.values[:, 0].tolist() == [len(text) for text in found["sentence"].values]
    assert found.sel(stimulus_id="s4").shape == (1, 2)


def test_words_keep_their_columns(tiny):
    frame, model = words(), BrainModel(tiny)
    found = read_words(model, frame, copy_columns=["stimulus_id"])
    assert found["stimulus_id"].values.tolist() == frame["stimulus_id"].tolist()
    assert found["word"].values.tolist() == frame["word"].tolist()
    assert found["sentence_id"].values.tolist() == frame["sentence_id"].tolist()
    looped = read_words(lambda **call: model(**call), frame, copy_columns="stimulus_id")
    np.testing.assert_allclose(found, looped, atol=1e-5)
    assert found.indexes["presentation"].equals(looped.indexes["presentation"])
    alone = [model([text], average_sentence=False) for text in sentences(4)]
    np.testing.assert_allclose(found, np.concatenate(alone), atol=1e-5)


def test_words_of_a_sentence_may_stand_apart():
    frame = words().sort_values("word", kind="stable")
    found = read_words(lengths, frame, copy_columns=["stimulus_id", "word"])
    order = list(dict.fromkeys(frame["sentence_id"]))
    expected = pd.concat([frame[frame["sentence_id"] == number] for number in order])
    assert found["stimulus_id"].values.tolist() == expected["stimulus_id"].tolist()
    assert found.values[:, 0].tolist() == expected["word"].str.len().tolist()
    assert found["set"].values[0] == f"reading-{order[0]}"


def test_sentences_of_words(tiny):
    found = read_words(BrainModel(tiny), words(), average_sentence=True)
    assert found["stimulus_sentence"].values.tolist() == sentences(4)
    assert read_words(lengths, words(), average_sentence=True).values[:, 0].tolist() == list(map(len, sentences(4)))


def ragged(stimuli, average_sentence):
    return lengths(stimuli, average_sentence).isel(neuroid=slice(len(stimuli) % 2, None))


WRONG = {
    "texts": (lambda: listen_to(lengths, ["A text."]), "set is list, expected a table with stimulus_id, story"),
    "duplicates": (lambda: listen_to(lengths, passages().replace("s4", "s2"), "passage_id"), "1 stimulus_id .*: s2"),
    "duplicate words": (lambda: read_words(lengths, words().assign(stimulus_id=7)), "1 stimulus_id .*: 7"),
    "column": (lambda: listen_to(lengths, passages(), "passage"), "no column 'passage'.*Did you mean 'passage_id'"),
    "default column": (lambda: listen_to(lengths, passages()), "no column 'story'; its columns: stimulus_id"),
    "no ids": (lambda: listen_to(lengths, passages()[["passage_id"]], "passage_id"), "no column 'stimulus_id'"),
    "no words": (lambda: read_words(lengths, passages(), "passage_id"), "no column 'word'"),
    "copied": (lambda: read_words(lengths, words(), copy_columns=["word_num"]), "no column 'word_num'"),
    "no group": (lambda: listen_to(lengths, passages().assign(story=[None] * 2 + ["a"] * 8)), "2 rows have no story"),
    "nothing": (lambda: listen_to(lengths, passages()[:0], "passage_id"), "no stimuli"),
    "space": (lambda: read_words(lengths, words().replace("number", "a b"), copy_columns=["word"]), "'a b' in the"),
    "blank": (lambda: read_words(lengths, words().replace("number", "")), "'' in the column word is not one word"),
    "averaged": (
        lambda: read_words(lengths, words(), copy_columns=["stimulus_id"], average_sentence=True),
        "4 presentations for .* words: stimulus_id do not fit",
    ),
    "other neuroids": (lambda: listen_to(ragged, passages(), "passage_id"), "cannot be joined"),
    "no sentences": (
        lambda: listen_to(BrainModel("mini"), passages().drop(columns="sentence"), "passage_id"),
        "no column 'sentence'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(case):
    call, message = WRONG[case]
    with pytest.raises(DataError, match=f"(?s){message}"):
        call()
