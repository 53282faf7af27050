"""Scores and ceilings of both pipelines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from jaxscore.data.nested import siblings, write_nested
from jaxscore.data.netcdf import write_array
from jaxscore.data.scores import StoredCeiling, read_ceiling, read_score
from jaxscore.errors import DataError

PEER = Path(__file__).resolve().parents[2] / "../shared/data/peer_netcdf"
LABELS = ["center", "error_low", "error_high"]


def per_neuroid(labels: str = "aggregation") -> xr.DataArray:
    """Ceilings [neuroid, aggregation]; a voxel of two atlases, and one without a value."""
    return xr.DataArray(
        [[0.2, 0.1, 0.3], [0.3, 0.1, 0.1], [0.6, 0.2, 0.1], [np.nan] * 3],
        {
            "neuroid_id": ("neuroid", ["1.7", "1.8", "1.7", "2.0"]),
            "atlas": ("neuroid", ["language", "language", "auditory", "language"]),
            labels: ("aggregation", LABELS),
        },
        ("neuroid", "aggregation"),
    )


@pytest.fixture(params=["aggregation", "aggregation_"])
def ceiling_of_2021(request, tmp_path) -> Path:
    """Center and errors, values of neuroids in a nested file; labels by the names of new and old xarray."""
    coords = {request.param: ("aggregation", LABELS)}
    raw = per_neuroid(request.param).assign_attrs(raw=xr.DataArray(np.zeros((2, 2)), dims=("num_subjects", "split")))
    whole = xr.DataArray([0.25, 0.01, 0.02], coords, "aggregation", attrs={"raw": raw})
    return write_nested(tmp_path, "Toy-ceiling", whole)["Toy-ceiling.nc"]


def test_ceiling_of_2021(ceiling_of_2021):
    got = read_ceiling(ceiling_of_2021, siblings(ceiling_of_2021))
    assert (got.whole, got.error_low, got.error_high) == (0.25, 0.01, 0.02)
    assert got.neuroids.dims == ("neuroid",)
    np.testing.assert_array_equal(got.neuroids.values, [0.2, 0.3, 0.6, np.nan])
    wanted = {"neuroid_id": np.array(["2.0", "1.7", "9.9", "1.7"]), "atlas": np.array(["language"] * 3 + ["auditory"])}
    np.testing.assert_array_equal(got.of(wanted), [np.nan, 0.2, np.nan, 0.6])
    np.testing.assert_array_equal(got.of(per_neuroid().coords), [0.2, 0.3, 0.6, np.nan])


def test_nested_values_only_on_demand(ceiling_of_2021):
    for nested in ceiling_of_2021.parent.glob("*-raw*"):
        nested.unlink()
    got = read_ceiling(ceiling_of_2021)
    assert (got.whole, got.neuroids) == (0.25, None)
    with pytest.raises(DataError, match="no values of single neuroids"):
        got.of({"neuroid_id": np.array(["1.7"])})
    with pytest.raises(DataError, match=r"names the nested file Toy-ceiling-raw\.nc"):
        read_ceiling(ceiling_of_2021, siblings(ceiling_of_2021))


def test_file_of_neuroids(tmp_path):
    write_array(per_neuroid(), tmp_path / "raw.nc")
    got = read_ceiling(tmp_path / "raw.nc")
    assert (got.whole, got.error_low, got.error_high) == (0.3, 0.1, 0.1)  # medians over neuroids, NaN skipped
    assert got.neuroids["neuroid_id"].values.tolist() == ["1.7", "1.8", "1.7", "2.0"]
    plain = xr.DataArray([0.1, 0.4], {"neuroid_id": ("neuroid", [7, 8])}, "neuroid")
    write_array(plain, tmp_path / "plain.nc")
    got = read_ceiling(tmp_path / "plain.nc")
    assert got.whole == 0.25
    np.testing.assert_array_equal(got.of({"neuroid_id": np.array(["8", "7"])}), [0.4, 0.1])


def test_raw_without_neuroids(tmp_path):
    """Ceilings by subject (rdm, cka) and one curve for all (reading times) have a whole and no neuroids."""
    for raw in (
        xr.DataArray(np.ones((2, 3)), {"aggregation": LABELS}, ("subject_UID", "aggregation")),
        xr.DataArray(np.ones((2, 3)), dims=("num_subjects", "split")),
    ):
        whole = xr.DataArray([0.25, 0.01], {"aggregation": ["center", "error"]}, "aggregation", attrs={"raw": raw})
        path = write_nested(tmp_path, "Toy-ceiling", whole)["Toy-ceiling.nc"]
        assert read_ceiling(path, siblings(path)) == StoredCeiling(0.25, 0.01, 0.01, None)


def test_ceiling_of_today(tmp_path):
    write_array(xr.DataArray(0.36, attrs={"error_low": 0.01, "error_high": 0.02, "endpoint_x": 41}), tmp_path / "a.nc")
    assert read_ceiling(tmp_path / "a.nc", siblings(tmp_path / "a.nc")) == StoredCeiling(0.36, 0.01, 0.02)
    assert read_score(tmp_path / "a.nc") == 0.36


@pytest.mark.skipif(not PEER.is_dir(), reason="needs ../shared/data/peer_netcdf")
def test_ceiling_of_a_peer():
    path = PEER / "peer_written_score.nc"
    assert read_ceiling(path) == StoredCeiling(0.3634, 0.01, None)
    assert read_score(path) == 0.3634


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (xr.DataArray(np.nan), "is nan"),
        (xr.DataArray("0.3"), "expected real numbers"),
        (xr.DataArray([0.1, 0.2], dims="split"), r"has the dimensions \(split\)"),
        (xr.DataArray([0.1, 0.2], dims="aggregation"), "without a label 'center'"),
        (xr.DataArray([0.1], {"aggregation": ["mean"]}, "aggregation"), "without a label 'center'"),
        (xr.DataArray([0.1], {"aggregation": [7.0]}, "aggregation"), "without a label 'center'"),
        (xr.DataArray(np.ones((2, 2, 2)), dims=("neuroid", "split", "x")), "has the dimensions"),
        (xr.DataArray(0.3, attrs={"error_low": "small"}), "error_low is 'small', expected a number"),
        (xr.DataArray(0.3, attrs={"raw": "s3:set.csv"}), "'raw' names a table"),
        (xr.DataArray(0.3, attrs={"raw": "s3:../raw.nc"}), "no plain name"),
        (xr.DataArray(0.3, attrs={"raw": "s3:wide.nc"}), r"attribute 'raw' has the dimensions \(neuroid, x\)"),
    ],
)
def test_malformed(array, reason, tmp_path):
    path = tmp_path / "bad.nc"
    array.to_dataset(name="data").to_netcdf(path, engine="h5netcdf")
    write_array(xr.DataArray(np.ones((2, 2)), dims=("neuroid", "x")), tmp_path / "wide.nc")
    (tmp_path / "set.csv").write_text("stimulus_id\n1\n")
    with pytest.raises(DataError, match=reason) as caught:
        read_ceiling(path, siblings(path))
    assert str(path) in caught.value.message


def test_neuroids_that_cannot_be_matched():
    stored = StoredCeiling(0.3, neuroids=per_neuroid().isel(aggregation=0, drop=True))
    with pytest.raises(DataError, match=r"1 neuroids more than once: 1\.7"):
        stored.of({"neuroid_id": np.array(["1.7"])})
    with pytest.raises(DataError, match=r"None of 1 neuroids has a ceiling; they are 9\.9 in MD"):
        stored.of({"neuroid_id": np.array(["9.9"]), "atlas": np.array(["MD"])})
    with pytest.raises(DataError, match="the assembly has no neuroid_id"):
        stored.of({"subject": np.array(["1"])})
    with pytest.raises(DataError, match="the ceiling has no neuroid_id"):
        StoredCeiling(0.3, neuroids=xr.DataArray([0.1], dims="neuroid")).of({"neuroid_id": np.array(["1.7"])})
