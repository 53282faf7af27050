"""Numerical traps, each with the naive way that falls into it."""

from __future__ import annotations

import numpy as np
import pytest
from parity.reference_regression import ols_fold_r, pearson, refit_errors, svd_ridge
from parity.regimes import SPLITS, N, gaussian, outliers, responses
from scipy.linalg import solve_triangular
from sklearn.model_selection import KFold, LeaveOneOut

from jaxscore.errors import DataError
from jaxscore.regression import OLS, Ridge, RidgeCV, cross_validate
from jaxscore.regression.operators import contrast, gram_inverse

pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")

ALPHAS = np.logspace(-3, 3, 7)
FOLDS = SPLITS["shuffled"]
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}
INNER = {"loo": LeaveOneOut(), 3: KFold(3)}


def ridge_r(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Pearson r [fold, voxel] of ridge at the alphas [fold, voxel], refitted."""
    out = []
    for (train, test), chosen in zip(FOLDS, alphas, strict=True):
        fits = [svd_ridge(X[train], Y[train][:, [v]], X[test], [alpha])[0] for v, alpha in enumerate(chosen)]
        out.append(pearson(np.hstack(fits), Y[test]))
    return np.stack(out)


def assert_least(alphas: np.ndarray, X: np.ndarray, Y: np.ndarray, how, tie: float) -> None:
    """The alphas [fold, voxel] have the least error of refits without each inner fold, ties aside."""
    for (train, _), chosen in zip(FOLDS, alphas, strict=True):
        errors = refit_errors(X[train], Y[train], list(INNER[how].split(train)), ALPHAS)
        mine = np.take_along_axis(errors, np.searchsorted(ALPHAS, chosen)[None], 0)[0]
        assert (mine <= errors.min(0) * (1 + tie)).all(), (chosen, ALPHAS[errors.argmin(0)])


# --- Gram matrices ----------------------------------------------------------------------------------------------------


def plain_inverse(K: np.ndarray) -> np.ndarray:
    """T with T'T = K^-1 by a Cholesky decomposition of K as it is."""
    return solve_triangular(np.linalg.cholesky(K), np.eye(len(K)), lower=True)


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_a_gram_matrix_of_four_huge_features_needs_rows_of_their_own(alpha):
    X = gaussian(100, 50)
    X[:, [1, 30, 31, 77]] *= 1000
    M = contrast(X - X.mean(0))
    tall = np.hstack([M, alpha**0.5 * np.eye(N - 1)])
    U, s, _ = np.linalg.svd(tall, full_matrices=False)
    exact = (U / s**2) @ U.T
    graded, condition = gram_inverse(M.copy(), alpha)
    off = {}
    for name, T in {"plain": plain_inverse(tall @ tall.T), "graded": graded}.items():
        off[name] = np.abs(T.T @ T - exact).max() / np.abs(exact).max()
    assert off["graded"] < 1e-12
    assert off["plain"] > 30 * off["graded"], off
    assert condition >= s[0] / s[-1]


def test_a_float32_kernel_ruins_the_choice_and_the_prediction():
    X = outliers(100)
    Y = responses(gaussian(100, 7), noise=0.5)  # what they say is in the small features

    def naive_r(alpha: float) -> np.ndarray:
        out = []
        for train, test in FOLDS:
            mean = X[train].mean(0)
            known, new = (X[train] - mean).astype(np.float32), (X[test] - mean).astype(np.float32)
            K = known @ known.T + np.float32(alpha) * np.eye(len(train), dtype=np.float32)
            weights = np.linalg.solve(K, (Y[train] - Y[train].mean(0)).astype(np.float32))
            out.append(pearson(new @ known.T @ weights, Y[test]))
        return np.stack(out)

    expected = ridge_r(X, Y, np.full((5, 6), 1.0))
    assert np.nanmax(np.abs(naive_r(1.0) - expected)) > 1e-2
    single = X.astype(np.float32)
    for dtype, tolerance in TOLERANCES.items():
        found = cross_validate([single], Y, FOLDS, RidgeCV(ALPHAS), dtype=dtype)
        assert_least(found.alphas[0], single.astype(float), Y, "loo", 10 * tolerance)
        chosen = ridge_r(single.astype(float), Y, found.alphas[0])
        np.testing.assert_allclose(found.r[0], chosen, rtol=0, atol=tolerance)


# --- leave-one-out ----------------------------------------------------------------------------------------------------


def kernel_loo_errors(X: np.ndarray, Y: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Leave-one-out errors [alpha, voxel] from the eigenvalues of the kernel, which squares the condition number."""
    Xc, Y = X - X.mean(0), Y - Y.mean(0)
    w, Q = np.linalg.eigh(Xc @ Xc.T)
    rows = []
    for alpha in alphas:
        left = 1.0 / (w + alpha)
        left[np.argmax(np.abs(Q.sum(0)))] = 0.0  # the direction of the intercept
        G = (Q * left) @ Q.T
        rows.append(np.square(G @ Y / np.diag(G)[:, None]).mean(0))
    return np.stack(rows)


def test_a_kernel_loses_leave_one_out_of_huge_features_at_a_small_alpha():
    X = gaussian(100, 17)
    U = np.linalg.svd(X - X.mean(0))[0][:, 3:40]
    Y, small = U @ np.random.default_rng(18).standard_normal((37, 6)), np.array([1e-3, 1e-1])
    one_out = list(LeaveOneOut().split(FOLDS[0][0]))
    off = {}
    for size in (1.0, 1e7):
        X[:, :3] *= size
        train = FOLDS[0][0]
        expected = refit_errors(X[train], Y[train], one_out, small)
        off[size] = np.abs(kernel_loo_errors(X[train], Y[train], small) / expected - 1).max()
    assert off[1.0] < 1e-9
    assert off[1e7] > 1e-2
    for dtype, tolerance in TOLERANCES.items():
        found = cross_validate([X], Y, FOLDS, RidgeCV(ALPHAS), dtype=dtype)
        assert_least(found.alphas[0], X, Y, "loo", 10 * tolerance)
        np.testing.assert_allclose(found.r[0], ridge_r(X, Y, found.alphas[0]), rtol=0, atol=tolerance)


def lonely() -> tuple[np.ndarray, np.ndarray]:
    """A feature that one stimulus alone has: it is fitted exactly in training, and 1 - h is 1e-10 at alpha = 1e-3."""
    X = gaussian(12, 51)
    X[:, 4] = 0.0
    X[7, 4] = 3e3
    return X, responses(gaussian(12, 51)) + np.random.default_rng(19).standard_normal((N, 6))


def test_a_residual_over_one_minus_its_leverage_is_noise():
    X, Y = lonely()
    Xc, Yc = X - X.mean(0), Y - Y.mean(0)
    U, s, _ = np.linalg.svd(Xc, full_matrices=False)
    d = s**2 / (s**2 + 1e-3)
    expected = Y[7] - svd_ridge(np.delete(X, 7, 0), np.delete(Y, 7, 0), X[[7]], [1e-3])[0, 0]
    single = Yc.astype(np.float32)
    residual = single - U.astype(np.float32) @ (d.astype(np.float32)[:, None] * (U.T.astype(np.float32) @ single))
    naive = residual[7] / (1 - 1 / N - np.einsum("k,k,k->", U[7], d, U[7]))
    assert np.abs(naive - expected).max() > 100 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("path", ["auto", "dual"])
@pytest.mark.parametrize("how", INNER)
def test_a_feature_that_one_stimulus_has_does_not_spoil_the_choice(how, path, dtype):
    X, Y = lonely()
    found = cross_validate([X], Y, FOLDS, RidgeCV(ALPHAS, select=how), dtype=dtype, path=path)
    assert_least(found.alphas[0], X, Y, how, 10 * TOLERANCES[dtype])
    np.testing.assert_allclose(found.r[0], ridge_r(X, Y, found.alphas[0]), rtol=0, atol=TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("path", ["auto", "dual", "primal", "refit"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_feature_that_one_stimulus_has_does_not_spoil_a_fixed_regression(alpha, path, dtype):
    X, Y = lonely()
    if not alpha and path == "primal":
        with pytest.raises(DataError, match="lack full column rank in training"):
            cross_validate([X], Y, FOLDS, OLS(), dtype=dtype, path=path)
        return
    expected = ridge_r(X, Y, np.full((5, 6), alpha)) if alpha else ols_fold_r(X, Y, FOLDS)
    found = cross_validate([X], Y, FOLDS, Ridge(alpha) if alpha else OLS(), dtype=dtype, path=path)
    np.testing.assert_allclose(found.r[0], expected, rtol=0, atol=TOLERANCES[dtype])
