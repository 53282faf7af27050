"""Banded (group) ridge: feature spaces with a weight each, chosen in training for each neuroid or one for all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import cycle
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int
from sklearn.base import clone

from jaxscore.errors import DataError, JaxscoreError, did_you_mean
from jaxscore.regression.banded_search import BandedSearch, Spaces
from jaxscore.regression.candidates import Found, Grid
from jaxscore.regression.estimators import ALPHAS, check_alphas, check_choice, inner_folds
from jaxscore.regression.operators import Matrix, centred
from jaxscore.regression.solver import Solver
from jaxscore.regression.splits import Fold

METHODS = ("random", "gradient")


class BandedRidgeCV(Solver):
    """Ridge on feature spaces that are scaled by the square roots of their weights, with an unpenalised intercept.

    Weights w of all features X minimise |y - sum_b sqrt(g_b) X_b w_b|^2 + alpha |w|^2; g and alpha are those with the
    least squared error on stimuli left out of training. Source: Nunez-Elizalde, Huth and Gallant, NeuroImage 197
    (2019); the search is that of Dupre la Tour et al., NeuroImage 264 (2022).

    Args:
        groups: the feature space of each feature (any labels; spaces are in their sorted order); None for one space.
        alphas: the grid, each combined with each candidate's weights.
        select: "loo" (exact leave-one-out), "gcv", or inner folds: a scheme's name, a number of contiguous folds, a
            splitter of scikit-learn.
        method: "random" compares candidates; "gradient" descends (Adam) from the best of them on the logarithms of
            g_b / alpha. With `per_neuroid` each neuroid takes its own path of `steps` factorisations of [train, train]:
            thousands of neuroids take hours.
        candidates: how many weights, the first of them equal; or the weights themselves [candidate, space].
        concentration: of the symmetric Dirichlet distributions that the others are drawn from in turn.
        seed: of the draws.
        per_neuroid: weights and alpha for each neuroid, or one choice for all by the error summed over them.
        steps: of gradient descent.
        learning_rate: of Adam, in units of log weights.
    """

    def __init__(
        self,
        groups: Sequence | None = None,
        alphas: Sequence[float] = ALPHAS,
        *,
        select: str | int | Any = 5,
        method: str = "random",
        candidates: int | Float[np.ndarray, "candidate space"] = 100,
        concentration: float | Sequence[float] = (0.1, 1.0),
        seed: int = 0,
        per_neuroid: bool = True,
        steps: int = 100,
        learning_rate: float = 0.1,
    ) -> None:
        self.groups = groups
        self.alphas = alphas
        self.select = select
        self.method = method
        self.candidates = candidates
        self.concentration = concentration
        self.seed = seed
        self.per_neuroid = per_neuroid
        self.steps = steps
        self.learning_rate = learning_rate

    @property
    def labels(self) -> list:
        """The feature spaces, in the order of their weights."""
        return [None] if self.groups is None else np.unique(np.asarray(self.groups)).tolist()

    def spaces(self, features: int) -> list[slice] | list[Int[np.ndarray, " column"]]:
        """See Solver.

        Raises:
            DataError: if there is not one label for each feature.
        """
        if self.groups is None:
            return [slice(None)]
        groups = np.asarray(self.groups)
        if groups.shape != (features,):
            raise DataError(
                f"groups has shape {groups.shape}, expected the space of each of {features} features: ({features},)",
                "With delays, features are repeated: np.tile(groups, len(delays)).",
            )
        return [np.flatnonzero(groups == label) for label in self.labels]

    def coordinates(self, X: Matrix) -> Spaces:
        """Features in float64, centred, each space in as few columns as its inner products need."""
        X = centred(np.asarray(X, np.float64))
        parts = [X[:, columns] for columns in self.spaces(X.shape[1])]
        parts = [x if x.shape[1] <= len(x) else np.linalg.qr(x.T, mode="r").T for x in parts]
        return Spaces(np.hstack(parts), np.repeat(np.arange(len(parts)), [x.shape[1] for x in parts]))

    def grid(self) -> Grid:
        """Weights and alphas that are compared.

        Raises:
            JaxscoreError: for alphas, candidates or concentrations that are not allowed.
        """
        alphas, spaces = check_alphas(self.alphas), len(self.labels)
        if isinstance(self.candidates, Integral):
            return Grid(self._drawn(spaces), alphas)
        weights = np.array(self.candidates, np.float64)
        if weights.ndim != 2 or weights.shape[1] != spaces or not np.isfinite(weights).all() or (weights < 0).any():
            raise JaxscoreError(
                f"candidates has shape {weights.shape}, expected finite weights >= 0 for {spaces} spaces: "
                f"(candidate, {spaces})",
                "Or give a number of random candidates, such as 100.",
            )
        if not weights.any(1).all():
            raise JaxscoreError(f"{(~weights.any(1)).sum()} of {len(weights)} candidates have no weight over 0")
        return Grid(weights, alphas)

    def _drawn(self, spaces: int) -> Float64[np.ndarray, "candidate space"]:
        concentrations = np.atleast_1d(np.asarray(self.concentration, float))
        if self.candidates < 1 or not concentrations.size or not (concentrations > 0).all():
            raise JaxscoreError(
                f"candidates is {self.candidates}, concentration {self.concentration}: expected numbers over 0",
                "candidates=100, concentration=(0.1, 1.0)",
            )
        if spaces == 1:
            return np.ones((1, 1))
        rng = np.random.default_rng(self.seed)
        drawn = [rng.dirichlet(np.full(spaces, c)) for _, c in zip(range(self.candidates), cycle(concentrations))]
        return np.stack([np.full(spaces, 1.0 / spaces), *drawn[1:]])

    rotates = False  # spaces are columns of the features

    def check(self, folds: Sequence[Fold], groups: np.ndarray | None) -> None:
        """See Solver."""
        self.grid()
        check_choice(self.alphas, self.select, folds, groups)
        if self.method not in METHODS:
            hint = did_you_mean(self.method, METHODS) if isinstance(self.method, str) else ""
            raise JaxscoreError(f"Unknown method {self.method!r}. {hint}".strip(), f"Choose from: {METHODS}.")
        if self.steps < 1 or not self.learning_rate > 0:
            raise JaxscoreError(
                f"steps is {self.steps}, learning_rate {self.learning_rate}: expected numbers over 0",
                "steps=100, learning_rate=0.1",
            )

    def described(
        self, chosen: Int[np.ndarray, "*any"]
    ) -> tuple[Float64[np.ndarray, "*any"], Float64[np.ndarray, "*any space"]]:
        """See Solver."""
        return (self._descended() if self.method == "gradient" else self.grid()).described(chosen)

    def search(self, X: Spaces, train: np.ndarray, held: np.ndarray, **context: Any) -> BandedSearch:
        """See Solver."""
        how = self.select if isinstance(self.select, str) and self.select in ("loo", "gcv") else None
        how = how or inner_folds(self.select, train, held, context["groups"])
        settings = {"grid": self.grid(), "how": how, "shared": not self.per_neuroid}
        if self.method == "random":
            return BandedSearch(X, train, held, path=context["path"], **settings)
        from jaxscore.regression.descent import Descent

        found = self._descended()
        descent = partial(Descent, found=found, steps=self.steps, learning_rate=self.learning_rate)
        return BandedSearch(X, train, held, path="dual", descent=descent, candidates=found, **settings)

    def without(self, label: Any) -> BandedRidgeCV:
        """The same regression on the other feature spaces."""
        others = np.array([one != label for one in self.labels])
        groups, candidates = np.asarray(self.groups), self.candidates
        if not isinstance(candidates, Integral):
            candidates = np.asarray(candidates)[:, others]
            candidates = candidates[candidates.any(1)]
        return clone(self).set_params(groups=groups[groups != label], candidates=candidates)

    def _descended(self) -> Found:
        return self.__dict__.setdefault("_found", Found())
