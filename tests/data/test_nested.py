"""Files that name files: found when asked for, in the same place only, written as they were in 2021."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from jaxscore.data.assemblies import read_assembly
from jaxscore.data.nested import fetch_nested, nested_keys, read_nested, siblings, write_nested
from jaxscore.data.netcdf import read_array, read_attributes, write_array
from jaxscore.data.stimulus_sets import attach_stimuli
from jaxscore.errors import DataError


@pytest.fixture
def assembly() -> xr.DataArray:
    return xr.DataArray(
        np.random.default_rng(0).standard_normal((3, 2)),
        {
            "image_id": ("presentation", ["e.0", "e.1", "e.2"]),
            "neuroid_id": ("neuroid", ["a", "b"]),
            "subject": ("neuroid", ["1", "2"]),
        },
        ("presentation", "neuroid"),
        attrs={"identifier": "Toy2018"},
    )


@pytest.fixture
def stimuli() -> pd.DataFrame:
    frame = pd.DataFrame(
        {"stimulus_id": ["e.0", "e.1", "e.2"], "sentence": ["null", "NA", "Where?"], "story": list("abc")}
    )
    frame.attrs["name"] = "toy-stimuli"
    return frame


def link(path: Path, **keys: str) -> Path:
    """A file that names others."""
    write_array(xr.DataArray(0.5, attrs={name: f"s3:{key}" for name, key in keys.items()}), path)
    return path


def test_as_it_was_stored(assembly, stimuli, tmp_path):
    written = write_nested(tmp_path, "Toy2018", assembly, stimuli)
    assert written == {name: tmp_path / name for name in ("Toy2018-stimulus_set.csv", "Toy2018.nc")}
    assert sorted(os.listdir(tmp_path)) == sorted(written)
    assert (
        tmp_path / "Toy2018-stimulus_set.csv"
    ).read_text() == "stimulus_id,sentence,story\ne.0,null,a\ne.1,NA,b\ne.2,Where?,c\n"
    with h5py.File(tmp_path / "Toy2018.nc") as file:
        stored = file["__xarray_dataarray_variable__"].attrs
        assert {name: stored[name] for name in ("stimulus_set", "stimulus_set_name", "class_module", "class_name")} == {
            "stimulus_set": "s3:Toy2018-stimulus_set.csv", "stimulus_set_name": "toy-stimuli",
            "class_module": "brainio.assemblies", "class_name": "NeuroidAssembly",
        }  # fmt: skip
    assert assembly.attrs == {"identifier": "Toy2018"}  # the caller's stays as it was


def test_pair_is_read_back(assembly, stimuli, tmp_path):
    path = write_nested(tmp_path, "Toy2018", assembly, stimuli)["Toy2018.nc"]
    got, frame = read_assembly(path), read_nested(path, "stimulus_set")
    np.testing.assert_array_equal(got.values, assembly.values)
    assert frame.attrs["name"] == "toy-stimuli"
    pd.testing.assert_frame_equal(frame, stimuli.astype(object))
    assert attach_stimuli(got, frame)["sentence"].values.tolist() == ["null", "NA", "Where?"]


def test_arrays_inside_arrays(tmp_path):
    subsets = xr.DataArray(np.eye(3), dims=("num_subjects", "split"))
    raw = xr.DataArray([0.2, 0.3], {"neuroid_id": ("neuroid", ["a", "b"])}, "neuroid", attrs={"raw": subsets})
    ceiling = xr.DataArray(0.25, attrs={"raw": raw, "endpoint_x": xr.DataArray(41)})
    assert list(write_nested(tmp_path, "Toy-ceiling", ceiling)) == [
        "Toy-ceiling-raw-raw.nc", "Toy-ceiling-raw.nc", "Toy-ceiling.nc",
    ]  # fmt: skip
    path = tmp_path / "Toy-ceiling.nc"
    assert read_attributes(path)["endpoint_x"] == 41
    xr.testing.assert_equal(read_nested(path, "raw"), raw)
    xr.testing.assert_equal(read_nested(path, "raw", "raw"), subsets)
    assert fetch_nested(path) == {name: tmp_path / name for name in ("Toy-ceiling-raw.nc", "Toy-ceiling-raw-raw.nc")}


def test_from_a_bucket(assembly, stimuli, tmp_path):
    """Where the files lie under other names, a function finds them, and is asked only for what is wanted."""
    write_nested(tmp_path, "Toy2018", assembly.assign_attrs(raw=xr.DataArray([1.0], dims="x")), stimuli)
    cached = {}
    for each in list(tmp_path.iterdir()):
        cached[each.name] = each.rename(tmp_path / f"0123-{each.name}")
    asked = []

    def fetch(key: str) -> Path:
        asked.append(key)
        return cached[key]

    path = cached["Toy2018.nc"]
    assert len(read_nested(path, "stimulus_set", fetch=fetch)) == 3
    assert asked == ["Toy2018-stimulus_set.csv"]
    assert set(fetch_nested(path, fetch)) == {"Toy2018-stimulus_set.csv", "Toy2018-raw.nc"}
    with pytest.raises(DataError, match=r"names the nested file Toy2018-raw.nc, and .* is not a file"):
        read_nested(path, "raw")


def test_absent_files_matter_when_they_are_wanted(assembly, stimuli, tmp_path):
    path = write_nested(tmp_path, "Toy2018", assembly, stimuli)["Toy2018.nc"]
    (tmp_path / "Toy2018-stimulus_set.csv").unlink()
    assert read_assembly(path).shape == (3, 2)
    for act in (lambda: read_nested(path, "stimulus_set"), lambda: fetch_nested(path)):
        with pytest.raises(DataError, match=r"Toy2018\.nc names the nested file Toy2018-stimulus_set\.csv"):
            act()


@pytest.mark.parametrize(
    "key",
    ["../secret.nc", "a/b.nc", "a\\b.nc", "/etc/passwd", "..nc", "a..nc", "a.csv/", "", ".nc", "-rf.nc", "a.pkl",
     "C:a.nc", "a.nc\n", "//host/a.nc", "https://host/a.nc", "a\0.nc", "~root.nc"],
)  # fmt: skip
def test_names_that_lead_elsewhere(key):
    with pytest.raises(DataError, match=r"toy\.nc: attribute 'raw' names the file .* no plain name"):
        nested_keys({"raw": f"s3:{key}"}, "toy.nc")


def test_only_names_of_files_count():
    attributes = {"raw": "s3:a-b_c 1.0+2.nc", "note": "see s3:x.nc", "number": 3, "list": np.array(["s3:x.nc"])}
    assert nested_keys(attributes, "toy.nc") == {"raw": "a-b_c 1.0+2.nc"}
    assert siblings("/data/toy.nc")("a.nc") == Path("/data/a.nc")


def test_rings_and_depths(tmp_path):
    first = link(tmp_path / "a.nc", raw="b.nc")
    link(tmp_path / "b.nc", raw="c.nc")
    link(tmp_path / "c.nc", raw="b.nc")
    for act in (lambda: fetch_nested(first), lambda: read_nested(first, "raw", "raw", "raw")):
        with pytest.raises(DataError, match=r"a\.nc -> b\.nc -> c\.nc -> b\.nc: a nested file leads back to itself"):
            act()
    link(tmp_path / "c.nc", raw="a.nc")
    with pytest.raises(DataError, match="leads back to itself"):
        fetch_nested(first)
    for i in range(12):
        link(tmp_path / f"{i}.nc", raw=f"{i + 1}.nc")
    with pytest.raises(DataError, match="more than 8 nested files inside one another"):
        fetch_nested(tmp_path / "0.nc")


def test_two_ways_to_one_file(tmp_path):
    first = link(tmp_path / "a.nc", raw="b.nc", params="c.nc")
    link(tmp_path / "b.nc", params="c.nc")
    link(tmp_path / "c.nc")
    assert fetch_nested(first) == {name: tmp_path / name for name in ("b.nc", "c.nc")}


def test_attributes_that_name_no_file(tmp_path):
    path = link(tmp_path / "a.nc", raw="b.nc")
    with pytest.raises(DataError, match=r"a\.nc has no nested file in an attribute 'row'") as caught:
        read_nested(path, "row")
    assert caught.value.hint == "It has: raw. Did you mean 'raw'?"
    with pytest.raises(DataError, match="no plain name"):
        write_nested(tmp_path, "Toy/2018", xr.DataArray(1.0, attrs={"raw": xr.DataArray([1.0], dims="x")}))


def test_damaged_nested_file(tmp_path):
    path = link(tmp_path / "a.nc", raw="b.nc")
    (tmp_path / "b.nc").write_text("no HDF5")
    with pytest.raises(DataError, match=r"b\.nc cannot be read as NetCDF4"):
        read_nested(path, "raw")
    assert read_array(path).item() == 0.5
