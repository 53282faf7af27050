"""Mean r over folds under permuted responses: against predictions that stay, or regressed and predicted anew."""

from __future__ import annotations

import warnings
from itertools import product
from threading import Lock
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import DTypeLike

from jaxscore.errors import GridEdgeWarning
from jaxscore.regression.hardware import free_memory
from jaxscore.regression.job import mean_present
from jaxscore.regression.missing import patterns
from jaxscore.regression.resampling import Portion, Problem, portions, restricted

NEUROIDS = 128
"""Neuroids per task of a thread."""
GATHERED = 24576
"""Permuted responses per product: they stay in the cache, and BLAS takes its path for small matrices."""
GROUP = 16
"""Neuroids whose permuted responses are held at the same time."""
SHARING = 16
"""Permutations that share operators: more of them save nothing that can be measured."""
TIES = 16.0
"""Values of r within this many units in the last place of 1 are the same."""


class Null(NamedTuple):
    """Observed mean r over folds, how many permutations reach it, and the largest r of each over the neuroids."""

    r: Float[np.ndarray, "layer neuroid"]
    reached: Int[np.ndarray, "layer neuroid"]
    largest: Float[np.ndarray, "layer permutation"]


def tolerance(dtype: DTypeLike) -> float:
    """Values of r no further apart are the same: a permutation may change nothing."""
    return float(TIES * np.finfo(dtype).eps)


def fixed_null(problem: Problem, table: Int[np.ndarray, "permutation test"], width: float) -> Null:
    """The cheap null: orders of the test stimuli of all folds, one fold after the other; predictions stay.

    With r as a product of unit vectors, a null is one gather of a neuroid's responses and one product with the
    predictions of all layers, which stay in the cache. `width` multiplies the null.
    """
    shape = (len(problem.X), problem.Y.shape[1])
    r, reached = np.empty(shape), np.zeros(shape, np.int64)
    largest, lock = np.full((shape[0], len(table)), -np.inf, problem.dtype), Lock()
    for span, by_fold, predictions in problem.held_out():
        r[span] = mean_present(by_fold, 1)

        def one(portion: Portion, span=span, by_fold=by_fold, predictions=predictions) -> None:
            P, y = _vectors(problem, portion, by_fold[..., portion.neuroids], predictions)
            defined = np.isfinite(r[span, portion.neuroids])
            order = restricted(table, np.concatenate(portion.positions))
            counts, maximum = _products(P, y, order, defined.T, width)
            reached[span, portion.neuroids] = counts.T
            with lock:
                np.maximum(largest[span], maximum, out=largest[span])

        problem.hardware.map(one, portions(problem, NEUROIDS))
    return Null(r, reached, largest)


def _vectors(problem: Problem, portion: Portion, r: Float[np.ndarray, "layer fold neuroid"], predictions):
    """Predictions [neuroid, layer, test] and responses [neuroid, test]: their products are the mean over folds of r."""
    defined = np.isfinite(r)
    weights = defined / np.maximum(1, defined.sum(1, keepdims=True))
    rows = sum(map(len, portion.tests))
    P = np.empty((r.shape[2], r.shape[0], rows), problem.dtype)
    y = np.empty((r.shape[2], rows), problem.dtype)
    end = 0
    for k, values in enumerate(predictions):
        p, own = portion.units(k, values, problem.Y)
        start, end = end, end + len(own)
        P[..., start:end] = (p * weights[:, k, None]).transpose(2, 0, 1)
        y[:, start:end] = own.T
    return P, y


def _products(
    P: Float[np.ndarray, "neuroid layer test"],
    y: Float[np.ndarray, "neuroid test"],
    table: Int[np.ndarray, "permutation test"],
    defined: Bool[np.ndarray, "neuroid layer"],
    width: float,
) -> tuple[Int[np.ndarray, "neuroid layer"], Float[np.ndarray, "layer permutation"]]:
    """How many permutations reach the observed r, and the largest r of each permutation."""
    bar = (P @ y[..., None] - tolerance(y.dtype)) / np.asarray(width, y.dtype)
    counts = np.zeros(P.shape[:2], np.int64)
    maximum = np.full((P.shape[1], len(table)), -np.inf, y.dtype)
    tile = max(16, GATHERED // y.shape[1])
    buffer = np.empty(GROUP * tile * y.shape[1], y.dtype)
    for start, first in product(range(0, len(table), tile), range(0, len(y), GROUP)):
        part, group = table[start : start + tile], slice(first, first + GROUP)
        gathered = buffer[: len(y[group]) * part.size].reshape(-1, *part.shape)
        np.take(y[group], part, axis=1, out=gathered, mode="wrap")  # the mode of least work for each index
        null = P[group] @ gathered.transpose(0, 2, 1)
        counts[group] += np.count_nonzero(null >= bar[group], axis=2)
        null[~defined[group]] = -np.inf
        running = maximum[:, start : start + tile]
        np.maximum(running, null.max(0), out=running)
    return counts, np.asarray(width, y.dtype) * maximum


def refitted_null(problem: Problem, table: Int[np.ndarray, "permutation stimulus"]) -> Null:
    """The exact null: orders of all stimuli. Permutations stand side by side as neuroids and share their operators."""
    Y, layers, neuroids = problem.Y, len(problem.X), problem.Y.shape[1]
    r = mean_present(problem.run(problem.X, Y).r, 1)
    reached, largest = np.zeros(r.shape, np.int64), np.full((layers, len(table)), -np.inf)
    bar = r - tolerance(problem.dtype)
    groups = [(rows, own, restricted(table, rows)) for rows, own in patterns(Y)]
    size = _together(problem)
    for start in range(0, len(table), size):
        count = len(table[start : start + size])
        permuted = np.full((len(Y), count, neuroids), np.nan, Y.dtype)
        for rows, own, order in groups:
            stimuli = rows[order[start : start + size]].T
            permuted[np.ix_(rows, range(count), own)] = Y[stimuli[..., None], own]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GridEdgeWarning)  # responses in a wrong order want the largest alpha
            found = problem.run(problem.X, permuted.reshape(len(Y), -1))
        null = mean_present(found.r, 1).reshape(layers, count, neuroids)
        reached += (null >= bar[:, None]).sum(1)
        null[np.isnan(null)] = -np.inf
        largest[:, start : start + count] = null.max(2)
    return Null(r, reached, largest)


def _together(problem: Problem) -> int:
    """Permutations per regression: one where neuroids choose together, else as many as gain from sharing operators."""
    if not problem.solver.per_neuroid:
        return 1
    stimuli, neuroids = problem.Y.shape
    each = neuroids * (3 * stimuli * problem.Y.itemsize + len(problem.X) * len(problem.folds) * 32)
    return int(min(SHARING, max(1, free_memory() / 4 / each)))
