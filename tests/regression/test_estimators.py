"""Estimators obey scikit-learn's rules and give its numbers; coefficients are made on demand and in chunks."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import linear_model
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxscore.errors import GridEdgeWarning, JaxscoreError
from jaxscore.regression.crossval import cross_validate
from jaxscore.regression.estimators import OLS, PLS, Ridge, RidgeCV, make_solver
from jaxscore.regression.search import RidgeSearch
from jaxscore.regression.solver import Solver

N, VOXELS = 60, 9
GRID, GCV = tuple(10.0**k for k in range(-1, 6)), {"select": "gcv", "per_neuroid": False}
pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")


def features(p: int, scale: float = 1.0, n: int = N) -> np.ndarray:
    """Features around their own means, three of them larger than the rest."""
    X = np.random.default_rng(p).standard_normal((n, p))
    X[:, [2, 5, 9]] *= scale
    return X + np.linspace(-3, 3, p)


REGIMES = {
    "rows < features": features(100),
    "rows > features": features(20),
    "rows >> features": features(12),
    "outliers, wide": features(100, 1000),
    "outliers, narrow": features(20, 1000),
}


def responses(X: np.ndarray, voxels: int = VOXELS) -> np.ndarray:
    """Signal and more noise from neuroid to neuroid, around means of their own."""
    rng = np.random.default_rng(1)
    signal = (X - X.mean(0)) / X.std(0) @ rng.standard_normal((X.shape[1], voxels)) / X.shape[1] ** 0.5
    return signal + np.geomspace(0.1, 5, voxels) * rng.standard_normal((len(X), voxels)) + rng.normal(0, 3, voxels)


def new(X: np.ndarray) -> np.ndarray:
    """Stimuli that were not trained on."""
    return X[:7] + 0.3 * X[7:14]


def assert_same(ours, theirs, X: np.ndarray, Y: np.ndarray, tolerance: float = 1e-9) -> None:
    """Coefficients, intercepts, predictions and R2 in the shapes of scikit-learn, relative to the largest."""
    for name, expected in [("coef_", theirs.coef_), ("intercept_", theirs.intercept_)]:
        found = getattr(ours, name)
        assert np.shape(found) == np.shape(expected), name
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))
    predicted = theirs.predict(new(X))
    assert ours.predict(new(X)).shape == predicted.shape
    np.testing.assert_allclose(
        ours.predict(new(X)), predicted, rtol=0, atol=tolerance * max(1, np.abs(predicted).max())
    )
    assert ours.score(new(X), Y[:7]) == pytest.approx(theirs.score(new(X), Y[:7]), rel=1e-8)


# --- scikit-learn's own checks ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [OLS(), Ridge(), RidgeCV(), RidgeCV(select=3), RidgeCV(**GCV), PLS(1), PLS(2), PLS(2, scale=True)]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# --- the numbers of scikit-learn --------------------------------------------------------------------------------------


@pytest.mark.parametrize("single", [False, True], ids=["neuroids", "1-D"])
@pytest.mark.parametrize("regime", REGIMES)
def test_ols_is_linear_regression(regime, single):
    X = REGIMES[regime]
    Y = responses(X)[:, 0] if single else responses(X)
    assert_same(OLS().fit(X, Y), linear_model.LinearRegression().fit(X, Y), X, Y)


@pytest.mark.parametrize("single", [False, True], ids=["neuroids", "1-D"])
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("regime", REGIMES)
def test_ridge_is_ridge(regime, alpha, single):
    X = REGIMES[regime]
    Y = responses(X)[:, 0] if single else responses(X)
    assert_same(Ridge(alpha).fit(X, Y), linear_model.Ridge(alpha, solver="svd").fit(X, Y), X, Y)


@pytest.mark.parametrize("single", [False, True], ids=["neuroids", "1-D"])
@pytest.mark.parametrize("per_neuroid", [True, False])
@pytest.mark.parametrize("regime", REGIMES)
def test_leave_one_out_is_ridge_cv(regime, per_neuroid, single):
    X = REGIMES[regime]
    Y = responses(X)[:, 0] if single else responses(X)
    theirs = linear_model.RidgeCV(GRID, alpha_per_target=per_neuroid and not single).fit(X, Y)
    ours = RidgeCV(GRID, per_neuroid=per_neuroid).fit(X, Y)
    assert np.shape(ours.alpha_) == np.shape(theirs.alpha_)
    np.testing.assert_array_equal(ours.alpha_, theirs.alpha_)
    assert_same(ours, theirs, X, Y)


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(12), 5)], ids=["contiguous", "grouped"])
@pytest.mark.parametrize("regime", REGIMES)
def test_inner_folds_are_a_grid_search(regime, groups):
    X, Y = REGIMES[regime], responses(REGIMES[regime])
    cv = KFold(3) if groups is None else GroupKFold(3)
    ours = RidgeCV(GRID, select=cv).fit(X, Y, groups=groups)
    common = RidgeCV(GRID, select=cv, per_neuroid=False).fit(X, Y, groups=groups)

    def searched(Y):
        grid = GridSearchCV(linear_model.Ridge(solver="svd"), {"alpha": GRID}, cv=cv, scoring="neg_mean_squared_error")
        return grid.fit(X, Y, groups=groups).best_params_["alpha"]

    np.testing.assert_array_equal(ours.alpha_, [searched(y) for y in Y.T])
    assert common.alpha_ == searched(Y)
    assert_same(common, linear_model.Ridge(common.alpha_, solver="svd").fit(X, Y), X, Y)


@pytest.mark.parametrize("regime", REGIMES)
def test_gcv_minimises_its_formula(regime):
    X, Y = REGIMES[regime], responses(REGIMES[regime])
    C, centred = X - X.mean(0), Y - Y.mean(0)
    errors = []
    for alpha in GRID:
        S = C @ np.linalg.solve(C.T @ C + alpha * np.eye(C.shape[1]), C.T) + 1.0 / N
        errors.append(N * np.square(centred - S @ centred).sum(0) / (N - np.trace(S)) ** 2)
    found = RidgeCV(GRID, select="gcv").fit(X, Y).alpha_
    np.testing.assert_array_equal(found, np.array(GRID)[np.argmin(errors, 0)])


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("regime", REGIMES)
def test_pls_is_pls_regression(regime, components):
    X, Y = REGIMES[regime], responses(REGIMES[regime])
    theirs = PLSRegression(components, scale=False, tol=1e-26, max_iter=100_000).fit(X, Y)
    ours = PLS(components).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.predict(new(X)), theirs.predict(new(X)), rtol=0, atol=1e-9)
    assert ours.score(X, Y) == pytest.approx(theirs.score(X, Y), rel=1e-9)
    flat = PLS(components).fit(X, Y[:, 0])
    theirs = PLSRegression(components, scale=False).fit(X, Y[:, 0])
    assert flat.coef_.shape == (X.shape[1],)
    np.testing.assert_allclose(flat.predict(new(X)), theirs.predict(new(X)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("regime", REGIMES)
def test_pls_scales_features_and_no_responses(regime):
    X, Y = REGIMES[regime], responses(REGIMES[regime])
    theirs = PLSRegression(2, scale=True).fit(X, Y[:, 0])  # one neuroid: its scale falls out
    ours = PLS(2, scale=True).fit(X, Y[:, 0])
    np.testing.assert_allclose(ours.predict(new(X)), theirs.predict(new(X)), rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.coef_, theirs.coef_[0], rtol=0, atol=1e-9)
    scaled = PLS(2).fit(X / X.std(0, ddof=1), Y)
    np.testing.assert_allclose(PLS(2, scale=True).fit(X, Y).coef_, scaled.coef_ / X.std(0, ddof=1), rtol=0, atol=1e-9)


def test_pls_of_more_components_than_there_are_is_ols():
    X, Y = REGIMES["rows > features"], responses(REGIMES["rows > features"])
    np.testing.assert_allclose(PLS(40).fit(X, Y).coef_, OLS().fit(X, Y).coef_, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(OLS(), linear_model.LinearRegression()), (Ridge(1e-3), linear_model.Ridge(1e-3, solver="svd"))],
    ids=repr,
)
@pytest.mark.parametrize("regime", ["rows < features", "rows > features"])
def test_dead_and_repeated_features(regime, ours, theirs):
    X, Y = REGIMES[regime].copy(), responses(REGIMES[regime])
    X[:, 3], X[:, 4], X[:, 6] = 0.0, 2.7, X[:, 7]
    assert_same(ours.fit(X, Y), theirs.fit(X, Y), X, Y)
    assert np.abs(ours.coef_[:, [3, 4]]).max() < 1e-14
    constant = clone(ours).fit(X[:, [3, 4]], Y)
    assert not constant.coef_.any()
    np.testing.assert_allclose(constant.predict(X[:2, [3, 4]]), np.stack([Y.mean(0)] * 2), rtol=0, atol=1e-12)


# --- the same as cross_validate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize(
    "solver",
    [OLS(), Ridge(2.0), RidgeCV(GRID), RidgeCV(GRID, select=3), RidgeCV(GRID, **GCV), PLS(3), PLS(3, scale=True)],
    ids=repr,
)
def test_cross_validate_predicts_and_chooses_as_the_estimator_does(solver, regime):
    X, Y, folds = REGIMES[regime], responses(REGIMES[regime]), list(KFold(4).split(REGIMES[regime]))
    found = cross_validate([X], Y, folds, solver, scores=("pearson", "r2"), dtype="float64")
    for k, (train, test) in enumerate(folds):
        model = clone(solver).fit(X[train], Y[train])
        predicted = model.predict(X[test])
        r = [np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, Y[test].T, strict=True)]
        np.testing.assert_allclose(found.r[0, k], r, rtol=0, atol=1e-9)
        error, total = np.square(Y[test] - predicted).sum(0), np.square(Y[test] - Y[train].mean(0)).sum(0)
        np.testing.assert_allclose(found.scores["r2"][0, k], 1 - error / total, rtol=1e-8)
        if hasattr(model, "alpha_"):
            np.testing.assert_array_equal(found.alphas[0, k], np.broadcast_to(model.alpha_, VOXELS))


@pytest.mark.parametrize("regime", REGIMES)
def test_cross_validated_pls_is_pls_regression_in_each_fold(regime):
    X, Y, folds = (
        REGIMES[regime],
        responses(REGIMES[regime]),
        list(KFold(5, shuffle=True, random_state=1).split(REGIMES[regime])),
    )
    found = cross_validate([X], Y, folds, "pls:3", dtype="float64")
    assert found.alphas is None
    assert found.diagnoses[0].paths == {"pls": 5}
    assert found.diagnoses[0].rank == (3, 3)
    for k, (train, test) in enumerate(folds):
        predicted = PLSRegression(3, scale=False, tol=1e-26, max_iter=100_000).fit(X[train], Y[train]).predict(X[test])
        r = [np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, Y[test].T, strict=True)]
        np.testing.assert_allclose(found.r[0, k], r, rtol=0, atol=1e-9)
    np.testing.assert_allclose(cross_validate([X], Y, folds, PLS(3)).r, found.r, rtol=0, atol=1e-5)


# --- in scikit-learn's company ----------------------------------------------------------------------------------------


def test_a_pipeline_and_cross_val_score():
    X, Y = REGIMES["outliers, wide"], responses(REGIMES["outliers, wide"])
    ours = make_pipeline(StandardScaler(), RidgeCV(GRID))
    theirs = make_pipeline(StandardScaler(), linear_model.RidgeCV(GRID, alpha_per_target=True))
    np.testing.assert_allclose(cross_val_score(ours, X, Y, cv=4), cross_val_score(theirs, X, Y, cv=4), rtol=1e-8)
    grid = GridSearchCV(PLS(), {"components": [1, 2, 4], "scale": [False, True]}, cv=3).fit(X, Y)
    assert grid.best_estimator_.get_params() == grid.best_params_


def test_names_of_features_are_kept_and_checked():
    X, Y = REGIMES["rows > features"], responses(REGIMES["rows > features"])
    frame = pd.DataFrame(X, columns=[f"unit {k}" for k in range(X.shape[1])])
    model = Ridge().fit(frame, Y)
    assert list(model.feature_names_in_) == list(frame.columns)
    np.testing.assert_allclose(model.predict(frame), Ridge().fit(X, Y).predict(X), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize("solver", [OLS(), Ridge(), RidgeCV(GRID), PLS(2)], ids=repr)
@pytest.mark.parametrize("regime", ["rows < features", "rows > features"])
def test_float32_gives_float32_from_float64_decompositions(regime, solver):
    X = REGIMES[regime].astype(np.float32)
    Y = responses(X).astype(np.float32)
    single, double = clone(solver).fit(X, Y), clone(solver).fit(X.astype(float), Y)
    assert single.predict(X).dtype == single.coef_.dtype == single.intercept_.dtype == np.float32
    np.testing.assert_allclose(single.predict(X), double.predict(X), rtol=0, atol=1e-5)
    np.testing.assert_allclose(single.coef_, double.coef_, rtol=0, atol=1e-6)


def test_a_fitted_estimator_survives_pickling_and_forgets_when_cloned():
    X, Y = REGIMES["rows < features"], responses(REGIMES["rows < features"])
    model = RidgeCV(GRID).fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    assert not hasattr(clone(model), "coef_")
    with pytest.raises(NotFittedError, match="not fitted yet"):
        clone(model).predict(X)


# --- what a regression with feature spaces adds -----------------------------------------------------------------------


class Weighted(Solver):
    """Ridge with one of two weightings of the even and the odd features for each neuroid."""

    WEIGHTS = np.array([[0.2, 3.0], [1.5, 0.1]])
    ALPHA = 20.0

    def spaces(self, features):
        return slice(0, None, 2), slice(1, None, 2)

    def described(self, chosen):
        return None, self.WEIGHTS[chosen]

    def stretched(self, X, candidate):
        return X * np.sqrt(np.resize(self.WEIGHTS[candidate], X.shape[1]))

    def coordinates(self, X):
        return X

    def search(self, X, train, held, **context):
        each = [RidgeSearch(self.stretched(X, c), train, held, alphas=[self.ALPHA], how="loo") for c in (0, 1)]

        class Both:
            def criteria(self, dtype, xp):
                for search in each:
                    yield from search.criteria(dtype, xp)

            def dual(self, candidate, Y):
                C = each[candidate].X - each[candidate].X.mean(0)
                return np.linalg.solve(C @ C.T + Weighted.ALPHA * np.eye(len(C)), Y)

        return Both()


@pytest.mark.parametrize("regime", ["rows < features", "rows > features", "rows >> features"])
def test_weights_of_feature_spaces_scale_coefficients(regime):
    X, Y = REGIMES[regime], responses(REGIMES[regime])
    ours = Weighted().fit(X, Y)
    fits = [linear_model.RidgeCV([ours.ALPHA], alpha_per_target=True).fit(ours.stretched(X, c), Y) for c in (0, 1)]
    chosen = np.argmax([fit.best_score_ for fit in fits], 0)
    assert 0 < chosen.sum() < VOXELS
    np.testing.assert_array_equal(ours.weights_, ours.WEIGHTS[chosen])
    expected = np.stack([ours.stretched(fits[c].coef_, c)[v] for v, c in enumerate(chosen)])
    np.testing.assert_allclose(ours.coef_, expected, rtol=0, atol=1e-10)
    expected = np.stack([fits[c].predict(ours.stretched(X, c))[:, v] for v, c in enumerate(chosen)], 1)
    np.testing.assert_allclose(ours.predict(X), expected, rtol=0, atol=1e-10)


# --- coefficients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [OLS(), RidgeCV(GRID), PLS(2)], ids=repr)
@pytest.mark.parametrize("regime", ["rows < features", "rows > features"])
def test_coefficients_in_chunks_are_those_on_demand(regime, solver):
    X, Y = REGIMES[regime], responses(REGIMES[regime])
    model = clone(solver).fit(X, Y)
    spans, parts = zip(*model.coefficients(chunk=4), strict=True)
    assert spans == (slice(0, 4), slice(4, 8), slice(8, 9))
    assert [part.shape for part in parts] == [(X.shape[1], 4), (X.shape[1], 4), (X.shape[1], 1)]
    np.testing.assert_allclose(np.concatenate(parts, 1).T, model.coef_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(X @ model.coef_.T + model.intercept_, model.predict(X), rtol=0, atol=1e-9)


def test_many_neuroids_are_fitted_in_chunks():
    X = REGIMES["rows < features"]
    Y = responses(X, 2500)
    model = RidgeCV(GRID).fit(X, Y)
    for part in [slice(1000, 1030), slice(2490, 2500)]:
        alone = RidgeCV(GRID).fit(X, Y[:, part])
        np.testing.assert_array_equal(model.alpha_[part], alone.alpha_)
        np.testing.assert_allclose(model.predict(X)[:, part], alone.predict(X), rtol=0, atol=1e-11)


@pytest.mark.parametrize("solver", [OLS(), Ridge(), RidgeCV(GRID), PLS(2)], ids=repr)
def test_nothing_kept_is_features_by_neuroids_where_rows_are_fewer(solver):
    X = features(3000, n=20)
    Y = responses(X, 2000)
    size = len(pickle.dumps(clone(solver).fit(X, Y)))
    assert size < 1.1 * 8 * (20 * 3000 + 20 * 2000 + 2 * 3000 + 4 * 2000) < 8 * 3000 * 2000 / 5


# --- warnings and errors ----------------------------------------------------------------------------------------------


def test_alphas_on_the_edge_are_counted():
    X, Y = REGIMES["rows < features"], responses(REGIMES["rows < features"])
    alphas = RidgeCV(GRID).fit(X, Y).alpha_
    grid = np.sort(alphas)[[2, 4, -1]] * [1, 1, 1e-3]
    with pytest.warns(GridEdgeWarning, match=r"of 9 chosen alphas sit on the edge of the grid") as caught:
        model = RidgeCV(np.unique(grid)).fit(X, Y)
    low, high = ((model.alpha_ == edge).sum() for edge in (np.min(grid), np.max(grid)))
    assert f"{low + high} of 9" in str(caught[0].message)
    assert caught[0].filename == __file__
    with pytest.warns(GridEdgeWarning, match="1 of 1 chosen alphas"):
        RidgeCV((1e8, 1e9), per_neuroid=False).fit(X, Y)
    RidgeCV([1.0]).fit(X, Y)  # a grid of one has no edges


@pytest.mark.filterwarnings("error::jaxscore.errors.GridEdgeWarning")
def test_neuroids_without_variance_are_on_no_edge_and_predicted_by_their_mean():
    X, Y = REGIMES["rows < features"], responses(REGIMES["rows < features"])[:, :3]
    Y[:, 1] = 4.2
    model = RidgeCV(np.logspace(-9, 9, 37)).fit(X, Y)
    np.testing.assert_allclose(model.predict(X)[:, 1], 4.2, rtol=1e-12)
    assert np.abs(model.coef_[1]).max() < 1e-12


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (OLS(rcond=2.0), "rcond is 2.0"),
        (Ridge(0.0), "alphas are"),
        (Ridge(np.nan), "alphas are"),
        (RidgeCV([1.0, -1.0]), "alphas are"),
        (RidgeCV([]), "alphas are"),
        (RidgeCV(select="lo"), "Unknown choice 'lo' of alpha"),
        (RidgeCV(select="grouped"), "need to know the group"),
        (RidgeCV(select=40), "cannot make 40 folds"),
        (PLS(0), "components is 0"),
        (PLS(2.5), "components is 2.5"),
    ],
    ids=repr,
)
def test_parameters_that_cannot_be_are_refused_in_fit(solver, message):
    X, Y = REGIMES["rows < features"], responses(REGIMES["rows < features"])
    with pytest.raises(JaxscoreError, match=message):
        solver.fit(X, Y)
    with pytest.raises(JaxscoreError, match=message):
        cross_validate([X], Y, 5, solver)


def test_solvers_by_name():
    assert make_solver("pls:7").get_params() == {"components": 7, "scale": False}
    assert isinstance(make_solver("ols"), OLS)
    assert make_solver("ridge:2.5").alpha == 2.5
    assert make_solver("ridge-gcv").select == "gcv"
    for name in ("pls", "pls:", "pls:2.5", "pls:-1", "ridge:x"):
        with pytest.raises(JaxscoreError, match=r"pls:COMPONENTS"):
            make_solver(name)
