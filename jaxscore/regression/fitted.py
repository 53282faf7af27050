"""A fitted linear regression in as few numbers as it needs: [feature, neuroid] only where there are more stimuli."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

from jaxscore.regression.operators import centred
from jaxscore.regression.pls import pls_scores, standardised

CHUNK = 1024
"""Neuroids at a time."""
Columns = Int[np.ndarray, " column"] | slice
Solve = Callable[[int, Float64[np.ndarray, "train neuroid"]], Float64[np.ndarray, "direction neuroid"]]
"""From a candidate and centred responses to weights."""


@dataclass(frozen=True)
class Fitted:
    """Predictions are response + sum_s g_s (x_s - mean_s)' B_s w, with B_s the rows of the basis for space s.

    Attributes:
        mean: of the training features.
        response: mean response in training.
        basis: B; None if w are the coefficients of the features themselves.
        weights: w.
        spaces: columns of each feature space.
        scales: g; None if there are no feature spaces.
    """

    mean: Float64[np.ndarray, " feature"]
    response: Float64[np.ndarray, " neuroid"]
    basis: Float64[np.ndarray, "feature direction"] | None
    weights: Float64[np.ndarray, "direction neuroid"]
    spaces: Sequence[Columns] = ()
    scales: Float64[np.ndarray, "space neuroid"] | None = None

    def coefficients(self, span: slice) -> Float64[np.ndarray, "feature neuroid"]:
        """Of some of the neuroids."""
        if self.basis is None:
            return self.weights[:, span]
        C = self.basis @ self.weights[:, span]
        return C if self.scales is None else _scaled(C, self.spaces, self.scales[:, span])

    def predict(self, X: Float[np.ndarray, "stimulus feature"]) -> Float64[np.ndarray, "stimulus neuroid"]:
        """Responses to stimuli."""
        X = X - self.mean
        if self.basis is None:
            return X @ self.weights + self.response
        if self.scales is None:
            return (X @ self.basis) @ self.weights + self.response
        parts = (((X[:, s] @ self.basis[s]) @ self.weights) * g for s, g in zip(self.spaces, self.scales, strict=True))
        return sum(parts, self.response)


def _scaled(C: np.ndarray, spaces: Sequence[Columns], scales: np.ndarray) -> np.ndarray:
    for columns, g in zip(spaces, scales, strict=True):
        C[columns] *= g
    return C


def chunks(neuroids: int, size: int = CHUNK) -> Iterator[slice]:
    """Slices of neuroids."""
    return (slice(start, min(start + size, neuroids)) for start in range(0, neuroids, size))


def spanned(
    X: Float[np.ndarray, "train feature"],
) -> tuple[Float64[np.ndarray, "train column"], Float64[np.ndarray, "feature column"] | None]:
    """Centred features in as few columns as they need, and the orthonormal basis of these; None: the features."""
    C = centred(np.asarray(X, np.float64))
    if C.shape[1] <= len(C):
        return C, None
    basis, R = np.linalg.qr(C.T)
    return R.T, basis


def direct(
    weights: Solve,
    chosen: Int[np.ndarray, " neuroid"],
    X: Float[np.ndarray, "train feature"],
    Y: Float[np.ndarray, "train neuroid"],
    basis: Float64[np.ndarray, "feature column"] | None,
) -> Fitted:
    """A regression without feature spaces.

    Args:
        weights: see `WeightSearch`.
        chosen: candidate of each neuroid.
        X: training features.
        Y: training responses.
        basis: see `spanned`.
    """
    found = np.empty((X.shape[1] if basis is None else basis.shape[1], Y.shape[1]))
    for span in chunks(Y.shape[1]):
        found[:, span] = _solve(weights, chosen[span], Y[:, span])
    return Fitted(X.mean(0, dtype=np.float64), Y.mean(0, dtype=np.float64), basis, found)


def spaced(
    dual: Solve,
    chosen: Int[np.ndarray, " neuroid"],
    X: Float[np.ndarray, "train feature"],
    Y: Float[np.ndarray, "train neuroid"],
    spaces: Sequence[Columns],
    scales: Float64[np.ndarray, "space neuroid"],
) -> Fitted:
    """A regression with feature spaces.

    Args:
        dual: see `DualSearch`.
        chosen: candidate of each neuroid.
        X: training features.
        Y: training responses.
        spaces: columns of each feature space.
        scales: weight of each space for each neuroid.
    """
    C = centred(np.asarray(X, np.float64))
    n, p = C.shape
    found = np.empty((min(n, p), Y.shape[1]))
    for span in chunks(Y.shape[1]):
        a = _solve(dual, chosen[span], Y[:, span])
        found[:, span] = a if n <= p else _scaled(C.T @ a, spaces, scales[:, span])
    mean, response = X.mean(0, dtype=np.float64), Y.mean(0, dtype=np.float64)
    return Fitted(mean, response, C.T if n <= p else None, found, spaces, scales)


def _solve(candidates: Solve, chosen: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Weights of neuroids, each by its own candidate."""
    Y = Y - Y.mean(0, dtype=np.float64)
    order = np.argsort(chosen, kind="stable")
    first = np.flatnonzero(np.diff(chosen[order]))
    groups = np.split(order, first + 1)
    parts = [candidates(int(chosen[mine[0]]), Y[:, mine]) for mine in groups]
    return np.concatenate(parts, axis=1)[:, np.argsort(order)]


def rotated(
    X: Float[np.ndarray, "train feature"],
    Y: Float[np.ndarray, "train neuroid"],
    kernel: Float64[np.ndarray, "train train"],
    components: int,
    scale: bool,
) -> Fitted:
    """Partial least squares: rotations of the features, and loadings of the neuroids.

    Args:
        X: training features.
        Y: training responses.
        kernel: Y Y'.
        components: how many to look for.
        scale: divide features by their standard deviations.
    """
    Z, mean, deviation = standardised(np.asarray(X, np.float64), scale)
    Z, basis = spanned(Z)
    # scores are linear in the features: those of unit vectors are the rotations
    S, T = pls_scores(Z, kernel, np.eye(Z.shape[1]), components)
    rotations = (S if basis is None else basis @ S) / deviation[:, None]
    response = Y.mean(0, dtype=np.float64)
    weights = np.concatenate([T.T @ (Y[:, span] - response[span]) for span in chunks(Y.shape[1])], axis=1)
    return Fitted(mean, response, rotations, weights)
