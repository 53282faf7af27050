"""Results on disk: arrays (NetCDF), picture (PNG), record (JSON), named by content; the record is the commit point.

The record holds the sha256 of the other two. It is renamed into place last, when all three are on the disk, so whatever
is killed in between leaves no record, or one that does not fit its files: neither passes for a result.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxscore.data.fetch import atomic_path
from jaxscore.errors import StoreError

if TYPE_CHECKING:
    import xarray as xr

SCHEMA = 1


@dataclass(frozen=True)
class Paths:
    """The three files of a result."""

    record: Path
    arrays: Path
    figure: Path


def result_paths(out: Path, benchmark: str, model: str, key: str) -> Paths:
    """Where a result lies: OUT/BENCHMARK/MODEL.KEY.{json,nc,png}."""
    stem = f"{re.sub(r'[^A-Za-z0-9._@-]', '_', model)}.{key}"
    return paths_of(out / benchmark / f"{stem}.json")


def paths_of(path: Path) -> Paths:
    """The three files of the result that one of them belongs to."""
    return Paths(path.with_suffix(".json"), path.with_suffix(".nc"), path.with_suffix(".png"))


def find_result(paths: Paths) -> dict[str, Any] | None:
    """The record, if it is whole and its files are those that it names; otherwise None."""
    try:
        record = json.loads(paths.record.read_text(encoding="utf-8"))
        whole = record["schema"] == SCHEMA and all(
            hashlib.sha256(path.read_bytes()).hexdigest() == record["files"][path.name]
            for path in (paths.arrays, paths.figure)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if whole else None


def check_writable(out: Path) -> None:
    """Fail before the work rather than after it: raises StoreError if results cannot be written below `out`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _refused(out, error) from None


def save_result(paths: Paths, record: dict[str, Any], arrays: xr.Dataset, layers: xr.Dataset) -> dict[str, Any]:
    """Write the three files of a result, all or none.

    Args:
        paths: where.
        record: what is to be remembered; the hashes of the files are added.
        arrays: correlations and the table of layers.
        layers: the table of layers, for the picture.

    Returns:
        The record as it was written.

    Raises:
        StoreError: if a file cannot be written; whatever was there before is untouched.
    """
    from jaxscore.report.plots import plot_layers

    start = time.perf_counter()
    encoding = {name: {"zlib": True, "complevel": 1} for name, v in arrays.data_vars.items() if v.dtype.kind == "f"}
    # built in memory: the HDF5 library can crash the process after a write that the disk refused
    content = bytes(arrays.to_netcdf(engine="h5netcdf", encoding=encoding))
    try:
        with ExitStack() as stack:  # entered last, renamed first: the record closes the row
            temporary = {
                path: stack.enter_context(atomic_path(path)) for path in (paths.record, paths.figure, paths.arrays)
            }
            temporary[paths.arrays].write_bytes(content)
            plot_layers(layers, temporary[paths.figure])
            hashes = {
                path.name: hashlib.sha256(temporary[path].read_bytes()).hexdigest()
                for path in (paths.arrays, paths.figure)
            }
            seconds = record.get("seconds", {}) | {"save": round(time.perf_counter() - start, 3)}
            record = {"schema": SCHEMA, **record, "seconds": seconds, "files": hashes}
            temporary[paths.record].write_text(
                json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
            for path in temporary.values():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
    except OSError as error:
        raise _refused(paths.record.parent, error) from None
    return record


def _refused(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"Results cannot be written to {folder}: {error.strerror or error}. What was there before is untouched.",
        "Free some space, or name another folder with --out FOLDER.",
    )
