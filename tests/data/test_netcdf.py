"""Writing arrays: the peers' layout, what NetCDF cannot hold, disks that refuse."""

from __future__ import annotations

import os
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from data.toys import toy_assembly

from jaxscore.data.assemblies import read_assembly, with_multiindex, write_assembly
from jaxscore.errors import DataError, StoreError

PEER = Path(__file__).resolve().parents[2] / "../shared/data/peer_netcdf"
needs_peer = pytest.mark.skipif(not PEER.is_dir(), reason="needs ../shared/data/peer_netcdf")


@pytest.fixture
def assembly() -> xr.DataArray:
    return toy_assembly()


def as_peers_load(path: Path) -> xr.DataArray:
    """What today's loader does: the only variable, then every 1-D coordinate that is no index appended to one."""
    array = xr.open_dataarray(path, engine="h5netcdf").load()
    array.close()
    levels = {
        dim: [n for n, c in array.coords.items() if c.dims == (dim,) and n not in array.indexes] for dim in array.dims
    }
    return array.set_index(append=True, **{dim: names for dim, names in levels.items() if names})


@needs_peer
def test_written_file_is_one_to_the_peers_loader(tmp_path):
    write_assembly(with_multiindex(read_assembly(PEER / "peer_written.nc")), tmp_path / "ours.nc")
    ours, peers = as_peers_load(tmp_path / "ours.nc"), as_peers_load(PEER / "peer_written.nc")
    assert all(isinstance(ours.indexes[dim], pd.MultiIndex) for dim in ours.dims)
    for dim in ours.dims:
        assert set(ours.indexes[dim].names) == set(peers.indexes[dim].names)
    xr.testing.assert_identical(ours.reset_index(ours.dims), peers.reset_index(peers.dims))
    selected = ours.sel(experiment="384sentences").dropna("neuroid")  # as the peers' benchmarks begin
    assert selected.shape == (48, 15)
    assert sorted(set(selected["subject"].values)) == ["018", "215", "407"]
    assert ours.attrs["identifier"] == "Pereira2018.language"


def structure(path: Path) -> dict[str, tuple]:
    """Of each variable: type, dimensions, filters and attributes (coordinates as a set), as NetCDF sees them."""
    found = {}
    with h5netcdf.File(path) as file:
        for name, variable in file.variables.items():
            raw = variable._h5ds
            filters = (raw.compression, raw.compression_opts, raw.shuffle)
            attributes = {key: value for key, value in variable.attrs.items() if key != "coordinates"}
            named = frozenset(variable.attrs.get("coordinates", "").split())
            found[name] = (raw.dtype, variable.dimensions, filters, repr(sorted(attributes.items())), named)
        found["/"] = (dict(file.dimensions.items()).keys(), sorted(file.attrs.items()))
    return found


@needs_peer
def test_structure_is_the_peers(tmp_path):
    write_assembly(read_assembly(PEER / "peer_written.nc"), tmp_path / "ours.nc")
    ours, peers = structure(tmp_path / "ours.nc"), structure(PEER / "peer_written.nc")
    assert len(peers) == 23
    assert ours == peers
    lines = (PEER / "peer_written_dump.txt").read_text().splitlines()
    dumped = [line.split() for line in lines if line.startswith("  ") and " dims=(" in line and " filters=" in line]
    assert len(dumped) == 22
    for name, *_ in dumped:  # the listing says the same by a third reader
        line = next(line for line in lines if line.startswith(f"  {name} "))
        kind = "<class 'str'>" if h5py.check_string_dtype(ours[name][0]) else str(ours[name][0])
        assert kind in line
        assert f"dims={ours[name][1]}" in line
        assert ("'zlib': True, 'shuffle': True, 'complevel': 9" in line) == (ours[name][2] == ("gzip", 9, True))
        assert ("'_FillValue': nan" in line) == ("_FillValue" in ours[name][3])


def test_layout_on_disk(assembly, tmp_path):
    write_assembly(assembly, tmp_path / "toy.nc")
    with h5py.File(tmp_path / "toy.nc") as file:
        data = file["data"]
        assert (data.compression, data.shuffle, data.dtype) == ("gzip", True, np.float32)
        assert set(data.attrs["coordinates"].split()) == set(assembly.coords)
        assert h5py.check_string_dtype(file["sentence"].dtype).length is None
        assert all(file[name].ndim == 1 for name in assembly.coords)


@pytest.mark.parametrize(
    "change",
    [
        {"attrs": {"flag": True}}, {"attrs": {"nothing": None}}, {"attrs": {"table": {"a": 1}}},
        {"coords": {"mixed": ("presentation", np.array(["a", 1, "b", 2], object))}},
        {"coords": {"null": ("presentation", np.array(["a\0b"] * 4))}},
        {"coords": {"half": ("presentation", np.array(["\ud800"] * 4))}},
    ],
)  # fmt: skip
def test_what_netcdf_cannot_hold(assembly, change, tmp_path):
    changed = assembly.assign_attrs(change.get("attrs", {})).assign_coords(change.get("coords", {}))
    with pytest.raises(DataError, match=r"toy\.nc cannot be written: "):
        write_assembly(changed, tmp_path / "toy.nc")
    assert os.listdir(tmp_path) == []


def test_numbers_that_are_written(assembly, tmp_path):
    with pytest.raises(DataError, match="complex128, expected real numbers"):
        write_assembly(assembly.astype(complex), tmp_path / "toy.nc")
    write_assembly(assembly.astype(np.float16), tmp_path / "toy.nc")
    got = read_assembly(tmp_path / "toy.nc")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.values, assembly.astype(np.float16).values)


def test_missing_text_is_empty(assembly, tmp_path):
    strategy = ("neuroid", np.array([None, "HminusE", np.nan], dtype=object))
    write_assembly(assembly.assign_coords(filter_strategy=strategy), tmp_path / "toy.nc")
    assert read_assembly(tmp_path / "toy.nc")["filter_strategy"].values.tolist() == ["", "HminusE", ""]


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
