"""The local files that a job depends on, told by size and time of change: a hash would take as long as the job."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from jaxscore.batch.tasks import Job, Task

if TYPE_CHECKING:
    from jaxscore.cards import Card

Signed = tuple[int, int] | None
"""(bytes, time of the last change in ns); None where there is no such file."""
Signature = dict[str, Signed]
"""By absolute path."""


def local_signature(job: Job, task: Task) -> Signature:
    """Sign the local files that a job reads; take it before they are read, so that a change meanwhile shows.

    These are a checkpoint folder with its configuration, tokenizer and weights, or a file of word vectors; a card that
    is given by its path, with the cards that it extends and the local files that it names; a file given in place of a
    card's data. What comes from the hub or from a url is known to the job's key by
    its name alone: a branch that moves is not seen.

    Raises:
        JaxscoreError: for a checkpoint without weights, a card that cannot be read, or data that are not there.
    """
    return model_signature(task) | benchmark_signature(job, task)


def model_signature(task: Task) -> Signature:
    """The part of a checkpoint folder, or of a file of word vectors."""
    return _signed(_of_model(task))


def benchmark_signature(job: Job, task: Task) -> Signature:
    """The part of a card and its data."""
    return _signed(_of_benchmark(job, task))


def _signed(files: Iterator[Path]) -> Signature:
    return {str(path): sign(path) for path in sorted({path.expanduser().absolute() for path in files})}


def changed(signature: Signature) -> str | None:
    """The first file that is not as it was signed; None if all are."""
    return next((path for path, signed in signature.items() if sign(Path(path)) != signed), None)


def sign(path: Path) -> Signed:
    """Size and time of change of a file or folder; a folder changes as files in it come and go."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _of_model(task: Task) -> Iterator[Path]:
    from jaxscore.models.hub import CONFIG_FILES, is_checkpoint, weight_files
    from jaxscore.models.static import EMBEDDINGS

    kind, _, path = task.model.partition(":")
    if is_checkpoint(task.model):
        folder = Path(task.model).expanduser()
        yield folder
        for pattern in CONFIG_FILES:
            yield from folder.glob(pattern)
        if not task.choices.get("untrained"):
            yield from weight_files(folder)
    elif kind in EMBEDDINGS and path:
        yield Path(path.removesuffix("@exact"))


def _of_benchmark(job: Job, task: Task) -> Iterator[Path]:
    from jaxscore.cards import load_benchmark

    given = task.choices.get("data")
    if not given and not job.benchmark.endswith(".toml"):
        return
    card = load_benchmark(job.benchmark)
    if job.benchmark.endswith(".toml"):
        yield from _cards(Path(job.benchmark).expanduser())
    if given:
        source = given if "://" in given else str(Path(given).expanduser().absolute())
        card = card.model_copy(update={"data": card.data.model_copy(update={"source": source})})
    yield from _data(card)


def _cards(path: Path) -> Iterator[Path]:
    """A card and those beside it that it extends; the last of the chain may not be there, and is then a known one."""
    yield path
    if path.is_file() and (base := tomllib.loads(path.read_text(encoding="utf-8")).get("extends")):
        yield from _cards(path.parent / f"{base}.toml")


def _data(card: Card) -> Iterator[Path]:
    """The local ones of the files that a card is scored with."""
    from jaxscore.data.download_wanted import Wanted, named, needed
    from jaxscore.data.fetch import Fetched

    def local(wanted: Wanted) -> Iterator[Path]:
        scheme = urlsplit(wanted.url).scheme if "://" in wanted.url else ""
        if scheme not in ("", "file"):
            return
        path = Path(url2pathname(urlsplit(wanted.url).path) if scheme else wanted.url).expanduser()
        yield path
        if wanted.nested and path.suffix in (".nc", ".nc4") and path.is_file():
            for below in named(Fetched(path, "", None, str(path)), wanted.nested):
                yield from local(below)

    for wanted in needed(card):
        yield from local(wanted)
