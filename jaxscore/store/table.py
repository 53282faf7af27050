"""All results as one tidy table, a row for each result and layer: read from the records (JSON) alone."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd

from jaxscore.errors import StoreError, TemporaryStoreError
from jaxscore.store.places import Folder, Place, open_place
from jaxscore.store.records import SCHEMA, Found, Paths, examine
from jaxscore.store.rows import COLUMNS, Row, rows_of

Where = str | Path | Sequence[str | Path]

RECORD = re.compile(r"\.([0-9a-f]{16})\.json$")
THREADS = 16  # reading is waiting, for a network file system or S3


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
    of `COLUMNS`. `source` is the hub id, "local", "embedded" or "static"; `step` is read from the revision, or from the
    name of a local folder (step1000, checkpoint-500, global_step1000, iter_0001000). `layer_index` counts the model's
    hidden states, and `depth` is layer_index / (hidden states - 1). `layers` is what was asked for, missing for all.
    `score`, `unclipped` and `error` are in units of the ceiling, `seconds` the sum over the phases.

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
    table = pd.DataFrame.from_records(rows, columns=list(COLUMNS))
    table["created"] = pd.to_datetime(table["created"], utc=True)
    return Results(table.astype(COLUMNS), tuple(each for each in found if isinstance(each, str)))


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
