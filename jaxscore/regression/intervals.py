"""Bootstrap intervals of the mean over folds of r: test stimuli, or blocks of them, are drawn again within each fold.

Predictions stay fixed, so that the intervals say how r depends on the stimuli that it was measured on (percentile
intervals). A draw is a weight for each test stimulus; with draws as the rows of W, all sums that r needs are products
of W with the predictions, the responses, their squares and their product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxscore.errors import JaxscoreError
from jaxscore.regression.estimators import Solver
from jaxscore.regression.job import mean_present
from jaxscore.regression.resampling import Portion, Problem, block_orders, check_count, portions
from jaxscore.regression.splits import Fold

if TYPE_CHECKING:
    import xarray as xr

NEUROIDS = 32
"""Neuroids per task of a thread: the sums of all draws stay in the cache."""
ROUND_OFF = 64.0
"""A variance within a draw under this many units in the last place of the mean square is none."""


@dataclass(frozen=True)
class Bootstrap:
    """What `bootstrap` found; NaN where r is not defined.

    Attributes:
        r: mean over folds of r on held-out stimuli [layer, neuroid].
        low: lower end of its interval [layer, neuroid].
        high: upper end of its interval [layer, neuroid].
        median: median over neuroids of r [layer].
        median_low: lower end of its interval [layer].
        median_high: upper end of its interval [layer].
        medians: median over neuroids in each draw [layer, sample]; draws are shared by the layers, so that differences
            between layers are paired.
    """

    r: Float[np.ndarray, "layer neuroid"]
    low: Float[np.ndarray, "layer neuroid"]
    high: Float[np.ndarray, "layer neuroid"]
    median: Float[np.ndarray, " layer"]
    median_low: Float[np.ndarray, " layer"]
    median_high: Float[np.ndarray, " layer"]
    medians: Float[np.ndarray, "layer sample"]


def bootstrap(
    X: Float[np.ndarray, "layer stimulus feature"] | Sequence[Float[np.ndarray, "stimulus _"]] | xr.DataArray,
    Y: Float[np.ndarray, "stimulus neuroid"] | xr.DataArray,
    folds: Sequence[Fold] | str | int | object = 5,
    solver: Solver | str | None = None,
    *,
    samples: int = 1000,
    block: int = 1,
    level: float = 0.95,
    groups: Sequence | None = None,
    seed: int = 0,
    threads: int | None = None,
    chunk: int | None = None,
    **options: Any,
) -> Bootstrap:
    """Percentile intervals of the mean over folds of r, and of its median over neuroids.

    Args:
        X: features of every layer.
        Y: responses.
        folds: as for `cross_validate`.
        solver: as for `cross_validate`.
        samples: draws.
        block: stimuli per block; neighbours in file order are drawn together. Longer than the autocorrelation.
        level: share of the draws inside an interval.
        groups: of the stimuli, for grouped folds.
        seed: of the draws.
        threads: of the host.
        chunk: neuroids per product of `cross_validate`.
        options: further arguments of `cross_validate`.

    Raises:
        JaxscoreError: for no draws, a level outside 0 to 1, or test stimuli that do not make two blocks.
        DataError: as for `cross_validate`.
    """
    check_count("samples", samples)
    if not 0 < level < 1:
        raise JaxscoreError(f"level is {level}, expected a number between 0 and 1", "For 95% intervals: level=0.95.")
    problem = Problem.of(X, Y, folds, solver, groups, threads, chunk, options)
    rng = np.random.default_rng(seed)
    draws = [block_weights(rng, len(test), block, samples) for _, test in problem.folds]
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    shape = (len(problem.X), problem.Y.shape[1])
    r, ends, medians = np.empty(shape), np.empty((2, *shape)), np.empty((shape[0], samples))
    for span, by_fold, predictions in problem.held_out(extra_rows=samples):
        r[span] = mean_present(by_fold, 1)
        kept = np.empty((len(by_fold), samples, shape[1]), problem.dtype)

        def one(portion: Portion, span=span, by_fold=by_fold, predictions=predictions, kept=kept) -> None:
            found = _drawn(problem, portion, by_fold[..., portion.neuroids], predictions, draws)
            kept[..., portion.neuroids] = found
            ends[:, span, portion.neuroids] = _quantiles(found.transpose(0, 2, 1), tails)

        problem.hardware.map(one, portions(problem, NEUROIDS))
        medians[span] = problem.hardware.map(_medians, kept)
    low, high = ends
    return Bootstrap(r, low, high, _medians(r), *_quantiles(medians, tails), medians)


def block_weights(rng: np.random.Generator, rows: int, block: int, count: int) -> Float[np.ndarray, "draw row"]:
    """How often each row is drawn when blocks of neighbours are drawn with replacement, as many as there are.

    The last block may be shorter than the others, and with it a draw.

    Raises:
        JaxscoreError: unless there are at least two blocks.
    """
    order = block_orders(rng, rows, block, count, replace=True)
    blocks = order.shape[1]
    times = np.bincount((order + np.arange(count)[:, None] * blocks).ravel(), minlength=count * blocks)
    return np.repeat(times.reshape(count, blocks), block, axis=1)[:, :rows].astype(np.float64)


def _drawn(
    problem: Problem, portion: Portion, r: Float[np.ndarray, "layer fold neuroid"], predictions, draws
) -> Float[np.ndarray, "layer sample neuroid"]:
    """Mean over folds of r in each draw."""
    found = np.empty((len(predictions), len(r), len(draws[0]), r.shape[-1]), problem.dtype)
    for k, values in enumerate(predictions):
        weights = draws[k][:, portion.positions[k] - portion.starts[k]]
        size = weights.sum(1, keepdims=True)
        weights = np.divide(weights, size, out=np.full(weights.shape, np.nan), where=size > 0).astype(problem.dtype)
        _weighted(weights, *portion.units(k, values, problem.Y), out=found[k])
    if np.isnan(r).any():
        found.transpose(1, 0, 3, 2)[np.isnan(r)] = np.nan
    mean = found.mean(0)
    return mean_present(found, 0) if np.isnan(mean).any() else mean


def _weighted(
    weights: Float[np.ndarray, "sample test"],
    p: Float[np.ndarray, "layer test neuroid"],
    y: Float[np.ndarray, "test neuroid"],
    out: Float[np.ndarray, "layer sample neuroid"],
) -> None:
    """Pearson r under weights that sum to 1; NaN where the predictions or the responses that were drawn do not vary."""

    def centred(square: np.ndarray, mean: np.ndarray) -> np.ndarray:
        variance = square - mean * mean
        variance[variance <= ROUND_OFF * np.finfo(p.dtype).eps * square] = np.nan
        return variance

    spread = np.sqrt(centred(weights @ (y * y), mean := weights @ y))
    for layer, predicted in enumerate(p):
        average = weights @ predicted
        covariance = weights @ (predicted * y) - average * mean
        np.divide(covariance, np.sqrt(centred(weights @ (predicted * predicted), average)) * spread, out=out[layer])


def _quantiles(
    values: Float[np.ndarray, "... draw"], tails: Float[np.ndarray, " tail"]
) -> Float[np.ndarray, "tail ..."]:
    """Quantiles of the draws that are defined."""
    found = np.quantile(values, tails, axis=-1)
    missing = np.isnan(values)
    some = missing.any(-1) & ~missing.all(-1)
    if some.any():
        found[:, some] = np.nanquantile(values[some], tails, axis=-1)
    return found


def _medians(values: Float[np.ndarray, "draw neuroid"]) -> Float[np.ndarray, " draw"]:
    """Median over the neuroids that are defined."""
    return _quantiles(values, np.array([0.5]))[0]
