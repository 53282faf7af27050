"""Criteria equal their plain sums, voxel by voxel, and their totals equal the sums over voxels in their own units."""

from __future__ import annotations

import numpy as np
import pytest
from parity.reference_regression import gcv_errors, refit_errors
from parity.regimes import gaussian
from sklearn.model_selection import KFold, LeaveOneOut, ShuffleSplit

from jaxscore.regression.energies import Directions, Residuals, Triangles
from jaxscore.regression.search import RidgeSearch, choose_for_all, choose_for_each
from jaxscore.regression.spectrum import Spectrum, leave_folds_out, leave_one_out, left_out

N, VOXELS = 37, 9
ALPHAS = np.array([1e-2, 1.0, 30.0, 1e3])
RTOL = {"float64": 1e-10, "float32": 2e-5}


def responses(dtype: str = "float64") -> np.ndarray:
    """Of many sizes; one of them zero."""
    Y = np.random.default_rng(40).standard_normal((N, VOXELS)) * np.geomspace(1e-2, 1e3, VOXELS) + 0.3
    Y[:, 4] = 0.0
    return Y.astype(dtype)


def kernel(Y: np.ndarray) -> np.ndarray:
    return Y.astype(np.float64) @ Y.T.astype(np.float64)


def assert_criterion(criterion, expected: np.ndarray, dtype: str, **tolerance) -> None:
    """A criterion gives the errors [candidate, voxel], and their sums from the kernel alone."""
    tolerance = {"rtol": RTOL[dtype], "atol": 1e-30} | tolerance
    found = criterion(responses(dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, **tolerance)
    np.testing.assert_allclose(criterion.total(kernel(responses())), expected.sum(1), rtol=RTOL[dtype])


# --- the plain sums ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("rows", [[N], [5, 90, N, 1], [2 * N] * 3, [N - 1, 3]])
def test_triangles_are_sums_of_squares(rows, dtype):
    rng = np.random.default_rng(41)
    maps = [rng.standard_normal((k, N)) for k in rows]
    expected = np.stack([np.square(C @ responses()).sum(0) for C in maps])
    assert_criterion(Triangles(maps, dtype), expected, dtype)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 17])
def test_triangles_of_few_stimuli(n):
    rng = np.random.default_rng(n)
    maps, Y = [rng.standard_normal((k, n)) for k in (1, n, n + 3)], rng.standard_normal((n, 4))
    expected = np.stack([np.square(C @ Y).sum(0) for C in maps])
    np.testing.assert_allclose(Triangles(maps, "float64")(Y), expected, rtol=1e-11)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("count", [N - 1, 6])
def test_directions_are_weighted_squares(count, dtype):
    rng = np.random.default_rng(42)
    U = np.linalg.qr(rng.standard_normal((N, count)) - 0.1)[0]
    U = np.linalg.qr(U - U.mean(0))[0]
    weights = rng.uniform(0, 2, (3, count))
    expected = np.stack([w @ np.square(U.T @ responses()) for w in weights])
    assert_criterion(Directions(U, weights, dtype), expected, dtype)
    # what six of 36 directions leave of the centred responses counts by a weight of its own
    rest, Y = np.array([0.5, 1.0, 3.0]), responses() - responses().mean(0)
    left = Y - U @ (U.T @ Y)
    expected = expected + rest[:, None] * np.square(left).sum(0)
    assert_criterion(Directions(U, weights, dtype, rest=rest), expected, dtype)


INNER = {
    "loo": None,
    "uneven": [(np.arange(9, N), np.arange(9)), (np.r_[0:9, 30:N], np.arange(9, 30)), (np.arange(30), np.r_[30:N])],
    "overlapping": list(ShuffleSplit(3, test_size=0.3, train_size=0.5, random_state=0).split(np.zeros(N))),
}


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("width", [4, 11])
def test_residuals_are_errors_of_refits(width, inner, dtype):
    X, folds = gaussian(width, 43)[:N], INNER[inner]
    spectrum = Spectrum.of(X, full=False)
    kept = np.stack([1.0 - spectrum.left(alpha) for alpha in ALPHAS])
    expected = refit_errors(X, responses(), folds or list(LeaveOneOut().split(X)), ALPHAS)
    # float32: what a voxel's mean leaves behind is an error relative to the mean
    assert_criterion(Residuals(spectrum.W, kept, folds, dtype), expected, dtype, rtol=10 * RTOL[dtype])


# --- the same errors by every way -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [5, 20, 60])
@pytest.mark.parametrize("how", ["loo", "gcv", "inner"])
def test_a_search_minimises_the_errors_of_refits(width, how):
    X, inner = gaussian(width, 44)[:N], list(KFold(4).split(np.zeros(N)))
    train, held = np.arange(N), np.arange(0)
    if how == "gcv":
        expected = gcv_errors(X, responses(), ALPHAS)
    else:
        expected = refit_errors(X, responses(), inner if how == "inner" else list(LeaveOneOut().split(X)), ALPHAS)
    for path in ("dual", "primal"):
        search = RidgeSearch(X, train, held, alphas=ALPHAS, how=inner if how == "inner" else how, path=path)
        (criterion,) = search.criteria("float64", np)
        assert_criterion(criterion, expected, "float64", rtol=1e-8)
        portions = [responses()[:, :5], responses()[:, 5:]]
        chosen, least = choose_for_each(search, portions, "float64", np)
        np.testing.assert_array_equal(np.concatenate(chosen), expected.argmin(0))
        np.testing.assert_allclose(np.concatenate(least), expected.min(0), rtol=1e-8)
        assert choose_for_all(search, kernel(responses()), "float64", np) == expected.sum(1).argmin()


def test_maps_of_leaving_out_one_and_of_folds_of_one_agree():
    X = gaussian(20, 45)[:N]
    spectrum = Spectrum.of(X)
    for alpha in ALPHAS:
        one = leave_one_out(spectrum.residual_maker(alpha))
        folds = leave_folds_out(spectrum.factor(alpha), left_out(len(X), list(LeaveOneOut().split(X))))
        # maps of centred responses: a constant has no error
        np.testing.assert_allclose(one, folds, rtol=0, atol=1e-11)
        np.testing.assert_allclose(one.sum(1), 0, atol=1e-11)
