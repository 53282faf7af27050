r"""The singular vectors of centred training features: ridge at every alpha, from one decomposition.

With H' M = W diag(s) V' (M the features in contrast coordinates), the residual of ridge on its own training stimuli is
G y with G = W diag(g) W' and g = alpha / (s^2 + alpha); directions that no feature reaches have s = 0, g = 1. G is
alpha times the G of `operators`, so what is left out of it is left out as there:

    leave one out   e_i = (G y)_i / G_ii
    inner fold S    e_S = G_SS^{-1} (G y)_S
    GCV             n sum_k g_k^2 (W' y)_k^2 / (sum_k g_k)^2
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from jaxscore.regression.operators import Factor, Matrix, contrast, expand
from jaxscore.regression.splits import Fold


@dataclass(frozen=True)
class Spectrum:
    """Decomposed training features.

    Attributes:
        mean: of the training features.
        W: orthonormal directions of the centred stimuli: all n - 1 of them, or only those that features reach.
        s: singular values, 0 where no feature reaches.
        V: feature weights of the first singular values.
    """

    mean: Float64[np.ndarray, " feature"]
    W: Float64[np.ndarray, "train direction"]
    s: Float64[np.ndarray, " direction"]
    V: Float64[np.ndarray, "feature rank"]

    @classmethod
    def of(cls, X: Float64[np.ndarray, "train feature"], *, full: bool = True) -> Spectrum:
        """Decompose training features; `full` asks for all directions."""
        mean = X.mean(0)
        M = contrast(X - mean)
        U, s, Vt = np.linalg.svd(M, full_matrices=full and M.shape[0] > M.shape[1])
        rank = len(s)
        return cls(mean, expand(U.T).T, np.pad(s, (0, U.shape[1] - rank)), Vt[:rank].T)

    def left(self, alpha: float) -> Float64[np.ndarray, " direction"]:
        """g: what ridge leaves of each direction."""
        return alpha / (np.square(self.s) + alpha)

    def residual_maker(self, alpha: float) -> Matrix:
        """G, if W has all directions."""
        return (self.W * self.left(alpha)) @ self.W.T

    def factor(self, alpha: float) -> Factor:
        """F with F'F = G."""
        return Factor("ridge", np.sqrt(self.left(alpha))[:, None] * self.W.T, np.inf, len(self.s))

    def operator(self, alpha: float, X: Float64[np.ndarray, "held feature"]) -> Float64[np.ndarray, "held train"]:
        """Predictions for new stimuli from the responses to the training stimuli."""
        rank = self.V.shape[1]
        s = self.s[:rank]
        weights = ((X - self.mean) @ self.V) * (s / (np.square(s) + alpha))
        return weights @ self.W[:, :rank].T + 1.0 / len(self.W)

    def rank(self, rcond: float) -> int:
        """How many singular values are over rcond x the largest."""
        return int((self.s > rcond * self.s[:1]).sum())

    def weights(
        self, alpha: float, Y: Float64[np.ndarray, "train neuroid"], rcond: float
    ) -> Float64[np.ndarray, "feature neuroid"]:
        """Weights of the features: V diag(s / (s^2 + alpha)) W' Y, over the directions of `rank`."""
        rank = self.rank(rcond)
        s = self.s[:rank, None]
        return self.V[:, :rank] @ (s / (np.square(s) + alpha) * (self.W[:, :rank].T @ Y))


def leave_one_out(G: Matrix) -> Matrix:
    """C whose rows give each stimulus's error when it is predicted from the others; |C y|^2 is their mean square."""
    return G / (np.diag(G)[:, None] * len(G) ** 0.5)


def left_out(n: int, folds: list[Fold]) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Of inner folds of n stimuli: what is left out, where the test set is in it, and the root of the fold's weight."""
    stimuli = np.arange(n)
    held = [np.setdiff1d(stimuli, train, assume_unique=True) for train, _ in folds]
    return [
        (out, np.searchsorted(out, test), (len(test) * len(folds)) ** -0.5)
        for out, (_, test) in zip(held, folds, strict=True)
    ]


def leave_folds_out(factor: Factor, left: list[tuple[np.ndarray, np.ndarray, float]]) -> Matrix:
    """C whose rows give the errors on inner test sets; |C y|^2 is the mean over folds of their mean squares.

    Args:
        factor: of the training stimuli.
        left: what `left_out` says of the folds.
    """
    blocks = []
    for held, test, scale in left:
        inverse, rest = factor.errors(held, slice(None))
        blocks.append((inverse[test] * scale) @ rest)
    return np.concatenate(blocks)
