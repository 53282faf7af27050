"""Stimulus sets: text in, text out, matched by id."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from jaxscore.data.stimulus_sets import attach_stimuli, read_stimulus_set, write_stimulus_set
from jaxscore.errors import DataError, StoreError


@pytest.fixture
def assembly() -> xr.DataArray:
    ids = ["e.2", "e.0", "e.2"]
    coords = {
        "stimulus_id": ("presentation", ids),
        "story": ("presentation", ["own"] * 3),
        "neuroid_id": ("neuroid", [1]),
    }
    return xr.DataArray(np.ones((3, 1)), coords, ("presentation", "neuroid"), attrs={"identifier": "toy"})


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({
        "stimulus_id": ["e.0", "e.1", "e.2"], "sentence": ["null", 'A "b", c', "__import__('os')"],
        "word_num": ["01", "1.0", ""], "story": ["a", "b", "c"],
    })  # fmt: skip


def test_every_value_stays_text(frame, tmp_path):
    path = tmp_path / "set.csv"
    path.write_text('stimulus_id,sentence,n\n1,NA,1.0\n2,null,\n3,"Où, ""ça""?",007\n', encoding="utf-8-sig")
    got = read_stimulus_set(path, "toy")
    assert got.attrs["name"] == "toy"
    assert got.to_dict("list") == {
        "stimulus_id": ["1", "2", "3"], "sentence": ["NA", "null", 'Où, "ça"?'], "n": ["1.0", "", "007"],
    }  # fmt: skip
    write_stimulus_set(frame, path)
    assert read_stimulus_set(path).to_dict("list") == frame.to_dict("list")
    assert os.listdir(tmp_path) == ["set.csv"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "No columns to parse"),
        (b"a,b\n1,2,3\n", "is not a CSV table"),
        (b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        (b"a\n\xff\xfe\n", "codec can't decode"),
        (b'a\n"open\n', "EOF inside string"),
    ],
)
def test_malformed(tmp_path, content, reason):
    path = tmp_path / "set.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_stimulus_set(path)
    assert str(path) in caught.value.message


def test_absent(frame, tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_stimulus_set(tmp_path / "set.csv")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="What was there before is untouched"):
        write_stimulus_set(frame, tmp_path / "file" / "set.csv")


def test_attached_by_id(assembly, frame):
    got = attach_stimuli(assembly, frame)
    assert got["sentence"].values.tolist() == ["__import__('os')", "null", "__import__('os')"]
    assert got["word_num"].values.tolist() == ["", "01", ""]
    assert got["story"].values.tolist() == ["own"] * 3  # what the assembly has is kept
    assert got["sentence"].dims == ("presentation",)
    assert got.attrs == assembly.attrs
    xr.testing.assert_identical(got.drop_vars(["sentence", "word_num"]), assembly)


def test_attached_by_number_and_by_old_name(assembly, frame):
    numbered = assembly.assign_coords(stimulus_id=("presentation", [2, 0, 1]))
    old = frame.rename(columns={"stimulus_id": "image_id"}).assign(image_id=["0", "1", "2"])
    assert attach_stimuli(numbered, old)["sentence"].values.tolist() == ["__import__('os')", "null", 'A "b", c']
    assert "image_id" not in attach_stimuli(numbered, old).coords


def test_what_does_not_match(assembly, frame):
    with pytest.raises(
        DataError, match=r"2 of 3 presentations have no row in the set: e\.2, e\.2; its ids are like e\.0"
    ):
        attach_stimuli(assembly, frame[:2], "the set")
    with pytest.raises(DataError, match=r"1 stimulus ids occur more than once: e\.0"):
        attach_stimuli(assembly, frame.assign(stimulus_id=["e.0", "e.0", "e.2"]))
    with pytest.raises(DataError, match="no column stimulus_id; its columns: sentence, word_num, story"):
        attach_stimuli(assembly, frame.drop(columns="stimulus_id"))
