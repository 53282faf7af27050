"""From what a person types to checkpoints: lists and ranges in braces, wildcards for local folders, names, hub ids."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

import bracex

from jaxscore.errors import JaxscoreError, ModelError
from jaxscore.models.hub import find_checkpoint, is_checkpoint
from jaxscore.models.static import EMBEDDINGS, find_static
from jaxscore.registry import MINI, MODELS

MOST = 10_000  # names of one pattern; more are taken for a slip of the keyboard
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def find_models(pattern: str, folder: Path) -> list[str]:
    """The checkpoints that a pattern names, in its order.

    Args:
        pattern: a name, hub id (with `@revision`), `glove:FILE` or checkpoint folder. Braces are bash's: lists {a,b},
            ranges {1..9}, with a step {0..100..20}, with zeros {01..10}, nested. Then * ? [ ] match local checkpoint
            folders, ** any depth, in natural order: checkpoint-2 before checkpoint-10. What is a checkpoint folder as
            it stands is no pattern.
        folder: what local paths are relative to; absolute.

    Returns:
        What `jaxscore.load_model` takes; local folders and files as absolute paths.

    Raises:
        JaxscoreError: for braces that are neither list nor range, or too many names; a wildcard that matches nothing.
        ModelError: for an unknown name, or a folder that is no checkpoint.
    """
    if place := _local(pattern, folder):
        return [place]
    found: list[str] = []
    absent: list[str] = []
    for text in expand(pattern):
        if place := _local(text, folder):
            found.append(place)
        elif re.search(r"[*?\[]", text) and text.partition(":")[0] not in EMBEDDINGS:
            found += _matching(text, folder)
        else:
            found.append(_named(text, folder))
            absent += [text] if _HUB_ID.fullmatch(text) else []
    if absent and any(os.path.isabs(each) for each in found):  # "checkpoint-{1..9}", and one of them is not there
        raise ModelError(
            f"{pattern!r} names local checkpoints, but {', '.join(absent[:3])}"
            f"{f' and {len(absent) - 3} more are' if len(absent) > 3 else ' is' if len(absent) == 1 else ' are'} none",
            f"Match those that are there by *, or write ids of the hub by themselves. {_there(absent[0], folder)}",
        )
    return found


def expand(pattern: str) -> list[str]:
    """The names that a pattern with braces stands for.

    Raises:
        JaxscoreError: for an empty name, braces that are neither list nor range, or more than `MOST` names.
    """
    try:
        names = bracex.expand(pattern, limit=MOST, return_empty=True)
    except bracex.ExpansionLimitException:
        raise JaxscoreError(
            f"{pattern!r} stands for more than {MOST:,} models", "Check its ranges: {FIRST..LAST..STEP}."
        ) from None
    except RecursionError:
        raise JaxscoreError(
            f"{pattern[:60]!r}... has braces inside braces too deep to read", "Write several patterns."
        ) from None
    for name in names or [""]:
        if not name.strip() or name != name.strip():
            raise JaxscoreError(
                f"{pattern!r} stands for {name!r}, which is no name: it is empty, or has spaces at an end",
                "Leave no spaces around names and commas: gpt2{,-medium}.",
            )
        if "{" in name or "}" in name:
            raise JaxscoreError(
                f"{name!r} has braces that are neither a list nor a range",
                "Lists have a comma: gpt2{,-medium}; ranges two dots and an optional step: step{1000..143000..1000}.",
            )
    return names


def absolute(text: str, folder: Path) -> str:
    """A local path as an absolute one, without `..`."""
    return os.path.abspath(folder / os.path.expanduser(text))


def natural(text: str) -> list[str | int]:
    """A sorting key by which numbers count as numbers."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", text))]


def _local(text: str, folder: Path) -> str | None:
    """The checkpoint folder of that path; a model of the package comes before a folder of its name."""
    place = absolute(text, folder)
    return place if text != MINI and is_checkpoint(place) else None


def _matching(pattern: str, folder: Path) -> list[str]:
    """The checkpoint folders that a wildcard matches."""
    matched = glob.glob(os.path.expanduser(pattern), root_dir=folder, recursive=True)
    if found := [path for each in matched if is_checkpoint(path := absolute(each, folder))]:
        return sorted(set(found), key=natural)
    if matched:
        shown = ", ".join(sorted(matched, key=natural)[:5])
        raise JaxscoreError(
            f"{pattern!r} matches {shown}, but no checkpoint: none is a folder with config.json",
            "Save checkpoints with model.save_pretrained(folder) and tokenizer.save_pretrained(folder).",
        )
    raise JaxscoreError(
        f"{pattern!r} matches no local checkpoint. {_there(pattern, folder)}",
        "* ? [ ] match local folders. List what is on the hub in braces: EleutherAI/pythia-{70m,160m}@step{1000,2000}.",
    )


def _there(text: str, folder: Path) -> str:
    """What the deepest existing folder on the way to a path has in it."""
    place = Path(absolute(re.split(r"[*?\[]", text)[0] + "_", folder)).parent
    while not (place.is_dir() and os.access(place, os.R_OK)):
        place = place.parent
    names = sorted((path.name for path in place.iterdir() if not path.name.startswith(".")), key=natural)
    more = ", ..." if len(names) > 8 else ""
    return f"{place} has {', '.join(names[:8]) or 'nothing'}{more}"


def _named(text: str, folder: Path) -> str:
    """A name as it is, once it is known to be one; the file of word vectors as an absolute path."""
    kind, colon, file = text.partition(":")
    if colon and kind in EMBEDDINGS and file:
        text = f"{kind}:{absolute(file, folder)}"
    place = absolute(text, folder)
    if text == MINI or find_static(text):
        return text
    name = text.partition("@")[0]
    if text[0] in "./~" or (name not in MODELS and os.path.isdir(place)):
        find_checkpoint(place)  # raises: there is no config.json
    if is_checkpoint(text):  # would be read in place of what the plan means
        raise ModelError(
            f"{text!r} is a checkpoint of the working directory, but not of {folder}, which paths are relative to here",
            f"Type its absolute path, {os.path.abspath(text)}, or call the command in another directory.",
        )
    if name not in MODELS and not _HUB_ID.fullmatch(name):
        find_checkpoint(text, weights=False, offline=True)  # raises: neither a name nor a hub id
    return text
