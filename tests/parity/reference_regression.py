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


def _one_fold_r(
    model: LinearRegression | Ridge, X: np.ndarray, Y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    X, Y = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    model.fit(X[train], Y[train])
    return pearson(model.predict(X[test]), Y[test])
