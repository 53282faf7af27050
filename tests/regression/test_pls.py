"""PLS operators equal scikit-learn's PLSRegression, run to convergence, in every regime and for every count."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from jaxscore.errors import DataError
from jaxscore.regression.pls import centre_kernel, pls_scores, response_kernel

TEST, COMPONENTS = 20, 10

# Against exact singular vectors (scikit-learn's own SVD variant) ours is off by 1e-14 to 3e-13, and by 1e-11 where
# three features are a thousand times larger: the round-off of X'Y. What bounds the comparison is the power iteration
# of PLSRegression: it ends when a step moves the weights by less than sqrt(tol), and the error left is that step over
# the gap of the two largest singular values: 1e-5 with tol = 1e-14, 4e-11 at most with 1e-26. Where the gap is small,
# 1e-28 is under its round-off and never reached.
CONVERGED = {"tol": 1e-26, "max_iter": 100_000}
TOLERANCE = 1e-10


def gaussian(n: int, p: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, p))


def repeated(n: int, p: int, seed: int) -> np.ndarray:
    """Each of 15 stimuli several times: 14 components exist."""
    return gaussian(15, p, seed)[np.random.default_rng(seed).integers(0, 15, n)]


def outliers(n: int, p: int, seed: int) -> np.ndarray:
    """Three features a thousand times larger than the rest."""
    X = gaussian(n, p, seed)
    X[:, [1, 2, 5]] *= 1000
    return X + np.linspace(-3, 3, p)


def decaying(n: int, p: int, seed: int) -> np.ndarray:
    return gaussian(n, p, seed) / np.arange(1, p + 1)


def dead(n: int, p: int, seed: int) -> np.ndarray:
    X = gaussian(n, p, seed)
    X[:, 3], X[:, 7], X[:, 11:16] = 0.0, 2.5, X[:, 16:21]
    return X


MAKERS = {f.__name__: f for f in (gaussian, repeated, outliers, decaying, dead)}
CASES = [(name, n, p, voxels) for name in MAKERS for n, p in [(60, 100), (60, 60), (120, 22)] for voxels in (1, 2, 300)]


def problem(name: str, n: int, p: int, voxels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training features, training responses, test features."""
    X, rng = MAKERS[name](n + TEST, p, seed=n + p), np.random.default_rng(voxels)
    signal = (X - X.mean(0)) @ rng.standard_normal((p, voxels))
    Y = signal / signal.std() + rng.standard_normal((n + TEST, voxels)) + rng.normal(0, 3, voxels)
    return X[:n], Y[:n], X[n:]


def pls_operators(X: np.ndarray, K: np.ndarray, X_test: np.ndarray, components: int, **scale: bool) -> np.ndarray:
    """Predictions as matrices on the responses, of 1, 2, ... components."""
    S, T = pls_scores(X, K, X_test, components, **scale)
    return np.cumsum(S.T[:, :, None] * T.T[:, None, :], axis=0) + 1.0 / len(T)


def pls_operator(X: np.ndarray, K: np.ndarray, X_test: np.ndarray, components: int) -> np.ndarray:
    return pls_operators(X, K, X_test, components)[-1]


def reference(X: np.ndarray, Y: np.ndarray, X_test: np.ndarray, components: int, scale: bool = False) -> np.ndarray:
    model = PLSRegression(components, scale=scale, **CONVERGED).fit(X, Y)
    return model.predict(X_test).reshape(len(X_test), -1)


def least_squares(X: np.ndarray, Y: np.ndarray, X_test: np.ndarray) -> np.ndarray:
    """Minimum-norm: what PLS comes to when no component is left."""
    return (X_test - X.mean(0)) @ np.linalg.pinv(X - X.mean(0), rcond=1e-10) @ (Y - Y.mean(0)) + Y.mean(0)


@pytest.mark.parametrize("scale", [False, True], ids=["raw", "scaled"])
@pytest.mark.parametrize(("name", "n", "p", "voxels"), CASES)
def test_every_count_of_components_equals_scikit_learn(name, n, p, voxels, scale):
    X, Y, X_test = problem(name, n, p, voxels)
    operators = pls_operators(X, response_kernel(Y, scale=scale), X_test, COMPONENTS, scale=scale)
    assert operators.shape == (COMPONENTS, TEST, n)
    for k, A in enumerate(operators, start=1):
        np.testing.assert_allclose(A @ Y, reference(X, Y, X_test, k, scale), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("name", "n", "p"), [("gaussian", 60, 100), ("decaying", 60, 100), ("gaussian", 120, 22)])
@pytest.mark.parametrize("voxels", [1, 40])
def test_all_components_are_least_squares(name, n, p, voxels):
    X, Y, X_test = problem(name, n, p, voxels)
    A = pls_operator(X, response_kernel(Y), X_test, min(n, p))
    np.testing.assert_allclose(A @ Y, least_squares(X, Y, X_test), rtol=0, atol=1e-8)


@pytest.mark.parametrize("voxels", [1, 40])
def test_components_that_do_not_exist_add_nothing(voxels):
    """scikit-learn goes on past the rank and its predictions grow to 1e17."""
    X, Y, X_test = problem("repeated", 60, 100, voxels)
    K = response_kernel(Y)
    S, T = pls_scores(X, K, X_test, 30)
    assert T.any(0).tolist() == [True] * 14 + [False] * 16
    assert not S[:, 14:].any()
    operators = pls_operators(X, K, X_test, 30)
    assert (operators[14:] == operators[13]).all()
    np.testing.assert_allclose(operators[-1] @ Y, least_squares(X, Y, X_test), rtol=0, atol=TOLERANCE)


def test_one_feature_and_responses_it_explains_exactly():
    x = np.arange(8.0)[:, None]
    A = pls_operator(x, response_kernel(2 * x - 1), np.array([[10.0]]), 3)
    np.testing.assert_allclose(A @ (2 * x - 1), [[19.0]], rtol=1e-13)
    assert pls_scores(x, response_kernel(2 * x - 1), x, 3)[1].any(0).sum() == 1


@pytest.mark.parametrize("constant", ["features", "responses", "kernel"])
@pytest.mark.parametrize("scale", [False, True], ids=["raw", "scaled"])
def test_what_varies_by_round_off_alone_predicts_the_mean(constant, scale):
    X, Y, X_test = problem("gaussian", 60, 22, 5)
    ulps = np.random.default_rng(0).integers(-2, 3, (60, 60)) * np.finfo(float).eps
    if constant == "features":
        X = np.linspace(0.1, 3, 22) * (1 + ulps[:, :22])
    elif constant == "responses":
        Y = np.linspace(0.1, 3, 5) * (1 + ulps[:, :5])
    K = response_kernel(Y, scale=scale)
    if constant == "kernel":  # not centred, as that of a voxel that varies in other folds only
        K = 0.1 * (1 + ulps + ulps.T)
    assert (pls_operators(X, K, X_test, 4, scale=scale) == 1 / 60).all()


def test_scores_stay_orthogonal_over_features_of_all_sizes():
    """One pass of Gram-Schmidt leaves 1e-10 here."""
    X, Y = gaussian(60, 100, 0) * np.logspace(0, -12, 100), gaussian(60, 1, 50)
    T = pls_scores(X, response_kernel(Y), X, 59)[1]
    np.testing.assert_allclose(T.T @ T, np.eye(59), rtol=0, atol=1e-14)


def test_operator_is_the_last_of_the_operators_and_the_product_of_the_scores():
    X, Y, X_test = problem("gaussian", 60, 100, 40)
    K = response_kernel(Y)
    operators = pls_operators(X, K, X_test, 5)
    np.testing.assert_allclose(operators.sum(2), 1.0, rtol=0, atol=1e-13)
    S, T = pls_scores(X, K, X_test, 5)
    np.testing.assert_allclose(T.T @ T, np.eye(5), rtol=0, atol=1e-14)
    np.testing.assert_allclose(Y.mean(0) + S @ (T.T @ Y), operators[-1] @ Y, rtol=0, atol=1e-12)


def test_training_block_of_the_kernel_of_all_stimuli():
    """One kernel serves every fold, with large means and in any number of chunks."""
    X, Y = gaussian(60, 100, 1), gaussian(60, 37, 2) + 1e4
    train, test = np.arange(0, 60, 2), np.arange(1, 60, 2)
    K = response_kernel(Y, chunk=5)
    np.testing.assert_allclose(K, response_kernel(Y), rtol=0, atol=1e-12)
    C = Y[train] - Y[train].mean(0)
    np.testing.assert_allclose(centre_kernel(K[np.ix_(train, train)]), C @ C.T, rtol=0, atol=1e-9)
    expected = reference(X[train], Y[train] - 1e4, X[test], 5)
    for kernel in (K[np.ix_(train, train)], centre_kernel(K[np.ix_(train, train)])):
        A = pls_operator(X[train], kernel, X[test], 5)
        np.testing.assert_allclose(A @ Y[train] - 1e4, expected, rtol=0, atol=TOLERANCE)


def test_float32_responses_and_features_are_summed_in_float64():
    X, Y, X_test = (a.astype(np.float32) for a in problem("outliers", 60, 100, 300))
    A = pls_operator(X, response_kernel(Y), X_test, COMPONENTS)
    expected = reference(*(a.astype(np.float64) for a in (X, Y, X_test)), COMPONENTS)
    np.testing.assert_allclose(A @ Y.astype(np.float64), expected, rtol=0, atol=TOLERANCE)


def test_rotating_or_shifting_features_and_shifting_voxels_changes_nothing():
    X, Y, X_test = problem("gaussian", 60, 30, 40)
    Q = np.linalg.qr(gaussian(30, 30, 3))[0]
    A = pls_operators(X, response_kernel(Y), X_test, 8)
    B = pls_operators(X @ Q + 5, response_kernel(Y + gaussian(1, 40, 4)), X_test @ Q + 5, 8)
    np.testing.assert_allclose(A, B, rtol=0, atol=1e-12)


def test_bad_input_is_refused_with_shapes():
    X, Y, X_test = problem("gaussian", 60, 22, 5)
    K = response_kernel(Y)
    with pytest.raises(DataError, match="at least 1 component, not 0"):
        pls_operator(X, K, X_test, 0)
    with pytest.raises(DataError, match=r"\(60, 22\), kernel .* \(59, 59\) and test features \(20, 22\) do not fit"):
        pls_operator(X, K[1:, 1:], X_test, 2)
    with pytest.raises(DataError, match=r"test features \(20, 21\) do not fit"):
        pls_operator(X, K, X_test[:, 1:], 2)
    X[0, 0] = np.inf
    with pytest.raises(DataError, match=r"training features \(60, 22\) hold NaN or infinity"):
        pls_operator(X, K, X_test, 2)
    Y[3, [1, 4]] = np.nan
    with pytest.raises(DataError, match="2 of the neuroids 0 to 4 have NaN or infinite responses"):
        response_kernel(Y)
