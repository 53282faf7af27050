"""Whatever the file: it is read as it was written, or refused with its name and a reason."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from data.refusals import outcome, refusal
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from jaxscore.data.assemblies import check_assembly, read_assembly, with_multiindex, write_assembly
from jaxscore.data.nested import fetch_nested
from jaxscore.data.scores import read_ceiling
from jaxscore.data.stimulus_sets import attach_stimuli, read_stimulus_set, write_stimulus_set

SHARED = [HealthCheck.function_scoped_fixture]  # each example overwrites the file of the one before
ROUND = settings(max_examples=20, deadline=None, suppress_health_check=SHARED)
# the same damage in every run: HDF5 itself, not we, would have to answer for what a new one finds
FUZZ = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=SHARED)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NAMES = st.text("abcdefghij_", min_size=3, max_size=6)
TYPES = st.sampled_from(["i8", "u1", "f8", "f4", "i2", "text"])


@st.composite
def columns(draw, size: int) -> np.ndarray:
    """Values of one coordinate."""
    kind = draw(TYPES)
    if kind == "text":
        return np.array(draw(st.lists(TEXT, min_size=size, max_size=size)), dtype=object)
    return draw(nst.arrays(kind, size))


@st.composite
def assemblies(draw) -> xr.DataArray:
    """Responses of any float type and values, with coordinates of any type, at least one of each dimension."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 4)))
    values = draw(nst.arrays(draw(st.sampled_from(["f4", "f8"])), shape))
    ids = draw(st.lists(TEXT, min_size=shape[0], max_size=shape[0], unique=True))
    coords = {"stimulus_id": ("presentation", np.array(ids, dtype=object))}
    for dim, size in zip(("presentation", "neuroid"), shape, strict=True):
        for name in draw(st.lists(NAMES, max_size=3, unique=True)):
            coords[f"{dim[0]}_{name}"] = (dim, draw(columns(size)))
    attributes = draw(st.dictionaries(NAMES, st.one_of(TEXT, st.integers(-(2**62), 2**62), st.floats(allow_nan=False))))
    return xr.DataArray(values, coords, ("presentation", "neuroid"), "data", attributes)


@ROUND
@given(assembly=assemblies())
def test_what_is_written_is_read(assembly, tmp_path):
    path = tmp_path / "any.nc"
    write_assembly(assembly, path)
    got = read_assembly(path)
    assert got.dtype == assembly.dtype
    assert set(got.coords) == set(assembly.coords)
    for name, coordinate in assembly.coords.items():
        assert got[name].dims == coordinate.dims
        assert got[name].dtype == coordinate.dtype or coordinate.dtype == object
        np.testing.assert_array_equal(got[name].values, coordinate.values)
    np.testing.assert_array_equal(got.values, assembly.values)
    assert got.attrs == assembly.attrs
    check_assembly(got, "any")
    write_assembly(with_multiindex(got), path)
    xr.testing.assert_identical(read_assembly(path), got)


@cache
def written(folder: Path) -> bytes:
    """A file with text, whole numbers and missing values."""
    assembly = xr.DataArray(
        np.random.default_rng(0).standard_normal((6, 4)),
        {
            "stimulus_id": ("presentation", [f"e.{i}" for i in range(6)]),
            "sentence": ("presentation", [f"Sentence number {i}." for i in range(6)]),
            "passage_index": ("presentation", np.arange(6, dtype=np.uint8)),
            "neuroid_id": ("neuroid", list("abcd")),
            "filter_strategy": ("neuroid", [np.nan, 1, 2, np.nan]),
        },
        ("presentation", "neuroid"),
        attrs={"identifier": "Toy", "raw": "s3:any.nc"},
    )
    write_assembly(assembly, folder / "sound.nc")
    return (folder / "sound.nc").read_bytes()


@FUZZ
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=20))
def test_flipped_bytes(tmp_path, flips):
    content = bytearray(written(tmp_path.parent))
    for place, value in flips:
        content[int(place * len(content))] = value
    path = tmp_path / "flipped.nc"
    path.write_bytes(content)
    outcome(path)
    assert refusal(path, lambda: read_ceiling(path))  # never a ceiling
    refusal(path, lambda: fetch_nested(path))


@FUZZ
@given(st.floats(0, 1, exclude_max=True))
@example(0.0)
def test_truncated(tmp_path, share):
    content = written(tmp_path.parent)
    path = tmp_path / "truncated.nc"
    path.write_bytes(content[: int(share * len(content))])
    assert "cannot be read as NetCDF4" in outcome(path)


@FUZZ
@given(st.binary(max_size=300))
def test_any_bytes(tmp_path, content):
    for path in (tmp_path / "any.nc", tmp_path / "any.csv"):
        path.write_bytes(content)
    assert "cannot be read as NetCDF4" in outcome(tmp_path / "any.nc")
    if not refusal(tmp_path / "any.csv", lambda: read_stimulus_set(tmp_path / "any.csv")):
        assert all(isinstance(value, str) for value in read_stimulus_set(tmp_path / "any.csv").to_numpy().ravel())


@settings(FUZZ, max_examples=40)
@given(
    values=nst.arrays(
        st.sampled_from(["f8", "i2", "u1"]), nst.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=3)
    ),
    dims=st.permutations(["presentation", "neuroid"]),
    ids=st.lists(st.sampled_from(["a", "b", "", 1.0, np.nan]), min_size=3, max_size=3),
)
def test_any_small_assembly(tmp_path, values, dims, ids):
    """Zero sizes, duplicate and missing ids, responses without variance: scored or refused, never an accident."""
    array = xr.DataArray(values, dims=dims)
    labels = np.array([str(value) for value in ids]) if any(isinstance(v, str) for v in ids) else np.array(ids)
    array = array.assign_coords(stimulus_id=("presentation", labels[: array.sizes["presentation"]]))
    path = tmp_path / "small.nc"
    array.to_dataset(name="data").to_netcdf(path, engine="h5netcdf")
    message = outcome(path)
    if 0 in values.shape:
        assert "has no presentation" in message or "has no neuroid" in message
    elif len(set(array["stimulus_id"].values.tolist())) < array.sizes["presentation"]:
        assert "occur more than once" in message or "no stimulus id" in message


@ROUND
@given(data=st.data(), count=st.integers(1, 5))
def test_stimulus_sets_are_text_both_ways(tmp_path, data, count):
    rows = data.draw(st.lists(TEXT, min_size=count, max_size=count))
    frame = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(count)], "sentence": rows}, dtype=object)
    write_stimulus_set(frame, tmp_path / "set.csv")
    got = read_stimulus_set(tmp_path / "set.csv")
    assert got["sentence"].tolist() == rows
    order = data.draw(st.permutations(range(count)))
    assembly = xr.DataArray(
        np.ones((count, 1)),
        {"stimulus_id": ("presentation", [f"s{i}" for i in order])},
        ("presentation", "neuroid"),
    )
    assert attach_stimuli(assembly, got)["sentence"].values.tolist() == [rows[i] for i in order]
