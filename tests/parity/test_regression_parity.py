"""Cross-validation of all layers at once equals scikit-learn in float64, refitted for each fold, on all features."""

from __future__ import annotations

from itertools import permutations

import jax
import numpy as np
import pytest
from parity.reference_regression import ols_fold_r, pearson, ridge_fold_r
from parity.regimes import REGIMES, SPLITS, VOXELS, N, condition, gaussian, responses, spectrum
from sklearn.linear_model import LinearRegression, Ridge

from jaxscore.regression import OLS, cross_validate
from jaxscore.regression import Ridge as OurRidge

ALPHAS = (1e-3, 1.0, 1e3)


def solver_of(alpha: float):
    return OurRidge(alpha) if alpha else OLS()


def svd_ridge_fold_r(X, Y, folds, alpha):
    """Ridge by an SVD of the features: no kernel that squares their condition number."""
    X = X.astype(np.float64)
    return np.stack(
        [pearson(Ridge(alpha, solver="svd").fit(X[a], Y[a]).predict(X[b]), Y[b].astype(np.float64)) for a, b in folds]
    )


def assert_close(r: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert r.shape == expected.shape
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(r, expected, rtol=0, atol=tolerance)


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("splits", SPLITS)
@pytest.mark.parametrize("regime", REGIMES)
def test_ols(regime, splits):
    X, folds = REGIMES[regime], SPLITS[splits]
    Y = responses(X)
    expected = ols_fold_r(X, Y, folds)
    exact = 1e-9 if condition(X, folds) < 1e4 else 1e-6
    assert_close(cross_validate([X], Y, folds, dtype="float64").r[0], expected, exact)
    assert_close(cross_validate([X], Y, folds).r[0], expected, 1e-5)


@pytest.mark.parametrize("splits", SPLITS)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("regime", REGIMES)
def test_ridge(regime, alpha, splits):
    X, folds = REGIMES[regime], SPLITS[splits]
    Y = responses(X)
    expected = svd_ridge_fold_r(X, Y, folds, alpha)
    if condition(X, folds) < 1e3:
        assert_close(expected, ridge_fold_r(X, Y, folds, alpha), 1e-9)
    assert_close(cross_validate([X], Y, folds, solver=solver_of(alpha), dtype="float64").r[0], expected, 1e-9)
    assert_close(cross_validate([X], Y, folds, solver=solver_of(alpha)).r[0], expected, 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float32_features_and_responses_are_taken_as_they_are(dtype):
    X, folds = REGIMES["outliers, wide"].astype(np.float32), SPLITS["shuffled"]
    Y = responses(X).astype(np.float32)
    for alpha, expected in [(0.0, ols_fold_r(X, Y, folds)), (1.0, svd_ridge_fold_r(X, Y, folds, 1.0))]:
        r = cross_validate([X], Y, folds, solver=solver_of(alpha), dtype=dtype).r
        assert r.dtype == dtype
        assert_close(r[0], expected, 1e-5 if dtype == "float32" else 1e-9)


def test_layers_of_different_width_in_one_call():
    layers, folds = list(REGIMES.values()), SPLITS["grouped"]
    Y = responses(REGIMES["rows < features"])
    found = cross_validate(layers, Y, folds, dtype="float64")
    assert found.r.shape == (len(layers), 5, VOXELS)
    assert len(found.diagnoses) == len(layers)
    for r, X in zip(found.r, layers, strict=True):
        assert_close(r, ols_fold_r(X, Y, folds), 1e-6)


def test_the_cut_off_is_that_of_linear_regression_and_can_be_moved():
    X, folds = REGIMES["null direction, narrow"].astype(np.float64), SPLITS["shuffled"]
    Y = responses(X)
    assert condition(X, folds) < 100
    fits = [LinearRegression(tol=1e-13).fit(X[a], Y[a]).predict(X[b]) for a, b in folds]
    keeping = np.stack([pearson(fit, Y[b]) for fit, (_, b) in zip(fits, folds, strict=True)])
    assert np.abs(keeping - ols_fold_r(X, Y, folds)).max() > 1e-2  # the null direction, filled by round-off, is kept
    assert_close(cross_validate([X], Y, folds, solver=OLS(rcond=1e-13), dtype="float64").r[0], keeping, 1e-6)


def test_the_path_follows_the_measured_rank():
    paths = {
        "rows < features": {"dual"},
        "outliers, wide": {"dual"},
        "rows > features": {"complement"},
        "outliers, narrow": {"complement"},
        "training rows cross the features": {"refit-qr"},
        "repeated stimuli, wide": {"refit-qr", "refit-svd"},
        "dead and double, narrow": {"refit-qr"},
        "null direction, narrow": {"refit-svd"},
    }
    for regime, expected in paths.items():
        X = REGIMES[regime]
        (diagnosis,) = cross_validate([X], responses(X), SPLITS["shuffled"]).diagnoses
        assert set(diagnosis.paths) == expected, regime
        ranks = [LinearRegression().fit(X[a].astype(float), responses(X)[a]).rank_ for a, _ in SPLITS["shuffled"]]
        assert diagnosis.rank == (min(ranks), max(ranks)), regime


def test_chunks_threads_and_the_order_of_rows_change_nothing():
    X, Y, folds = REGIMES["rows < features"], responses(REGIMES["rows < features"]), SPLITS["grouped"]
    whole = cross_validate([X, X[:, :30]], Y, folds, dtype="float64").r
    np.testing.assert_allclose(
        cross_validate([X, X[:, :30]], Y, folds, dtype="float64", chunk=4, threads=1).r, whole, rtol=0, atol=1e-12
    )
    rng = np.random.default_rng(10)
    shuffled = [(rng.permutation(a), rng.permutation(b)) for a, b in folds]
    np.testing.assert_allclose(
        cross_validate([X, X[:, :30]], Y, shuffled, dtype="float64").r, whole, rtol=0, atol=1e-11
    )


# --- the nested quantity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("splits", SPLITS)
def test_inner_r_is_the_mean_over_the_other_folds_refitted_without_the_outer_one(splits, alpha):
    names = ("rows < features", "rows > features", "training rows cross the features", "repeated stimuli, wide")
    layers, folds = [REGIMES[name] for name in names], SPLITS[splits]
    Y, inner = responses(layers[0]), np.array([4, 0, 3])
    found = cross_validate(layers, Y, folds, solver=solver_of(alpha), inner=inner, dtype="float64").inner_r
    assert found.shape == (len(layers), 5, len(inner))
    refit = ols_fold_r if alpha == 0 else lambda X, Y, folds: svd_ridge_fold_r(X, Y, folds, alpha)
    for r, X in zip(found, layers, strict=True):
        pairs = {
            (i, j): refit(X, Y[:, inner], [(np.setdiff1d(folds[i][0], folds[j][1]), folds[i][1])])[0]
            for i, j in permutations(range(5), 2)
        }
        expected = np.stack([np.mean([pairs[i, j] for i in range(5) if i != j], 0) for j in range(5)])
        assert_close(r, expected, 1e-8)


# --- traps, each with the naive way that falls into it ----------------------------------------------------------------


def bordered_fold_r(X: np.ndarray, Y: np.ndarray, folds, alpha: float, dtype: str) -> np.ndarray:
    """The operators from the inverse of the bordered kernel, which has the squared condition number of the features."""
    n = len(X)
    Xc = (X - X.mean(0)).astype(dtype)
    K = np.block([[Xc @ Xc.T + alpha * np.eye(n, dtype=dtype), np.ones((n, 1), dtype)], [np.ones((1, n), dtype), 0]])
    G = np.linalg.inv(K.astype(dtype))[:n, :n].astype(np.float64)
    predictions = [-np.linalg.solve(G[np.ix_(b, b)], G[np.ix_(b, a)]) @ Y[a] for a, b in folds]
    return np.stack([pearson(fit, Y[b]) for fit, (_, b) in zip(predictions, folds, strict=True)])


def test_a_float32_gram_loses_the_small_features():
    X, folds = REGIMES["outliers, wide"], SPLITS["shuffled"]
    Y = responses(X, noise=0.1)
    expected = svd_ridge_fold_r(X, Y, folds, 1.0)
    assert np.abs(bordered_fold_r(X, Y, folds, 1.0, "float64") - expected).max() < 1e-6
    assert not np.abs(bordered_fold_r(X, Y, folds, 1.0, "float32") - expected).max() < 1e-3
    assert_close(cross_validate([X.astype(np.float32)], Y, folds, solver=solver_of(1.0)).r[0], expected, 1e-5)
    assert_close(cross_validate([X], Y, folds, solver=solver_of(1.0), dtype="float64").r[0], expected, 1e-9)


def test_a_bordered_inverse_squares_the_condition_number():
    folds, harmless, X = SPLITS["shuffled"], REGIMES["spectrum k^-0.5"], spectrum(100, 3.3)
    Y = responses(harmless)
    assert_close(bordered_fold_r(harmless, Y, folds, 0.0, "float64"), ols_fold_r(harmless, Y, folds), 1e-9)
    Y, cond = responses(X), condition(X, folds)
    expected = ols_fold_r(X, Y, folds)
    assert 1e5 < cond < 1e6
    assert not np.abs(bordered_fold_r(X, Y, folds, 0.0, "float64") - expected).max() < 1e-6
    found = cross_validate([X], Y, folds, dtype="float64")
    assert set(found.diagnoses[0].paths) == {"dual"}
    assert_close(found.r[0], expected, 1e-9)
    assert_close(cross_validate([X], Y, folds).r[0], expected, 1e-5)


def test_a_large_mean_of_the_responses_costs_no_digits():
    X, folds = REGIMES["rows < features"], SPLITS["shuffled"]
    Y = responses(X) + 1e6
    expected = ols_fold_r(X, Y, folds)
    naive = ols_fold_r(X, Y.astype(np.float32), folds)
    assert np.abs(naive - expected).max() > 1e-4
    assert_close(cross_validate([X], Y, folds).r[0], expected, 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_constant_voxels_have_no_r(alpha, dtype):
    X, folds = REGIMES["rows < features"], SPLITS["shuffled"]
    Y = responses(X)
    rng = np.random.default_rng(11)
    Y[:, 1] = 7.3
    Y[:, 2] = 0.1 + np.spacing(0.1) * rng.integers(-2, 3, N)  # varies in the last bit
    Y[:, 4] = 0.0
    assert np.isfinite(ols_fold_r(X, Y[:, [2]], folds)).all()  # a plain correlation takes round-off for a signal
    r = cross_validate([X, X[:, :20]], Y, folds, solver=solver_of(alpha), dtype=dtype).r
    assert np.isnan(r[..., [1, 2, 4]]).all()
    assert np.isfinite(r[..., [0, 3, 5]]).all()
    single = Y.astype(np.float32)  # what is round-off depends on the precision that the responses came in
    single[:, 2] = np.float32(0.1) + np.spacing(np.float32(0.1)) * rng.integers(-2, 3, N)
    assert np.isnan(cross_validate([X], single, folds, solver=solver_of(alpha), dtype=dtype).r[..., [1, 2, 4]]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_voxel_that_is_constant_in_one_test_set_has_no_r_there(dtype):
    X, folds = REGIMES["rows > features"], SPLITS["shuffled"]
    Y = responses(X)
    Y[folds[2][1], 3] = 1.7
    r = cross_validate([X], Y, folds, dtype=dtype).r[0]
    undefined = np.zeros(r.shape, bool)
    undefined[2, 3] = True
    np.testing.assert_array_equal(np.isnan(r), undefined)
    assert_close(r[~undefined], ols_fold_r(X, Y, folds)[~undefined], 1e-5 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("value", [0.0, 2.7])
def test_features_that_do_not_vary_predict_a_constant(value, alpha, dtype):
    Y = responses(REGIMES["rows < features"])
    dead = np.full((N, 30), value)
    layers = [dead, dead.astype(np.float32), np.repeat(dead, 4, 1)]
    r = cross_validate(layers, Y, SPLITS["shuffled"], solver=solver_of(alpha), dtype=dtype).r
    assert np.isnan(r).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("width", [20, 100])
def test_predictions_that_are_constant_in_one_test_set_have_no_r_there(width, alpha, dtype):
    X, folds = gaussian(width, 12), SPLITS["shuffled"]
    X[folds[1][1]] = X[folds[1][1][0]]  # the test set of one fold is one stimulus, many times
    Y = responses(X)
    r = cross_validate([X], Y, folds, solver=solver_of(alpha), dtype=dtype).r[0]
    assert np.isnan(r[1]).all()
    others = [0, 2, 3, 4]
    reference = ols_fold_r if alpha == 0 else lambda X, Y, folds: svd_ridge_fold_r(X, Y, folds, alpha)
    expected = reference(X, Y, [folds[k] for k in others])
    assert_close(r[others], expected, 1e-5 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_configuration_of_jax_is_left_alone(dtype, enabled):
    X = REGIMES["rows < features"]
    with jax.enable_x64(enabled):
        before = dict(jax.config.values) | {"x64 in force": jax.config.jax_enable_x64}
        r = cross_validate([X], responses(X), SPLITS["shuffled"], inner=np.arange(2), dtype=dtype).r
        after = dict(jax.config.values) | {"x64 in force": jax.config.jax_enable_x64}
    assert r.dtype == dtype
    assert after == before
    assert jax.config.jax_enable_x64 is False
    assert jax.numpy.ones(1).dtype == "float32"
