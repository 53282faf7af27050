"""Regressions with scikit-learn's interface; `cross_validate` takes the same objects and reads their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from jaxscore.errors import JaxscoreError, did_you_mean
from jaxscore.regression import operators
from jaxscore.regression.components import check_components, project
from jaxscore.regression.fitted import Fitted, rotated
from jaxscore.regression.operators import Matrix
from jaxscore.regression.pls import response_kernel
from jaxscore.regression.search import PLSSearch, RidgeSearch, WeightSearch
from jaxscore.regression.solver import Solver
from jaxscore.regression.splits import PROTOCOLS, SCHEMES, Fold, make_folds, nested

ALPHAS = tuple(10.0**k for k in range(-3, 4))
"""The grid of today's platform: logspace(-3, 3, 7)."""


class OLS(Solver):
    """Minimum-norm ordinary least squares.

    Args:
        rcond: singular values of the centred training features under rcond x the largest are zero.
        components: regress on the leading principal components of the training features, so many of them.
    """

    def __init__(self, rcond: float = 1e-6, *, components: int | None = None) -> None:
        self.rcond = rcond
        self.components = components

    def principal(self) -> int | None:
        """See Solver."""
        return optional(self.components)

    def fixed(self) -> operators.Solver:
        """See Solver."""
        if not (isinstance(self.rcond, Real) and 0 < self.rcond < 1):
            raise JaxscoreError(f"rcond is {self.rcond!r}, expected a number between 0 and 1", "The default is 1e-6.")
        return operators.Solver(0.0, self.rcond)


class Ridge(Solver):
    """Ridge regression with an unpenalised intercept.

    Args:
        alpha: the penalty alpha |w|^2 (scikit-learn's convention).
        components: as for OLS.
    """

    def __init__(self, alpha: float = 1.0, *, components: int | None = None) -> None:
        self.alpha = alpha
        self.components = components

    def principal(self) -> int | None:
        """See Solver."""
        return optional(self.components)

    def fixed(self) -> operators.Solver:
        """See Solver."""
        if np.ndim(self.alpha):
            raise JaxscoreError(f"alpha is {self.alpha!r:.80}, expected one number > 0", f"RidgeCV({self.alpha!r:.40})")
        return operators.Solver(*check_alphas([self.alpha]))


class RidgeCV(Solver):
    """Ridge regression with its alpha chosen in training, for each neuroid or one for all.

    Args:
        alphas: the grid.
        select: "loo" (exact leave-one-out), "gcv" (generalised cross-validation), or inner folds: a scheme's name, a
            number of contiguous folds, a splitter of scikit-learn. Those that keep groups whole take them from
            `fit(X, y, groups)`: `params={"groups": groups}` in `cross_val_score`; in a pipeline there, metadata routing
            and `set_fit_request(groups=True)`.
        per_neuroid: an alpha for each neuroid, or one for all by the error summed over them.
        components: as for OLS; those of all training stimuli, also where some are left out to choose.
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        *,
        select: str | int | Any = "loo",
        per_neuroid: bool = True,
        components: int | None = None,
    ) -> None:
        self.alphas = alphas
        self.select = select
        self.per_neuroid = per_neuroid
        self.components = components

    def principal(self) -> int | None:
        """See Solver."""
        return optional(self.components)

    def check(self, folds: Sequence[Fold], groups: np.ndarray | None) -> None:
        """See Solver."""
        super().check(folds, groups)
        check_choice(self.alphas, self.select, folds, groups)

    def described(self, chosen: np.ndarray) -> tuple[np.ndarray, None]:
        """See Solver."""
        return np.asarray(check_alphas(self.alphas))[chosen], None

    def search(self, X: Matrix, train: np.ndarray, held: np.ndarray, **context: Any) -> WeightSearch:
        """See Solver."""
        how = self.select if isinstance(self.select, str) and self.select in ("loo", "gcv") else None
        how = how or inner_folds(self.select, train, held, context["groups"])
        X = project(X, train, self.principal())
        return RidgeSearch(X, train, held, alphas=check_alphas(self.alphas), how=how, path=context["path"])


class PLS(Solver):
    """Partial least squares: components that covary with all neuroids together, and a regression on them.

    Args:
        components: how many; fewer where the features have fewer.
        scale: divide features by their standard deviations in training. Responses never are: scikit-learn's `scale`
            divides both.
    """

    needs_kernel = True

    def __init__(self, components: int = 10, *, scale: bool = False) -> None:
        self.components = components
        self.scale = scale

    @property
    def rotates(self) -> bool:
        """See Solver."""
        return not self.scale

    def coordinates(self, X: Matrix) -> Matrix:
        """See Solver; features that are scaled in training stay what they are."""
        return np.asarray(X, np.float64) if self.scale else super().coordinates(X)

    def check(self, folds: Sequence[Fold], groups: np.ndarray | None) -> None:
        """See Solver."""
        self._count()

    def search(self, X: Matrix, train: np.ndarray, held: np.ndarray, **context: Any) -> PLSSearch:
        """See Solver."""
        return PLSSearch(X, train, held, context["kernel"], self._count(), self.scale)

    def _fit(self, X: Matrix, Y: np.ndarray, groups: np.ndarray | None) -> Fitted:
        return rotated(X, Y, response_kernel(Y), self._count(), self.scale)

    def _count(self) -> int:
        return check_components(self.components, "PLS(10)")


def optional(components: int | None) -> int | None:
    """A number of principal components, if any."""
    return None if components is None else check_components(components, "OLS(components=100)")


def check_choice(alphas: Sequence[float], select: Any, folds: Sequence[Fold], groups: np.ndarray | None) -> None:
    """Refuse a grid or inner folds that cannot be used in these outer folds."""
    check_alphas(alphas)
    known = ("loo", "gcv", *SCHEMES, *PROTOCOLS)
    if isinstance(select, str) and select not in known:
        raise JaxscoreError(
            f"Unknown choice {select!r} of alpha. {did_you_mean(select, known)}".strip(),
            f"Choose from: {', '.join(known)}; or pass a number of folds or a scikit-learn splitter.",
        )
    if folds and not (isinstance(select, str) and select in ("loo", "gcv")):
        nested(folds, select, groups=groups)


def inner_folds(select: Any, train: np.ndarray, held: np.ndarray, groups: np.ndarray | None) -> list[Fold]:
    """Inner folds of a training set, as positions in it."""
    if not len(held):  # `fit` trains on all stimuli: there is no outer fold to name in errors
        return make_folds(select, len(train), groups=groups, smallest=1)
    (folds,) = nested([(train, held)], select, groups=groups)
    return [(np.searchsorted(train, a), np.searchsorted(train, b)) for a, b in folds]


def check_alphas(alphas: Sequence[float]) -> tuple[float, ...]:
    """The alphas as floats, or JaxscoreError for one that is not a finite number over 0."""
    try:
        alphas = tuple(np.atleast_1d(np.asarray(alphas, float)).tolist())
        alphas = tuple(map(float, alphas))
    except (TypeError, ValueError):
        raise JaxscoreError(f"alphas are {alphas!r:.80}, expected numbers > 0", "alphas=(0.1, 1.0, 10.0)") from None
    if not alphas or not all(np.isfinite(alpha) and alpha > 0 for alpha in alphas):
        raise JaxscoreError(f"alphas are {alphas}, expected finite numbers > 0", "Without a penalty, use OLS().")
    return alphas


def make_solver(solver: Solver | str) -> Solver:
    """A solver from its name: "ols", "ridge:ALPHA", "ridge-loo", "ridge-gcv", "pls:COMPONENTS".

    Raises:
        JaxscoreError: if it is none of these.
    """
    if isinstance(solver, Solver):
        return solver
    if isinstance(solver, str):
        name, _, number = solver.partition(":")
        if solver == "ols":
            return OLS()
        if name == "pls" and number.isdecimal():
            return PLS(int(number))
        if name == "ridge" and number:
            try:
                return Ridge(float(number))
            except ValueError:
                pass
        if solver in ("ridge-loo", "ridge-gcv"):
            return RidgeCV(select=solver.removeprefix("ridge-"))
    known = ("ols", "ridge:ALPHA", "ridge-loo", "ridge-gcv", "pls:COMPONENTS")
    hint = did_you_mean(solver, known) if isinstance(solver, str) else ""
    raise JaxscoreError(
        f"Unknown solver {solver!r}. {hint}".strip(), f"Choose from: {', '.join(known)}, or pass OLS(), Ridge(1.0), ..."
    )
