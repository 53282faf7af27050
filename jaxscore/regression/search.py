"""Choosing among candidate regressions inside a training set, for every neuroid or for all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float64, Int

from jaxscore.regression.energies import Criterion, Directions, Residuals, Triangles
from jaxscore.regression.operators import Matrix
from jaxscore.regression.pls import pls_scores
from jaxscore.regression.spectrum import Spectrum, leave_folds_out, leave_one_out, left_out
from jaxscore.regression.splits import Fold


class Search(Protocol):
    """Candidate regressions on the training stimuli of one fold of one layer."""

    path: str
    rank: int
    condition: float

    def criteria(self, dtype: str, xp: ModuleType) -> Iterator[Criterion]:
        """Errors of the candidates, in their order, a batch of them at a time; nothing if there is no choice."""

    def operator(self, candidate: int) -> Float64[np.ndarray, "held train"]:
        """Predictions of a candidate for all stimuli that are not trained on, in the order of their rows."""


class WeightSearch(Search, Protocol):
    """A search for `Solver.fit`, of a regression without feature spaces."""

    def weights(self, candidate: int, Y: Float64[np.ndarray, "train neuroid"]) -> Float64[np.ndarray, "column neuroid"]:
        """Weights b of the coordinates: centred responses Y are predicted by (x - mean)' b."""


class DualSearch(Search, Protocol):
    """A search for `Solver.fit`, of a regression with feature spaces."""

    def dual(self, candidate: int, Y: Float64[np.ndarray, "train neuroid"]) -> Float64[np.ndarray, "train neuroid"]:
        """Weights a of the training stimuli: centred responses Y are predicted by sum_s g_s (x_s - mean_s)' X_s' a.

        X_s are the centred training features of space s (columns: `Solver.spaces`), g_s is its weight in
        `Solver.described`.
        """


class RidgeSearch:
    """Ridge with its alpha from a grid.

    Args:
        X: features of all stimuli, in any coordinates with their inner products.
        train: training rows of X.
        held: the rows to predict.
        alphas: the grid.
        how: "loo", "gcv", or the inner folds as positions in `train`.
        path: "auto", "dual" (maps on stimuli) or "primal" (through the directions that features reach).
    """

    def __init__(
        self,
        X: Float64[np.ndarray, "stimulus feature"],
        train: Int[np.ndarray, " train"],
        held: Int[np.ndarray, " held"],
        *,
        alphas: Sequence[float],
        how: str | list[Fold],
        path: str = "auto",
    ) -> None:
        # a triangle of n^2 / 2 for each alpha, or n x rank twice
        narrow = path == "auto" and len(train) > 3 * X.shape[1]
        self.path = "primal" if narrow or path == "primal" else "dual"
        self.X, self.train, self.held, self.alphas, self.how = X, train, held, alphas, how

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of the training features."""
        return Spectrum.of(self.X[self.train], full=self.path == "dual")

    @property
    def rank(self) -> int:
        """How many directions the training features reach, up to round-off."""
        return self.spectrum.rank(self._rcond)

    @property
    def _rcond(self) -> float:
        return max(self.X.shape) * np.finfo(float).eps

    @property
    def condition(self) -> float:
        """Condition number of the features, penalised by the smallest alpha."""
        s, alpha = self.spectrum.s, min(self.alphas)
        return float(np.sqrt((s[0] ** 2 + alpha) / (s[-1] ** 2 + alpha)))

    def criteria(self, dtype: str, xp: ModuleType) -> Iterator[Criterion]:
        """See Search."""
        spectrum, n = self.spectrum, len(self.train)
        left = np.stack([spectrum.left(alpha) for alpha in self.alphas])
        if self.how == "gcv":
            # directions outside W, if any, are left whole; those inside differ from them by g^2 - 1
            outside = n - 1 - left.shape[1]
            scale = n / (left.sum(1) + outside) ** 2
            yield Directions(spectrum.W, left**2 * scale[:, None], dtype, xp, rest=scale if outside else None)
        elif self.path == "primal":
            yield Residuals(spectrum.W, 1.0 - left, None if self.how == "loo" else self.how, dtype, xp)
        elif self.how == "loo":
            yield Triangles([leave_one_out(spectrum.residual_maker(a)) for a in self.alphas], dtype, xp)
        else:
            folds = left_out(n, self.how)
            yield Triangles([leave_folds_out(spectrum.factor(a), folds) for a in self.alphas], dtype, xp)

    def operator(self, candidate: int) -> Matrix:
        """See Search."""
        return self.spectrum.operator(self.alphas[candidate], self.X[self.held])

    def weights(self, candidate: int, Y: Float64[np.ndarray, "train neuroid"]) -> Float64[np.ndarray, "column neuroid"]:
        """See WeightSearch."""
        return self.spectrum.weights(self.alphas[candidate], Y, self._rcond)


@dataclass(frozen=True)
class PLSSearch:
    """The one candidate of partial least squares.

    Attributes:
        X: features of all stimuli, in any coordinates with their inner products; as they are if `scale`.
        train: training rows of X.
        held: the rows to predict.
        kernel: Y Y' of the training responses.
        components: how many to look for.
        scale: divide features by their standard deviations in training.
    """

    X: Float64[np.ndarray, "stimulus feature"]
    train: Int[np.ndarray, " train"]
    held: Int[np.ndarray, " held"]
    kernel: Float64[np.ndarray, "train train"]
    components: int
    scale: bool
    path = "pls"
    condition = 1.0

    @cached_property
    def scores(self) -> tuple[Float64[np.ndarray, "held component"], Float64[np.ndarray, "train component"]]:
        """See `pls_scores`."""
        return pls_scores(self.X[self.train], self.kernel, self.X[self.held], self.components, scale=self.scale)

    @property
    def rank(self) -> int:
        """How many components exist."""
        return int(self.scores[1].any(0).sum())

    def criteria(self, dtype: str, xp: ModuleType) -> Iterator[Criterion]:
        """Nothing is chosen."""
        return iter(())

    def operator(self, candidate: int) -> Matrix:
        """See Search."""
        S, T = self.scores
        return S @ T.T + 1.0 / len(T)


def choose_for_each(
    search: Search, portions: Iterable[Float[np.ndarray, "train neuroid"]], dtype: str, xp: ModuleType
) -> tuple[list[Int[np.ndarray, " neuroid"]], list[Float[np.ndarray, " neuroid"]]]:
    """The candidate with the least error, for each neuroid of each portion; the first of equals; and its error."""
    least = [np.full(Y.shape[1], np.inf, dtype) for Y in portions]
    chosen = [np.zeros(Y.shape[1], np.intp) for Y in portions]
    first = 0
    for criterion in search.criteria(dtype, xp):
        for k, Y in enumerate(portions):
            errors = np.asarray(criterion(Y))
            here = errors.argmin(0)
            error = np.take_along_axis(errors, here[None], 0)[0]
            better = error < least[k]
            least[k][better], chosen[k][better] = error[better], here[better] + first
        first += len(errors)
    return chosen, least


def choose_for_all(search: Search, kernel: Float64[np.ndarray, "train train"], dtype: str, xp: ModuleType) -> int:
    """The candidate with the least error summed over all neuroids, in the units of their responses."""
    errors = [criterion.total(kernel) for criterion in search.criteria(dtype, xp)]
    return int(np.concatenate(errors).argmin()) if errors else 0
