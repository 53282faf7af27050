"""Where files lie in the cache, and how one gets there: written aside, synced, renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxscore.errors import FetchError, TemporaryFetchError


class DiskError(FetchError):
    """This machine's disk refused: the folder may not be written."""


class FullDiskError(DiskError, TemporaryFetchError):
    """This machine's disk is full."""


def default_cache() -> Path:
    """Return the cache folder: `JAXSCORE_CACHE` if set, else the user's cache folder. Creates nothing."""
    if chosen := os.environ.get("JAXSCORE_CACHE"):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("jaxscore"))


def cached_path(url: str, cache: Path | None = None) -> Path:
    """Return where the file of `url` lies in the cache, whether or not it is there."""
    base = urllib.parse.urlsplit(url, allow_fragments=False).path.rsplit("/", 1)[-1]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", base)[-100:]
    return (cache or default_cache()) / "data" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{name}"


def short_name(path: Path) -> str:
    """The name of a cached file without the hash of its url."""
    return path.name[17:]


def aside(path: Path) -> Path:
    """A name beside `path` that nobody else uses, for what is not whole yet."""
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")


def place(temporary: Path, path: Path) -> None:
    """Move a whole file to its name: it is on the disk before it bears it."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`: synced and renamed to `path` at the end, removed after an error.

    Whoever is killed in between leaves `path` as it was. The folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = aside(path)
    try:
        yield temporary
        place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn a failure of this machine's disk into one message; what was there before is untouched."""
    try:
        yield
    except OSError as error:
        message = f"{error.filename or path}: {error.strerror or error}. Nothing that was there before is lost."
        hint = "Free some space or check the permissions, or choose another cache folder with JAXSCORE_CACHE."
        kind = FullDiskError if error.errno in (errno.ENOSPC, errno.EDQUOT) else DiskError
        raise kind(message, hint) from None
