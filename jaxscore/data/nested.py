"""Files that name other files: how the 2021 pipeline stored an array whose attributes are arrays and tables.

An attribute `s3:<key>-<attribute>.nc` or `.csv` stands for the file of that name in the same bucket. It is looked for
when someone asks for it, never before. Where it comes from is the caller's affair: a function from a key to a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from jaxscore.data.netcdf import NN_NAME, read_array, read_attributes, write_array
from jaxscore.data.stimulus_sets import read_stimulus_set, write_stimulus_set
from jaxscore.errors import DataError, did_you_mean

FetchSibling = Callable[[str], Path]

SCHEME = "s3:"
STIMULUS_SET = "stimulus_set"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_ +-]|\.(?!\.))*\.(?:nc|csv)")
MOST_LEVELS = 8
CLASS = {"class_module": "brainio.assemblies", "class_name": "NeuroidAssembly"}  # for the 2021 loader; text to us


def siblings(path: str | Path) -> FetchSibling:
    """Return the function that looks for nested files in the folder of a local file."""
    return lambda key: Path(path).parent / key


def nested_keys(attributes: Mapping[str, Any], source: str | Path) -> dict[str, str]:
    """Return which attributes stand for files, and the keys of those files.

    Args:
        attributes: of an array, as it is in the file.
        source: what to call the array in a message.

    Raises:
        DataError: a key is not the plain name of a .nc or .csv file: nothing outside the same place is read.
    """
    named = {n: v[len(SCHEME) :] for n, v in attributes.items() if isinstance(v, str) and v.startswith(SCHEME)}
    for name, key in named.items():
        if not PLAIN_NAME.fullmatch(key):
            reason = f"attribute '{name}' names the file {key!r}, which is no plain name"
            raise DataError(f"{source}: {reason}.", "Expected s3:<name>.nc or s3:<name>.csv, without folders.")
    return named


def read_nested(path: str | Path, *attributes: str, fetch: FetchSibling | None = None) -> xr.DataArray | pd.DataFrame:
    """Follow attributes from a file to the nested file that they lead to, and read that one.

    `read_nested("Pereira2018.nc", "stimulus_set")` is a stimulus set; `read_nested(path, "raw", "raw")` is the array
    behind the values behind a ceiling.

    Args:
        path: NetCDF file to begin at.
        attributes: one attribute for each step.
        fetch: from a key to a path; the same folder if None.

    Returns:
        What the last attribute names: an array with plain coordinates, or a stimulus set (text in every column, its
        name in `.attrs["name"]`).

    Raises:
        DataError: an attribute is absent or names no file, a file names itself, or it cannot be read.
    """
    here, fetch, chain = Path(path), fetch or siblings(path), []
    name = ""
    for attribute in attributes:
        found = read_attributes(here)
        keys = nested_keys(found, here)
        if attribute not in keys:
            has = f"It has: {', '.join(keys) or 'none'}. {did_you_mean(attribute, keys)}".strip()
            raise DataError(f"{here} has no nested file in an attribute '{attribute}'.", has)
        chain = _extended(chain, keys[attribute], path)
        name = str(found.get(f"{attribute}_name", ""))
        here = _existing(fetch(keys[attribute]), keys[attribute], here)
    return read_stimulus_set(here, name) if here.suffix == ".csv" else read_array(here)


def fetch_nested(path: str | Path, fetch: FetchSibling | None = None) -> dict[str, Path]:
    """Fetch every file that a file names, and that those name in turn.

    Args:
        path: NetCDF file to begin at.
        fetch: from a key to a path; the same folder if None.

    Returns:
        Path of each key, a file before those that it names.

    Raises:
        DataError: a file cannot be read, names itself, or is nested more than 8 levels deep.
    """
    return _walk(Path(path), fetch or siblings(path), [], Path(path))


def write_nested(
    folder: str | Path, key: str, array: xr.DataArray, stimulus_set: pd.DataFrame | None = None
) -> dict[str, Path]:
    """Write an array as the 2021 pipeline stored it: its stimulus set and the arrays among its attributes beside it.

    Args:
        folder: where the files go.
        key: name of the array's file, without the suffix.
        array: assembly or ceiling; an attribute that is an array becomes a file `<key>-<attribute>.nc`, one without
            dimensions a number.
        stimulus_set: a row a stimulus, its name in `.attrs["name"]`; becomes `<key>-stimulus_set.csv`.

    Returns:
        Path of each key, this one last.

    Raises:
        DataError: something cannot be held by NetCDF.
        StoreError: a file cannot be written.
    """
    folder, written, attributes = Path(folder), {}, CLASS | array.attrs
    if stimulus_set is not None:
        attributes[STIMULUS_SET] = f"{SCHEME}{key}-{STIMULUS_SET}.csv"
        attributes[f"{STIMULUS_SET}_name"] = str(stimulus_set.attrs.get("name", key))
        written[f"{key}-{STIMULUS_SET}.csv"] = folder / f"{key}-{STIMULUS_SET}.csv"
        write_stimulus_set(stimulus_set, folder / f"{key}-{STIMULUS_SET}.csv")
    for name, value in attributes.items():
        if isinstance(value, xr.DataArray) and value.ndim:
            written |= write_nested(folder, f"{key}-{name}", value)
            attributes[name] = f"{SCHEME}{key}-{name}.nc"
        elif isinstance(value, xr.DataArray):
            attributes[name] = value.item()
    nested_keys(attributes, key)
    plain = array.copy(deep=False)
    plain.attrs = attributes
    write_array(plain, folder / f"{key}.nc", NN_NAME)
    return written | {f"{key}.nc": folder / f"{key}.nc"}


def _walk(path: Path, fetch: FetchSibling, chain: list[str], start: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for key in nested_keys(read_attributes(path), path).values():
        deeper = _extended(chain, key, start)
        found[key] = _existing(fetch(key), key, path)
        if key.endswith(".nc"):
            found |= _walk(found[key], fetch, deeper, start)
    return found


def _extended(chain: list[str], key: str, start: str | Path) -> list[str]:
    """Return the chain of keys with one more, which must be new to it."""
    way = " -> ".join([str(start), *chain, key])
    if key in (*chain, Path(start).name):
        raise DataError(f"{way}: a nested file leads back to itself.", "Expected files that name others, never a ring.")
    if len(chain) == MOST_LEVELS:
        raise DataError(f"{way}: more than {MOST_LEVELS} nested files inside one another.", "Expected a few levels.")
    return [*chain, key]


def _existing(path: Path, key: str, source: Path) -> Path:
    if not path.is_file():
        raise DataError(
            f"{source} names the nested file {key}, and {path} is not a file.", "Fetch it beside the other."
        )
    return path
