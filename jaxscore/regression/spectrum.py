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
from jaxtyping import Float64, Int

from jaxscore.regression.operators import Factor, Matrix, contrast, expand

Fold = tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]


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


def leave_folds_out(factor: Factor, folds: list[Fold]) -> Matrix:
    """C whose rows give the errors on inner test sets; |C y|^2 is the mean over folds of their mean squares.

    Args:
        factor: of the training stimuli.
        folds: positions among the training stimuli.
    """
    n = factor.F.shape[1]
    blocks = []
    for train, test in folds:
        held = np.setdiff1d(np.arange(n), train)
        rows = np.zeros((len(test), n))
        rows[np.arange(len(test)), test] = 1.0
        rows[:, train] = -factor.leave_out(held, train)[np.searchsorted(held, test)]
        blocks.append(rows / np.sqrt(len(test) * len(folds)))
    return np.concatenate(blocks)
