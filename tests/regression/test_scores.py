"""Scores of held-out predictions equal scipy's and scikit-learn's of refitted float64 predictions, for every solver."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from parity.reference_regression import eps_pearson, pearson, svd_ridge
from parity.regimes import REGIMES, SPLITS, UNEVEN, N, gaussian, responses
from scipy import stats
from sklearn import linear_model
from sklearn.metrics import r2_score

from jaxscore.errors import JaxscoreError
from jaxscore.regression import OLS, Ridge, RidgeCV, cross_validate
from jaxscore.regression.scores import SCORES, check_scores

pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")

FOLDS = SPLITS | UNEVEN
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}
SOLVERS = {
    "ols": (OLS(), linear_model.LinearRegression()),
    "ridge": (Ridge(3.0), linear_model.Ridge(3.0, solver="svd")),
    "ridge-cv": (RidgeCV([0.1, 10.0, 1e3]), linear_model.RidgeCV([0.1, 10.0, 1e3], alpha_per_target=True)),
}


@cache
def predictions(solver: str, regime: str, splits: str) -> list[np.ndarray]:
    """Held-out predictions of scikit-learn, refitted in each fold."""
    X, Y, model = REGIMES[regime], units(regime), SOLVERS[solver][1]
    return [model.fit(X[train], Y[train]).predict(X[test]) for train, test in FOLDS[splits]]


def units(regime: str) -> np.ndarray:
    """Responses of many sizes, far from zero, some of them in whole numbers that tie."""
    Y = responses(REGIMES[regime]) * np.geomspace(1e-2, 1e4, 6) + np.array([0, 1e2, 0, 10, -5e3, 1e4])
    Y[:, 3] = np.round(responses(REGIMES[regime])[:, 3])
    return Y


def spearman(prediction: np.ndarray, response: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return np.array([stats.spearmanr(p, y).statistic for p, y in zip(prediction.T, response.T, strict=True)])


def reference(name: str, prediction: np.ndarray, trained: np.ndarray, response: np.ndarray) -> np.ndarray:
    """A score [neuroid] in the held-out set of one fold."""
    if name == "r2":
        return 1 - ((response - prediction) ** 2).sum(0) / ((response - trained.mean(0)) ** 2).sum(0)
    return {"pearson": pearson, "pearson-eps": eps_pearson, "spearman": spearman}[name](prediction, response)


@pytest.mark.parametrize("splits", FOLDS)
@pytest.mark.parametrize("regime", ["rows < features", "rows > features", "rows >> features"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_all_scores_of_every_solver(solver, regime, splits):
    X, Y, folds = REGIMES[regime], units(regime), FOLDS[splits]
    fits = predictions(solver, regime, splits)
    for dtype, tolerance in TOLERANCES.items():
        found = cross_validate([X, X], Y, folds, SOLVERS[solver][0], scores=SCORES, predictions=True, dtype=dtype)
        assert set(found.scores) == set(SCORES)
        for name, values in found.scores.items():
            assert values.dtype == dtype
            expected = np.stack([reference(name, fit, Y[a], Y[b]) for fit, (a, b) in zip(fits, folds, strict=True)])
            for layer in values:
                # R2 of a bad prediction is large: its relative error counts
                np.testing.assert_allclose(layer, expected, rtol=10 * tolerance, atol=tolerance, err_msg=name)
        residual = sum(((Y[b] - fit) ** 2).sum(0) for fit, (_, b) in zip(fits, folds, strict=True))
        total = sum(((Y[b] - Y[a].mean(0)) ** 2).sum(0) for a, b in folds)
        np.testing.assert_allclose(found.pooled_r2, [1 - residual / total] * 2, rtol=10 * tolerance, atol=tolerance)
        assert len(found.predictions) == len(folds)
        for fit, mine in zip(fits, found.predictions, strict=True):
            assert mine.shape == (2, *fit.shape)
            np.testing.assert_allclose(mine, [fit] * 2, rtol=tolerance, atol=tolerance * Y.std(0).max())


def test_scores_alone_are_scores_together():
    X, Y = [gaussian(100), gaussian(20)], responses(gaussian(100))
    together = cross_validate(X, Y, 5, scores=SCORES)
    for name in SCORES:
        alone = cross_validate(X, Y, 5, scores=[name])
        assert set(alone.scores) == {name}
        np.testing.assert_array_equal(alone.scores[name], together.scores[name])
        assert (alone.pooled_r2 is None) == (name != "r2")
        assert alone.predictions is None


def test_r2_is_against_the_training_mean_and_not_that_of_the_test_set():
    X, Y, folds = gaussian(20), responses(gaussian(20)) + np.linspace(0, 40, N)[:, None], SPLITS["contiguous"]
    train, test = folds[0]
    fit = linear_model.Ridge(1.0).fit(X[train], Y[train]).predict(X[test])
    found = cross_validate([X], Y, folds, Ridge(1.0), scores=["r2"], dtype="float64").scores["r2"][0, 0]
    np.testing.assert_allclose(found, reference("r2", fit, Y[train], Y[test]), atol=1e-9)
    assert np.abs(found - r2_score(Y[test], fit, multioutput="raw_values")).max() > 1


# --- the epsilon ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_epsilon_counts_in_the_units_of_the_responses(dtype):
    X, folds = gaussian(20), SPLITS["shuffled"]
    Y = responses(X) * np.array([1e-9, 1e-8, 1e-7, 1.0, 1e4, 1e-8])
    fits = [svd_ridge(X[a], Y[a], X[b], [1.0])[0] for a, b in folds]
    expected = np.stack([eps_pearson(fit, Y[b]) for fit, (_, b) in zip(fits, folds, strict=True)])
    plain = np.stack([pearson(1e9 * fit, 1e9 * Y[b]) for fit, (_, b) in zip(fits, folds, strict=True)])
    assert np.abs(expected - plain)[:, :2].max() > 0.1
    found = cross_validate([X], Y, folds, Ridge(1.0), scores=["pearson", "pearson-eps"], dtype=dtype)
    np.testing.assert_allclose(found.scores["pearson-eps"][0], expected, rtol=0, atol=TOLERANCES[dtype])
    np.testing.assert_allclose(found.r[0], plain, rtol=0, atol=TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_constant_has_an_epsilon_r_of_zero_and_no_other_score(solver, dtype):
    X, Y, folds = gaussian(20), responses(gaussian(20)), SPLITS["shuffled"]
    Y[:, 1] = 7.3
    Y[:, 2] = 0.1 + np.spacing(0.1) * np.random.default_rng(0).integers(-2, 3, N)
    found = cross_validate([X, np.ones((N, 3))], Y, folds, SOLVERS[solver][0], scores=SCORES, dtype=dtype)
    assert (found.scores["pearson-eps"][..., [1, 2]] == 0).all()
    assert (found.scores["pearson-eps"][1] == 0).all()
    assert (found.scores["pearson-eps"][0][:, [0, 3, 4, 5]] != 0).all()
    for name in ("pearson", "spearman"):
        assert np.isnan(found.scores[name][..., [1, 2]]).all()
        assert np.isnan(found.scores[name][1]).all()
        assert np.isfinite(found.scores[name][0][:, [0, 3, 4, 5]]).all()
    assert np.isnan(found.scores["r2"][..., [1, 2]]).all()
    assert np.isnan(found.pooled_r2[:, [1, 2]]).all()
    # features that do not vary predict the training mean: no variance explained, none lost
    np.testing.assert_allclose(found.scores["r2"][1][:, [0, 3, 4, 5]], 0, rtol=0, atol=TOLERANCES[dtype])
    assert found.undefined == 6
    assert cross_validate([X], Y, folds, SOLVERS[solver][0], dtype=dtype).undefined == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_r2_is_undefined_where_the_responses_are_the_training_mean(dtype):
    X, folds = gaussian(20), [(np.arange(40), np.arange(40, 60)), (np.arange(20, 60), np.arange(20))]
    Y = responses(X)
    Y[:40, 2], Y[40:, 2] = np.tile([1.0, -1.0], 20), 0.0  # no deviation from the training mean in the first test set
    Y[:40, 4], Y[40:, 4] = np.tile([0.1, 0.7], 20), 0.4  # none but round-off
    found = cross_validate([X], Y, folds, Ridge(1.0), scores=["r2"], dtype=dtype)
    undefined = np.zeros((2, 6), bool)
    undefined[0, [2, 4]] = True
    np.testing.assert_array_equal(np.isnan(found.scores["r2"][0]), undefined)
    assert found.undefined == 2
    assert np.isfinite(found.pooled_r2).all()


# --- ranks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_responses_that_tie_share_their_rank(dtype):
    X, folds, rng = gaussian(20), SPLITS["shuffled"], np.random.default_rng(1)
    Y = np.stack([rng.integers(0, 3, N), rng.integers(0, 2, N) * 1e5 + 3e6, 0.1 * rng.integers(0, 4, N)], 1)
    fits = [svd_ridge(X[a], Y[a], X[b], [1.0])[0] for a, b in folds]
    expected = np.stack([spearman(fit, Y[b]) for fit, (_, b) in zip(fits, folds, strict=True)])
    breaking = np.stack(
        [
            spearman(fit, Y[b] + 1e-9 * Y[b].std(0) * rng.standard_normal(Y[b].shape))
            for fit, (_, b) in zip(fits, folds, strict=True)
        ]
    )
    assert np.abs(breaking - expected).max() > 0.05
    found = cross_validate([X], Y, folds, Ridge(1.0), scores=["spearman"], dtype=dtype).scores["spearman"]
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("regime", ["repeated stimuli, wide", "repeated stimuli, narrow"])
def test_predictions_of_equal_stimuli_tie(regime, solver, dtype):
    X, folds = REGIMES[regime], SPLITS["shuffled"]
    Y = responses(X)
    same = np.unique(X, axis=0, return_inverse=True)[1]
    expected, model = [], SOLVERS[solver][1]
    for train, test in folds:
        first, equal = np.unique(same[test], return_index=True, return_inverse=True)[1:]
        assert len(first) < len(test)
        fit = model.fit(X[train], Y[train]).predict(X[test[first]])
        expected.append(spearman(fit[equal], Y[test]))
    found = cross_validate([X], Y, folds, SOLVERS[solver][0], scores=["spearman"], dtype=dtype).scores["spearman"]
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_of_scores():
    assert check_scores("r2") == ("r2",)
    assert check_scores(["r2", "pearson", "r2"]) == ("r2", "pearson")
    with pytest.raises(JaxscoreError, match=r"Unknown score 'pearsn'\. Did you mean 'pearson'") as caught:
        cross_validate([gaussian(3)], responses(gaussian(10)), 5, scores=["pearsn"])
    assert all(name in caught.value.hint for name in SCORES)
