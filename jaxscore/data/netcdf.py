"""One array with its coordinates in a NetCDF4 file, both ways: what assemblies, scores and ceilings are stored as.

The file holds one variable; each coordinate is a plain 1-D variable on one of its dimensions. Attributes are text and
numbers to be read, never acted on: some files name a Python class in theirs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from jaxscore.data.fetch import atomic_path
from jaxscore.data.screen import reason, screen
from jaxscore.errors import DataError, JaxscoreError, StoreError

BL_NAME = "data"
NN_NAME = "__xarray_dataarray_variable__"  # what xarray calls an array without a name
HINT = "Expected NetCDF4 with one variable 'data' and its coordinates; xarray and jaxscore write such files."


def read_array(path: str | Path) -> xr.DataArray:
    """Read the one array of a file, with whatever dimensions it has.

    Args:
        path: NetCDF4 file with a variable `data` or `__xarray_dataarray_variable__`, or with one variable only.

    Returns:
        The array in memory, 1-D variables on its dimensions as plain coordinates, text as str, attributes of the file
        and of the variable as they are.

    Raises:
        DataError: the file is not such a file; names file, variable and reason.
    """
    path = Path(path)
    with _opened(path) as (main, dataset):
        dims = set(dataset[main].dims)
        promoted = [
            name for name, v in dataset.data_vars.items() if name != main and v.ndim == 1 and set(v.dims) <= dims
        ]
        dataset = dataset.set_coords(promoted)
        for name in (main, *dataset[main].coords):
            with naming(f"{path}: variable '{name}' cannot be read"):
                dataset.variables[name].load()
        array = _with_text(dataset[main].drop_encoding(), f"{path}: variable")
        return array.assign_attrs({**dataset.attrs, **array.attrs})


def read_attributes(path: str | Path) -> dict[str, Any]:
    """Read the attributes of a file and of its one array, no values.

    Raises:
        DataError: the file cannot be read.
    """
    with _opened(Path(path)) as (main, dataset):
        return {**dataset.attrs, **dataset[main].attrs}


def write_array(array: xr.DataArray, path: str | Path, name: str = BL_NAME) -> None:
    """Write one array with its coordinates; atomic, with whatever was there before kept until then.

    Args:
        array: real numbers; levels of a MultiIndex become plain coordinates, half precision becomes single.
        path: NetCDF4 file to write.
        name: what the variable is called.

    Raises:
        DataError: the array holds something that NetCDF cannot hold.
        StoreError: the file cannot be written.
    """
    check_numbers(array, f"the array for {path}")
    grouped = [dim for dim, index in array.indexes.items() if isinstance(index, pd.MultiIndex) and dim in array.dims]
    with naming(f"{path} cannot be written", "Coordinates must be text or numbers, not both; so must attributes."):
        plain = _with_text(array.reset_index(grouped), f"{path}: coordinate").drop_encoding()
        plain = plain.astype(np.float32) if plain.dtype == np.float16 else plain
        dataset = plain.to_dataset(name=name).assign_attrs(plain.attrs)
        # what the field's files have; a single number cannot be packed
        encoding = {name: {"zlib": True, "shuffle": True, "complevel": 9}} if plain.ndim else {}
        # in memory first: the HDF5 library can crash the process after a write that the disk refused
        content = dataset.to_netcdf(engine="h5netcdf", encoding=encoding)
    try:
        with atomic_path(Path(path)) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}. What was there before is untouched."
        raise StoreError(message, "Free some space or check the permissions.") from error


def check_numbers(array: xr.DataArray, name: str) -> None:
    """Raise DataError unless an array holds real numbers."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {array.dtype}, expected real numbers.", HINT)


@contextmanager
def naming(what: str, hint: str = HINT) -> Iterator[None]:
    """Turn whatever error a library raises into a DataError that begins with what was tried."""
    try:
        yield
    except JaxscoreError:
        raise
    except Exception as error:  # a broken file shows itself by any of them
        raise DataError(f"{what}: {reason(error)}.", hint) from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Hashable, xr.Dataset]]:
    """Yield the name of the main variable and the whole file, values still on disk."""
    screen(path)
    with (
        naming(f"{path} cannot be read as NetCDF4"),
        xr.open_dataset(path, engine="h5netcdf", decode_times=False, phony_dims="access", cache=False) as dataset,
    ):
        yield _main(path, dataset), dataset


def _main(path: Path, dataset: xr.Dataset) -> Hashable:
    names = list(dataset.data_vars)
    main = next((name for name in (BL_NAME, NN_NAME) if name in names), names[0] if len(names) == 1 else None)
    if main is None:
        has = ", ".join(map(str, names[:8])) or "none"
        raise DataError(f"{path} has no variable {BL_NAME} or {NN_NAME}; its variables: {has}.", HINT)
    return main


def _with_text(array: xr.DataArray, what: str) -> xr.DataArray:
    """Return the array with coordinates of bytes decoded."""
    decoded = {}
    for name, coordinate in array.coords.items():
        values = coordinate.values
        if values.dtype.kind == "S" or (values.dtype.kind == "O" and any(isinstance(v, bytes) for v in values.flat)):
            with naming(f"{what} '{name}' is not text"):
                text = [
                    value.decode("utf-8") if isinstance(value, bytes) else value for value in values.ravel().tolist()
                ]
            decoded[name] = (coordinate.dims, np.array(text, dtype=object).reshape(values.shape))
    return array.assign_coords(decoded)
