"""What lies in the cache folder, and taking it away again. Nothing else is touched: no other file, no link followed."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import stat
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from jaxscore.data.cache_lock import alone
from jaxscore.errors import JaxscoreError

DOWNLOADS = "downloads"
WEIGHTS = "weights"
KINDS = {
    DOWNLOADS: "data",
    "activations": "activations",
    "ceilings": "ceilings",
    "compiled": "compiled",
    WEIGHTS: WEIGHTS,
}
"""What is kept, and the folder that it lies in."""

NAMES = {
    DOWNLOADS: r"[0-9a-f]{16}-.*",
    "activations": r"[0-9a-f]{16}\.h5",
    "ceilings": r"[^.].*",
    "compiled": r"[0-9a-f]{12}",
    WEIGHTS: r"[^.].*-[0-9a-f]{40,64}(\.\d)?",
}
"""What we call things there; whatever has another name is somebody else's."""

UNFINISHED = re.compile(r"\.(?P<name>.+)\.(?:lock|[0-9a-f-]+\.part)")


@dataclass(frozen=True)
class Entry:
    """One thing in the cache.

    Attributes:
        kind: one of `KINDS`.
        place: its path; for a download, the file's.
        url: where it came from, empty if that is not known.
        paths: all that belongs to it: file, record, unfinished parts.
        size: bytes of all of that.
        when: when it was last written, seconds since 1970.
        whole: False for what was begun only.
    """

    kind: str
    place: Path
    url: str
    paths: tuple[Path, ...]
    size: int
    when: float
    whole: bool

    @property
    def name(self) -> str:
        """What people call it: a download's own name, without the hash of its url."""
        return self.place.name[17:] if self.kind == DOWNLOADS else self.place.name

    def matches(self, pattern: str) -> bool:
        """Whether its name, its url or its file's name is, or fits, a pattern (`*`, `?`, `[...]`)."""
        names = {self.name, self.place.name, self.url}
        return pattern in names or any(fnmatch.fnmatchcase(name, pattern) for name in names)


def contents(cache: Path) -> list[Entry]:
    """All entries of a cache folder, by kind and name. A folder in it that is a link is not looked into.

    Raises:
        JaxscoreError: if the system refuses.
    """
    found = []
    for kind, folder in KINDS.items():
        if not (cache / folder).is_dir() or (cache / folder).is_symlink():
            continue
        with _access(cache / folder):
            entries = _entries(kind, cache / folder)
        found += sorted(entries, key=lambda entry: (entry.name, entry.url))
    return found


def linked(cache: Path) -> list[Path]:
    """Folders of the cache that are links and therefore left alone."""
    return [cache / folder for folder in KINDS.values() if (cache / folder).is_symlink()]


def remove(entry: Entry) -> None:
    """Take an entry away, links as links.

    Raises:
        JaxscoreError: if the system refuses, or for weights that somebody reads.
    """
    # nobody begins to fetch it meanwhile; the lock of a killed process goes with it
    lock = alone(entry.place, stall=0.0) if entry.kind in (DOWNLOADS, WEIGHTS) else nullcontext()
    with _access(entry.place), lock as mine:
        if entry.kind == WEIGHTS and not mine:
            hint = f"Wait until its batch ends. Where files cannot be locked, remove {entry.place} yourself."
            raise JaxscoreError(f"{entry.name} is in use.", hint)
        for path in entry.paths:
            if _is_folder(path):
                shutil.rmtree(path)
            elif not path.name.endswith(".lock"):
                path.unlink(missing_ok=True)


@contextmanager
def _access(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{error.filename or path}: {error.strerror or error}."
        raise JaxscoreError(message, "Check the permissions of the cache folder.") from None


def _entries(kind: str, folder: Path) -> list[Entry]:
    groups = defaultdict(list)
    for path in folder.iterdir():
        groups[_owner(path)].append(path)
    return [_entry(kind, folder / name, paths) for name, paths in groups.items() if re.fullmatch(NAMES[kind], name)]


def _owner(path: Path) -> str:
    """The name of the entry that a file belongs to."""
    begun = UNFINISHED.fullmatch(path.name)
    name = begun["name"] if begun else path.name
    record = name.removesuffix(".json")
    is_record = path.with_name(record).exists() if begun else bool(_url(path))
    return record if is_record else name


def _url(path: Path) -> str:
    """The url in a record of a download; empty if this is none."""
    if path.suffix != ".json":
        return ""
    try:
        record = json.loads(path.read_bytes())
        return str(record["url"]) if record.keys() == {"url", "sha256", "etag"} else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def _entry(kind: str, place: Path, paths: list[Path]) -> Entry:
    about = []
    for path in paths:
        for each in (path, *(path.rglob("*") if _is_folder(path) else ())):
            with suppress(FileNotFoundError):  # another process is at work
                about.append(each.lstat())
    sizes = [each.st_size for each in about if not stat.S_ISDIR(each.st_mode)]
    when = max((each.st_mtime for each in about), default=0.0)
    url = next(filter(None, map(_url, paths)), "") if kind == DOWNLOADS else ""
    whole = not all(UNFINISHED.fullmatch(path.name) for path in paths)
    return Entry(kind, place, url, tuple(sorted(paths)), sum(sizes), when, whole)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
