"""Responses that are missing are left out for their voxel alone, exactly; odd responses and features do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from ml_dtypes import bfloat16
from parity.reference_regression import eps_pearson, pearson, refit_errors, svd_ridge
from parity.regimes import GROUPS, REGIMES, SPLITS, UNEVEN, N, gaussian, responses
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GroupKFold, LeaveOneOut

from jaxscore.errors import DataError
from jaxscore.regression import OLS, RidgeCV, cross_validate
from jaxscore.regression import Ridge as OurRidge
from jaxscore.regression.delays import delayed
from jaxscore.regression.missing import patterns

pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")

ALPHAS = np.logspace(-3, 3, 7)
FOLDS = SPLITS | UNEVEN
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}
SOLVERS = {
    "ols": (OLS(), LinearRegression),
    "ridge": (OurRidge(3.0), lambda: Ridge(3.0, solver="svd")),
}


def with_holes(X: np.ndarray) -> np.ndarray:
    """Voxels 0 and 3 are whole, 1 and 4 lack the same stimuli, 2 lacks a third, 5 has most."""
    Y, rng = responses(X), np.random.default_rng(20)
    Y[rng.permutation(N)[:7][:, None], [1, 4]] = np.nan
    Y[rng.permutation(N)[:20], 2] = np.nan
    Y[[3, 40], 5] = np.nan
    return Y


def present(fold: np.ndarray, y: np.ndarray) -> np.ndarray:
    return fold[~np.isnan(y[fold])]


def test_neuroids_are_grouped_by_what_they_lack():
    Y = with_holes(gaussian(9))
    found = list(patterns(Y))
    assert sorted(tuple(neuroids) for _, neuroids in found) == [(0, 3), (1, 4), (2,), (5,)]
    for rows, neuroids in found:
        np.testing.assert_array_equal(
            np.isin(np.arange(N), rows)[:, None].repeat(len(neuroids), 1), ~np.isnan(Y[:, neuroids])
        )
    ((rows, neuroids),) = patterns(responses(gaussian(9)))
    np.testing.assert_array_equal(rows, np.arange(N))
    np.testing.assert_array_equal(neuroids, np.arange(6))
    whole = np.zeros((9, 3), int)
    assert len(list(patterns(whole))) == 1


@pytest.mark.parametrize("splits", ["shuffled", "grouped", "overlapping"])
@pytest.mark.parametrize("regime", ["rows < features", "rows > features", "training rows cross the features"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_each_voxel_is_regressed_on_its_present_rows(solver, regime, splits):
    X, folds = REGIMES[regime], FOLDS[splits]
    Y, (ours, theirs) = with_holes(REGIMES[regime]), SOLVERS[solver]
    names = ("pearson", "pearson-eps", "r2")
    for dtype, tolerance in TOLERANCES.items():
        found = cross_validate([X], Y, folds, ours, scores=names, predictions=True, dtype=dtype)
        for k, (train, test) in enumerate(folds):
            for v, y in enumerate(Y.T):
                a, b = present(train, y), present(test, y)
                fit = theirs().fit(X[a], y[a]).predict(X[b])
                r2 = 1 - np.square(y[b] - fit).sum() / np.square(y[b] - y[a].mean()).sum()
                expected = {"pearson": pearson, "pearson-eps": eps_pearson}
                for name, score in expected.items():
                    np.testing.assert_allclose(
                        found.scores[name][0, k, v], score(fit[:, None], y[b][:, None])[0], rtol=0, atol=tolerance
                    )
                np.testing.assert_allclose(found.scores["r2"][0, k, v], r2, rtol=10 * tolerance, atol=tolerance)
                mine = found.predictions[k][0, :, v]
                np.testing.assert_array_equal(np.isnan(mine), np.isnan(y[test]))
                np.testing.assert_allclose(mine[~np.isnan(mine)], fit, rtol=tolerance, atol=10 * tolerance)
        assert found.undefined == 0


@pytest.mark.parametrize("how", ["loo", "grouped"])
@pytest.mark.parametrize("regime", ["rows < features", "rows >> features"])
def test_alphas_are_chosen_on_the_present_rows(regime, how):
    X, Y, folds = REGIMES[regime], with_holes(REGIMES[regime]), SPLITS["grouped"]
    found = cross_validate([X], Y, folds, RidgeCV(ALPHAS, select=how), groups=GROUPS, dtype="float64")
    for k, (train, test) in enumerate(folds):
        for v, y in enumerate(Y.T):
            a, b = present(train, y), present(test, y)
            splitter = LeaveOneOut() if how == "loo" else GroupKFold(5, shuffle=True, random_state=1)
            inner = list(splitter.split(a, groups=None if how == "loo" else GROUPS[a]))
            errors = refit_errors(X[a], y[a][:, None], inner, ALPHAS)[:, 0]
            assert found.alphas[0, k, v] == ALPHAS[errors.argmin()]
            fit = svd_ridge(X[a], y[a][:, None], X[b], [found.alphas[0, k, v]])[0]
            np.testing.assert_allclose(found.r[0, k, v], pearson(fit, y[b][:, None])[0], rtol=0, atol=1e-9)


def test_delays_reach_over_missing_rows():
    X, Y, folds = gaussian(9), with_holes(gaussian(9)), SPLITS["contiguous"]
    stacked = delayed(X, (0, 1, 3))
    found = cross_validate([X], Y, folds, OurRidge(1.0), delays=(0, 1, 3), dtype="float64").r
    np.testing.assert_allclose(found, cross_validate([stacked], Y, folds, OurRidge(1.0), dtype="float64").r, atol=1e-12)


def test_inner_r_and_diagnoses_of_voxels_with_holes():
    X, Y, inner = gaussian(20), with_holes(gaussian(20)), np.array([5, 0, 1])
    found = cross_validate([X, gaussian(100)], Y, SPLITS["shuffled"], inner=inner, dtype="float64")
    for place, v in enumerate(inner):
        rows = np.flatnonzero(~np.isnan(Y[:, v]))
        folds = [tuple(np.flatnonzero(np.isin(rows, part)) for part in fold) for fold in SPLITS["shuffled"]]
        alone = cross_validate([X[rows]], Y[rows][:, [v]], folds, inner=[0], dtype="float64")
        np.testing.assert_allclose(found.inner_r[0, :, place], alone.inner_r[0, :, 0], rtol=0, atol=1e-12)
    diagnoses = cross_validate([X, gaussian(100)], Y, SPLITS["shuffled"]).diagnoses
    assert [diagnosis.paths for diagnosis in diagnoses] == [{"complement": 20}, {"dual": 20}]  # 4 patterns of 5 folds


# --- what cannot be scored --------------------------------------------------------------------------------------------


def test_a_voxel_without_responses_is_an_error():
    Y = with_holes(gaussian(20))
    Y[:, [2, 4]] = np.nan
    with pytest.raises(DataError, match=r"2 of 6 neuroids have no response at all \(the first is 2\)") as caught:
        cross_validate([gaussian(20)], Y, 5)
    assert "Drop them" in caught.value.hint


@pytest.mark.parametrize("lost", ["train", "test"])
def test_a_fold_that_a_voxel_has_no_responses_in_is_named(lost):
    folds = [(np.arange(50), np.arange(50, 60)), (np.arange(20, 60), np.arange(20))]
    Y = responses(gaussian(20))
    Y[1 : 50 if lost == "train" else 1, 3] = np.nan
    Y[51 if lost == "test" else 60 :, 3] = np.nan
    expected = "1 training and 10 test" if lost == "train" else "50 training and 1 test"
    with pytest.raises(
        DataError, match=rf"1 neuroids \(the first is 3\) have {expected} responses that are not NaN in fold 0"
    ):
        cross_validate([gaussian(20)], Y, folds)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_voxels_are_counted_among_those_with_holes(dtype):
    X, Y, rng = gaussian(20), with_holes(gaussian(20)), np.random.default_rng(21)
    Y[~np.isnan(Y[:, 4]), 4] = -3.7
    Y[:, 0] = 1e5 + np.spacing(1e5) * rng.integers(-2, 3, N)
    found = cross_validate([X], Y, SPLITS["shuffled"], dtype=dtype)
    np.testing.assert_array_equal(np.isnan(found.r).any((0, 1)), [True, False, False, False, True, False])
    assert found.undefined == 2


# --- odd features -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float16, bfloat16, np.float32, np.int16])
@pytest.mark.parametrize("width", [20, 100])
def test_half_precision_features_are_the_numbers_that_they_are(width, kind):
    X, folds = (8 * gaussian(width)).astype(kind), SPLITS["shuffled"]
    wide = X.astype(np.float64)
    Y = responses(wide)
    for solver, theirs in SOLVERS.values():
        expected = np.stack([pearson(theirs().fit(wide[a], Y[a]).predict(wide[b]), Y[b]) for a, b in folds])
        for dtype, tolerance in TOLERANCES.items():
            found = cross_validate([X], Y, folds, solver, dtype=dtype)
            np.testing.assert_allclose(found.r[0], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("width", [20, 100])
@pytest.mark.parametrize("solver", SOLVERS)
def test_features_in_the_thousands_beside_features_near_one(solver, width):
    X, (ours, theirs), folds = gaussian(width, 22), SOLVERS[solver], SPLITS["grouped"]
    X[:, [0, 3]] = 4000 * X[:, [0, 3]] + 9000
    X = X.astype(np.float32)
    Y = responses(gaussian(width, 22)[:, 4:], noise=0.1)  # what they say is in the small ones
    wide = X.astype(np.float64)
    expected = np.stack([pearson(theirs().fit(wide[a], Y[a]).predict(wide[b]), Y[b]) for a, b in folds])
    for dtype, tolerance in TOLERANCES.items():
        found = cross_validate([X], Y, folds, ours, dtype=dtype)
        np.testing.assert_allclose(found.r[0], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_held_out_response_that_is_huge_costs_the_others_no_digits(dtype):
    X, folds = gaussian(100), SPLITS["shuffled"]
    Y = responses(X)
    Y[folds[1][1][0]] = 1e5  # a spike in the recording
    expected = np.stack([pearson(Ridge(3.0).fit(X[a], Y[a]).predict(X[b]), Y[b]) for a, b in folds])
    found = cross_validate([X], Y, folds, OurRidge(3.0), dtype=dtype).r[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCES[dtype])
