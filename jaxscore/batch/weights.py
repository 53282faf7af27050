"""Weights that are here only as long as they are read: downloaded, lent, removed; and how much that would be."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from jaxscore.batch.listing import Listing, find_files
from jaxscore.data.cache_lock import alone
from jaxscore.data.cache_paths import aside
from jaxscore.errors import FetchError, JaxscoreError, TemporaryFetchError
from jaxscore.models.hub import Checkpoint, HubId, fetch_files, is_checkpoint, locate
from jaxscore.models.hub_errors import NoRoomError, hub_errors

COPIES = 5  # of one checkpoint, for as many processes on one machine
ASKED_AT_ONCE = 16  # questions to the hub
TORN = re.compile(r".*\.[0-9a-f]{8}\.incomplete")
"""Files of a killed process that the hub's library does not go on with: it gives each try a name of its own."""


@dataclass(frozen=True)
class Size:
    """What a checkpoint would bring over the network.

    Attributes:
        bytes: 0 for what is here; None where nobody knows.
        problem: why nobody knows; a TemporaryFetchError if the hub cannot be reached.
    """

    bytes: int | None
    problem: JaxscoreError | None = None


@contextmanager
def borrowed(
    spec: str, *, untrained: bool = False, offline: bool = False, keep: bool = False
) -> Iterator[Checkpoint | None]:
    """Yield a checkpoint; what had to be downloaded for it is removed when the block is left.

    It is the commit that the revision stands for when it is asked for, from the first file to the last. What is in the
    hub's own cache is used from there and stays. Another process that has the same weights at the same time has a copy
    of its own. What a killed process left is completed by the next one.

    Args:
        spec: as `find_checkpoint` takes it.
        untrained: only configuration and tokenizer are wanted.
        offline: never use the network.
        keep: download into the hub's own cache, and leave it there.

    Yields:
        The checkpoint, named as `find_checkpoint` does; None for a static model, which has none.

    Raises:
        ModelError: for what is no checkpoint.
        FetchError: if the hub does not have it; TemporaryFetchError if it may have it later.
    """
    place = _located(spec, untrained)
    if not isinstance(place, HubId):
        yield place
        return
    found = find_files(place, not untrained, offline=offline, keep=keep)
    if isinstance(found, Path):
        yield place.checkpoint(found, found.name)
        return
    with _own_folder(found) as folder:
        leave = False
        try:
            try:
                _download(found, folder, not untrained)
            except (TemporaryFetchError, KeyboardInterrupt, SystemExit) as error:
                # the next one goes on from here, unless the disk is full or it would not find the folder
                leave = not isinstance(error, NoRoomError) and not folder.name.startswith(".")
                raise
            yield place.checkpoint(folder, found.commit)
        finally:
            if not leave:
                shutil.rmtree(folder, ignore_errors=True)  # a score is not lost for it; `jaxscore cache` shows the rest


def download_sizes(specs: Iterable[str], *, untrained: bool = False, offline: bool = False) -> dict[str, Size]:
    """How much has to be downloaded for each checkpoint; nothing is. The hub is asked once for each revision.

    Args:
        specs: as `find_checkpoint` takes them.
        untrained: only configurations and tokenizers are wanted.
        offline: never use the network.
    """
    places: dict[str, HubId] = {}
    sizes: dict[str, Size] = {}
    for spec in specs:
        try:
            found = _located(spec, untrained)
        except JaxscoreError as error:
            sizes[spec] = Size(None, error)
            continue
        sizes[spec] = Size(0)  # on this machine, or else replaced below
        if isinstance(found, HubId):
            places[spec] = found
    unreachable: list[TemporaryFetchError] = []
    different = {(place.repo, place.revision): place for place in places.values()}
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        answers = pool.map(lambda place: _size(place, not untrained, offline, unreachable), different.values())
        answered = dict(zip(different, answers, strict=True))
    return sizes | {spec: answered[place.repo, place.revision] for spec, place in places.items()}


def _size(place: HubId, weights: bool, offline: bool, unreachable: list[TemporaryFetchError]) -> Size:
    """The size of one; after the first question in vain, the others are answered from the cache or not at all."""
    down = unreachable[:1]
    try:
        found = find_files(place, weights, offline=offline or bool(down))
    except JaxscoreError as error:
        if isinstance(error, TemporaryFetchError):
            unreachable.append(error)
        return Size(None, down[0] if down and isinstance(error, FetchError) else error)
    if isinstance(found, Path):
        return Size(0)
    absent = set(found.lacking(found.folder)) - found.cached().keys()
    sizes = [found.files[name] for name in absent]
    return Size(None if None in sizes else sum(sizes))


def _located(spec: str, untrained: bool) -> Checkpoint | HubId | None:
    """Where a model is; None for a static one."""
    from jaxscore.models.static import find_static

    return None if not is_checkpoint(spec) and find_static(spec, untrained=untrained) else locate(spec)


@contextmanager
def _own_folder(listing: Listing) -> Iterator[Path]:
    """Yield a folder that no other process has, as far as locks can tell."""
    folder = listing.folder
    copies = [folder, *(folder.with_name(f"{folder.name}.{number}") for number in range(2, COPIES + 1))]
    with ExitStack() as stack:
        with hub_errors(listing.place):
            folder.parent.mkdir(parents=True, exist_ok=True)
            free = (each for each in copies if stack.enter_context(alone(each, stall=0.0)))
            chosen = next(free, None) or aside(folder)
        yield chosen


def _download(listing: Listing, folder: Path, weights: bool) -> None:
    """Fetch the files that are not in the folder, or not whole."""
    with hub_errors(listing.place):
        folder.mkdir(exist_ok=True)
        for part in folder.rglob("*.incomplete"):
            if TORN.fullmatch(part.name):
                part.unlink()
        for name in listing.lacking(folder):
            (folder / name).unlink(missing_ok=True)
    fetch_files(listing.place, weights=weights, commit=listing.commit, folder=folder, quiet=True)
    if lacking := listing.lacking(folder):
        message = f"{listing.place.repo} came incomplete: {', '.join(lacking[:3])}"
        raise TemporaryFetchError(message, "Type the same command again: it goes on where this one stopped.")
