"""Errors a person can act on: what came, what was expected, what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class JaxscoreError(Exception):
    """An error caused by the input or the surroundings, not by a defect of jaxscore.

    The command line prints it as one message without a traceback and exits with code 2.

    Args:
        message: what came and what was expected.
        hint: what to type or to do next.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.message = message
        self.hint = hint


class CardError(JaxscoreError):
    """A benchmark card that cannot be read: names the file, the key and the reason."""


class DataError(JaxscoreError):
    """Data that do not fit: a missing column, a wrong hash, duplicate ids, too few stimuli."""


class FetchError(JaxscoreError):
    """Data or a checkpoint that cannot be had: no network, no permission, no such object."""


class TemporaryFetchError(FetchError):
    """What cannot be had now and may be had later: no answer, a cut connection, a server in trouble."""


class ModelError(JaxscoreError):
    """A checkpoint that cannot be loaded faithfully."""


class StoreError(JaxscoreError):
    """A result that could not be written; what was there before is untouched."""


class TemporaryStoreError(StoreError):
    """A place of results that does not answer, or has no room, now: the same may work later."""


class GridEdgeWarning(UserWarning):
    """Chosen alphas sit on the edge of the grid: a better one may lie beyond it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'gpt2'?" for the nearest known names, or an empty string."""
    spelled = {each.lower(): each for each in known}
    close = [spelled[each] for each in difflib.get_close_matches(name.lower(), list(spelled), n=3, cutoff=0.6)]
    return f"Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
