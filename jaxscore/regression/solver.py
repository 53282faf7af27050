"""What all regressions share: scikit-learn's interface, and what `cross_validate` asks of a solver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxscore.regression import operators
from jaxscore.regression.components import Refit, check_room, principal, project
from jaxscore.regression.edges import warn_at_edges
from jaxscore.regression.fitted import CHUNK, Columns, Fitted, chunks, direct, spaced, spanned
from jaxscore.regression.operators import Matrix, centred
from jaxscore.regression.pls import response_kernel
from jaxscore.regression.scores import standardise
from jaxscore.regression.search import Search, choose_for_all, choose_for_each
from jaxscore.regression.spectrum import Fold, Spectrum

DTYPES = (np.float64, np.float32)


class Solver(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """What the regressions share; one that chooses has `search` and `described`, another `fixed`.

    Attributes:
        intercept_: prediction where all features are 0, [neuroid], or a number if y was 1-D.
        alpha_: where alphas are chosen: [neuroid], or a number if there is one for all.
        weights_: where feature spaces are weighted: [neuroid, space].
        n_features_in_: number of features.
        feature_names_in_: their names, if X had any.
    """

    per_neuroid = True
    rotates = True
    """Whether other coordinates with the same inner products give the same predictions."""

    @property
    def needs_kernel(self) -> bool:
        """Whether the choice looks at all neuroids together, through Y Y'."""
        return not self.per_neuroid

    def fixed(self) -> operators.Solver | None:
        """The solver of `operators`, where nothing is chosen from the responses."""
        return None

    def principal(self) -> int | None:
        """How many principal components of the training features take their place; None for the features."""
        return None

    @property
    def searches(self) -> bool:
        """Whether each training set is looked at by itself, through `search`: for a choice, or for its components."""
        return self.fixed() is None or self.principal() is not None

    def check(self, folds: Sequence[Fold], groups: np.ndarray | None) -> None:
        """Raise JaxscoreError for parameters that are not allowed, or inner folds that the outer ones do not allow."""
        self.fixed()
        self.principal()

    def rows(self, coordinates: Any, rows: np.ndarray) -> Any:
        """Coordinates of some of the stimuli."""
        return coordinates[rows]

    def spaces(self, features: int) -> Sequence[Columns] | None:
        """Columns of each feature space, in the order of the weights of `described`; None if there are none."""
        return None

    def described(self, chosen: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Alphas [...], and weights of the feature spaces [..., space], of candidates [...]; None if there are none."""
        return None, None

    def coordinates(self, X: Matrix) -> Any:
        """Features in float64, in as few columns as their inner products need."""
        X = np.asarray(X, np.float64)
        if not self.searches or X.shape[1] <= len(X):
            return X
        return np.linalg.qr(centred(X).T, mode="r").T

    def search(self, X: Any, train: np.ndarray, held: np.ndarray, **context: Any) -> Search:
        """Candidates for one training set; `fit` needs a WeightSearch, or a DualSearch if there are feature spaces.

        Args:
            X: what `coordinates` returned.
            train: rows to train on.
            held: rows to predict; none in `fit`.
            context: groups [stimulus] or None, path, kernel Y Y' [train, train] or None.
        """
        return Refit(project(X, train, self.principal()), train, held, self.fixed())

    def fit(self, X: ArrayLike, y: ArrayLike, groups: Sequence | np.ndarray | None = None) -> Self:
        """Fit all stimuli.

        Args:
            X: features [stimulus, feature]; the names of a data frame's columns are kept.
            y: responses [stimulus, neuroid], or [stimulus] of one neuroid.
            groups: of the stimuli, for inner folds that keep groups whole.

        Raises:
            ValueError: if X or y is not finite, numeric and of one length.
            JaxscoreError: for parameters that are not allowed, or inner folds that these stimuli do not.

        Warns:
            GridEdgeWarning: if chosen alphas sit on the edge of the grid.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=DTYPES, ensure_min_samples=2)
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y is of type {y.dtype}, expected numbers: one column for each neuroid")
        self.check([], groups)
        self._dtype, self._single = X.dtype, y.ndim == 1
        groups = None if groups is None else np.asarray(groups)
        if groups is not None and len(groups) != len(X):
            raise ValueError(f"{len(groups)} groups for {len(X)} stimuli: give the group of each")
        self._fitted = self._fit(X, y[:, None] if self._single else y, groups)
        self.intercept_ = self._shaped(self._fitted.predict(np.zeros((1, X.shape[1])))[0].astype(X.dtype))
        return self

    def predict(self, X: ArrayLike) -> Float[np.ndarray, "stimulus ..."]:
        """Responses to stimuli with features [stimulus, feature]; 1-D if y was.

        Raises:
            ValueError: if X is not finite or not as wide as in `fit`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=DTYPES)
        predicted = self._fitted.predict(X).astype(np.result_type(X, self._dtype), copy=False)
        return predicted[:, 0] if self._single else predicted

    @property
    def coef_(self) -> Float[np.ndarray, "*neuroid feature"]:
        """Coefficients, made anew each time they are asked for; 1-D if y was. In chunks: `coefficients`."""
        return self._shaped(np.concatenate([C.T for _, C in self.coefficients()]))

    def coefficients(self, chunk: int = CHUNK) -> Iterator[tuple[slice, Float[np.ndarray, "feature neuroid"]]]:
        """Coefficients of `chunk` neuroids at a time: (which neuroids, [feature, neuroid])."""
        check_is_fitted(self)
        for span in chunks(self._fitted.weights.shape[1], chunk):
            yield span, self._fitted.coefficients(span).astype(self._dtype)

    def _shaped(self, values: np.ndarray) -> Any:
        """Of one neuroid by itself if y was 1-D."""
        return values[0] if self._single else values

    def _fit(self, X: Matrix, Y: np.ndarray, groups: np.ndarray | None) -> Fitted:
        spaces, solver = self.spaces(X.shape[1]), self.fixed()
        if spaces is not None:
            search, chosen = self._choose(self.coordinates(X), X.dtype.name, Y, groups)
            return spaced(search.dual, chosen, X, Y, spaces, self.weights_.T)
        columns, basis = spanned(X)
        if (components := self.principal()) is not None:
            check_room(components, [X.shape[1]], len(X))
            V = principal(columns, components)
            columns, basis = columns @ V, V if basis is None else basis @ V  # `search` projects no further
        if solver is None:
            search, chosen = self._choose(columns, X.dtype.name, Y, groups)
            return direct(search.weights, chosen, X, Y, basis)
        spectrum = Spectrum.of(columns, full=False)
        rcond = max(X.shape) * np.finfo(float).eps if solver.alpha else solver.rcond
        return direct(
            lambda _, known: spectrum.weights(solver.alpha, known, rcond), np.zeros(Y.shape[1], int), X, Y, basis
        )

    def _choose(
        self, coordinates: Any, dtype: str, Y: np.ndarray, groups: np.ndarray | None
    ) -> tuple[Search, np.ndarray]:
        """Candidates, and that of each neuroid."""
        kernel = response_kernel(Y) if self.needs_kernel else None
        rows, none = np.arange(len(Y)), np.arange(0)
        search = self.search(coordinates, rows, none, groups=groups, path="auto", kernel=kernel)
        if self.per_neuroid:
            portions = [standardise(Y[:, span], dtype).Z for span in chunks(Y.shape[1])]
            chosen, errors = (np.concatenate(parts) for parts in choose_for_each(search, portions, dtype, np))
            counted = np.isfinite(errors)  # a neuroid without variance has no best alpha
        else:
            chosen = np.full(Y.shape[1], choose_for_all(search, kernel, dtype, np))
            counted = slice(1)
        alphas, weights = self.described(chosen)
        if alphas is not None:
            self.alpha_ = self._shaped(alphas) if self.per_neuroid else alphas[0]
            warn_at_edges(alphas[counted], self.alphas, stacklevel=5)
        if weights is not None:
            self.weights_ = weights
        return search, chosen
