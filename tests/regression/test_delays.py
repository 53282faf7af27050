"""Delayed features equal explicitly stacked, zero-padded copies of them, within their runs."""

from __future__ import annotations

import numpy as np
import pytest
from parity.reference_regression import pearson
from parity.regimes import SPLITS, N, gaussian, outliers, responses
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.linear_model import RidgeCV as TheirRidgeCV

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression import OLS, RidgeCV, cross_validate
from jaxscore.regression import Ridge as OurRidge
from jaxscore.regression.delays import delayed

pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")

RUNS = {"one run": None, "three runs": ["c"] * 13 + ["a"] * 27 + ["b"] * 20}
SOLVERS = {
    "ols": (OLS(), LinearRegression()),
    "ridge": (OurRidge(2.0), Ridge(2.0, solver="svd")),
    "ridge-cv": (RidgeCV([0.1, 10.0, 1e3], per_neuroid=False), TheirRidgeCV([0.1, 10.0, 1e3])),
}


def stacked(X: np.ndarray, delays, runs) -> np.ndarray:
    """The copies one by one: row t of each is row t - delay of the features, or zeros before the start of the run."""
    out = np.zeros((len(X), len(delays) * X.shape[1]))
    for t in range(len(X)):
        for k, delay in enumerate(delays):
            if t - delay >= 0 and (runs is None or all(run == runs[t] for run in runs[t - delay : t])):
                out[t, k * X.shape[1] : (k + 1) * X.shape[1]] = X[t - delay]
    return out


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("width", [3, 9, 20, 100])
@pytest.mark.parametrize("solver", SOLVERS)
def test_delays_are_stacked_features(solver, width, runs):
    # 27, 60, 300 columns beside 60 rows: more rows than columns, fewer, and fewer already without delays
    X, folds, delays = gaussian(width, 30), SPLITS["contiguous"], (1, 2, 4)
    Y = responses(stacked(gaussian(9, 30), delays, RUNS[runs]))
    columns, (ours, theirs) = stacked(X, delays, RUNS[runs]), SOLVERS[solver]
    expected = np.stack([pearson(theirs.fit(columns[a], Y[a]).predict(columns[b]), Y[b]) for a, b in folds])
    for dtype, tolerance in {"float64": 1e-9, "float32": 1e-5}.items():
        found = cross_validate([X, X], Y, folds, ours, delays=delays, runs=RUNS[runs], dtype=dtype).r
        np.testing.assert_allclose(found, [expected, expected], rtol=0, atol=tolerance)


@pytest.mark.parametrize("runs", RUNS)
def test_fewer_features_than_rows_are_stacked_as_they_are(runs):
    for X in (gaussian(4), gaussian(4).astype(np.float32), np.arange(2 * N).reshape(N, 2)):
        found = delayed(X, [0, 5, 2], RUNS[runs])
        assert found.dtype == X.dtype
        np.testing.assert_array_equal(found, stacked(X, [0, 5, 2], RUNS[runs]))


@pytest.mark.parametrize("runs", RUNS)
def test_more_features_than_rows_keep_their_inner_products_in_fewer_columns(runs):
    X, delays = outliers(100), (0, 1, 6)
    found, columns = delayed(X, delays, RUNS[runs]), stacked(X, delays, RUNS[runs])
    assert found.shape == (N, 3 * N)
    np.testing.assert_allclose(found @ found.T, columns @ columns.T, rtol=1e-12, atol=1e-12 * np.square(columns).sum())


def test_a_run_that_is_shorter_than_the_delay_is_empty():
    X = gaussian(4)
    np.testing.assert_array_equal(delayed(X, [N]), np.zeros((N, 4)))
    np.testing.assert_array_equal(delayed(X, [2], np.repeat(np.arange(30), 2)), np.zeros((N, 4)))
    assert delayed(X, None) is X


def test_delays_do_not_reach_into_the_next_run():
    X, Y = gaussian(5), responses(gaussian(9))
    together, apart = (cross_validate([X], Y, 5, delays=[1, 2], runs=runs).r for runs in RUNS.values())
    assert np.abs(together - apart).max() > 1e-3


@pytest.mark.parametrize("delays", [[], [1, 1], [-1], [0, 2, -3], [0.5, 1.5]])
def test_delays_are_different_numbers_of_rows(delays):
    with pytest.raises(JaxscoreError, match="expected different numbers of rows, 0 or more"):
        cross_validate([gaussian(5)], responses(gaussian(9)), 5, delays=delays)


def test_runs_are_blocks_of_rows():
    X, Y = gaussian(5), responses(gaussian(9))
    with pytest.raises(DataError, match="rows of a run are not together"):
        cross_validate([X], Y, 5, delays=[1], runs=np.arange(N) % 2)
    with pytest.raises(DataError, match="59 runs for 60 rows"):
        cross_validate([X], Y, 5, delays=[1], runs=np.zeros(N - 1))
