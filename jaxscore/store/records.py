"""Results: arrays (NetCDF), picture (PNG), record (JSON), named by content; the record is the commit point.

The record holds the sha256 of the other two and is written last. Whatever is killed in between, and whoever else
writes the same result at once, leaves no record, or one that does not fit its files, or a whole result: only what is
whole passes for a result.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxscore.errors import StoreError, TemporaryStoreError
from jaxscore.store.places import Place, open_place

if TYPE_CHECKING:
    import xarray as xr

SCHEMA = 1
ROUNDS = 10  # of one result, while others write it too
PAUSE = 0.02  # seconds, at most, after the first round; doubled after each further one


@dataclass(frozen=True)
class Paths:
    """The three files of a result.

    Attributes:
        place: where results lie.
        stem: their name there without its end: BENCHMARK/MODEL.KEY.
    """

    place: Place
    stem: str

    @property
    def record(self) -> Path | str:
        """Where the record is: a path or an s3:// url."""
        return self.place.at(f"{self.stem}.json")

    @property
    def arrays(self) -> Path | str:
        """Where the arrays are."""
        return self.place.at(f"{self.stem}.nc")

    @property
    def figure(self) -> Path | str:
        """Where the picture is."""
        return self.place.at(f"{self.stem}.png")


@dataclass(frozen=True)
class Found:
    """What there is of a result.

    Attributes:
        record: None unless the result is whole.
        problem: which file is damaged and how; None if the result is whole, and if there is none.
    """

    record: dict[str, Any] | None = None
    problem: str | None = None


def result_paths(place: Place, benchmark: str, model: str, key: str) -> Paths:
    """Where a result lies: BENCHMARK/MODEL.KEY.{json,nc,png}."""
    return Paths(place, f"{benchmark}/{re.sub(r'[^A-Za-z0-9._@-]', '_', model)}.{key}")


def paths_of(path: Path | str) -> Paths:
    """The three files of the result that one of them belongs to: a path or an s3:// url."""
    path = Path(path)
    if not path.parent.name:
        path = path.absolute()
    return Paths(open_place(path.parent.parent), f"{path.parent.name}/{path.stem}")


def examine(paths: Paths) -> Found:
    """Read a result and compare its files with the hashes in the record.

    Raises:
        TemporaryStoreError: if the place does not answer now. Whatever else is in the way is a problem of the result.
    """
    try:
        return _examined(paths)
    except TemporaryStoreError:
        raise
    except StoreError as error:
        return Found(problem=error.message)


def _examined(paths: Paths) -> Found:
    if (content := paths.place.read(f"{paths.stem}.json")) is None:
        return Found()
    try:
        record = json.loads(content)
        if (schema := record["schema"]) != SCHEMA:
            return Found(problem=f"{paths.record} is of schema {schema!r}, this version reads {SCHEMA}")
        hashes = {end: record["files"][f"{_name(paths)}{end}"] for end in (".nc", ".png")}
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        return Found(problem=f"{paths.record} is not a whole record ({type(error).__name__}: {error})")
    for end, expected in hashes.items():
        where, content = paths.place.at(f"{paths.stem}{end}"), paths.place.read(f"{paths.stem}{end}")
        if content is None:
            return Found(problem=f"{where} is missing, which its record names")
        if hashlib.sha256(content).hexdigest() != expected:
            return Found(problem=f"{where} is not the file that its record names: its sha256 differs")
    return Found(record)


def find_result(paths: Paths) -> dict[str, Any] | None:
    """The record, if it is whole and its files are those that it names; otherwise None."""
    return examine(paths).record


def read_arrays(paths: Paths) -> xr.Dataset:
    """The correlations and the table of layers of a result.

    Raises:
        StoreError: if they are not there or cannot be read.
    """
    import xarray as xr

    content = paths.place.read(f"{paths.stem}.nc")
    try:
        with xr.open_dataset(io.BytesIO(content or b""), engine="h5netcdf") as file:
            return file.load()
    except (OSError, ValueError) as error:
        reason = error if content else "it is missing or empty"
        hint = "Run the same command again: it redoes what is not whole."
        raise StoreError(f"{paths.arrays} cannot be read: {reason}", hint) from None


def check_writable(place: Place) -> None:
    """Fail before the work rather than after it: raises StoreError if results cannot be written there."""
    place.check()


def save_result(paths: Paths, record: dict[str, Any], arrays: xr.Dataset, layers: xr.Dataset) -> dict[str, Any]:
    """Write the three files of a result, all or none, and see that they are whole.

    Args:
        paths: where.
        record: what is to be remembered; the hashes of the files are added.
        arrays: correlations and the table of layers.
        layers: the table of layers, for the picture.

    Returns:
        The record that is there now: this one, or that of another process that wrote the same result at the same time.

    Raises:
        StoreError: if a file cannot be written; in a folder, whatever was there before is then untouched.
        TemporaryStoreError: if that may pass, or if others do not cease to write the same result.
    """
    start = time.perf_counter()
    # correlations are noise to a compressor, which takes as long as all else here; what is missing shrinks at once
    packed = {"zlib": True, "complevel": 1, "shuffle": True}
    encoding = {name: packed for name, v in arrays.data_vars.items() if v.ndim and v.isnull().mean() > 0.5}
    # built in memory: the HDF5 library can crash the process after a write that the disk refused
    files = {".nc": bytes(arrays.to_netcdf(engine="h5netcdf", encoding=encoding)), ".png": _drawn(layers)}
    hashes = {f"{_name(paths)}{end}": hashlib.sha256(content).hexdigest() for end, content in files.items()}
    seconds = record.get("seconds", {}) | {"save": round(time.perf_counter() - start, 3)}
    record = {"schema": SCHEMA, **record, "seconds": seconds, "files": hashes}
    files[".json"] = (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
    for number in range(ROUNDS):
        paths.place.write_all({f"{paths.stem}{end}": content for end, content in files.items()})
        found = examine(paths)
        if found.record is None:  # writers came between each other: the last one sees it, and pauses part them
            time.sleep(random.uniform(0, PAUSE * 2**number))
            found = examine(paths)
        if found.record is not None:
            return found.record
    raise TemporaryStoreError(
        f"{paths.record} is not whole, though it was written {ROUNDS} times: {found.problem or 'it is gone'}",
        "Other processes write the same result: run the same command again when they are done.",
    )


def _drawn(layers: xr.Dataset) -> bytes:
    """The picture."""
    from jaxscore.report.plots import plot_layers

    memory = io.BytesIO()
    plot_layers(layers, memory)
    return memory.getvalue()


def _name(paths: Paths) -> str:
    """What the names of its files begin with, without folders."""
    return paths.stem.rpartition("/")[2]
