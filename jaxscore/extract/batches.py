"""Windows into few padded shapes: the compiled programs that they need weighed against the padding that they save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

QUANTUM = 8
"""Lengths are rounded up to a multiple of this."""


@dataclass(frozen=True)
class Batch:
    """Windows that run together.

    Attributes:
        windows: their indices.
        rows: texts in the padded array; rows beyond the windows are empty.
        length: tokens in the padded array.
        slots: pooled stimuli per row in the padded array.
    """

    windows: tuple[int, ...]
    rows: int
    length: int
    slots: int


def choose_lengths(lengths: Sequence[int], compile_cost: float) -> list[int]:
    """The padded lengths that minimise padded tokens + compile_cost x number of lengths, by dynamic programming.

    Args:
        lengths: of all windows, in tokens.
        compile_cost: what one more compiled shape costs, in tokens.

    Returns:
        Ascending padded lengths; the last one holds the longest window.
    """
    rounded = -(-np.asarray(lengths) // QUANTUM) * QUANTUM
    sizes, counts = np.unique(rounded, return_counts=True)
    total = np.concatenate([[0], np.cumsum(counts)])
    best, choice = [0.0], []
    for j, size in enumerate(sizes):
        costs = [best[i] + (total[j + 1] - total[i]) * size + compile_cost for i in range(j + 1)]
        choice.append(int(np.argmin(costs)))
        best.append(float(min(costs)))
    chosen, j = [], len(sizes)
    while j:
        chosen.append(int(sizes[j - 1]))
        j = choice[j - 1]
    return chosen[::-1]


def plan(
    lengths: Sequence[int],
    slots: Sequence[int],
    *,
    tokens: int,
    compile_cost: float,
    limit: int,
    batch_size: int | None = None,
) -> list[Batch]:
    """Plan the batches of a pass.

    Args:
        lengths: of all windows, in tokens.
        slots: pooled stimuli of all windows.
        tokens: how many tokens a batch should hold.
        compile_cost: what one more compiled shape costs, in tokens.
        limit: longest text of the model; padding never goes beyond it.
        batch_size: texts in a batch, instead of `tokens`.
    """
    lengths, slots = np.asarray(lengths), np.asarray(slots)
    batches, shorter = [], 0
    for length in choose_lengths(lengths, compile_cost):
        (members,) = np.nonzero((lengths > shorter) & (lengths <= length))
        shorter = length
        most = batch_size or max(1, tokens // length)
        count = -(-len(members) // most)
        rows = -(-len(members) // count)
        for part in np.array_split(members[np.argsort(lengths[members], kind="stable")], count):
            batches.append(Batch(tuple(map(int, part)), rows, min(length, limit), int(slots[members].max())))
    return batches
