"""Assemblies on disk: presentation x neuroid responses with their coordinates, in the NetCDF that both pipelines write.

The file holds one variable; each coordinate is a plain 1-D variable on one of the two dimensions. Attributes are text
and numbers to be read, never acted on: some files name a Python class in theirs.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from jaxscore.data.fetch import atomic_path
from jaxscore.errors import DataError, StoreError

DIMS = ("presentation", "neuroid")
MAIN_VARIABLES = ("data", "__xarray_dataarray_variable__")
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
        path: NetCDF4 file with a variable `data` or `__xarray_dataarray_variable__`.

    Returns:
        Responses [presentation, neuroid] in the file's float type, coordinates as plain 1-D arrays (text as str),
        attributes as they are in the file. `image_id` is read as `stimulus_id`.

    Raises:
        DataError: the file is not such a file; names file, variable and reason.
    """
    main, dataset = _load(Path(path))
    promoted = [
        name for name, v in dataset.data_vars.items() if name != main and v.ndim == 1 and set(v.dims) < set(DIMS)
    ]
    assembly = dataset.set_coords(promoted)[main]
    absent = [dim for dim in DIMS if dim not in assembly.dims]
    if absent or assembly.ndim != len(DIMS):
        reason = f"the dimensions are ({', '.join(map(str, assembly.dims))}), expected (presentation, neuroid)"
        raise DataError(f"{path}: variable '{main}': {reason}.", LAYOUT_HINT)
    if not np.issubdtype(assembly.dtype, np.number) or np.issubdtype(assembly.dtype, np.complexfloating):
        raise DataError(f"{path}: variable '{main}' holds {assembly.dtype}, expected real numbers.", LAYOUT_HINT)
    if not np.issubdtype(assembly.dtype, np.floating):
        assembly = assembly.astype(np.float64)
    assembly = assembly.transpose(*DIMS)
    renamed = {old: new for old, new in OLD_NAMES.items() if old in assembly.coords and new not in assembly.coords}
    assembly = _with_text(assembly.rename(renamed)).drop_encoding()
    _require_stimulus_id(assembly, f"{path}: variable '{main}'")
    return assembly.assign_attrs({**dataset.attrs, **assembly.attrs})


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
    grouped = [dim for dim in DIMS if dim in assembly.indexes and assembly.indexes[dim].nlevels > 1]
    plain = _with_text(assembly.reset_index(grouped)).transpose(*DIMS).drop_encoding()
    dataset = plain.to_dataset(name=MAIN_VARIABLES[0]).assign_attrs(plain.attrs)
    encoding = {MAIN_VARIABLES[0]: {"zlib": True, "shuffle": True, "complevel": 4}}
    try:
        # in memory first: the HDF5 library can crash the process after a write that the disk refused
        content = dataset.to_netcdf(engine="h5netcdf", encoding=encoding)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} cannot be written: {error}", "Attributes must be text or numbers.") from error
    try:
        with atomic_path(Path(path)) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}. What was there before is untouched."
        raise StoreError(message, "Free some space or check the permissions.") from error


def read_score(path: str | Path) -> float:
    """Read a ceiling or score: a file whose one variable has no dimension.

    Raises:
        DataError: the file holds no such variable, or its value is not a finite number.
    """
    main, dataset = _load(Path(path))
    value = dataset[main]
    if value.ndim or not np.issubdtype(value.dtype, np.number):
        shape = dict(value.sizes) or value.dtype
        raise DataError(
            f"{path}: variable '{main}' is {shape}, expected one number.", "Give the file of a single score."
        )
    if not np.isfinite(value.item()):
        raise DataError(f"{path}: variable '{main}' is {value.item()}.", "A ceiling must be a finite number.")
    return float(value.item())


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
    ids, counts = np.unique(assembly["stimulus_id"].values, return_counts=True)
    if (repeated := ids[counts > 1]).size:
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


def _load(path: Path) -> tuple[Hashable, xr.Dataset]:
    """Return the name of the main variable and the whole file, in memory."""
    if not path.is_file():
        raise DataError(f"{path} is not a file.", "Check the path.")
    try:
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False, phony_dims="access") as dataset:
            dataset = dataset.load()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        # broken files show themselves by any of these
        raise DataError(f"{path} cannot be read as NetCDF4: {error}.", LAYOUT_HINT) from error
    main = next((name for name in MAIN_VARIABLES if name in dataset.data_vars), None)
    if main is None:
        has = some(list(dataset.data_vars)) or "none"
        raise DataError(f"{path} has no variable {' or '.join(MAIN_VARIABLES)}; its variables: {has}.", LAYOUT_HINT)
    return main, dataset


def _check_layout(assembly: xr.DataArray, name: str) -> None:
    if set(assembly.dims) != set(DIMS):
        dims = ", ".join(map(str, assembly.dims))
        raise DataError(f"{name} has the dimensions ({dims}).", "Expected (presentation, neuroid).")
    _require_stimulus_id(assembly, name)


def _require_stimulus_id(assembly: xr.DataArray, name: str) -> None:
    if "stimulus_id" not in assembly.coords or assembly["stimulus_id"].dims != ("presentation",):
        has = ", ".join(map(str, assembly.coords)) or "none"
        raise DataError(f"{name} has no coordinate stimulus_id on presentation; its coordinates: {has}.", LAYOUT_HINT)


def _with_text(assembly: xr.DataArray) -> xr.DataArray:
    """Return the assembly with coordinates of bytes decoded."""
    decoded = {}
    for name, coordinate in assembly.coords.items():
        values = coordinate.values
        if values.dtype.kind == "S":
            decoded[name] = (coordinate.dims, np.char.decode(values, "utf-8"))
        elif values.dtype.kind == "O" and any(isinstance(value, bytes) for value in values.flat):
            text = [value.decode("utf-8") if isinstance(value, bytes) else value for value in values.flat]
            decoded[name] = (coordinate.dims, np.array(text, dtype=object).reshape(values.shape))
    return assembly.assign_coords(decoded)
