r"""Ridge over weighted feature spaces, on the training stimuli of one fold.

With weights g_b of the spaces, X_g = [sqrt(g_1) X_1, sqrt(g_2) X_2, ...] is one set of features, and its kernel is
K_g = sum_b g_b K_b: the kernels of the spaces are made once, and each candidate takes a decomposition of their sum.
Where round-off of the kernel's largest eigenvalue, eps s_1^2, is not far below alpha, X_g itself is decomposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from jaxscore.regression.candidates import Candidates, Grid
from jaxscore.regression.energies import Criterion
from jaxscore.regression.family import Family
from jaxscore.regression.operators import Matrix, contrast, expand
from jaxscore.regression.search import RidgeSearch
from jaxscore.regression.spectrum import Spectrum, leave_folds_out, leave_one_out, left_out
from jaxscore.regression.splits import Fold

ROUND_OFF = {"float32": 1e-5, "float64": 1e-10}
"""Largest eps s_1^2 / alpha of a kernel that is decomposed, by the dtype of the products: r then errs by a tenth."""
FORMS = 2**28
"""Bytes of the forms of a family."""


@dataclass(frozen=True)
class Spaces:
    """Feature spaces side by side, each in as few columns as its inner products need.

    Attributes:
        X: coordinates.
        space: which space each column belongs to.
    """

    X: Float64[np.ndarray, "stimulus column"]
    space: Int[np.ndarray, " column"]

    def __getitem__(self, rows: np.ndarray) -> Spaces:
        """Some of the stimuli."""
        return Spaces(self.X[rows], self.space)


@dataclass(frozen=True)
class Eigen:
    """A kernel of the training features in contrast coordinates: sum_k values_k U_k U_k'."""

    values: Float64[np.ndarray, " direction"]
    U: Float64[np.ndarray, "contrast direction"]

    def spectrum(self) -> Spectrum:
        """Directions and singular values alone."""
        return Spectrum(np.zeros(0), expand(self.U.T).T, np.sqrt(np.maximum(self.values, 0.0)), np.zeros((0, 0)))


class BandedSearch:
    """Candidates of banded ridge; a DualSearch.

    Args:
        spaces: features of all stimuli.
        train: training rows.
        held: the rows to predict.
        grid: weights and alphas that are compared.
        how: "loo", "gcv", or the inner folds as positions in `train`.
        path: "dual" (maps on stimuli), "primal" (through the directions that features reach), or else by size.
        shared: one choice for all neuroids, so that no product with them is needed.
        descent: makes a criterion that goes on from those of the grid: (search, criteria of the grid) -> criterion.
        candidates: what `operator`, `dual` and `parts` take; by default those of the grid.
    """

    def __init__(
        self,
        spaces: Spaces,
        train: Int[np.ndarray, " train"],
        held: Int[np.ndarray, " held"],
        *,
        grid: Grid,
        how: str | list[Fold],
        path: str = "auto",
        shared: bool = False,
        descent: Callable[[BandedSearch, list[Criterion]], Criterion] | None = None,
        candidates: Candidates | None = None,
    ) -> None:
        self.X, self.space, self.train, self.held = spaces.X, spaces.space, train, held
        self.grid, self.how, self.shared, self.descent = grid, how, shared, descent
        self.candidates = grid if candidates is None else candidates
        narrow = path != "dual" and len(train) > 3 * self.X.shape[1]
        self.path = "primal" if path == "primal" or narrow else "dual"
        self.tolerance = ROUND_OFF["float64"]
        self._last: dict[str, tuple[bytes, Any]] = {}

    @property
    def rank(self) -> int:
        """How many directions the training features reach with the first weights, up to round-off."""
        return self.spectrum(self.grid.weights[0]).rank(self._rcond)

    @property
    def condition(self) -> float:
        """Condition number of the features with the first weights, penalised by the smallest alpha."""
        s, alpha = self.spectrum(self.grid.weights[0]).s, min(self.grid.alphas)
        return float(np.sqrt((s[0] ** 2 + alpha) / (s[-1] ** 2 + alpha)))

    @property
    def _rcond(self) -> float:
        return max(self.X.shape) * np.finfo(float).eps

    @cached_property
    def kernels(self) -> Float64[np.ndarray, "space contrast contrast"]:
        """Of the training features, in contrast coordinates."""
        return np.stack([M @ M.T for M in self._contrasts])

    @cached_property
    def _crossed(self) -> Float64[np.ndarray, "space held contrast"]:
        """Kernels between the stimuli to predict and the training features, in contrast coordinates."""
        new = self.X[self.held] - self.X[self.train].mean(0)
        return np.stack([new[:, self.space == b] @ M.T for b, M in enumerate(self._contrasts)])

    @cached_property
    def _contrasts(self) -> list[Matrix]:
        M = contrast(self.X[self.train] - self.X[self.train].mean(0))
        return [np.ascontiguousarray(M[:, self.space == b]) for b in range(self.grid.weights.shape[1])]

    def spectrum(self, weights: Float64[np.ndarray, " space"]) -> Spectrum:
        """Of the weighted training features."""
        full = self.path == "dual"
        return self._kept("spectrum", weights, lambda: Spectrum.of(self._weighted(weights, self.train), full=full))

    def eigen(self, weights: Float64[np.ndarray, " space"], alpha: float) -> Eigen | None:
        """Decomposed kernel of the weighted features, or None where it is not accurate enough for alpha."""
        if self.path == "primal":
            return None
        found = self._kept("eigen", weights, lambda: Eigen(*np.linalg.eigh(np.tensordot(weights, self.kernels, 1))))
        return found if np.finfo(float).eps * found.values[-1] <= self.tolerance * alpha else None

    def _kept(self, name: str, weights: Float64[np.ndarray, " space"], make: Callable[[], Any]) -> Any:
        """What was made last, if it was for these weights: candidates that share them follow each other."""
        key = weights.tobytes()
        if self._last.get(name, (None,))[0] != key:
            self._last[name] = (key, make())
        return self._last[name][1]

    def _weighted(self, weights: Float64[np.ndarray, " space"], rows: np.ndarray) -> Matrix:
        return self.X[rows] * np.sqrt(weights)[self.space]

    def criteria(self, dtype: str, xp: ModuleType) -> Iterator[Criterion]:
        """See Search."""
        self.tolerance = ROUND_OFF[dtype]
        compared = self._compared(dtype, xp)
        return compared if self.descent is None else iter([self.descent(self, list(compared))])

    def _compared(self, dtype: str, xp: ModuleType) -> Iterator[Criterion]:
        """Errors of the candidates of the grid."""
        weights, alphas, n = self.grid.weights, self.grid.alphas, len(self.train)
        mapped = self.path == "dual" and self.how != "gcv"
        if mapped and (self.shared or (xp is np and dtype == "float32")):
            size = max(1, FORMS // (2 * n * n * len(alphas)))
            for start in range(0, len(weights), size):
                part = weights[start : start + size]
                yield Family(len(part) * len(alphas), partial(self._maps, part))
            return
        for w in weights:
            search = RidgeSearch(self.X, self.train, self.held, alphas=alphas, how=self.how, path=self.path)
            search.spectrum = self._chosen(w)
            yield from search.criteria(dtype, xp)

    def _chosen(self, weights: Float64[np.ndarray, " space"]) -> Spectrum:
        """From the kernel where that will do for all alphas."""
        eigen = self.eigen(weights, min(self.grid.alphas))
        return self.spectrum(weights) if eigen is None else eigen.spectrum()

    def _maps(self, weights: Float64[np.ndarray, "weights space"]) -> Iterator[Matrix]:
        """C of each weights and alpha: |C y|^2 is the error."""
        for w in weights:
            spectrum = self._chosen(w)
            for alpha in self.grid.alphas:
                if self.how == "loo":
                    yield leave_one_out(spectrum.residual_maker(alpha))
                else:
                    yield leave_folds_out(spectrum.factor(alpha), self.left_out)

    @cached_property
    def left_out(self) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """See `spectrum.left_out`."""
        return left_out(len(self.train), self.how)

    def operator(self, candidate: int) -> Float64[np.ndarray, "held train"]:
        """See Search."""
        weights, alpha = self.candidates[candidate]
        eigen = self.eigen(weights, alpha)
        if eigen is None:
            return self.spectrum(weights).operator(alpha, self._weighted(weights, self.held))
        known = self._kept("known", weights, lambda: np.tensordot(weights, self._crossed, 1) @ eigen.U)
        return expand((known / (np.maximum(eigen.values, 0.0) + alpha)) @ eigen.U.T) + 1.0 / len(self.train)

    def dual(self, candidate: int, Y: Float64[np.ndarray, "train neuroid"]) -> Float64[np.ndarray, "train neuroid"]:
        """See DualSearch."""
        weights, alpha = self.candidates[candidate]
        spectrum = self.spectrum(weights)
        rank = spectrum.rank(self._rcond)
        W = spectrum.W[:, :rank]
        return W @ ((W.T @ Y) / (np.square(spectrum.s[:rank]) + alpha)[:, None])

    def parts(self, candidate: int) -> Float64[np.ndarray, "space held train"]:
        """What each space adds to the mean response in training; with 1 / n their sum is `operator`."""
        weights, alpha = self.candidates[candidate]
        spectrum = self.spectrum(weights)
        new, rank = self._weighted(weights, self.held) - spectrum.mean, spectrum.V.shape[1]
        s = spectrum.s[:rank]
        shrunk = (s / (np.square(s) + alpha))[:, None] * spectrum.W[:, :rank].T
        own = (self.space == b for b in range(len(weights)))
        return np.stack([(new[:, mine] @ spectrum.V[mine]) @ shrunk for mine in own])
