r"""Variance partition of banded ridge: how much of R2 on held-out stimuli belongs to which feature space.

Product measure: predictions are sums over spaces, p = sum_b p_b (less the training mean), and with y the responses less
the training mean

    R2 = 1 - sum (y - p)^2 / sum y^2 = sum_b R2_b,    R2_b = sum p_b (2 y - p) / sum y^2.

Unique R2 of a space: R2 of all spaces less R2 of a regression without it, its weights and alphas chosen anew.
Shared R2: what the unique parts leave of R2.

Source: Dupre la Tour, Eickenberg, Nunez-Elizalde and Gallant, NeuroImage 264 (2022).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int

from jaxscore.errors import DataError, GridEdgeWarning
from jaxscore.regression.banded import BandedRidgeCV
from jaxscore.regression.checks import check_features, check_responses
from jaxscore.regression.crossval import cross_validate
from jaxscore.regression.edges import warn_at_edges
from jaxscore.regression.hardware import Hardware, choose_hardware
from jaxscore.regression.labels import Labels
from jaxscore.regression.pls import response_kernel
from jaxscore.regression.scores import standardise
from jaxscore.regression.search import choose_for_all, choose_for_each
from jaxscore.regression.splits import Fold, check_folds, make_folds

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Shares:
    """R2 and its parts; NaN for neuroids that do not vary.

    Attributes:
        total: R2 of all feature spaces together.
        product: R2 of each space by the product measure; their sum is `total`.
        unique: what is lost without each space.
    """

    total: Float64[np.ndarray, "layer neuroid"]
    product: Float64[np.ndarray, "space layer neuroid"]
    unique: Float64[np.ndarray, "space layer neuroid"]

    @property
    def shared(self) -> Float64[np.ndarray, "layer neuroid"]:
        """What no space explains alone."""
        return self.total - self.unique.sum(0)


@dataclass(frozen=True)
class Partition:
    """What `variance_partition` found.

    Attributes:
        spaces: labels of the feature spaces.
        mean: of R2 of each fold.
        pooled: of all held-out stimuli together: sums of squares over all folds.
    """

    spaces: list
    mean: Shares
    pooled: Shares


def variance_partition(
    X: Float[np.ndarray, "layer stimulus feature"] | Sequence[Float[np.ndarray, "stimulus _"]] | xr.DataArray,
    Y: Float[np.ndarray, "stimulus neuroid"] | xr.DataArray,
    folds: Sequence[Fold] | str | int | object,
    solver: BandedRidgeCV,
    *,
    groups: Sequence | None = None,
    dtype: str = "float32",
    threads: int | None = None,
    chunk: int | None = None,
) -> Partition:
    """Split R2 on held-out stimuli among feature spaces.

    Args:
        X: features of every layer.
        Y: responses without NaN.
        folds: see `cross_validate`.
        solver: whose `groups` name the feature spaces, at least two.
        groups: of the stimuli, for grouped folds.
        dtype: of the products in which weights and alphas are chosen.
        threads: of the host.
        chunk: neuroids per product.

    Raises:
        DataError: if there are fewer than two spaces or responses are NaN, and as `cross_validate`.

    Warns:
        GridEdgeWarning: if alphas chosen for all spaces together sit on the edge of the grid.
    """
    if len(solver.labels) < 2:
        raise DataError(
            "There is one feature space, expected at least 2", "BandedRidgeCV(groups=label of each feature)"
        )
    X, Y, _ = Labels.take(X, Y)
    X = check_features(X, Y)
    Y = check_responses(Y)
    if missing := int(np.isnan(Y).any(0).sum()):
        raise DataError(f"{missing} of {Y.shape[1]} neuroids have NaN responses", "Drop or fill them first.")
    groups = None if groups is None else np.asarray(groups)
    folds = check_folds(make_folds(folds, len(Y), groups=groups), len(Y))
    solver.check(folds, groups)
    hardware = choose_hardware(mesh="host", threads=threads, chunk=chunk)
    layers = hardware.map(solver.coordinates, X)
    tasks = [(x, fold) for x in layers for fold in folds]
    responses = Responses(
        standardise(Y, dtype).Z, standardise(Y, "float64").Z, response_kernel(Y) if solver.needs_kernel else None
    )
    found = hardware.map(lambda task: _explained(*task, responses, solver, groups, hardware), tasks)
    explained, total, chosen = (
        np.stack(parts).reshape(len(X), len(folds), *parts[0].shape) for parts in zip(*found, strict=True)
    )
    warn_at_edges(solver.described(chosen)[0][np.isfinite(total)], solver.alphas)
    product = (explained / total[:, :, None]).mean(1).swapaxes(0, 1)
    pooled = (explained.sum(1) / total.sum(1)[:, None]).swapaxes(0, 1)
    without = [_without(label, X, Y, folds, solver, groups, dtype, threads, chunk) for label in solver.labels]
    mean_without, pooled_without = (np.stack(values) for values in zip(*without, strict=True))
    return Partition(
        solver.labels,
        Shares(product.sum(0), product, product.sum(0) - mean_without),
        Shares(pooled.sum(0), pooled, pooled.sum(0) - pooled_without),
    )


class Responses(NamedTuple):
    """Responses as choices are made on them, in float64, and their kernel if choices go by it."""

    Z: Float[np.ndarray, "stimulus neuroid"]
    exact: Float64[np.ndarray, "stimulus neuroid"]
    kernel: Float64[np.ndarray, "stimulus stimulus"] | None


def _explained(
    x, fold: Fold, Y: Responses, solver: BandedRidgeCV, groups: np.ndarray | None, hardware: Hardware
) -> tuple[Float64[np.ndarray, "space neuroid"], Float64[np.ndarray, " neuroid"], Int[np.ndarray, " neuroid"]]:
    """Over the test set of a fold, sum of p_b (2 y - p) of each space and sum of y^2; and the candidates."""
    train, test = np.sort(fold[0]), fold[1]
    Z, known, kernel = Y
    held, dtype = np.setdiff1d(np.arange(len(Z)), train), Z.dtype.name
    kernel = None if kernel is None else kernel[np.ix_(train, train)]
    search = solver.search(x, train, held, groups=groups, path="auto", kernel=kernel)
    if solver.per_neuroid:
        spans = hardware.chunks(Z.shape[1], 3 * Z.itemsize * len(Z))
        chosen = np.concatenate(choose_for_each(search, [Z[train, span] for span in spans], dtype, np)[0])
    else:
        chosen = np.full(Z.shape[1], choose_for_all(search, kernel, dtype, np))
    y, rows = known[test] - known[train].mean(0), np.searchsorted(held, test)
    known = known[train]
    explained = np.empty((len(solver.labels), Z.shape[1]))
    for candidate in np.unique(chosen):
        mine = chosen == candidate
        p = search.parts(int(candidate))[:, rows] @ known[:, mine]
        explained[:, mine] = np.einsum("btv,tv->bv", p, 2.0 * y[:, mine] - p.sum(0))
    return explained, np.einsum("tv,tv->v", y, y), chosen


def _without(
    label, X, Y: np.ndarray, folds: list[Fold], solver: BandedRidgeCV, groups: np.ndarray | None, dtype, threads, chunk
) -> tuple[Float64[np.ndarray, "layer neuroid"], Float64[np.ndarray, "layer neuroid"]]:
    """R2 without a feature space, mean over folds and pooled."""
    others = np.flatnonzero(np.asarray(solver.groups) != label)
    options = {"scores": ("r2",), "groups": groups, "dtype": dtype, "threads": threads, "chunk": chunk}
    with warnings.catch_warnings():
        # how often alphas sit on the edge is told of the regression with all spaces
        warnings.simplefilter("ignore", GridEdgeWarning)
        found = cross_validate([x[:, others] for x in X], Y, folds, solver.without(label), **options)
    return found.scores["r2"].mean(1, dtype=np.float64), found.pooled_r2.astype(np.float64)
