"""Banded ridge is ridge on weighted features, its choices are those of refits and of himalaya, descent goes down."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from parity.reference_regression import gcv_errors, pearson, refit_errors, svd_ridge
from parity.regimes import GROUPS, REGIMES, SPLITS, N, gaussian, responses
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut
from sklearn.utils.estimator_checks import check_estimator

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression import RidgeCV, banded_search, cross_validate
from jaxscore.regression.banded import BandedRidgeCV
from jaxscore.regression.descent import loss
from jaxscore.regression.operators import contrast

pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")

ALPHAS = np.logspace(-3, 3, 7)
WEIGHTS = np.array([[0.25, 0.25, 0.25, 0.25], [0.9, 0.1, 0.0, 0.0], [1e-9, 0.2, 0.5, 0.3], [0.01, 0.01, 0.97, 0.01]])
KINDS = ("rows < features", "rows > features", "rows >> features", "repeated stimuli, wide", "dead and double, wide")
KINDS += ("null direction, narrow", "outliers, wide", "outliers, very narrow")
FEATURES = {name: REGIMES[name].astype(float) for name in KINDS}
FEATURES["spaces wider than stimuli"] = gaussian(400, seed=20)
HOW = {"5 contiguous": 5, "grouped": "grouped", "loo": "loo", "gcv": "gcv"}
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}


def labels(X: np.ndarray) -> np.ndarray:
    """Four feature spaces, their features in turn."""
    return np.arange(X.shape[1]) % 4


def weighted(X: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return X * np.sqrt(weights)[labels(X)]


def data(regime: str) -> tuple[np.ndarray, np.ndarray]:
    X = FEATURES[regime]
    return X, responses(X)


def inner(how: str, groups: np.ndarray) -> list:
    """Inner folds by scikit-learn."""
    if how == "grouped":
        return list(GroupKFold(5, shuffle=True, random_state=1).split(groups, groups=groups))
    return list((LeaveOneOut() if how == "loo" else KFold(5)).split(groups))


def reference(X: np.ndarray, Y: np.ndarray, groups: np.ndarray, how: str, weights=WEIGHTS) -> np.ndarray:
    """The criterion of all candidates [candidate, voxel] by refits."""
    if how == "gcv":
        return np.concatenate([gcv_errors(weighted(X, w), Y, ALPHAS) for w in weights])
    folds = inner(how, groups)
    return np.concatenate([refit_errors(weighted(X, w), Y, folds, ALPHAS) for w in weights])


def errors(X: np.ndarray, Y: np.ndarray, how: str, dtype: str, path: str = "auto", **options) -> np.ndarray:
    """Ours, for all stimuli as the training set."""
    solver = BandedRidgeCV(labels(X), ALPHAS, select=HOW[how], **{"candidates": WEIGHTS} | options)
    search = solver.search(solver.coordinates(X), np.arange(N), np.arange(0), groups=GROUPS, path=path, kernel=None)
    return np.concatenate([criterion(Y.astype(dtype)) for criterion in search.criteria(dtype, np)])


# --- the objective ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("regime", FEATURES)
def test_errors_are_those_of_refits_on_weighted_features(regime, how):
    X, Y = data(regime)
    expected = reference(X, Y, GROUPS, how)
    for dtype, tolerance in TOLERANCES.items():
        np.testing.assert_allclose(errors(X, Y, how, dtype), expected, rtol=tolerance)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("path", ["dual", "primal"])
def test_both_paths_give_the_same_errors(path, how):
    X, Y = data("rows >> features")
    np.testing.assert_allclose(errors(X, Y, how, "float64", path), reference(X, Y, GROUPS, how), rtol=1e-9)


def test_the_kernel_alone_would_lose_what_large_features_hide(monkeypatch):
    X = gaussian(100) * 0.02
    X[:, [2, 5, 9]] *= 1e6
    Y = responses(X[:, 10:])
    expected = reference(X, Y, GROUPS, "5 contiguous")
    np.testing.assert_allclose(errors(X, Y, "5 contiguous", "float64"), expected, rtol=1e-8)
    np.testing.assert_allclose(errors(X, Y, "5 contiguous", "float32"), expected, rtol=1e-4)
    monkeypatch.setattr(banded_search, "ROUND_OFF", {"float64": np.inf})
    assert np.abs(errors(X, Y, "5 contiguous", "float64") / expected - 1).max() > 1e-4


@pytest.mark.parametrize("large", [False, True])
def test_the_objective_is_himalayas(large):
    pytest.importorskip("himalaya")
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search as solve

    set_backend("numpy")
    X, Y = data("outliers, wide" if large else "rows < features")
    weights = np.maximum(WEIGHTS, 1e-6)  # it takes their logarithms
    C = X - X.mean(0)
    kernels = np.stack([C[:, labels(X) == b] @ C[:, labels(X) == b].T for b in range(4)])
    settings = {"fit_intercept": True, "return_weights": "dual", "progress_bar": False, "return_alphas": True}
    deltas, _, scores, chosen, _ = solve(kernels, Y, n_iter=weights, alphas=ALPHAS, cv=KFold(5), **settings)
    ours = errors(X, Y, "5 contiguous", "float64", candidates=weights).reshape(len(weights), len(ALPHAS), -1)
    np.testing.assert_allclose(-scores, ours.min(1), rtol=1e-6)
    solver = BandedRidgeCV(labels(X), ALPHAS, candidates=weights).fit(X, Y)
    np.testing.assert_allclose(solver.alpha_, chosen)
    np.testing.assert_allclose(np.log(solver.weights_ / solver.alpha_[:, None]).T, deltas)


@pytest.mark.parametrize("regime", ["rows >> features", "outliers, wide"])
@pytest.mark.parametrize("per_neuroid", [True, False])
@pytest.mark.parametrize("how", HOW)
def test_choices_and_predictions_are_those_of_refits(regime, per_neuroid, how):
    X, Y = data(regime)
    Y = (Y + np.random.default_rng(1).standard_normal(Y.shape) * np.geomspace(0.1, 20, Y.shape[1])) * 3.0
    for dtype, tolerance in {"float64": 1e-9, "float32": 1e-5}.items():
        solver = BandedRidgeCV(labels(X), ALPHAS, select=HOW[how], candidates=WEIGHTS, per_neuroid=per_neuroid)
        found = cross_validate([X], Y, SPLITS["grouped"], solver, groups=GROUPS, dtype=dtype)
        for k, (train, test) in enumerate(SPLITS["grouped"]):
            expected = reference(X[train], Y[train], GROUPS[train], how)
            expected = expected if per_neuroid else expected.sum(1, keepdims=True) + np.zeros(Y.shape[1])
            for v, (alpha, weights) in enumerate(zip(found.alphas[0, k], found.weights[0, k], strict=True)):
                candidate = [(w @ w, a) for w, a in product(WEIGHTS, ALPHAS)].index((weights @ weights, alpha))
                assert expected[candidate, v] <= expected[:, v].min() * (1 + 10 * tolerance)
                fit = svd_ridge(weighted(X[train], weights), Y[train, v : v + 1], weighted(X[test], weights), [alpha])
                np.testing.assert_allclose(found.r[0, k, v], pearson(fit[0], Y[test, v : v + 1])[0], atol=tolerance)


def test_one_space_is_ridge_with_a_chosen_alpha():
    X, Y = data("rows < features")
    banded = cross_validate([X], Y, 4, BandedRidgeCV(alphas=ALPHAS), dtype="float64")
    ridge = cross_validate([X], Y, 4, RidgeCV(ALPHAS, select=5), dtype="float64")
    np.testing.assert_array_equal(banded.alphas, ridge.alphas)
    np.testing.assert_allclose(banded.r, ridge.r, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(banded.weights, np.ones((*ridge.r.shape, 1)))


def test_constant_voxels_have_no_weights_and_harm_no_other():
    X, Y = data("rows < features")
    Y[:, 2] = 7.0
    found = cross_validate([X], Y, 3, BandedRidgeCV(labels(X), ALPHAS, candidates=5))
    clean = cross_validate([X], np.delete(Y, 2, 1), 3, BandedRidgeCV(labels(X), ALPHAS, candidates=5))
    assert np.isnan(found.weights[:, :, 2]).all()
    np.testing.assert_array_equal(np.delete(found.weights, 2, 2), clean.weights)


def test_missing_responses_are_left_out_for_their_voxel_alone():
    X, Y = data("rows < features")
    Y[[3, 20, 41], 1] = np.nan
    rows, folds = np.isfinite(Y[:, 1]), SPLITS["shuffled"]
    solver = BandedRidgeCV(labels(X), ALPHAS, candidates=WEIGHTS)
    place = np.cumsum(rows) - 1
    own = [tuple(place[part[rows[part]]] for part in fold) for fold in folds]
    found = cross_validate([X], Y, folds, solver, dtype="float64")
    alone = cross_validate([X[rows]], Y[rows, 1:2], own, solver, dtype="float64")
    np.testing.assert_allclose(found.r[:, :, 1:2], alone.r, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.weights[:, :, 1:2], alone.weights)


# --- candidates -------------------------------------------------------------------------------------------------------


def test_candidates_are_drawn_from_each_dirichlet_in_turn():
    grid = BandedRidgeCV(np.arange(40) % 4, candidates=400, concentration=(0.1, 10.0), seed=3).grid()
    assert grid.weights.shape == (400, 4)
    np.testing.assert_allclose(grid.weights.sum(1), 1.0)
    np.testing.assert_array_equal(grid.weights[0], np.full(4, 0.25))
    spread = grid.weights.std(1)
    assert spread[2::2].mean() > 3 * spread[1::2].mean()
    again = BandedRidgeCV(np.arange(40) % 4, candidates=400, concentration=(0.1, 10.0), seed=3).grid()
    np.testing.assert_array_equal(grid.weights, again.weights)
    other = BandedRidgeCV(np.arange(40) % 4, candidates=400, concentration=(0.1, 10.0), seed=4).grid()
    assert not np.allclose(grid.weights[1:], other.weights[1:])


def test_labels_of_spaces_may_be_names():
    X, Y = data("rows < features")
    names = np.array(["syntax", "meaning", "sound", "length"])
    order = np.argsort(names)
    numbered = cross_validate([X], Y, 3, BandedRidgeCV(labels(X), ALPHAS, candidates=WEIGHTS))
    named = cross_validate([X], Y, 3, BandedRidgeCV(names[labels(X)], ALPHAS, candidates=WEIGHTS[:, order]))
    np.testing.assert_array_equal(named.weights, numbered.weights[..., order])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"groups": np.zeros(7)}, DataError, r"\(7,\), expected .* 100 features"),
        ({"method": "gradiant"}, JaxscoreError, "'gradiant'. Did you mean 'gradient'"),
        ({"candidates": 0}, JaxscoreError, "candidates is 0"),
        ({"candidates": WEIGHTS[:, :3]}, JaxscoreError, r"shape \(4, 3\), expected .* 4 spaces"),
        ({"candidates": -WEIGHTS}, JaxscoreError, "weights >= 0"),
        ({"candidates": WEIGHTS * 0}, JaxscoreError, "4 of 4 candidates have no weight over 0"),
        ({"concentration": (0.1, 0.0)}, JaxscoreError, "concentration"),
        ({"alphas": [1.0, 0.0]}, JaxscoreError, "alphas"),
        ({"method": "gradient", "steps": 0}, JaxscoreError, "steps is 0"),
    ],
)
def test_bad_parameters_are_named(options, error, words):
    X, Y = data("rows < features")
    with pytest.raises(error, match=words):
        cross_validate([X], Y, 3, BandedRidgeCV(**{"groups": labels(X)} | options))


# --- the estimator ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("regime", ["rows < features", "rows >> features"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_fit_is_scikit_learns_ridge_on_weighted_features(regime, dtype):
    X, Y = (array.astype(dtype) for array in data(regime))
    solver = BandedRidgeCV(labels(X), ALPHAS, candidates=WEIGHTS).fit(X[:45], Y[:45])
    assert solver.weights_.shape == (Y.shape[1], 4)
    for v, (alpha, weights) in enumerate(zip(solver.alpha_, solver.weights_, strict=True)):
        A, new = (weighted(part.astype(float), weights) for part in (X[:45], X[45:]))
        model = Ridge(alpha, solver="svd").fit(A, Y[:45, v].astype(float))
        tolerance = 1e-9 if dtype == "float64" else 1e-4
        np.testing.assert_allclose(solver.predict(X[45:])[:, v], model.predict(new), rtol=0, atol=tolerance)
        scale = np.sqrt(weights)[labels(X)]
        np.testing.assert_allclose(solver.coef_[v], model.coef_ * scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("options", [{"candidates": 3}, {"candidates": 2, "per_neuroid": False}])
def test_scikit_learn_accepts_the_estimator(options):
    check_estimator(BandedRidgeCV(**options), on_skip=None)


# --- descent ----------------------------------------------------------------------------------------------------------


def one_space_matters(voxels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Responses to the features of space 1 alone."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((N, 80))
    return X, X[:, 1::4] @ rng.standard_normal((20, voxels)) + rng.standard_normal((N, voxels))


def descend(X: np.ndarray, Y: np.ndarray, per_neuroid: bool, how: str, **options):
    """Descended search of all stimuli, and its losses [candidate, voxel] or [candidate]."""
    solver = BandedRidgeCV(
        labels(X), ALPHAS, select=HOW[how], candidates=20, method="gradient", per_neuroid=per_neuroid, **options
    )
    search = solver.search(solver.coordinates(X), np.arange(N), np.arange(0), groups=GROUPS, path="auto", kernel=None)
    (criterion,) = search.criteria("float64", np)
    return solver, search, criterion(Y) if per_neuroid else criterion.total(Y @ Y.T)


@pytest.mark.parametrize("how", HOW)
def test_the_slope_of_the_loss_is_its_finite_difference(how):
    import jax

    X, Y = one_space_matters()
    solver = BandedRidgeCV(labels(X), ALPHAS, select=HOW[how], candidates=WEIGHTS)
    search = solver.search(solver.coordinates(X), np.arange(N), np.arange(0), groups=GROUPS, path="auto", kernel=None)
    named = search.how if isinstance(search.how, str) else "folds"
    folds = [part[:2] for part in search.left_out] if named == "folds" else []
    Y = Y - Y.mean(0)
    with jax.enable_x64(True):
        given = (Y, search.kernels, contrast(np.eye(N)), folds, named)
        at = np.log([0.3, 0.4, 0.1, 0.2]) - np.log(5.0)
        slope = np.asarray(jax.jit(jax.grad(loss), static_argnums=5)(at, *given))
        value = jax.jit(loss, static_argnums=5)
        moved = [[float(value(at + step * unit, *given)) for step in (1e-5, -1e-5)] for unit in np.eye(4)]
        np.testing.assert_allclose(slope, np.subtract(*np.transpose(moved)) / 2e-5, rtol=1e-6)
        compared = [float(value(np.log(np.maximum(w, 1e-300) / a), *given)) for w, a in product(WEIGHTS, ALPHAS)]
    np.testing.assert_allclose(compared, reference(X, Y, GROUPS, how).sum(1), rtol=1e-9)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("per_neuroid", [True, False])
def test_descent_ends_below_the_best_random_candidate(how, per_neuroid):
    X, Y = one_space_matters()
    Y = Y - Y.mean(0)
    solver, search, losses = descend(X, Y, per_neuroid, how, steps=40)
    grid = reference(X, Y, GROUPS, how, solver.grid().weights)
    chosen = losses.argmin(0)
    if per_neuroid:
        np.testing.assert_array_equal(chosen, np.arange(Y.shape[1]))
    least, best = (losses.min(0), grid.min(0)) if per_neuroid else (losses.min(), grid.sum(1).min())
    assert np.all(least < best)
    alphas, weights = solver.described(np.atleast_1d(chosen))
    np.testing.assert_allclose(weights.sum(-1), 1.0)
    assert (weights.argmax(-1) == 1).all()
    for v, (alpha, w) in enumerate(zip(alphas, weights, strict=True)):
        mine = Y[:, v : v + 1] if per_neuroid else Y
        if how == "gcv":
            expected = gcv_errors(weighted(X, w), mine, [alpha])
        else:
            expected = refit_errors(weighted(X, w), mine, inner(how, GROUPS), [alpha])
        np.testing.assert_allclose(np.atleast_1d(least)[v], expected.sum(), rtol=1e-8)
        kept, kept_alpha = search.candidates[int(np.atleast_1d(chosen)[v])]
        np.testing.assert_allclose(kept, w)
        assert kept_alpha == pytest.approx(alpha)


@pytest.mark.parametrize("per_neuroid", [True, False])
def test_descended_weights_predict_and_are_described_for_their_own_layer_fold_and_voxel(per_neuroid):
    X, Y = one_space_matters()
    layers = [X, X[:, ::-1]]
    solver = BandedRidgeCV(labels(X), ALPHAS, candidates=5, method="gradient", steps=5, per_neuroid=per_neuroid)
    found = cross_validate(layers, Y, 3, solver, dtype="float64", threads=2)
    assert per_neuroid == (len(np.unique(found.weights[..., 0])) == found.r.size)
    for layer, x in enumerate(layers):
        for k, (train, test) in enumerate(KFold(3).split(X)):
            for v, (alpha, w) in enumerate(zip(found.alphas[layer, k], found.weights[layer, k], strict=True)):
                fit = svd_ridge(weighted(x[train], w), Y[train, v : v + 1], weighted(x[test], w), [alpha])[0]
                np.testing.assert_allclose(found.r[layer, k, v], pearson(fit, Y[test, v : v + 1])[0], atol=1e-9)
    again = cross_validate(layers, Y, 3, solver, dtype="float64", threads=1)
    np.testing.assert_allclose(found.weights, again.weights, rtol=1e-9)


def test_fit_descends():
    X, Y = one_space_matters()
    solver = BandedRidgeCV(labels(X), ALPHAS, candidates=5, method="gradient", steps=5).fit(X, Y)
    for v, (alpha, w) in enumerate(zip(solver.alpha_, solver.weights_, strict=True)):
        model = Ridge(alpha, solver="svd").fit(weighted(X, w), Y[:, v])
        np.testing.assert_allclose(solver.predict(X)[:, v], model.predict(weighted(X, w)), rtol=0, atol=1e-9)
