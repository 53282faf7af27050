"""Assemblies: presentation x neuroid responses with their coordinates, in the NetCDF that both pipelines write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from jaxscore.data.netcdf import check_numbers, read_array, write_array
from jaxscore.errors import DataError

DIMS = ("presentation", "neuroid")
SUBJECT_DIMS = ("subject", "subjects")  # reading times have subjects where others have neuroids
OLD_NAMES = {"image_id": "stimulus_id"}
RELATIVE_RANGE = 1e-12  # a neuroid that varies by less than this share of its size is constant up to round-off
LAYOUT_HINT = (
    "Expected NetCDF4 with a variable 'data' on the dimensions (presentation, neuroid) and a coordinate 'stimulus_id'; "
    "jaxscore.data.assemblies.write_assembly makes such files."
)


@dataclass(frozen=True)
class Dropped:
    """Neuroids that cannot be scored.

    Attributes:
        missing: ids of those with a missing or infinite response.
        constant: ids of those whose responses are all equal.
    """

    missing: list[str]
    constant: list[str]


def read_assembly(path: str | Path) -> xr.DataArray:
    """Read an assembly written by either of the two pipelines, or by `write_assembly`.

    Args:
        path: NetCDF4 file with a variable `data` or `__xarray_dataarray_variable__`, or with one variable only.

    Returns:
        Responses [presentation, neuroid] in the file's float type, coordinates as plain 1-D arrays (text as str),
        attributes as they are in the file. `image_id` is read as `stimulus_id`. Where the file has subjects in the
        place of neuroids, each is one, and `subject_id` also its `neuroid_id`.

    Raises:
        DataError: the file is not such a file; names file, variable and reason.
    """
    array = read_array(path)
    name = f"{path}: variable '{array.name}'"
    check_numbers(array, name)
    assembly = _subjects_as_neuroids(array)
    if set(assembly.dims) != set(DIMS):
        raise DataError(f"{name}: the dimensions are ({_dims(array)}), expected (presentation, neuroid).", LAYOUT_HINT)
    if not np.issubdtype(assembly.dtype, np.floating):
        assembly = assembly.astype(np.float64)
    renamed = {old: new for old, new in OLD_NAMES.items() if old in assembly.coords and new not in assembly.coords}
    assembly = assembly.transpose(*DIMS).rename(renamed)
    _require_ids(assembly, name)
    return assembly


def write_assembly(assembly: xr.DataArray, path: str | Path) -> None:
    """Write an assembly in the layout that both pipelines read; atomic, with whatever was there before kept until then.

    Args:
        assembly: responses [presentation, neuroid]; levels of a MultiIndex become plain coordinates.
        path: NetCDF4 file to write.

    Raises:
        DataError: the assembly has other dimensions, no stimulus ids, or something that NetCDF cannot hold.
        StoreError: the file cannot be written.
    """
    _check_layout(assembly, f"the assembly for {path}")
    write_array(assembly.transpose(*DIMS), path)


def with_multiindex(assembly: xr.DataArray) -> xr.DataArray:
    """Return an assembly whose coordinates are the levels of one MultiIndex on each dimension.

    So `assembly.sel(experiment="384sentences")` works as it does with either pipeline's own classes.

    Args:
        assembly: any array with plain 1-D coordinates, as `read_assembly` returns it.
    """
    for dim in assembly.dims:
        levels = {name: c.values for name, c in assembly.coords.items() if c.dims == (dim,) and name != dim}
        if levels:
            index = pd.MultiIndex.from_arrays(list(levels.values()), names=list(levels))
            assembly = assembly.drop_vars([dim, *levels], errors="ignore")
            assembly = assembly.assign_coords(xr.Coordinates.from_pandas_multiindex(index, dim))
    return assembly


def check_assembly(assembly: xr.DataArray, name: str) -> None:
    """Raise DataError unless an assembly has both dimensions, none of them empty, and unique stimulus ids.

    Args:
        assembly: responses [presentation, neuroid].
        name: what to call it in the message.
    """
    _check_layout(assembly, name)
    empty = [dim for dim in DIMS if assembly.sizes[dim] == 0]
    if empty:
        raise DataError(f"{name} has no {' and no '.join(empty)}.", "Check what it was selected by.")
    ids = pd.Index(assembly["stimulus_id"].values, dtype=object)
    if absent := int(ids.isna().sum()):
        raise DataError(f"{name}: {absent} presentations have no stimulus id.", "Give each presentation its own.")
    if (repeated := ids[ids.duplicated(keep=False)].unique()).size:
        raise DataError(
            f"{name}: {repeated.size} stimulus ids occur more than once: {some(repeated)}.",
            "Give each presentation its own stimulus id; average repetitions beforehand.",
        )


def drop_unusable(assembly: xr.DataArray, name: str = "the assembly") -> tuple[xr.DataArray, Dropped]:
    """Drop the neuroids that have a missing response or do not vary.

    A neuroid y is constant where max(y) - min(y) <= 1e-12 max|y|.

    Args:
        assembly: responses [presentation, neuroid].
        name: what to call it in the message.

    Returns:
        The assembly without them, and their ids (positions where there is no `neuroid_id`).

    Raises:
        DataError: nothing is left.
    """
    low = assembly.min("presentation", skipna=False).values
    high = assembly.max("presentation", skipna=False).values
    finite = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, 0), np.where(finite, high, 1)
    with np.errstate(over="ignore"):  # a range beyond the largest number is infinite, which is not constant
        constant = finite & (high - low <= RELATIVE_RANGE * np.maximum(abs(low), abs(high)))
    has_ids = "neuroid_id" in assembly.coords
    ids = (assembly["neuroid_id"].values if has_ids else np.arange(finite.size)).astype(str)
    dropped = Dropped(ids[~finite].tolist(), ids[constant].tolist())
    keep = finite & ~constant
    if not keep.any():
        counts = f"{len(dropped.missing)} have missing values, {len(dropped.constant)} are constant"
        hint = "Expected at least one neuroid with a number for every presentation."
        raise DataError(f"{name}: no neuroid is left of {finite.size}: {counts}.", hint)
    return (assembly if keep.all() else assembly.isel(neuroid=keep)), dropped


def some(values: np.ndarray | list, limit: int = 5) -> str:
    """Return the first few values as text, and how many more there are."""
    return ", ".join(map(str, values[:limit])) + (f" and {len(values) - limit} more" if len(values) > limit else "")


def _subjects_as_neuroids(array: xr.DataArray) -> xr.DataArray:
    """Return an array whose dimension of subjects, where it has one, is called neuroid."""
    found = [dim for dim in SUBJECT_DIMS if dim in array.dims]
    if not found or "neuroid" in array.dims or "neuroid" in array.coords:
        return array

    def renamed(variable: xr.Variable) -> xr.Variable:
        dims = ["neuroid" if dim == found[0] else dim for dim in variable.dims]
        return xr.Variable(dims, variable.values, variable.attrs)

    coords = {name: renamed(coordinate.variable) for name, coordinate in array.coords.items()}
    ids = [name for name in ("subject_id", *SUBJECT_DIMS) if name in coords and coords[name].dims == ("neuroid",)]
    if ids:
        coords.setdefault("neuroid_id", coords[ids[0]])
    return xr.DataArray(renamed(array.variable), coords, name=array.name, attrs=array.attrs)


def _check_layout(assembly: xr.DataArray, name: str) -> None:
    if set(assembly.dims) != set(DIMS):
        raise DataError(f"{name} has the dimensions ({_dims(assembly)}).", "Expected (presentation, neuroid).")
    _require_ids(assembly, name)


def _require_ids(assembly: xr.DataArray, name: str) -> None:
    if "stimulus_id" not in assembly.coords or assembly["stimulus_id"].dims != ("presentation",):
        has = ", ".join(map(str, assembly.coords)) or "none"
        raise DataError(f"{name} has no coordinate stimulus_id on presentation; its coordinates: {has}.", LAYOUT_HINT)
    if "neuroid_id" in assembly.coords and assembly["neuroid_id"].dims != ("neuroid",):
        raise DataError(f"{name}: neuroid_id is on ({_dims(assembly['neuroid_id'])}), expected (neuroid).", LAYOUT_HINT)


def _dims(array: xr.DataArray) -> str:
    return ", ".join(map(str, array.dims))
