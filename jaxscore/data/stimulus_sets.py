"""Stimulus sets: tables with a row a stimulus, all of it text, and the labels that they lend to an assembly."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from jaxscore.data.assemblies import some
from jaxscore.data.fetch import atomic_path
from jaxscore.data.screen import reason
from jaxscore.errors import DataError, StoreError

ID_COLUMNS = ("stimulus_id", "image_id")  # the second is the old name
HINT = "Expected a CSV table in UTF-8 with a header and a column stimulus_id."


def read_stimulus_set(path: str | Path, name: str = "") -> pd.DataFrame:
    """Read a stimulus set: every value is text as it stands there, also "NA", "null" and "1.0".

    Args:
        path: CSV file with a header.
        name: what the set is called; kept in `.attrs["name"]`.

    Raises:
        DataError: the file is no such table.
    """
    layout = {"dtype": str, "na_filter": False, "encoding": "utf-8-sig", "index_col": False, "low_memory": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # "loss of data": a row longer than the header
            frame = pd.read_csv(Path(path), **layout)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except (ValueError, pd.errors.ParserWarning) as error:  # pandas' parser errors and bytes that are no UTF-8
        raise DataError(f"{path} is not a CSV table: {reason(error)}.", HINT) from error
    frame = frame.astype(object)
    frame.attrs["name"] = name
    return frame


def write_stimulus_set(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a stimulus set as CSV; atomic, with whatever was there before kept until then.

    Raises:
        StoreError: the file cannot be written.
    """
    # the csv module leaves a carriage return bare, and readers take it for the end of the row
    bare = frame.map(lambda value: "\r" in str(value)).any(axis=None)
    quoting = csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    try:
        with atomic_path(Path(path)) as temporary:
            frame.to_csv(temporary, index=False, lineterminator="\n", quoting=quoting)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}. What was there before is untouched."
        raise StoreError(message, "Free some space or check the permissions.") from error


def attach_stimuli(assembly: xr.DataArray, frame: pd.DataFrame, name: str = "the stimulus set") -> xr.DataArray:
    """Return an assembly with the columns of a stimulus set that it lacks as coordinates of its presentations.

    Presentations and rows are matched by stimulus id, compared as text. The set may hold more stimuli.

    Args:
        assembly: responses [presentation, neuroid] with stimulus_id.
        frame: a row a stimulus, with a column stimulus_id (or image_id, its old name).
        name: what to call the table in a message.

    Raises:
        DataError: no column of ids, an id twice in the table, or presentations without a row.
    """
    column = next((each for each in ID_COLUMNS if each in frame.columns), None)
    if column is None:
        raise DataError(f"{name} has no column stimulus_id; its columns: {some(list(frame.columns), 20)}.", HINT)
    rows = pd.Index(frame[column].astype(str))
    if repeated := list(dict.fromkeys(rows[rows.duplicated()])):
        raise DataError(
            f"{name}: {len(repeated)} stimulus ids occur more than once: {some(repeated)}.", "Keep one row for each."
        )
    wanted = assembly["stimulus_id"].values.astype(str)
    where = rows.get_indexer(wanted)
    if (absent := wanted[where < 0]).size:
        message = f"{absent.size} of {wanted.size} presentations have no row in {name}: {some(absent)}"
        raise DataError(f"{message}; its ids are like {some(list(rows))}.", "Give the table of the same stimuli.")
    lacking = [each for each in frame.columns if each not in (*assembly.coords, *assembly.dims, *ID_COLUMNS)]
    return assembly.assign_coords(
        {str(each): ("presentation", np.asarray(frame[each], dtype=object)[where]) for each in lacking}
    )
