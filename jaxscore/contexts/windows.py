"""Chains of tokens -> windows that a model reads in one go, and the positions to pool.

Three rules for what stands in a window. Exact: at token t the model sees the start tokens and the last tokens up to t
that fit; a causal model gets all of them that fit one window from one pass. Strided: where a context exceeds the
window, windows begin every `stride` tokens, and t is read where most stands left of it. Full: a bidirectional model
sees what stands right of t as well; where the context exceeds the window, t is read where it is most central.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxscore.errors import ModelError


@dataclass(frozen=True)
class Slot:
    """Where a presentation stands in a window: its tokens `first` to `last`, both included.

    Attributes:
        stimulus: index of the presentation: a stimulus or, if words are presented, a word.
        first: its first token; `last` + 1 if it has none of its own (a blank part).
        last: its last token, the one of pooling "last".
        lead: tokens right before `first` that belong to no presentation (bare spaces); they count in its surprisal.
        clipped: whether the window lacks its first tokens, or bare spaces before them: it begins right of them.
        pooling: of this presentation alone; None: that of the pass.
    """

    stimulus: int
    first: int
    last: int
    lead: int = 0
    clipped: bool = False
    pooling: str | None = None


@dataclass(frozen=True)
class Window:
    """Tokens that the model reads in one go, and the presentations pooled from them."""

    tokens: np.ndarray
    slots: tuple[Slot, ...]


def group_stimuli(labels: Sequence[str]) -> list[list[int]]:
    """Indices of the stimuli of each context, contexts by first appearance, stimuli in their order."""
    groups: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, []).append(index)
    return list(groups.values())


def room_for(limit: int, start: Sequence[int], end: Sequence[int] = ()) -> int:
    """Tokens of text that fit a window of `limit` tokens; raises ModelError if none does."""
    room = limit - len(start) - len(end)
    if room < 1:
        kinds = f"{len(start)} start tokens" + (f" and {len(end)} end tokens" if end else "")
        raise ModelError(f"A window of {limit} tokens has no room beside {kinds}", "Choose a larger window.")
    return room


def exact_windows(
    ids: np.ndarray, spans: Sequence[Slot], start: Sequence[int], room: int, *, causal: bool
) -> list[Window]:
    """As much as fits up to the last token of each span, and nothing right of it.

    A causal model reads what fits one window in one pass: state t depends on nothing right of t. Spans that end beyond
    it, and every span of a bidirectional model, get a window of their own that ends with their last token.
    """
    shared = [span for span in spans if causal and span.last < room]
    windows = [_cut(ids, 0, shared, start)] if shared else []
    alone = [span for span in spans if not (causal and span.last < room)]
    return windows + [_cut(ids, max(0, span.last + 1 - room), [span], start) for span in alone]


def strided_windows(
    ids: np.ndarray, spans: Sequence[Slot], start: Sequence[int], room: int, stride: int
) -> list[Window]:
    """Windows that begin every `stride` tokens, for causal models; each span is read where most stands left of it.

    The last token t of a span is read from the first window that reaches it: it has at least room - stride tokens to
    its left, or all that there are.
    """
    begins = [max(0, -(-(span.last + 1 - room) // stride)) * stride for span in spans]
    return [_cut(ids, begin, own, start) for begin, own in _by_begin(begins, spans)]


def full_windows(
    ids: np.ndarray, spans: Sequence[Slot], start: Sequence[int], end: Sequence[int], room: int, stride: int
) -> list[Window]:
    """The whole context with start and end tokens, for bidirectional models; beyond `room`, windows that overlap.

    Each span is read from the window that holds all of it and whose centre is nearest.
    """
    last = max(0, len(ids) - room)
    begins = np.unique([*range(0, last, stride), last])
    chosen = [_most_central(span, begins, room) for span in spans]
    return [_cut(ids, begin, own, start, begin + room, end) for begin, own in _by_begin(chosen, spans)]


def _most_central(span: Slot, begins: np.ndarray, room: int) -> int:
    """The window to read a span from; one that is longer than a window is read where its last token is."""
    holds = (begins <= span.first) & (span.last < begins + room)
    first = span.first if holds.any() else span.last
    holds = (begins <= first) & (span.last < begins + room)
    distance = np.abs(begins + (room - 1) / 2 - (first + span.last) / 2)
    return int(begins[np.argmin(np.where(holds, distance, np.inf))])


def _by_begin(begins: Iterable[int], spans: Sequence[Slot]) -> list[tuple[int, list[Slot]]]:
    """Spans of each window, windows in the order of the text."""
    found: dict[int, list[Slot]] = {}
    for begin, span in zip(begins, spans, strict=True):
        found.setdefault(begin, []).append(span)
    return sorted(found.items())


def _cut(
    ids: np.ndarray,
    begin: int,
    spans: Sequence[Slot],
    start: Sequence[int],
    stop: int | None = None,
    end: Sequence[int] = (),
) -> Window:
    """The window from token `begin` of the chain to `stop`, by default to the end of its last span."""
    shift = len(start) - begin
    slots = tuple(
        Slot(
            s.stimulus,
            max(s.first, begin) + shift,
            s.last + shift,
            min(s.lead, max(0, s.first - begin)),
            clipped=s.first - s.lead < begin,
        )
        for s in spans
    )
    text = ids[begin : spans[-1].last + 1 if stop is None else stop]
    return Window(np.concatenate([np.array(start, np.int32), text, np.array(end, np.int32)]), slots)
