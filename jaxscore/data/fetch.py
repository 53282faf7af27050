"""Files from S3, the web or this machine: hashed, cached, placed atomically, usable offline.

Each url has two files in the cache: the data, and a record beside it (url, sha256, ETag). The record is written first,
so the data file is there only when all of it is, and one that differs from its record was changed after it came.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxscore.data.cache_lock import alone
from jaxscore.data.cache_paths import atomic_path, cached_path, default_cache, disk, place, short_name
from jaxscore.data.download import Part, Progress, downloaded, unfinished
from jaxscore.data.download_hub import SCHEME, hub_file
from jaxscore.data.remote import ALTERNATIVES, Patience
from jaxscore.errors import DataError, FetchError

__all__ = ["Fetched", "atomic_path", "cached_path", "default_cache", "fetch"]


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


def fetch(
    url: str,
    *,
    sha256: str | None = None,
    sha1: str | None = None,
    offline: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """Return the file behind a url, from the cache where it is there.

    Without a given hash the first download is trusted and its sha256 recorded; whatever differs later is an error.

    Args:
        url: `s3://bucket/key[?versionId=...]`, `https://...`, `http://...`, `hf://datasets/OWNER/NAME[@REVISION]/PATH`,
            `file://...` or a local path. S3 is read unsigned unless `JAXSCORE_S3_SIGNED=1`, which uses the credentials
            that boto3 finds (environment, profile). The hub's files stay in its own cache, local ones where they lie.
        sha256: expected hash, hexadecimal.
        sha1: expected hash, hexadecimal.
        offline: answer from the cache or not at all.
        cache: cache folder; `default_cache()` if None.
        progress: called with (name, bytes received, bytes in all if known) as a download goes on.
        patience: time limits and tries.

    Raises:
        FetchError: the file cannot be had (absent, denied, no network, offline, truncated) or cannot be saved.
        DataError: the content is not the expected one; the message names both hashes.
    """
    if (local := _local_path(url)) is not None:
        if not local.is_file():
            raise FetchError(f"{url} is not a file on this machine.", "Check the path.")
        with disk(local):
            return Fetched(local, _verified(local, url, sha256, sha1), None, url)
    path = cached_path(url, cache)
    if url.startswith(SCHEME):
        where, commit = hub_file(url, offline=offline, progress=progress)
        with disk(path):
            fetched = Fetched(where, _verified(where, url, sha256, sha1), commit, url)
            return fetched if sha256 or sha1 else _recorded(path, fetched)
    with disk(path):
        if path.is_file() and (cached := _from_cache(path, url, sha256, sha1, offline)):
            return cached
        if offline:
            hint = f"Type the command without --offline once to fetch it. {ALTERNATIVES}"
            raise FetchError(f"{url} is not in the cache ({path.parent}) and --offline forbids fetching it.", hint)
        return _bring(path, url, sha256, sha1, progress, patience or Patience())


def _bring(
    path: Path, url: str, sha256: str | None, sha1: str | None, progress: Progress | None, patience: Patience
) -> Fetched:
    """Download a file to its place, or wait until another process has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path, stall=patience.stall, watch=partial(_arriving, path, progress)) as only:
        if path.is_file() and (cached := _from_cache(path, url, sha256, sha1, offline=False)):
            return cached
        with downloaded(url, path, alone=only, patience=patience, progress=progress) as (part, etag):
            fetched = Fetched(path, _received(part, url, sha256, sha1), etag, url)
            if sha256 or sha1:
                _write_record(path, fetched)
            else:
                _recorded(path, fetched)
            place(part.path, path)
    return fetched


def _arriving(path: Path, progress: Progress | None) -> int:
    """Bytes that another process has of a file; reported as if they were ours."""
    size = sum(Part(part).size() for part in unfinished(path))
    if progress and size:
        progress(short_name(path), size, None)
    return size


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


def _received(part: Part, url: str, sha256: str | None, sha1: str | None) -> str:
    """The same for what has just come."""
    try:
        return _verified(part.path, url, sha256, sha1)
    except DataError as error:
        if not part.resumed:
            raise
        hint = "It went on from an unfinished download, which is thrown away now: try again."
        raise DataError(error.message, hint) from None


def _recorded(path: Path, fetched: Fetched) -> Fetched:
    """Trust on first use: record what came, or raise where a record says that other content came before."""
    record = _read_record(path)
    if record is not None and record["sha256"] != fetched.sha256:
        raise DataError(
            f"{fetched.url} has changed: recorded sha256 {record['sha256']} (ETag {record['etag']}), "
            f"now sha256 {fetched.sha256} (ETag {fetched.etag}).",
            f"To accept what is there now, delete {_record_path(path)} and try again.",
        )
    if record is None or record["etag"] != fetched.etag:
        _write_record(path, fetched)
    return fetched


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


def _write_record(path: Path, fetched: Fetched) -> None:
    record = {"url": fetched.url, "sha256": fetched.sha256, "etag": fetched.etag}
    with atomic_path(_record_path(path)) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


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
        _write_record(path, fetched := Fetched(path, got, None, url))
        return fetched
    if record["sha256"] != got and not (sha256 or sha1):
        message = f"{path}, cached from {url}, was changed: recorded sha256 {record['sha256']}, got {got}."
        raise DataError(message, f"Delete {path} and try again.")
    return Fetched(path, got, record["etag"] if record["sha256"] == got else None, url)
