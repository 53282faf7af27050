"""Every path that can be forced gives the numbers of scikit-learn, and auto takes the one for the shape."""

from __future__ import annotations

import numpy as np
import pytest
from parity.reference_regression import ols_fold_r, pearson, svd_ridge
from parity.regimes import REGIMES, SPLITS, UNEVEN, condition, gaussian, responses

from jaxscore.errors import DataError
from jaxscore.regression import OLS, Ridge, cross_validate
from jaxscore.regression.operators import PATHS
from jaxscore.regression.primal import FEW

FOLDS = SPLITS | UNEVEN
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}
FULL_RANK = ["rows > features", "outliers, narrow", "outliers, very narrow"]
REDUCED = ["training rows cross the features", "repeated stimuli, narrow", "dead and double, narrow", "rows < features"]


def reference(X: np.ndarray, Y: np.ndarray, folds, alpha: float) -> np.ndarray:
    if not alpha:
        return ols_fold_r(X, Y, folds)
    return np.stack([pearson(svd_ridge(X[a], Y[a], X[b], [alpha])[0], Y[b]) for a, b in folds])


def solver_of(alpha: float):
    return Ridge(alpha) if alpha else OLS()


@pytest.mark.parametrize("splits", FOLDS)
@pytest.mark.parametrize("alpha", [0.0, 1e-3])
@pytest.mark.parametrize("regime", FULL_RANK)
def test_every_path_on_features_of_full_rank(regime, alpha, splits):
    X, folds = REGIMES[regime], FOLDS[splits]
    Y = responses(X)
    expected = reference(X, Y, folds, alpha)
    assert condition(X, folds) < 1e4
    for path in PATHS:
        for dtype, tolerance in TOLERANCES.items():
            found = cross_validate([X, X], Y, folds, solver_of(alpha), path=path, dtype=dtype).r
            np.testing.assert_allclose(found, [expected] * 2, rtol=0, atol=tolerance, err_msg=path)


@pytest.mark.parametrize("regime", REDUCED)
def test_ridge_on_features_that_lack_rank(regime):
    X, folds = REGIMES[regime], FOLDS["grouped"]
    Y = responses(X)
    expected = reference(X, Y, folds, 0.1)
    for path in PATHS:
        for dtype, tolerance in TOLERANCES.items():
            found = cross_validate([X], Y, folds, Ridge(0.1), path=path, dtype=dtype).r
            np.testing.assert_allclose(found[0], expected, rtol=0, atol=tolerance, err_msg=path)


def test_primal_leaves_out_what_is_dead_or_double():
    X, folds = REGIMES["dead and double, narrow"], FOLDS["grouped"]
    Y = responses(X)
    for dtype, tolerance in TOLERANCES.items():
        found = cross_validate([X], Y, folds, path="primal", dtype=dtype).r
        np.testing.assert_allclose(found[0], reference(X, Y, folds, 0.0), rtol=0, atol=tolerance)


@pytest.mark.parametrize("regime", [regime for regime in REDUCED if "dead" not in regime])
def test_primal_refuses_least_squares_without_full_rank(regime):
    X, full = REGIMES[regime], gaussian(20)
    with pytest.raises(DataError, match=r"1 of 2 layers lack full column rank in training"):
        cross_validate([full, X], responses(full), FOLDS["grouped"], path="primal")


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_many_stimuli_and_few_features_take_it_unasked(alpha):
    rng, n = np.random.default_rng(60), FEW + 100
    X = rng.standard_normal((n, 30)) * np.r_[1e3, 1e3, np.ones(28)] + 5
    Y = np.hstack([X @ rng.standard_normal((30, 3)) / 30, rng.standard_normal((n, 3)) + X[:, :1] / 1e3])
    wide, dead = rng.standard_normal((n, 8)), X.copy()
    dead[:, 3] = 1.0
    groups = np.repeat(np.arange(21), 100)
    options = {"scores": ("pearson", "r2", "spearman"), "predictions": True, "groups": groups}
    layers = [X, wide, dead]
    for dtype, tolerance in TOLERANCES.items():
        found = cross_validate(layers, Y, "grouped", solver_of(alpha), dtype=dtype, inner=[0, 4], **options)
        other = cross_validate(layers, Y, "grouped", solver_of(alpha), dtype="float64", path="refit", **options)
        paths = [set(diagnosis.paths) for diagnosis in found.diagnoses]
        assert paths[:2] == [{"primal"}, {"primal"}]
        assert paths[2] == {"primal"}  # a dead feature is left out
        for name in ("pearson", "r2"):
            np.testing.assert_allclose(found.scores[name], other.scores[name], rtol=0, atol=tolerance)
        np.testing.assert_allclose(found.pooled_r2, other.pooled_r2, rtol=0, atol=tolerance)
        # two neighbours of 100 that are nearer to each other than the tolerance tie or change places: 12 / 100^3
        np.testing.assert_allclose(found.scores["spearman"], other.scores["spearman"], rtol=0, atol=tolerance + 2.4e-5)
        for mine, theirs in zip(found.predictions, other.predictions, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=10 * tolerance)
        assert np.isfinite(found.inner_r).all()


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize("what", ["a column for each run", "a huge activation", "a column of one stimulus"])
def test_features_that_only_the_held_out_stimuli_have(what, alpha, dtype):
    # what is left of a held-out direction after the fit to all stimuli is small, and is divided by
    rng, n = np.random.default_rng(61), FEW + 100
    X, Y = rng.standard_normal((n, 12)), rng.standard_normal((n, 6))
    Y += X @ rng.standard_normal((12, 6)) / 10
    if what == "a huge activation":
        X[:, 4] *= 0.1
        X[77, 4] = 3e3
    elif what == "a column of one stimulus":
        X[:, 4] = 0.0
        X[77, 4] = 300.0
    else:
        X = np.hstack([X, np.kron(np.eye(5), np.ones((n // 5, 1)))])
    folds = [(np.setdiff1d(np.arange(n), test), test) for test in np.array_split(np.arange(n), 5)]
    found = cross_validate([X], Y, folds, solver_of(alpha), dtype=dtype).r
    expected = reference(X, Y, folds, alpha)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=TOLERANCES[dtype])
