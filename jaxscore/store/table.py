"""Results as tidy tables: all of them from the records (JSON) alone, or one with its subjects and neuroids."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxscore.errors import JaxscoreError, StoreError, TemporaryStoreError, did_you_mean
from jaxscore.store.places import Folder, Place, open_place
from jaxscore.store.records import SCHEMA, Found, Paths, examine
from jaxscore.store.rows import COLUMNS, Row, rows_of

if TYPE_CHECKING:
    import xarray as xr

Where = str | Path | Sequence[str | Path]

RECORD = re.compile(r"\.([0-9a-f]{16})\.json$")
THREADS = 16  # reading is waiting, for a network file system or S3
LEVELS = ("layer", "subject", "neuroid", "fold")
SHARED = ["model", "benchmark", "layer", "layer_index", "depth", "chosen"]
"""Columns that tables of all levels have."""


@dataclass(frozen=True)
class Results:
    """What was read.

    Attributes:
        table: see `results`.
        damaged: a sentence for each record that is left out, with the file and the reason.
    """

    table: pd.DataFrame
    damaged: tuple[str, ...]


def results(where: Where, *, chosen: bool = False, check: bool = False) -> pd.DataFrame:
    """All results below folders, as one tidy table: a row for each result and layer.

    Missing values are missing (`step` of a model without steps, `rcond` of ridge); columns and dtypes are always those
    of `COLUMNS`. `source` is the hub id, "local", "embedded" or "static", and of a foreign model "function",
    "digest_text" or "look_at"; `step` is read from the revision, or from the name of a local folder (step1000,
    checkpoint-500, global_step1000, iter_0001000). `layer_index` counts the model's hidden states, or a foreign model's
    layers, and `depth` is layer_index / (hidden states - 1). `layers` is what was asked for, missing for all. `score`,
    `unclipped` and `error` are in units of the ceiling, `seconds` the sum over the phases.

    Args:
        where: folders or s3:// urls of results, or of one benchmark's.
        chosen: one row for each result: its chosen layer, with score, unclipped, error, low, high and r measured on
            folds that did not choose it (`nested_score` is then the score).
        check: also compare the files of each result with the hashes in its record; reads them all.

    Raises:
        StoreError: if a folder or bucket is not there or cannot be read.

    Warns:
        UserWarning: for each record that is damaged and left out.
    """
    found = read_results(where, chosen=chosen, check=check)
    for problem in found.damaged:
        warnings.warn(f"left out: {problem}", stacklevel=2)
    return found.table


def read_results(where: Where, *, chosen: bool = False, check: bool = False) -> Results:
    """As `results`, with what is damaged beside the table."""
    wheres = [where] if isinstance(where, str | Path) else list(where)
    wanted = chain.from_iterable(_listed(each) for each in wheres)
    unique = {item.identity: item for item in wanted}  # folders may lie within each other
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(lambda item: item.rows(chosen=chosen, check=check), unique.values()))
    rows = [row for each in found if not isinstance(each, str) for row in each]
    return Results(_table(rows), tuple(each for each in found if isinstance(each, str)))


def frame_of(record: dict[str, Any], data: xr.Dataset, paths: Paths | None, level: str) -> pd.DataFrame:
    """One result as a tidy table: see `Score.to_frame`.

    Args:
        record: of the result.
        data: see `Score.to_dataset`.
        paths: where it lies, if anywhere.
        level: what a row is.

    Raises:
        JaxscoreError: for an unknown level.
    """
    if level not in LEVELS:
        near = did_you_mean(level, LEVELS) if isinstance(level, str) else ""
        raise JaxscoreError(f"Unknown level {level!r} of a table. {near}".strip(), f"Choose from: {', '.join(LEVELS)}.")
    place = {"key": paths.stem.rpartition(".")[2], "record": str(paths.record)} if paths else {}
    layers = _table([row | place for row in rows_of(record)])
    if level == "layer":
        return layers
    along = {"layer": layers[SHARED]}
    if level == "subject":
        return _long(data["subject_score"].rename("score"), along | {"each_subject": _columns(data, "each_subject")})
    neuroids = _columns(data, "neuroid").assign(ceiling=data["neuroid_ceiling"].values)
    r = data["r"].astype("float64")
    if level == "neuroid":
        r = r.mean("fold").mean("part")
    found = _long(
        r,
        along
        | {
            "part": _columns(data, "part"),
            "fold": pd.DataFrame({"fold": range(data.sizes["fold"])}),
            "neuroid": neuroids,
        },
    )
    return found.assign(score=found["r"] / found["ceiling"])


def _columns(data: xr.Dataset, dim: str) -> pd.DataFrame:
    """Coordinates along a dimension, in columns whose names are not those of others."""
    taken = {*SHARED, "part", "fold", "ceiling", "r", "score"} - {dim}
    named = {str(name): c.values for name, c in data.coords.items() if c.dims == (dim,)}
    named = {f"{dim}_{name}" if name in taken else name.removeprefix("each_"): v for name, v in named.items()}
    frame = pd.DataFrame(named)
    return frame.astype({name: "string" for name, v in named.items() if v.dtype.kind in "OU"})


def _long(values: xr.DataArray, along: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row for each value, beside the columns of its place along each dimension."""
    places = np.unravel_index(np.arange(values.size), values.shape)
    columns = [along[dim].take(at).reset_index(drop=True) for dim, at in zip(values.dims, places, strict=True)]
    return pd.concat([*columns, pd.Series(values.values.ravel(), name=values.name)], axis=1)


def _table(rows: list[Row]) -> pd.DataFrame:
    """Rows under the columns of `COLUMNS`."""
    table = pd.DataFrame.from_records(rows, columns=list(COLUMNS))
    table["created"] = pd.to_datetime(table["created"], utc=True)
    return table.astype(COLUMNS)


@dataclass(frozen=True)
class _Listed:
    """A file that is named like a record, and the files beside it."""

    place: Place
    name: str
    names: frozenset[str]

    @property
    def identity(self) -> str:
        """Where it is, however the folder was spelled."""
        where = self.place.at(self.name)
        return str(where.absolute()) if isinstance(where, Path) else where

    def rows(self, *, chosen: bool, check: bool) -> list[Row] | str:
        """The rows of a result, or what is wrong with it; none if it was removed meanwhile."""
        where, found = self.place.at(self.name), self._record()
        if check and found.record is not None:
            found = examine(Paths(self.place, self.name.removesuffix(".json")))
        if found.record is None:
            return found.problem or []
        place = {"key": RECORD.search(self.name)[1], "record": str(where)}
        try:
            return [row | place for row in rows_of(found.record, chosen=chosen)]
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return _partial(where, error)

    def _record(self) -> Found:
        """The record, if it can be read and the files that it names are there."""
        where = self.place.at(self.name)
        try:
            if (content := self.place.read(self.name)) is None:
                return Found()
            record = json.loads(content)
            if (schema := record["schema"]) != SCHEMA:
                return Found(problem=f"{where} is of schema {schema!r}, this version reads {SCHEMA}")
            folder = self.name.rpartition("/")[0]
            beside = [f"{folder}/{name}".lstrip("/") for name in record["files"]]
        except TemporaryStoreError:
            raise
        except StoreError as error:
            return Found(problem=f"{where} cannot be read: {error.message}")
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            return Found(problem=_partial(where, error))
        # listed before it was read: a result that was saved in between may have files that the list has not
        for name in beside:
            if name not in self.names and name not in self.place.names(name):
                return Found(problem=f"{self.place.at(name)} is missing, which its record names")
        return Found(record)


def _partial(where: Path | str, error: Exception) -> str:
    return f"{where} is not a whole record ({type(error).__name__}: {error})"


def _listed(where: str | Path) -> Iterator[_Listed]:
    """Whatever is named like a record; names that begin with a dot are notes and temporary files."""
    place = open_place(where)
    if isinstance(place, Folder) and not place.path.is_dir():
        raise StoreError(f"{where} is not a folder of results", "Give the folder or s3:// url that --out named.")
    names = frozenset(name for name in place.names() if not any(part.startswith(".") for part in name.split("/")))
    return (_Listed(place, name, names) for name in sorted(names) if RECORD.search(name))
