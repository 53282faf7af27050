"""Assemblies in NetCDF: the peers' files, our own, and broken ones."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from jaxscore.data.assemblies import check_assembly, drop_unusable, read_assembly, read_score, write_assembly
from jaxscore.errors import DataError, StoreError

PEER = Path(__file__).resolve().parents[2] / "../shared/data/peer_netcdf"
needs_peer = pytest.mark.skipif(not PEER.is_dir(), reason="needs ../shared/data/peer_netcdf")


@pytest.fixture
def assembly() -> xr.DataArray:
    values = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    values[1, 2] = np.nan
    return xr.DataArray(
        values,
        dims=("presentation", "neuroid"),
        coords={
            "stimulus_id": ("presentation", ["e.0", "e.1", "e.2", "e.3"]),
            "sentence": ("presentation", np.array(["A b.", "Où est-il ?", "c", ""], dtype=object)),
            "passage_index": ("presentation", np.array([1, 1, 2, 2], dtype=np.uint8)),
            "neuroid_id": ("neuroid", ["1.0", "1.1", "2.0"]),
            "subject": ("neuroid", ["1", "1", "2"]),
            "filter_strategy": ("neuroid", [np.nan, 1.0, np.nan]),
        },
        name="data",
        attrs={"identifier": "Toy", "class_module": "os", "class_name": "system", "stimulus_set": "s3:toy-set.csv"},
    )


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
def test_peer_score():
    with h5py.File(PEER / "peer_written_score.nc") as file:
        assert read_score(PEER / "peer_written_score.nc") == file["data"][()]


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


def test_layout_on_disk(assembly, tmp_path):
    write_assembly(assembly, tmp_path / "toy.nc")
    with h5py.File(tmp_path / "toy.nc") as file:
        data = file["data"]
        assert (data.compression, data.shuffle, data.dtype) == ("gzip", True, np.float32)
        assert set(data.attrs["coordinates"].split()) == set(assembly.coords)
        assert h5py.check_string_dtype(file["sentence"].dtype).length is None
        assert all(file[name].ndim == 1 for name in assembly.coords)


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
    assembly.to_dataset(name="responses").to_netcdf(path, engine="h5netcdf")
    assert "its variables: responses" in _rejected(path)
    assembly.isel(neuroid=0, drop=True).to_netcdf(path, engine="h5netcdf")
    assert "the dimensions are (presentation)" in _rejected(path)
    assembly.drop_vars("stimulus_id").to_netcdf(path, engine="h5netcdf")
    assert "variable 'data' has no coordinate stimulus_id" in _rejected(path)
    assembly.astype(str).to_netcdf(path, engine="h5netcdf")
    assert "expected real numbers" in _rejected(path)


def test_malformed_scores(assembly, tmp_path):
    for value, expected in ((assembly, "expected one number"), (xr.DataArray(np.nan), "is nan")):
        value.rename("data").to_netcdf(tmp_path / "score.nc", engine="h5netcdf")
        with pytest.raises(DataError, match=expected):
            read_score(tmp_path / "score.nc")


def test_failed_writing_keeps_the_old_file(assembly, tmp_path):
    path = tmp_path / "toy.nc"
    write_assembly(assembly, path)
    with pytest.raises(DataError, match="'bad'"):
        write_assembly(assembly.assign_attrs(bad={"a": 1}), path)
    with pytest.raises(DataError, match="dimensions"):
        write_assembly(assembly.isel(neuroid=0), path)
    xr.testing.assert_identical(read_assembly(path), assembly)
    assert os.listdir(tmp_path) == ["toy.nc"]
    with pytest.raises(StoreError, match="cannot be written"):
        write_assembly(assembly, path / "below_a_file.nc")


def test_disk_that_refuses_more(assembly, tmp_path):
    """A real failure in the middle of the file: the system refuses to let it grow past 4 kB."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "toy.nc"
    write_assembly(assembly, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"File too large. What was there before is untouched"):
            write_assembly(xr.concat([assembly] * 500, dim="presentation"), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    xr.testing.assert_identical(read_assembly(path), assembly)
    assert os.listdir(tmp_path) == ["toy.nc"]


def test_check_assembly(assembly):
    check_assembly(assembly, "toy")
    with pytest.raises(DataError, match=r"toy: 2 stimulus ids occur more than once: 3, 7\."):
        check_assembly(assembly.assign_coords(stimulus_id=("presentation", [3, 7, 7, 3])), "toy")
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
