"""Windows into few compiled shapes: products see no padding, and attention little of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxscore.contexts.windows import Window
from jaxscore.models.layout import Layout, lay_out

QUANTUM = 8
"""Lengths of texts are rounded up to a multiple of this."""
SIZE_QUANTUM = 64
"""Numbers of tokens are rounded up to a multiple of this, small ones (up to twice this) to one of a quarter of it."""

Entries = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(token, slot, weight) of every entry of a pooling."""


@dataclass(frozen=True)
class Batch:
    """Windows that run together.

    Attributes:
        windows: their indices; none in a batch that only keeps a device company.
        tokens: places in the row of tokens.
        rows: texts in the table that attention sees.
        length: places of a text in that table.
        slots: pooled presentations.
        entries: (token, slot) pairs of the pooling.
    """

    windows: tuple[int, ...]
    tokens: int
    rows: int
    length: int
    slots: int
    entries: int

    @property
    def shape(self) -> tuple[int, ...]:
        """What a compiled program is made for."""
        return self.tokens, self.rows, self.length, self.slots, self.entries


@dataclass(frozen=True)
class Costs:
    """What a plan weighs, in units of one token's products with the weights.

    Attributes:
        place: a place of the table that attention sees, whether it is padding or not.
        pair: two places of one text, which attention compares.
        compilation: one more compiled shape.
    """

    place: float
    pair: float
    compilation: float


def choose_lengths(lengths: Sequence[int], costs: Costs, limit: int) -> list[int]:
    """The lengths of tables that minimise padding + compilations, by dynamic programming.

    Args:
        lengths: of all windows, in tokens.
        costs: what padding and compilations cost.
        limit: longest text of the model; padding never goes beyond it.

    Returns:
        Ascending lengths; the last one holds the longest window.
    """
    rounded = np.minimum(-(-np.asarray(lengths) // QUANTUM) * QUANTUM, limit)
    sizes, counts = np.unique(rounded, return_counts=True)
    total = np.concatenate([[0], np.cumsum(counts)])
    text = costs.place * sizes + costs.pair * sizes.astype(float) ** 2
    best, choice = [0.0], []
    for j in range(len(sizes)):
        sums = [best[i] + (total[j + 1] - total[i]) * text[j] + costs.compilation for i in range(j + 1)]
        choice.append(int(np.argmin(sums)))
        best.append(float(min(sums)))
    chosen, j = [], len(sizes)
    while j:
        chosen.append(int(sizes[j - 1]))
        j = choice[j - 1]
    return chosen[::-1]


def plan(
    windows: Sequence[Window],
    *,
    tokens: int,
    costs: Costs,
    limit: int,
    pooling: str,
    devices: int = 1,
    batch_size: int | None = None,
) -> list[Batch]:
    """Plan the batches of a pass: those of one shape stand together, a multiple of `devices` of each.

    Args:
        windows: what is to be read.
        tokens: how many tokens a batch may hold.
        costs: what padding and compilations cost.
        limit: longest text of the model.
        pooling: see `entries_of`.
        devices: batches that run at a time.
        batch_size: texts in a batch, instead of `tokens`.
    """
    lengths = np.array([len(window.tokens) for window in windows])
    slots = np.array([len(window.slots) for window in windows])
    entries = np.array([_entries(window, pooling) for window in windows])
    batches, shorter = [], 0
    for length in choose_lengths(lengths, costs, limit):
        (members,) = np.nonzero((lengths > shorter) & (lengths <= length))
        shorter = length
        # dealt out in order of length, so that every batch has its share of tokens, rows and slots
        members = members[np.argsort(lengths[members], kind="stable")]
        most = batch_size or max(1, int(tokens // lengths[members].mean()))
        count = -(-len(members) // most)
        count = min(-(-count // devices) * devices, len(members))
        parts = [members[first::count] for first in range(count)]
        parts += [members[:0]] * (-count % devices)

        def most_of(values: np.ndarray, parts: list[np.ndarray] = parts) -> int:
            return max(int(values[part].sum()) for part in parts)

        shape = (
            _size(most_of(lengths)),
            max(map(len, parts)),
            length,
            -(-most_of(slots) // QUANTUM) * QUANTUM,
            _size(most_of(entries)),
        )
        batches += [Batch(tuple(map(int, part)), *shape) for part in parts]
    return batches


def _size(number: int) -> int:
    """The number of tokens of a compiled shape that holds so many."""
    quantum = SIZE_QUANTUM if number > 2 * SIZE_QUANTUM else SIZE_QUANTUM // 4
    return -(-number // quantum) * quantum


def _entries(window: Window, pooling: str) -> int:
    spans = (_span(slot, slot.pooling or pooling) for slot in window.slots)
    return sum(last + 1 - first for first, last in spans)


def fill(windows: Sequence[Window], batch: Batch, pooling: str) -> tuple[Layout, Entries]:
    """The arrays of one batch, padded to its shape; entries of no weight fill the pooling up."""
    texts = [windows[index].tokens for index in batch.windows]
    layout = lay_out(texts, tokens=batch.tokens, rows=batch.rows, length=batch.length)
    token, slot = np.zeros((2, batch.entries), np.int32)
    weight = np.zeros(batch.entries, np.float32)
    entry = begin = number = 0
    for index in batch.windows:
        window = windows[index]
        for pooled in window.slots:
            kind = pooled.pooling or pooling
            first, last = _span(pooled, kind)
            here = slice(entry, entry + last + 1 - first)
            token[here] = begin + np.arange(first, last + 1)
            slot[here] = number
            weight[here] = 1.0 / (last + 1 - first) if kind == "mean" else 1.0
            entry, number = here.stop, number + 1
        begin += len(window.tokens)
    return layout, (token, slot, weight)


def _span(slot, pooling: str) -> tuple[int, int]:
    """First and last token of a window that a slot pools; one without tokens of its own has the last of the text."""
    first = min(slot.first, slot.last)
    match pooling:
        case "last":
            return slot.last, slot.last
        case "first":
            return first, first
        case "cls":
            return 0, 0
    return first, slot.last
