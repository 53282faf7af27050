"""Cross-validated regression of all layers, folds and neuroids in one pass: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression.correlation import correlate
from jaxscore.regression.operators import Diagnosis, Solver, Split, fold_operators
from jaxscore.regression.splits import Fold


@dataclass(frozen=True)
class CrossValidation:
    """What `cross_validate` found.

    Attributes:
        r: Pearson r on held-out stimuli [layer, fold, neuroid]; NaN where it is not defined.
        inner_r: None, or [layer, fold, inner neuroid]: for each fold, the mean r over the OTHER folds when they are
            predicted without that fold, so that a choice among layers made for a fold never saw it.
        diagnoses: for each layer, how its operators were made.
    """

    r: Float[np.ndarray, "layer fold neuroid"]
    inner_r: Float[np.ndarray, "layer fold inner"] | None
    diagnoses: list[Diagnosis]


def cross_validate(
    X: Float[np.ndarray, "layer stimulus feature"] | Sequence[Float[np.ndarray, "stimulus _"]],
    Y: Float[np.ndarray, "stimulus neuroid"],
    folds: Sequence[Fold],
    *,
    alpha: float = 0.0,
    rcond: float = 1e-6,
    inner: Int[np.ndarray, " inner"] | None = None,
    dtype: str = "float32",
    chunk: int | None = None,
    threads: int | None = None,
    step: Callable[[str, int], None] | None = None,
) -> CrossValidation:
    """Predict held-out responses from features, by minimum-norm OLS (alpha = 0) or ridge, and correlate.

    The numbers are those of scikit-learn's LinearRegression and Ridge in float64, refitted for each fold.

    Args:
        X: features of every layer; layers may differ in width.
        Y: responses; no NaN.
        folds: (train, test) index pairs whose test sets partition the stimuli.
        alpha: ridge penalty in scikit-learn's convention; 0 is OLS.
        rcond: OLS: singular values of the centred training features under rcond x the largest are zero.
        inner: indices of the neuroids for which `inner_r` is computed as well.
        dtype: of the product with the responses: "float32" (|delta r| <= 1e-5) or "float64".
        chunk: neuroids per product.
        threads: layers whose operators are made at the same time; by default the number of usable processors.
        step: called as step(phase, amount) with phase "operators" (layers) or "voxels" (neuroids), for progress bars.

    Raises:
        DataError: if rows do not match, values are not finite, or a fold is too small.
    """
    X = [np.asarray(x) for x in X]
    if inner is not None and len(folds) < 3:
        raise DataError(f"{len(folds)} folds leave none to train on beside an outer and an inner one", "Use 3 or more.")
    _check(X, Y, folds, alpha, rcond)

    outer = [Split(np.sort(train), (test,)) for train, test in folds]
    pairs = [] if inner is None else _pairs(folds)

    def one(x: np.ndarray):
        made = fold_operators(x, outer + pairs, Solver(alpha, rcond))
        if step:
            step("operators", 1)
        return made

    # LAPACK on matrices of this size gains nothing from threads of its own: one layer a thread instead
    with threadpool_limits(1), ThreadPoolExecutor(threads or _processors()) as pool:
        operators, diagnoses = zip(*pool.map(one, X), strict=True)
    k = len(folds)

    def product(sets: slice, splits: list[Split], responses: np.ndarray) -> np.ndarray:
        report = (lambda amount: step("voxels", amount)) if step else None
        tests = [test for split in splits for test in split.tests]
        return correlate([rows[sets] for rows in operators], tests, responses, dtype=dtype, chunk=chunk, step=report)

    r = product(slice(k), outer, Y)
    inner_r = None if inner is None else _inner_means(product(slice(k, None), pairs, Y[:, inner]), k)
    return CrossValidation(r, inner_r, list(diagnoses))


def mean_present(values: Float[np.ndarray, ...], axis: int) -> Float[np.ndarray, ...]:
    """Mean over an axis that skips NaN; NaN where nothing is left."""
    count = np.isfinite(values).sum(axis)
    total = np.nansum(values, axis, dtype=np.float64)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _pairs(folds: Sequence[Fold]) -> list[Split]:
    """Every pair of folds left out together, each of the two predicted without the other."""
    everything = np.sort(np.concatenate([test for _, test in folds]))
    return [
        Split(np.setdiff1d(everything, np.concatenate([a, b])), (a, b)) for (_, a), (_, b) in combinations(folds, 2)
    ]


def _inner_means(r: Float[np.ndarray, "layer set neuroid"], k: int) -> Float[np.ndarray, "layer fold neuroid"]:
    """Mean over i of r on fold i when folds i and j are left out, for each fold j."""
    seen_for: list[list[int]] = [[] for _ in range(k)]
    for pair, (a, b) in enumerate(combinations(range(k), 2)):
        seen_for[b].append(2 * pair)  # fold a, predicted without b
        seen_for[a].append(2 * pair + 1)
    return np.stack([mean_present(r[:, sets], 1) for sets in seen_for], axis=1)


def _check(X: list[np.ndarray], Y: np.ndarray, folds: Sequence[Fold], alpha: float, rcond: float) -> None:
    if not X:
        raise DataError("No layers: X is empty", "Pass X as [layer, stimulus, feature].")
    if not (np.isfinite(alpha) and alpha >= 0):
        raise JaxscoreError(f"alpha is {alpha}, expected a number >= 0", "alpha = 0 is OLS; ridge wants alpha > 0.")
    if not 0 < rcond < 1:
        raise JaxscoreError(f"rcond is {rcond}, expected a number between 0 and 1", "The default is --rcond 1e-6.")
    for i, x in enumerate(X):
        if x.ndim != 2 or len(x) != len(Y):
            raise DataError(
                f"layer {i} of X has shape {x.shape}, Y has shape {Y.shape}: they must have the same stimuli as rows",
                "X is [layer, stimulus, feature], Y is [stimulus, neuroid].",
            )
        if not np.isfinite(x).all():
            raise DataError(
                f"layer {i} of X has {np.count_nonzero(~np.isfinite(x))} values that are NaN or infinite",
                "Activations overflow in float16: extract with --dtype float32 or bfloat16.",
            )
    if not np.isfinite(Y).all():
        raise DataError(
            f"Y has {np.count_nonzero(~np.isfinite(Y))} values that are NaN or infinite",
            "Drop or fill them before regression (jaxscore.data.drop_unusable drops such neuroids).",
        )
    for k, (train, test) in enumerate(folds):
        if len(train) < 2 or len(test) < 2:
            raise DataError(
                f"fold {k} has {len(train)} training and {len(test)} test stimuli, expected at least 2 of each"
            )


def _processors() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
