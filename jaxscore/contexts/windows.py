"""Stimuli in their context -> windows of tokens and the positions to pool.

Protocol "chained" (2021 pipeline): sentences are tokenised one by one and their tokens chained, a context at a time. At
token t the model sees the start tokens (BOS or CLS) and the last tokens up to t that fit its window; never what follows
t, even if it is bidirectional.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxscore.contexts.alignment import Tokens
from jaxscore.errors import ModelError


@dataclass(frozen=True)
class Slot:
    """Where a stimulus stands in a window: its tokens `first` to `last`, both included."""

    stimulus: int
    first: int
    last: int


@dataclass(frozen=True)
class Window:
    """Tokens that the model reads in one go, and the stimuli pooled from them."""

    tokens: np.ndarray
    slots: tuple[Slot, ...]


def group_stimuli(labels: Sequence[str]) -> list[list[int]]:
    """Indices of the stimuli of each context, contexts by first appearance, stimuli in their order."""
    groups: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, []).append(index)
    return list(groups.values())


def make_windows(
    groups: Sequence[Sequence[int]], stimuli: Sequence[Tokens], start: Sequence[int], *, causal: bool, limit: int
) -> list[Window]:
    """Turn contexts into windows, so that every stimulus is pooled exactly once.

    A causal model reads a context in one pass as far as it fits: state t depends on nothing right of t. Stimuli that
    end beyond the limit, and every stimulus of a bidirectional model, get a window of their own that ends with
    their last token.

    Args:
        groups: stimulus indices of each context.
        stimuli: tokens of each stimulus.
        start: tokens put at the start of each window.
        causal: whether the model sees only what stands left.
        limit: longest window in tokens, start tokens included.

    Raises:
        ModelError: if the limit leaves no room for a stimulus token.
    """
    room = limit - len(start)
    if room < 1:
        raise ModelError(f"A window of {limit} tokens has no room beside {len(start)} start tokens")
    windows = []
    for group in groups:
        chain = np.concatenate([stimuli[i].ids for i in group])
        begins = np.cumsum([0, *(len(stimuli[i].ids) for i in group)])
        spans = [(i, b + stimuli[i].first, b + stimuli[i].last) for i, b in zip(group, begins, strict=False)]
        shared = [span for span in spans if causal and span[2] < room]
        if shared:
            windows.append(_window(chain, 0, shared, start))
        for span in spans[len(shared) :]:
            windows.append(_window(chain, max(0, span[2] + 1 - room), [span], start))
    return windows


def _window(chain: np.ndarray, begin: int, spans: list[tuple[int, int, int]], start: Sequence[int]) -> Window:
    """The window from token `begin` of the chain to the end of its last stimulus."""
    shift = len(start) - begin
    slots = tuple(Slot(i, max(first, begin) + shift, last + shift) for i, first, last in spans)
    end = spans[-1][2] + 1
    return Window(np.concatenate([np.array(start, np.int32), chain[begin:end]]), slots)
