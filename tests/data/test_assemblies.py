"""Assemblies in NetCDF: the peers' files, our own, and broken ones."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from data.toys import toy_assembly

from jaxscore.data.assemblies import check_assembly, drop_unusable, read_assembly, with_multiindex, write_assembly
from jaxscore.errors import DataError

PEER = Path(__file__).resolve().parents[2] / "../shared/data/peer_netcdf"
needs_peer = pytest.mark.skipif(not PEER.is_dir(), reason="needs ../shared/data/peer_netcdf")


@pytest.fixture
def assembly() -> xr.DataArray:
    return toy_assembly()


@needs_peer
def test_peer_assembly():
    got = read_assembly(PEER / "peer_written.nc")
    assert got.dims == ("presentation", "neuroid")
    assert got.shape == (88, 20)
    assert got.dtype == np.float64
    assert len(got.coords) == 21
    assert got.attrs == {"identifier": "Pereira2018.language", "note": "synthetic"}
    with h5py.File(PEER / "peer_written.nc") as file:  # every variable, by another reader
        np.testing.assert_array_equal(got.values, file["data"][()])
        for name, coordinate in got.coords.items():
            raw = file[name].asstr()[()] if file[name].dtype.kind == "O" else file[name][()]
            assert coordinate.ndim == 1
            np.testing.assert_array_equal(coordinate.values, raw)
    assert all(isinstance(value, str) for value in got["sentence"].values)
    assert got["passage_index"].dtype == np.uint8
    check_assembly(got, "peer")


@needs_peer
def test_peer_assembly_by_experiment():
    """Voxels that one experiment lacks are all-NaN there, and nowhere else."""
    got = read_assembly(PEER / "peer_written.nc")
    experiment = got.isel(presentation=(got["experiment"] == "384sentences").values)
    usable, dropped = drop_unusable(experiment)
    expected = ~np.isnan(experiment.values).any(axis=0)
    assert 0 < expected.sum() < 20
    assert usable["neuroid_id"].values.tolist() == got["neuroid_id"].values[expected].tolist()
    assert dropped.missing == got["neuroid_id"].values[~expected].tolist()
    assert dropped.constant == []


@needs_peer
def test_peer_file_survives_writing(tmp_path):
    got = read_assembly(PEER / "peer_written.nc")
    write_assembly(got, tmp_path / "again.nc")
    xr.testing.assert_identical(read_assembly(tmp_path / "again.nc"), got)


def test_round_trip(assembly, tmp_path):
    write_assembly(assembly, tmp_path / "toy.nc")
    got = read_assembly(tmp_path / "toy.nc")
    xr.testing.assert_identical(got, assembly)
    assert got.dtype == np.float32
    assert all(isinstance(value, str) for name in ("sentence", "subject") for value in got[name].values)
    assert got["passage_index"].dtype == np.uint8
    assert os.listdir(tmp_path) == ["toy.nc"]


def test_multi_index_and_order_of_dimensions(assembly, tmp_path):
    grouped = assembly.set_index(presentation=["stimulus_id", "sentence", "passage_index"]).T
    write_assembly(grouped, tmp_path / "toy.nc")
    xr.testing.assert_identical(read_assembly(tmp_path / "toy.nc"), assembly)


def test_older_layout(assembly, tmp_path):
    """The name xarray gives to a nameless array, dimensions reversed, image_id, coordinates unlisted, text as bytes."""
    old = assembly.rename(stimulus_id="image_id").T.assign_coords(subject=("neuroid", np.array([b"1", b"1", b"2"])))
    dataset = old.to_dataset(name="__xarray_dataarray_variable__").reset_coords()
    dataset.to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    got = read_assembly(tmp_path / "old.nc")
    xr.testing.assert_identical(got, assembly.rename(None).rename("__xarray_dataarray_variable__"))
    assert got["subject"].values.tolist() == ["1", "1", "2"]


def test_attributes_are_only_text(assembly, tmp_path):
    write_assembly(assembly, tmp_path / "toy.nc")
    attributes = read_assembly(tmp_path / "toy.nc").attrs
    assert attributes["class_module"] == "os"
    assert attributes["stimulus_set"] == "s3:toy-set.csv"


def test_only_variable_by_any_name(assembly, tmp_path):
    """Which is what the peers' loaders read."""
    assembly.to_dataset(name="responses").to_netcdf(tmp_path / "toy.nc", engine="h5netcdf")
    xr.testing.assert_equal(read_assembly(tmp_path / "toy.nc"), assembly)


@pytest.mark.parametrize(
    ("dim", "name"), [("subject", "subject_id"), ("subjects", "subject_id"), ("subject", "subject")]
)
def test_subjects_in_the_place_of_neuroids(dim, name, tmp_path):
    """Reading times: both pipelines store [presentation, subject]."""
    times = xr.DataArray(
        [[300.0, np.nan], [250.0, 400.0]],
        {"stimulus_id": ("presentation", [1, 2]), "word": ("presentation", ["If", "you"]), "correct": (dim, [5, 6])},
        ("presentation", dim),
        attrs={"identifier": "Futrell2018"},
    ).assign_coords({name: (dim, ["A1", "A2"])})
    times.to_dataset(name="data").to_netcdf(tmp_path / "times.nc", engine="h5netcdf")
    got = read_assembly(tmp_path / "times.nc")
    assert got.dims == ("presentation", "neuroid")
    np.testing.assert_array_equal(got.values, times.values)
    for each in (name, "neuroid_id"):
        assert got[each].dims == ("neuroid",)
        assert got[each].values.tolist() == ["A1", "A2"]
    assert got["correct"].dims == ("neuroid",)
    assert got.attrs == {"identifier": "Futrell2018"}
    write_assembly(got, tmp_path / "again.nc")
    xr.testing.assert_identical(read_assembly(tmp_path / "again.nc"), got)


def test_neuroid_ids_of_a_file_are_kept(assembly, tmp_path):
    renamed = assembly.drop_vars("subject").rename(neuroid="subject").assign_coords(subject_id=("subject", list("xyz")))
    renamed.to_dataset(name="data").to_netcdf(tmp_path / "times.nc", engine="h5netcdf")
    assert read_assembly(tmp_path / "times.nc")["neuroid_id"].values.tolist() == ["1.0", "1.1", "2.0"]


def test_levels(assembly, tmp_path):
    grouped = with_multiindex(assembly)
    assert grouped.indexes["presentation"].names == ["stimulus_id", "sentence", "passage_index"]
    assert grouped.indexes["neuroid"].names == ["neuroid_id", "subject", "filter_strategy"]
    assert grouped.sel(subject="1").shape == (4, 2)
    assert grouped.sel(passage_index=2, neuroid_id="1.1").size == 2
    assert grouped.sel(stimulus_id="e.2", subject="2").values.item() == assembly.values[2, 2]
    again = with_multiindex(grouped)
    assert again.indexes["neuroid"].names == grouped.indexes["neuroid"].names
    xr.testing.assert_identical(again.reset_index(again.dims), assembly)
    write_assembly(grouped, tmp_path / "toy.nc")
    xr.testing.assert_identical(read_assembly(tmp_path / "toy.nc"), assembly)
    single = with_multiindex(assembly.drop_vars(["sentence", "passage_index"]))
    assert single.indexes["presentation"].names == ["stimulus_id"]
    write_assembly(single, tmp_path / "toy.nc")
    assert read_assembly(tmp_path / "toy.nc")["stimulus_id"].values.tolist() == ["e.0", "e.1", "e.2", "e.3"]


def test_whole_numbers_become_float64(assembly, tmp_path):
    write_assembly(assembly.fillna(0).astype(np.int16), tmp_path / "toy.nc")
    assert read_assembly(tmp_path / "toy.nc").dtype == np.float64


def _rejected(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_assembly(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.message


def test_malformed_files(assembly, tmp_path):
    path = tmp_path / "bad.nc"
    assert "is not a file" in _rejected(path)
    path.write_text("item,sentence\n")
    assert "cannot be read as NetCDF4" in _rejected(path)
    write_assembly(assembly, tmp_path / "toy.nc")
    path.write_bytes((tmp_path / "toy.nc").read_bytes()[:3000])
    assert "cannot be read as NetCDF4" in _rejected(path)
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((2, 3))
    assert "variable 'data': the dimensions are (phony_dim_0, phony_dim_1)" in _rejected(path)


def test_malformed_variables(assembly, tmp_path):
    path = tmp_path / "bad.nc"
    two = assembly.to_dataset(name="responses").assign(more=assembly)
    two.to_netcdf(path, engine="h5netcdf")
    assert "its variables: responses, more" in _rejected(path)
    assembly.isel(neuroid=0, drop=True).to_netcdf(path, engine="h5netcdf")
    assert "the dimensions are (presentation)" in _rejected(path)
    assembly.drop_vars("stimulus_id").to_netcdf(path, engine="h5netcdf")
    assert "variable 'data' has no coordinate stimulus_id" in _rejected(path)
    assembly.astype(str).to_netcdf(path, engine="h5netcdf")
    assert "expected real numbers" in _rejected(path)


def test_ids_on_the_wrong_dimension(assembly, tmp_path):
    path = tmp_path / "bad.nc"
    wrong = assembly.drop_vars("neuroid_id").assign_coords(neuroid_id=("presentation", list("abcd")))
    wrong.to_netcdf(path, engine="h5netcdf")
    assert "neuroid_id is on (presentation), expected (neuroid)" in _rejected(path)
    assembly.expand_dims(time_bin=2).to_netcdf(path, engine="h5netcdf")
    assert "the dimensions are (time_bin, presentation, neuroid)" in _rejected(path)


def test_text_that_is_no_text(assembly, tmp_path):
    path = tmp_path / "bad.nc"
    write_assembly(assembly, path)
    with h5py.File(path, "r+") as file:
        file["sentence"][1] = b"caf\xe9"
    message = _rejected(path)
    assert "'utf-8' codec can't decode byte 0xe9" in message
    assert "variable 'sentence'" in message


def test_check_assembly(assembly):
    check_assembly(assembly, "toy")
    with pytest.raises(DataError, match=r"toy: 2 stimulus ids occur more than once: 3, 7\."):
        check_assembly(assembly.assign_coords(stimulus_id=("presentation", [3, 7, 7, 3])), "toy")
    absent = assembly.assign_coords(stimulus_id=("presentation", np.array(["a", "b", None, "c"], dtype=object)))
    with pytest.raises(DataError, match=r"toy: 1 presentations have no stimulus id"):
        check_assembly(absent, "toy")
    with pytest.raises(DataError, match="toy has no neuroid"):
        check_assembly(assembly.isel(neuroid=[]), "toy")
    with pytest.raises(DataError, match="toy has no coordinate stimulus_id"):
        check_assembly(assembly.drop_vars("stimulus_id"), "toy")


def test_drop_unusable(assembly):
    values = np.array([[1, 5, 0.3, 1e9, 1e9], [2, 5, 0.3 * (1 + 1e-14), 1e9 + 5e-4, 1e9 + 2e-3], [4, 5, 0.3, 1e9, 1e9]])
    neuroids = xr.DataArray(values, dims=("presentation", "neuroid"))
    usable, dropped = drop_unusable(neuroids)
    np.testing.assert_array_equal(usable.values, values[:, [0, 4]])
    assert (dropped.missing, dropped.constant) == ([], ["1", "2", "3"])
    kept, dropped = drop_unusable(usable)
    assert kept is usable  # nothing dropped, nothing copied
    with pytest.raises(DataError, match=r"toy: no neuroid is left of 2: 0 have missing values, 2 are constant"):
        drop_unusable(neuroids.isel(neuroid=[1, 2]), "toy")
    usable, dropped = drop_unusable(assembly)
    assert dropped.missing == ["2.0"]
    assert usable.sizes == {"presentation": 4, "neuroid": 2}
