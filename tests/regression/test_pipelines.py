"""Regressions where people use scikit-learn: pipelines, searches, scorers, routing, workers; in its own numbers."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context, linear_model, model_selection
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.feature_selection import RFE
from sklearn.inspection import permutation_importance
from sklearn.metrics import make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    cross_val_predict,
    cross_val_score,
    permutation_test_score,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression import OLS, PLS, BandedRidgeCV, Ridge, RidgeCV, cross_validate

pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")

N, FEATURES, VOXELS = 60, 12, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, FEATURES)) * np.geomspace(0.3, 3, FEATURES) + 1
Y = X @ RNG.standard_normal((FEATURES, VOXELS)) + 5 * RNG.standard_normal((N, VOXELS))
GROUPS = np.repeat(np.arange(12), 5)
FRAME = pd.DataFrame(X, columns=[f"unit{k}" for k in range(FEATURES)])
RESPONSES = pd.DataFrame(Y, columns=list("abcd"))
GRID = tuple(10.0**k for k in range(-2, 4))
THEIRS = {
    "ols": (OLS(), linear_model.LinearRegression()),
    "ridge": (Ridge(3.0), linear_model.Ridge(3.0, solver="svd")),
    "ridge-loo": (RidgeCV(GRID), linear_model.RidgeCV(GRID, alpha_per_target=True)),
}
ALL = [OLS(), OLS(components=5), Ridge(3.0), RidgeCV(GRID), RidgeCV(GRID, select=3), PLS(3)]
ALL += [BandedRidgeCV(np.arange(FEATURES) % 2, GRID, candidates=3)]


def mean_r(expected, predicted) -> float:
    """Pearson r, averaged over the neuroids."""
    expected, predicted = (np.reshape(values, (len(values), -1)) for values in (expected, predicted))
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(expected.T, predicted.T, strict=True)]))


SCORER = make_scorer(mean_r)


def single(regression):
    """scikit-learn's RidgeCV has no alpha per target where there is one target."""
    return regression.set_params(alpha_per_target=False) if hasattr(regression, "alpha_per_target") else regression


# --- the numbers of scikit-learn's own estimators in the same place --------------------------------------------------


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_squared_error", SCORER], ids=["r2", "mse", "r"])
@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("y", [Y, Y[:, 0], Y[:, :1], RESPONSES, RESPONSES["a"]], ids=["Y", "1-D", "n x 1", "df", "s"])
def test_cross_val_score(name, y, scoring):
    ours, theirs = THEIRS[name]
    theirs = clone(theirs) if np.ndim(y) == 2 else single(clone(theirs))
    found, expected = (cross_val_score(each, X, y, cv=4, scoring=scoring) for each in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


PLACES = {
    "Pipeline": lambda each: Pipeline([("scale", StandardScaler()), ("regress", each)]),
    "PCA": lambda each: make_pipeline(PCA(5, svd_solver="full"), each),
    "columns": lambda each: make_pipeline(
        ColumnTransformer([("a", StandardScaler(), ["unit0", "unit1"]), ("b", PCA(2), ["unit2", "unit3", "unit4"])]),
        each,
    ),
    "pandas": lambda each: make_pipeline(StandardScaler(), each).set_output(transform="pandas"),
    "target": lambda each: TransformedTargetRegressor(each, transformer=StandardScaler()),
    "each": MultiOutputRegressor,
    "bagging": lambda each: BaggingRegressor(each, 3, random_state=0),
}


# bagging gives theirs weights, so that leave-one-out leaves a stimulus out with its copies; ours has no weights
@pytest.mark.parametrize(
    ("place", "name"), [(p, n) for p in PLACES for n in THEIRS if (p, n) != ("bagging", "ridge-loo")]
)
def test_inside_other_estimators(name, place):
    ours, theirs = THEIRS[name]
    theirs = single(clone(theirs)) if place == "each" else theirs
    kinds = (PLACES[place](clone(each)) for each in (ours, theirs))
    found, expected = (cross_val_predict(each, FRAME, RESPONSES, cv=3) for each in kinds)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("regression", ALL, ids=repr)
def test_every_regression_in_scikit_learns_loops(regression):
    scores = model_selection.cross_validate(
        make_pipeline(StandardScaler(), regression), FRAME, RESPONSES, cv=3, scoring={"r": SCORER, "r2": "r2"},
        return_train_score=True, return_estimator=True, error_score="raise",
    )  # fmt: skip
    assert scores["test_r"].shape == (3,)
    assert (scores["train_r2"] > scores["test_r2"]).all()
    assert cross_val_predict(regression, X, Y[:, 0], cv=3).shape == (N,)
    _, null, p = permutation_test_score(regression, X, Y, cv=3, n_permutations=19, random_state=0)
    assert p == 0.05
    assert null.shape == (19,)


def test_grid_search_finds_what_it_finds_of_theirs():
    grid = {"ridge__alpha": np.geomspace(0.1, 1000, 9), "pca__n_components": [3, 6]}
    steps = StandardScaler(), PCA(svd_solver="full")
    ours, theirs = (
        GridSearchCV(make_pipeline(*steps, each), grid, cv=3).fit(X, Y) for each in (Ridge(), linear_model.Ridge())
    )
    assert ours.best_params_ == theirs.best_params_
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-10)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=0, atol=1e-10)


def test_few_stimuli():
    found = cross_val_predict(RidgeCV(GRID), X[:6], Y[:6], cv=LeaveOneOut())
    theirs = cross_val_predict(linear_model.RidgeCV(GRID, alpha_per_target=True), X[:6], Y[:6], cv=LeaveOneOut())
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-10)
    assert OLS().fit(X[:2], Y[:2]).predict(X[:3]).shape == (3, VOXELS)


def test_selection_stacking_and_importance():
    for ours, theirs in [THEIRS["ols"], THEIRS["ridge"]]:
        kept = [RFE(each, n_features_to_select=4).fit(X, Y).support_ for each in (ours, theirs)]
        np.testing.assert_array_equal(*kept)
    stacks = (StackingRegressor([("a", a), ("b", b)], b) for a, b in zip(THEIRS["ols"], THEIRS["ridge"], strict=True))
    np.testing.assert_allclose(*(stack.fit(X, Y[:, 0]).predict(X) for stack in stacks), rtol=0, atol=1e-9)
    importance = permutation_importance(Ridge().fit(X, Y), X, Y, n_repeats=3, random_state=0).importances_mean
    assert importance[FEATURES // 2 :].mean() > importance[: FEATURES // 2].mean()


@pytest.mark.parametrize("regression", ALL, ids=repr)
def test_parameters_are_read_set_and_cloned(regression):
    model = make_pipeline(StandardScaler(), regression)
    again = clone(model).set_params(**{k: v for k, v in model.get_params().items() if "__" in k})
    assert repr(again) == repr(model)
    with pytest.raises(ValueError, match="Invalid parameter 'alfa'"):
        clone(regression).set_params(alfa=1)


# --- groups -----------------------------------------------------------------------------------------------------------


def fold_by_fold(regression) -> list[float]:
    """R2 in grouped outer folds, with the groups in training given by hand."""
    found = []
    for train, test in GroupKFold(4).split(X, Y, GROUPS):
        model = clone(regression).fit(X[train], Y[train], groups=GROUPS[train])
        found.append(model.score(X[test], Y[test]))
    return found


@pytest.mark.parametrize("select", ["grouped", GroupKFold(3)], ids=str)
def test_groups_reach_inner_folds(select):
    regression = RidgeCV(GRID, select=select)
    expected, cv = fold_by_fold(regression), GroupKFold(4)
    plain = cross_val_score(regression, X, Y, groups=GROUPS, params={"groups": GROUPS}, cv=cv)
    np.testing.assert_allclose(plain, expected, rtol=1e-12)
    with config_context(enable_metadata_routing=True):
        routed = clone(regression).set_fit_request(groups=True)
        piped = make_pipeline(StandardScaler(with_std=False), routed)
        for model in (routed, piped):
            scores = cross_val_score(model, X, Y, params={"groups": GROUPS}, cv=cv)
            np.testing.assert_allclose(scores, expected, rtol=1e-9)
        search = GridSearchCV(routed, {"per_neuroid": [True, False]}, cv=GroupKFold(3)).fit(X, Y, groups=GROUPS)
        assert search.best_estimator_.alpha_ is not None


def test_spaces_and_stimuli_have_groups_of_their_own():
    banded = BandedRidgeCV(np.arange(FEATURES) % 2, GRID, candidates=3, select="grouped")
    expected = fold_by_fold(banded)
    found = cross_val_score(banded, X, Y, groups=GROUPS, params={"groups": GROUPS}, cv=GroupKFold(4))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# --- workers ----------------------------------------------------------------------------------------------------------


def test_processes_give_the_same_numbers_and_errors():
    """Two worker processes of loky, which pickle regressions, results and errors."""
    with joblib.parallel_backend("loky", n_jobs=2):
        for regression in (RidgeCV(GRID), PLS(3)):
            alone = cross_val_score(regression, X, Y, cv=2)
            np.testing.assert_allclose(cross_val_score(regression, X, Y, cv=2, n_jobs=2), alone, rtol=1e-12)
        with pytest.raises(DataError, match="need to know the group") as caught:
            cross_val_score(RidgeCV(select="grouped"), X, Y, cv=2, n_jobs=2, error_score="raise")
    assert "groups=" in caught.value.hint


@pytest.mark.parametrize("regression", ALL, ids=repr)
def test_threads_give_the_same_numbers(regression):
    alone = cross_val_score(regression, X, Y, cv=4)
    with joblib.parallel_backend("threading", n_jobs=2):
        np.testing.assert_allclose(cross_val_score(regression, X, Y, cv=4), alone, rtol=1e-12)


@pytest.mark.parametrize("regression", ALL, ids=repr)
def test_joblib_keeps_a_pipeline(regression, tmp_path):
    model = make_pipeline(StandardScaler(), clone(regression)).fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(X), model.predict(X))


# --- wrong calls ------------------------------------------------------------------------------------------------------

NAN = np.where(np.arange(N)[:, None] == 3, np.nan, X)


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda m: m.fit(NAN, Y), ValueError, "Input X contains NaN"),
        (lambda m: m.fit(X, np.where(Y > 5, np.nan, Y)), ValueError, "Input y contains NaN"),
        (lambda m: m.fit(X, Y[:10]), ValueError, r"inconsistent numbers of samples: \[60, 10\]"),
        (lambda m: m.fit(X[:, 0], Y), ValueError, "Expected 2D array, got 1D"),
        (lambda m: m.fit(X[None], Y), ValueError, "array with dim 3"),
        (lambda m: m.fit(X, Y[None]), ValueError, "array with dim 3"),
        (lambda m: m.fit(X, None), ValueError, "requires y to be passed"),
        (lambda m: m.fit(X, Y.astype(str)), ValueError, "y is of type <U.*, expected numbers"),
        (lambda m: m.fit(X, np.arange(N).astype("M8[s]")), ValueError, "y is of type datetime64"),
        (lambda m: m.fit(X[:1], Y[:1]), ValueError, "minimum of 2 is required"),
        (lambda m: m.fit(FRAME.assign(unit0="a"), Y), ValueError, "could not convert string to float"),
        (lambda m: m.fit(X, Y).predict(X[:, :4]), ValueError, "X has 4 features, but .* is expecting 12"),
        (lambda m: m.fit(FRAME, Y).predict(FRAME.rename(columns=str.upper)), ValueError, "feature names"),
    ],
)
@pytest.mark.parametrize("regression", [OLS(), RidgeCV(GRID), PLS(3)], ids=repr)
def test_wrong_arrays(regression, wrong, error, match):
    with pytest.raises(error, match=match):
        wrong(clone(regression))


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: Ridge([1.0, 2.0]).fit(X, Y), JaxscoreError, r"alpha is \[1.0, 2.0\], expected one number > 0"),
        (lambda: Ridge(0).fit(X, Y), JaxscoreError, r"use OLS\(\)"),
        (lambda: RidgeCV(select="lo").fit(X, Y), JaxscoreError, "Did you mean 'loo'"),
        (lambda: RidgeCV(select="grouped").fit(X, Y), DataError, "^Splits 'grouped' need to know the group"),
        (lambda: RidgeCV(select=5).fit(X[:4], Y[:4]), DataError, "^4 stimuli cannot make 5 folds"),
        (lambda: RidgeCV(select="grouped").fit(X, Y, groups=GROUPS[:9]), ValueError, "9 groups for 60 stimuli"),
        (lambda: cross_validate([X], Y, uneven(), RidgeCV(select=9)), DataError, "outer fold 1: 8 stimuli"),
    ],
)
def test_wrong_parameters_are_named(wrong, error, match):
    with pytest.raises(error, match=match):
        wrong()


def uneven() -> list[tuple[np.ndarray, np.ndarray]]:
    """Outer folds of which only the second has too few stimuli in training."""
    return [(np.arange(30), np.arange(30, 60)), (np.arange(8), np.arange(8, 60)), (np.arange(30, 60), np.arange(30))]


# --- our own cross-validation is theirs -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", THEIRS)
def test_cross_validate_equals_cross_val_predict(name):
    ours, theirs = THEIRS[name]
    found = cross_validate(FRAME, RESPONSES, KFold(4), ours, dtype="float64")
    predicted = cross_val_predict(theirs, X, Y, cv=KFold(4))
    for k, (_, test) in enumerate(KFold(4).split(X)):
        expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(Y[test].T, predicted[test].T, strict=True)]
        np.testing.assert_allclose(found.r[0, k], expected, rtol=0, atol=1e-10)
