"""The files that a benchmark reads, brought to this machine before anything is scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jaxscore.data.fetch import Fetched, Progress, fetch
from jaxscore.errors import FetchError

if TYPE_CHECKING:
    from jaxscore.cards import Card


class Wanted(NamedTuple):
    """A file.

    Attributes:
        url: where it is.
        sha256: hash that its content must have, None where nobody said.
        sha1: the same.
        nested: attributes of a NetCDF file that may name further files in the same place, which are wanted too.
    """

    url: str
    sha256: str | None = None
    sha1: str | None = None
    nested: tuple[str, ...] = ()


def needed(card: Card) -> list[Wanted]:
    """What has to be on this machine for a card to be scored: its data and what they are read with, its ceiling.

    Raises:
        FetchError: if it reads a recording, a folder of many files, that is not here.
    """
    from jaxscore.data.source import BESIDE

    if card.listening:
        folder = Path(card.source()).expanduser()
        if not folder.is_dir():
            hint = f"Get it from its authors ({card.citation or card.follows}) and name it with --data FOLDER in a run."
            raise FetchError(f"{card.identifier} reads a recording of many files, and {folder} is no folder.", hint)
        return [Wanted(str(path)) for path in sorted(folder.rglob("*")) if path.is_file()]
    wanted = [Wanted(card.source(), card.data.sha256, card.data.sha1, ("stimulus_set",))]
    beside = [getattr(card.data, name) for name in BESIDE] + [card.behaviour.frequency]
    wanted += [Wanted(card.place(name)) for name in beside if name]
    if card.ceiling.kind == "file":
        nested = ("raw",) if card.ceiling.each else ()
        wanted.append(Wanted(card.place(card.ceiling.file), None, card.ceiling.sha1, nested))
    return wanted


def bring(wanted: Iterable[Wanted], *, offline: bool, progress: Progress | None) -> Iterator[Fetched]:
    """Fetch files one after the other, each before those that it names.

    Raises:
        FetchError: see `fetch`.
        DataError: see `fetch`; also if a file that may name others cannot be read.
    """
    for url, sha256, sha1, nested in dict.fromkeys(wanted):
        found = fetch(url, sha256=sha256, sha1=sha1, offline=offline, progress=progress)
        yield found
        if nested and found.path.suffix in (".nc", ".nc4"):
            yield from bring(named(found, nested), offline=offline, progress=progress)


def named(found: Fetched, attributes: tuple[str, ...]) -> list[Wanted]:
    """The files that attributes of a NetCDF file name; `Source.sibling` looks for them in the same place."""
    from jaxscore.data.nested import nested_keys
    from jaxscore.data.netcdf import read_attributes

    keys = nested_keys(read_attributes(found.path), found.path)
    place = found.url.partition("?")[0].rpartition("/")[0] if "://" in found.url else found.path.parent
    return [Wanted(f"{place}/{keys[name]}") for name in attributes if name in keys]
