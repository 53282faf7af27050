"""Splits, regressions, correlations and similarities of both published pipelines, from scikit-learn and scipy.

It knows nothing of the package under test; everything is float64, one refit a fold and one correlation a neuroid.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from parity.published_data import Data
from scipy import stats
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold

Fold = tuple[np.ndarray, np.ndarray]
Regression = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(training features, training responses, test features) -> predictions [stimulus, neuroid]."""
Correlation = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(prediction, response), both [stimulus, neuroid] -> r [neuroid]."""
Similarity = Callable[[np.ndarray, np.ndarray], float]

ALPHAS = np.logspace(-3, 3, 7)


# --- splits: row numbers in file order ------------------------------------------------------------------------------


def folds(n: int) -> list[Fold]:
    """NN, five shuffled folds."""
    return list(KFold(5, shuffle=True, random_state=1).split(np.zeros(n)))


def stratified(labels: np.ndarray) -> list[Fold]:
    """NN, five shuffled folds with each label in all of them as far as it goes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return list(StratifiedKFold(5, shuffle=True, random_state=1).split(np.zeros(len(labels)), labels))


def shuffled(n: int) -> list[Fold]:
    """BL linear-shuffle, Tuckute and NN decoding: ten draws of 90% for training."""
    return list(ShuffleSplit(10, train_size=0.9, random_state=1).split(np.zeros(n)))


def grouped(groups: np.ndarray, n_splits: int = 10) -> list[Fold]:
    """BL ridge: no group on both sides."""
    splitter = GroupKFold(n_splits, shuffle=True, random_state=1234)
    return list(splitter.split(np.zeros(len(groups)), groups=groups))


def mostly_test(n: int) -> list[Fold]:
    """BL rdm and cka: ten draws of 90% for the test part, which alone is used."""
    return list(ShuffleSplit(10, test_size=0.9, random_state=1).split(np.zeros(n)))


def nn_folds(data: Data) -> list[Fold]:
    """Folds of Blank2014 (stratified by story) and Fedorenko2016 (by sentence)."""
    return stratified(data["story"] if "story" in data else data["sentence_id"])


def bl_groups(data: Data) -> list[Fold]:
    """Grouped folds: 8 by story for Blank2014, 10 by story for Pereira2018, 10 by sentence for Fedorenko2016."""
    return grouped(data["story"], 8 if "fROI_area" in data else 10) if "story" in data else grouped(data["sentence_id"])


# --- regression, correlation and similarity -------------------------------------------------------------------------


def ols(X: np.ndarray, Y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Minimum-norm least squares of scikit-learn >= 1.9: singular values under 1e-6 of the largest are zero."""
    return LinearRegression().fit(np.asarray(X, np.float64), np.asarray(Y, np.float64)).predict(new.astype(np.float64))


def ridge(X: np.ndarray, Y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Ridge with one of `ALPHAS` for all neuroids, by the mean squared leave-one-out error of the training rows."""
    model = RidgeCV(ALPHAS).fit(np.asarray(X, np.float64), np.asarray(Y, np.float64))
    return model.predict(new.astype(np.float64)).reshape(len(new), -1)


def pearson(prediction: np.ndarray, response: np.ndarray) -> np.ndarray:
    """NN: scipy's r of every neuroid; NaN for a constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return np.asarray(stats.pearsonr(prediction, response, axis=0).statistic)


def pearson_guarded(prediction: np.ndarray, response: np.ndarray) -> np.ndarray:
    """BL: 1e-8 is added to each norm, so that a constant gives 0."""
    p, y = prediction - prediction.mean(axis=0), response - response.mean(axis=0)
    return np.sum(p / (np.linalg.norm(p, axis=0) + 1e-8) * (y / (np.linalg.norm(y, axis=0) + 1e-8)), axis=0)


def encoding(
    X: np.ndarray,
    Y: np.ndarray,
    splits: Sequence[Fold],
    regression: Regression = ols,
    correlation: Correlation = pearson,
) -> np.ndarray:
    """Out-of-fold r [split, neuroid]."""
    return np.stack([correlation(regression(X[train], Y[train], X[test]), Y[test]) for train, test in splits])


def rdm_similarity(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman correlation of 1 - corrcoef over stimuli, upper triangles; NaN where one has a single column."""
    if min(x.shape[1], y.shape[1]) < 2:
        return np.nan
    upper = np.triu_indices(len(x), k=1)
    return float(stats.spearmanr((1 - np.corrcoef(x))[upper], (1 - np.corrcoef(y))[upper]).statistic)


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Biased HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)) of linear kernels."""
    centre = np.eye(len(x)) - 1 / len(x)
    k, m = centre @ (x @ x.T) @ centre, centre @ (y @ y.T) @ centre
    return float(np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m)))


def on_test_parts(X: np.ndarray, Y: np.ndarray, splits: Sequence[Fold], similarity: Similarity) -> np.ndarray:
    """Similarity [split] of the test parts."""
    return np.array([similarity(X[test], Y[test]) for _, test in splits])
