"""Downloads that go on where they stopped: in the same call after a fault, in a later one after anything else.

What has come of a file lies beside its place under a name that holds the server's ETag, so that parts of two versions
are never joined: the rest is asked for under the condition that the ETag is still the same. The last byte is asked for
again, so that there always is a rest. Without an ETag, or where another process may be at the same file, nothing is
kept for a later call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jaxscore.data.cache_paths import DiskError, aside, disk, short_name
from jaxscore.data.remote import ChangedError, Patience, TransientError, open_url
from jaxscore.errors import FetchError, TemporaryFetchError

Progress = Callable[[str, int, int | None], None]

CHUNK = 1 << 18  # bytes; a torn connection takes as much with it
LONGEST = 255  # characters in the name of a file


@dataclass
class Part:
    """What there is of a file so far.

    Attributes:
        path: where it lies.
        etag: which version it is, None if it cannot be completed but has to start over.
        kept: whether a later call will find it.
        resumed: whether its beginning is from an earlier call.
        ranges: False once the server has sent all of it when asked for the rest: nothing is worth keeping then.
    """

    path: Path
    etag: str | None = None
    kept: bool = False
    resumed: bool = False
    ranges: bool = True

    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.exists() else 0


@contextmanager
def downloaded(
    url: str, path: Path, *, alone: bool, patience: Patience, progress: Progress | None
) -> Iterator[tuple[Part, str | None]]:
    """Yield the whole content of a url, in a file beside `path`, and its ETag. After the block the file is gone.

    Args:
        url: `s3://`, `http://` or `https://`.
        path: where the content is to be placed by the caller.
        alone: whether no other process fetches it: only then parts of earlier calls are used, and left for later ones.
        patience: how often and how long.
        progress: called with (name, bytes received, bytes in all if known).

    Raises:
        FetchError: it cannot be had, or not be written. What has come is kept, unless the disk refused it.
    """
    part = (_left_over(path) if alone else None) or Part(aside(path))
    keep = False
    try:
        etag = _complete(part, url, path, alone, patience, progress)
        yield part, etag
    except DiskError:
        raise
    except TransientError as error:
        keep = part.kept
        again = "Type the same command again: it goes on where this one stopped. " if keep and part.size() else ""
        raise TemporaryFetchError(error.message, again + error.hint) from None
    except (FetchError, KeyboardInterrupt, SystemExit):
        keep = part.kept
        raise
    finally:
        if not keep or not part.size():
            part.path.unlink(missing_ok=True)
        if alone and not keep:
            for other in unfinished(path):
                other.unlink(missing_ok=True)


def unfinished(path: Path) -> dict[Path, str]:
    """Parts of a file that earlier calls left, with the ETag of each."""
    found = {}
    for part in path.parent.glob(f".{path.name}.*.part"):
        try:
            etag = bytes.fromhex(part.name[len(path.name) + 2 : -len(".part")]).decode()
        except ValueError:
            continue  # somebody's temporary file
        if _strong(etag):
            found[part] = etag
    return found


def _left_over(path: Path) -> Part | None:
    """The longest part that an earlier call left."""
    parts = [Part(part, etag, kept=True, resumed=True) for part, etag in unfinished(path).items()]
    return max(parts, key=Part.size, default=None)


def _strong(etag: str | None) -> bool:
    """Whether an ETag stands for the same bytes; a weak one (RFC 9110, section 8.8.3) does not."""
    return bool(etag) and etag.isascii() and etag.isprintable() and not etag.startswith("W/")


def _complete(
    part: Part, url: str, path: Path, alone: bool, patience: Patience, progress: Progress | None
) -> str | None:
    """Receive all of a file, trying again after faults that may pass; returns its ETag."""
    furthest, moved, failures = part.size(), False, 0
    while True:
        try:
            return _receive(part, url, path, alone, patience, progress)
        except ChangedError:
            _start_over(part, path, None, alone)
        except TransientError:
            if (reached := part.size()) > furthest:
                furthest, moved, failures = reached, True, 0
            failures += 1
            if failures >= (patience.resumes if moved and part.etag else patience.attempts):
                raise
            time.sleep(patience.backoff * 2 ** (failures - 1))


def _start_over(part: Part, path: Path, etag: str | None, alone: bool) -> None:
    """Forget what has come; what comes now is the version `etag`."""
    part.path.unlink(missing_ok=True)
    part.etag, part.resumed = etag if part.ranges and _strong(etag) else None, False
    name = f".{path.name}.{etag.encode().hex()}.part" if part.etag else ""
    part.kept = alone and 0 < len(name) <= LONGEST
    part.path = path.with_name(name) if part.kept else aside(path)


def _receive(
    part: Part, url: str, path: Path, alone: bool, patience: Patience, progress: Progress | None
) -> str | None:
    """One try: append what is missing."""
    start = max(part.size() - 1, 0) if part.etag else 0
    with open_url(url, patience, start, part.etag) as body, disk(path):
        if not body.start:
            part.ranges &= not (start and body.etag == part.etag)
            _start_over(part, path, body.etag, alone)
        done = body.start
        with part.path.open("r+b" if done else "wb") as file:
            file.seek(done)
            while chunk := body.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(short_name(path), done, body.total)
    if body.total is not None and done != body.total:
        raise TransientError(f"{url} came incomplete: {done} of {body.total} bytes.", "Try again.")
    return body.etag
