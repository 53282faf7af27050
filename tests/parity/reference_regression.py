"""Fold-by-fold regression in float64 by scikit-learn and scipy: the slow, plain reference for the parity tests.

It knows nothing of the package under test. One refit a fold, one Pearson correlation a voxel.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats
from sklearn.linear_model import LinearRegression, Ridge

Fold = tuple[np.ndarray, np.ndarray]


def ols_fold_r(X: np.ndarray, Y: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    """Out-of-fold r of minimum-norm ordinary least squares.

    ``LinearRegression()`` of scikit-learn >= 1.9 sets to zero the singular values of the centred training features that
    lie under 1e-6 of the largest (its ``tol``), which is what defines the rank here (`test_references.py` pins it).

    Args:
        X: features [stimulus, feature], of any float type, cast to float64 before anything else.
        Y: responses [stimulus, neuroid], without NaN.
        folds: (train, test) row numbers of each fold.

    Returns:
        Pearson r [fold, neuroid]; NaN where prediction or response is constant in the fold's test part.
    """
    return np.stack([_one_fold_r(LinearRegression(), X, Y, train, test) for train, test in folds])


def ridge_fold_r(X: np.ndarray, Y: np.ndarray, folds: Sequence[Fold], alpha: float) -> np.ndarray:
    """Out-of-fold r of ridge regression: penalty alpha * |w|^2, unpenalised intercept, features not standardised.

    Args:
        X: features [stimulus, feature], of any float type, cast to float64 before anything else.
        Y: responses [stimulus, neuroid], without NaN.
        folds: (train, test) row numbers of each fold.
        alpha: the penalty in scikit-learn's convention.

    Returns:
        Pearson r [fold, neuroid].
    """
    return np.stack([_one_fold_r(Ridge(alpha), X, Y, train, test) for train, test in folds])


def pearson(prediction: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return scipy's Pearson r [neuroid] over the rows of two [stimulus, neuroid] arrays; a constant gives NaN."""
    with warnings.catch_warnings():
        # constants are a value here (NaN), not an event; near-constants keep whatever scipy says
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return np.asarray(stats.pearsonr(prediction, response, axis=0).statistic, dtype=np.float64)


def svd_ridge(X: np.ndarray, Y: np.ndarray, new: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
    """Ridge predictions at several alphas by one SVD of the features: no kernel that squares their condition number.

    `test_selection.py` compares them with scikit-learn's ``Ridge(solver="svd")``.

    Args:
        X: training features [stimulus, feature].
        Y: training responses [stimulus, neuroid].
        new: features of the stimuli to predict [test, feature].
        alphas: penalties in scikit-learn's convention.

    Returns:
        Predictions [alpha, test, neuroid].
    """
    X, Y, new = (np.asarray(array, np.float64) for array in (X, Y, new))
    U, s, Vt = np.linalg.svd(X - X.mean(0), full_matrices=False)
    left, right = (new - X.mean(0)) @ Vt.T, U.T @ (Y - Y.mean(0))
    return np.stack([(left * (s / (s**2 + alpha))) @ right for alpha in alphas]) + Y.mean(0)


def refit_errors(X: np.ndarray, Y: np.ndarray, folds: Sequence[Fold], alphas: Sequence[float]) -> np.ndarray:
    """What a grid search minimises: the mean over folds of the mean squared error of ridge, refitted for each fold.

    With scikit-learn's ``LeaveOneOut`` folds this is the mean leave-one-out squared error of ``RidgeCV``.

    Args:
        X: features [stimulus, feature].
        Y: responses [stimulus, neuroid].
        folds: (train, test) row numbers of each inner fold.
        alphas: the grid.

    Returns:
        Errors [alpha, neuroid].
    """
    fits = [np.square(svd_ridge(X[a], Y[a], X[b], alphas) - Y[b]).mean(1) for a, b in folds]
    return np.mean(fits, 0)


def gcv_errors(X: np.ndarray, Y: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
    """Generalised cross-validation, n |(I - H) y|^2 / trace(I - H)^2, from the hat matrix H with its intercept.

    Args:
        X: features [stimulus, feature].
        Y: responses [stimulus, neuroid].
        alphas: the grid.

    Returns:
        Criterion [alpha, neuroid].
    """
    n = len(X)
    hats = svd_ridge(X, np.eye(n), X, alphas)
    return np.stack([n * np.square(Y - H @ Y).sum(0) / np.trace(np.eye(n) - H) ** 2 for H in hats])


def eps_pearson(prediction: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Pearson r [neuroid] as brain-score's language platform takes it: 1e-8 added to each norm; a constant gives 0."""
    p, y = prediction - prediction.mean(0), response - response.mean(0)
    return (p * y).sum(0) / ((np.linalg.norm(p, axis=0) + 1e-8) * (np.linalg.norm(y, axis=0) + 1e-8))


def _one_fold_r(
    model: LinearRegression | Ridge, X: np.ndarray, Y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    X, Y = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    model.fit(X[train], Y[train])
    return pearson(model.predict(X[test]), Y[test])
