"""The files of a benchmark on this machine: the one that its card names, those beside it, and their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jaxscore.data.fetch import Fetched, Progress, fetch
from jaxscore.errors import DataError, FetchError

if TYPE_CHECKING:
    from jaxscore.cards import Card

BESIDE = ("stimuli", "neuroids", "mask")
"""Keys of a card's data that name further files."""


@dataclass(frozen=True)
class Source:
    """What a card's data are read from.

    Attributes:
        path: the file, or the folder of a recording.
        url: where it came from.
        sha256: hash of all that is read, by which results are named.
        etag: what the server called this version.
        beside: further files that the card names, by key.
        offline: whether files beside it may be fetched.
    """

    path: Path
    url: str
    sha256: str
    etag: str | None = None
    beside: dict[str, Path] = field(default_factory=dict)
    offline: bool = False

    def sibling(self, key: str) -> Path:
        """The file of that name in the same place; raises FetchError if it cannot be had."""
        if "://" not in self.url:
            return self.path.parent / key
        place = self.url.partition("?")[0].rpartition("/")[0]
        return fetch(f"{place}/{key}", offline=self.offline).path


def open_source(card: Card, *, offline: bool = False, progress: Progress | None = None) -> Source:
    """Bring a card's files to this machine.

    Raises:
        FetchError: if one cannot be had.
        DataError: if its hash is not the expected one, or a recording is no folder.
    """
    url = card.source()
    if card.listening:
        folder = Path(url).expanduser()
        return Source(folder, url, hash_folder(folder))
    files = list(_files(card, offline, progress))
    named = {key: getattr(card.data, key) for key in BESIDE if getattr(card.data, key)}
    beside = {key: fetch(card.place(name), offline=offline).path for key, name in named.items()}
    hashes = [found.sha256 for found in files]
    sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()
    return Source(files[0].path, url, sha256, files[0].etag, beside, offline)


def _files(card: Card, offline: bool, progress: Progress | None) -> Iterator[Fetched]:
    """All files that a score depends on, the data first; nested ones as far as they are there."""
    from jaxscore.data.download_wanted import named, needed

    for url, sha256, sha1, nested in needed(card):
        found = fetch(url, sha256=sha256, sha1=sha1, offline=offline, progress=progress)
        yield found
        if nested and found.path.suffix in (".nc", ".nc4"):
            for other in named(found, nested):
                with suppress(FetchError):  # who needs it says so
                    yield fetch(other.url, offline=offline, progress=progress)


def hash_folder(folder: Path) -> str:
    """sha256 of the names and contents of all files in a folder."""
    if not folder.is_dir():
        raise DataError(
            f"{folder} is no folder: this benchmark reads a recording of many files", "Name it with --data FOLDER."
        )
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {own}\n".encode())
    return digest.hexdigest()
