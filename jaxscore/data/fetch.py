"""Files from S3, the web or this machine: hashed, cached, placed atomically, usable offline.

Each url has two files in the cache: the data, and a record beside it (url, sha256, ETag). The record is written first,
so the data file is there only when all of it is, and one that differs from its record was changed after it came.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jaxscore.data.remote import ALTERNATIVES, open_url
from jaxscore.errors import DataError, FetchError

Progress = Callable[[str, int, int | None], None]

CHUNK = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """A file on this machine whose content is known.

    Attributes:
        path: where it lies; the given path itself for a local file.
        sha256: hash of the content, hexadecimal.
        etag: what the server called this version, where it said so.
        url: what was asked for.
    """

    path: Path
    sha256: str
    etag: str | None
    url: str


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


def fetch(
    url: str,
    *,
    sha256: str | None = None,
    sha1: str | None = None,
    offline: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Return the file behind a url, from the cache where it is there.

    Without a given hash the first download is trusted and its sha256 recorded; whatever differs later is an error.

    Args:
        url: `s3://bucket/key[?versionId=...]`, `https://...`, `http://...`, `file://...` or a local path. S3 is read
            unsigned unless `JAXSCORE_S3_SIGNED=1`. A local file is used where it lies.
        sha256: expected hash, hexadecimal.
        sha1: expected hash, hexadecimal.
        offline: answer from the cache or not at all.
        cache: cache folder; `default_cache()` if None.
        progress: called with (name, bytes received, bytes in all if known) as a download goes on.

    Raises:
        FetchError: the file cannot be had (absent, denied, no network, offline, truncated) or cannot be saved.
        DataError: the content is not the expected one; the message names both hashes.
    """
    if (local := _local_path(url)) is not None:
        if not local.is_file():
            raise FetchError(f"{url} is not a file on this machine.", "Check the path.")
        with _disk(local):
            return Fetched(local, _verified(local, url, sha256, sha1), None, url)
    path = cached_path(url, cache)
    with _disk(path):
        if path.is_file() and (cached := _from_cache(path, url, sha256, sha1, offline)):
            return cached
        if offline:
            hint = f"Type the command without --offline once to fetch it. {ALTERNATIVES}"
            raise FetchError(f"{url} is not in the cache ({path.parent}) and --offline forbids fetching it.", hint)
        with atomic_path(path) as temporary:
            etag = _download(url, temporary, progress)
            fetched = Fetched(path, _verified(temporary, url, sha256, sha1), etag, url)
            if not (sha256 or sha1):
                _compare_with_record(fetched)
            _write_record(fetched)
        return fetched


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`: synced and renamed to `path` at the end, removed after an error.

    Whoever is killed in between leaves `path` as it was. The folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _local_path(url: str) -> Path | None:
    if "://" not in url:
        return Path(url).expanduser()
    parts = urllib.parse.urlsplit(url)
    return Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else None


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _verified(path: Path, url: str, sha256: str | None, sha1: str | None) -> str:
    """Return the sha256 of a file after comparing it with the expected hashes."""
    got = _digest(path, "sha256")
    for name, expected in (("sha256", sha256), ("sha1", sha1)):
        if expected and (found := got if name == "sha256" else _digest(path, name)) != expected.lower():
            message = f"{url} has the wrong content: expected {name} {expected}, got {found}."
            raise DataError(message, "Correct the hash in the card if the file was changed on purpose.")
    return got


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _read_record(path: Path) -> dict[str, str | None] | None:
    where = _record_path(path)
    try:
        record = json.loads(where.read_bytes())
        return {"sha256": record["sha256"], "etag": record["etag"]}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{where} is not a record of a download.", f"Delete {where} and try again.") from None


def _write_record(fetched: Fetched) -> None:
    record = {"url": fetched.url, "sha256": fetched.sha256, "etag": fetched.etag}
    with atomic_path(_record_path(fetched.path)) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _compare_with_record(fetched: Fetched) -> None:
    """Raise where a record says that other content came from this url before."""
    record = _read_record(fetched.path)
    if record is not None and record["sha256"] != fetched.sha256:
        raise DataError(
            f"{fetched.url} has changed: recorded sha256 {record['sha256']} (ETag {record['etag']}), "
            f"now sha256 {fetched.sha256} (ETag {fetched.etag}).",
            f"To accept what is there now, delete {_record_path(fetched.path)} and try again.",
        )


def _from_cache(path: Path, url: str, sha256: str | None, sha1: str | None, offline: bool) -> Fetched | None:
    """Return the cached file if it is the right one; None if another is to be downloaded in its place."""
    try:
        got = _verified(path, url, sha256, sha1)
    except DataError as error:
        if not offline:
            return None
        hint = f"This is the cached file {path}; type the command without --offline to fetch it again."
        raise DataError(error.message, hint) from None
    record = _read_record(path)
    if record is None:
        _write_record(fetched := Fetched(path, got, None, url))
        return fetched
    if record["sha256"] != got and not (sha256 or sha1):
        message = f"{path}, cached from {url}, was changed: recorded sha256 {record['sha256']}, got {got}."
        raise DataError(message, f"Delete {path} and try again.")
    return Fetched(path, got, record["etag"] if record["sha256"] == got else None, url)


def _download(url: str, temporary: Path, progress: Progress | None) -> str | None:
    """Write the body behind `url` to a file and return its ETag."""
    name, received = cached_path(url).name[17:], 0
    with temporary.open("wb") as file, open_url(url) as body:
        while chunk := body.read(CHUNK):
            with _disk(temporary):
                file.write(chunk)
            received += len(chunk)
            if progress:
                progress(name, received, body.length)
        if body.length is not None and received != body.length:
            raise FetchError(f"{url} came incomplete: {received} of {body.length} bytes.", "Try again.")
        return body.etag


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turn a failure of this machine's disk into one message; what was there before is untouched."""
    try:
        yield
    except OSError as error:
        message = f"{error.filename or path}: {error.strerror or error}. Nothing that was there before is lost."
        hint = "Free some space or check the permissions, or choose another cache folder with JAXSCORE_CACHE."
        raise FetchError(message, hint) from None
