"""Recordings whose parts do not fit each other are refused, and so are readers and options that nobody knows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.listening.recording import READERS, Recording, read_recording


def recording() -> Recording:
    responses = xr.DataArray(
        np.random.default_rng(0).normal(size=(10, 2)),
        dims=("presentation", "neuroid"),
        coords={
            "run": ("presentation", np.repeat(["one", "two"], 5)),
            "subject": ("neuroid", ["a", "b"]),
            "roi": ("neuroid", ["x", "x"]),
            "neuroid_id": ("neuroid", ["a.x", "b.x"]),
        },
    )
    return Recording(
        words=("two", "words"),
        onsets=np.array([1.0, 1.0]),
        offsets=np.array([2.0, 2.0]),
        word_runs=np.array(["one", "two"]),
        times=np.tile(np.arange(5) * 1.5, 2),  # the clock begins anew in the second run
        tr=1.5,
        responses=responses,
        nuisance={"b": np.zeros((10, 3))},
        shared=np.zeros((10, 0)),
    )


def test_runs_may_have_clocks_of_their_own():
    assert recording().runs.tolist() == ["one"] * 5 + ["two"] * 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"onsets": np.zeros(3)}, "2 words have 3 onsets"),
        ({"words": ("two", "")}, "word 1 is ''"),
        ({"words": ("two words", "more")}, "expected one word without white space"),
        ({"times": np.arange(9.0)}, "a row for each of 9 volumes"),
        ({"times": np.arange(10.0)[::-1]}, "run one do not follow each other"),
        ({"shared": np.zeros((9, 1))}, "shared has shape"),
        ({"nuisance": {"b": np.full((10, 1), np.nan)}}, "nuisance of b has 10 values"),
        ({"word_runs": np.array(["one", "six"])}, r"runs \['six'\] have words and no volumes"),
        ({"responses": recording().responses[:, [0, 0]]}, "neuroid_id is not unique"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(recording(), **changes)


def test_unknown_readers_options_and_folders_are_refused(tmp_path):
    with pytest.raises(JaxscoreError, match="Did you mean 'alice2016'"):
        read_recording("alice2015", tmp_path)
    with pytest.raises(JaxscoreError, match="Did you mean 'radius'"):
        read_recording("alice2016", tmp_path, radios="6mm")
    with pytest.raises(DataError, match="is no folder"):
        read_recording("alice2016", tmp_path / "nowhere")


def test_a_reader_is_a_row_of_the_table(tmp_path, monkeypatch):
    (tmp_path / "my_study.py").write_text("def read(folder, *, half=False):\n    return folder.name, half\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(READERS, "mine", "my_study:read")
    assert read_recording("mine", tmp_path, half=True) == (tmp_path.name, True)
