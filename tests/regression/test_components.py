"""Regression on principal components fitted in training is scikit-learn's pipeline of PCA and regression, per fold."""

from __future__ import annotations

import numpy as np
import pytest
from parity.regimes import REGIMES, SPLITS, UNEVEN, VOXELS, responses
from sklearn import linear_model
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression import OLS, PLS, Ridge, RidgeCV, cross_validate
from jaxscore.regression.components import principal

FOLDS = SPLITS | UNEVEN
GRID = tuple(10.0**k for k in range(-2, 5))
pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")
PAIRS = {
    "ols": (OLS, linear_model.LinearRegression()),
    "ridge": (lambda **k: Ridge(2.0, **k), linear_model.Ridge(2.0, solver="svd")),
    "ridge-loo": (lambda **k: RidgeCV(GRID, **k), linear_model.RidgeCV(GRID, alpha_per_target=True)),
}
WIDTHS = {"rows < features": 10, "rows > features": 7, "rows >> features": 12, "outliers, wide": 3}
WIDTHS |= {"outliers, narrow": 15, "spectrum k^-0.5": 4, "spectrum k^-1": 20, "spectrum k^-1.5, narrow": 6}


def pipeline(components: int, regression):
    return make_pipeline(PCA(components, svd_solver="full"), clone(regression))


def refitted(X: np.ndarray, Y: np.ndarray, folds, components: int, regression) -> list[np.ndarray]:
    """Predictions of scikit-learn in float64."""
    X, Y = X.astype(np.float64), Y.astype(np.float64)
    return [pipeline(components, regression).fit(X[a], Y[a]).predict(X[b]) for a, b in folds]


def correlations(predictions: list[np.ndarray], Y: np.ndarray, folds) -> np.ndarray:
    pairs = [(p, Y[b]) for p, (_, b) in zip(predictions, folds, strict=True)]
    return np.array([[np.corrcoef(x, y)[0, 1] for x, y in zip(p.T, y.T, strict=True)] for p, y in pairs])


# --- the numbers of scikit-learn --------------------------------------------------------------------------------------


@pytest.mark.parametrize("splits", FOLDS)
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("regime", WIDTHS)
def test_every_fold_is_the_pipeline_of_scikit_learn(regime, name, splits):
    X, folds, k = REGIMES[regime], FOLDS[splits], WIDTHS[regime]
    Y, (ours, theirs) = responses(X), PAIRS[name]
    expected = refitted(X, Y, folds, k, theirs)
    found = cross_validate([X, X], Y, folds, ours(components=k), dtype="float64", predictions=True)
    for mine, prediction in zip(found.predictions, expected, strict=True):
        np.testing.assert_allclose(mine, [prediction] * 2, rtol=0, atol=1e-9)
    assert found.diagnoses[0].rank == (k, k)
    assert 1 <= found.diagnoses[0].condition < 1e6
    single = cross_validate([X.astype(np.float32)], Y, folds, ours(components=k)).r[0]
    np.testing.assert_allclose(single, correlations(expected, Y, folds), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("regime", WIDTHS)
def test_estimators_are_the_pipeline_of_scikit_learn(regime, name):
    X, k = REGIMES[regime], WIDTHS[regime]
    Y, (ours, theirs) = responses(X), PAIRS[name]
    single = linear_model.RidgeCV(GRID) if name == "ridge-loo" else theirs
    new = X[:7] + 0.3 * X[7:14]
    for y, regression in ((Y, theirs), (Y[:, 0], single)):
        model, reference = ours(components=k).fit(X, y), pipeline(k, regression).fit(X, y)
        np.testing.assert_allclose(model.predict(new), reference.predict(new), rtol=0, atol=1e-9)
        coefficients = reference[-1].coef_ @ reference[0].components_
        np.testing.assert_allclose(model.coef_, coefficients, rtol=0, atol=1e-9 * max(1, np.abs(coefficients).max()))
        if name == "ridge-loo":
            np.testing.assert_array_equal(model.alpha_, reference[-1].alpha_)


@pytest.mark.parametrize("choice", [{"select": 3}, {"select": "gcv"}, {"select": "gcv", "per_neuroid": False}])
@pytest.mark.parametrize("regime", ["rows < features", "rows > features"])
def test_alphas_are_chosen_on_the_scores_of_the_training_stimuli(regime, choice):
    X, folds, k = REGIMES[regime], SPLITS["grouped"], 6
    Y = responses(X)
    found = cross_validate([X], Y, folds, RidgeCV(GRID, components=k, **choice), dtype="float64")
    for i, (train, test) in enumerate(folds):
        pca = PCA(k, svd_solver="full").fit(X[train])
        scores, new = pca.transform(X[train]), pca.transform(X[test])
        model = RidgeCV(GRID, **choice).fit(scores, Y[train])
        np.testing.assert_array_equal(found.alphas[0, i], np.broadcast_to(model.alpha_, VOXELS))
        r = correlations([model.predict(new)], Y, [(train, test)])[0]
        np.testing.assert_allclose(found.r[0, i], r, rtol=0, atol=1e-9)


def test_inner_r_is_of_components_of_the_stimuli_that_are_left():
    X, folds = REGIMES["rows < features"], SPLITS["shuffled"]
    Y = responses(X)
    found = cross_validate([X], Y, folds, OLS(components=5), inner=np.array([3, 0]), dtype="float64").inner_r[0]
    for j, (_, held) in enumerate(folds):
        rest = [(np.setdiff1d(train, held), test) for i, (train, test) in enumerate(folds) if i != j]
        r = correlations(refitted(X, Y, rest, 5, linear_model.LinearRegression()), Y, rest)[:, [3, 0]]
        np.testing.assert_allclose(found[j], r.mean(0), rtol=0, atol=1e-9)


def test_held_out_stimuli_shape_no_component():
    X, folds = REGIMES["rows < features"], SPLITS["contiguous"][:1]
    Y, test = responses(X), folds[0][1]
    changed = X.copy()
    changed[test[0]] *= 1e3  # a direction that would lead, if it were looked at
    mine = [cross_validate([x], Y, folds, OLS(components=3), dtype="float64", predictions=True) for x in (X, changed)]
    np.testing.assert_allclose(mine[0].predictions[0][0, 1:], mine[1].predictions[0][0, 1:], rtol=0, atol=1e-9)
    leading = [PCA(3, svd_solver="full").fit(x).components_ for x in (X, changed)]
    assert np.linalg.svd(leading[0] @ leading[1].T, compute_uv=False)[-1] < 0.9


def test_neuroids_with_missing_responses_have_components_of_their_own():
    X, folds = REGIMES["rows > features"], SPLITS["shuffled"]
    Y = responses(X)
    Y[::4, 2] = np.nan
    found = cross_validate([X], Y, folds, OLS(components=4), dtype="float64").r[0]
    there = np.isfinite(Y[:, 2])
    own = [(train[there[train]], test[there[test]]) for train, test in folds]
    expected = correlations(refitted(X, Y[:, [2]], own, 4, linear_model.LinearRegression()), Y[:, [2]], own)
    np.testing.assert_allclose(found[:, [2]], expected, rtol=0, atol=1e-9)


# --- degenerate features ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ols", "ridge"])
@pytest.mark.parametrize("regime", ["repeated stimuli, wide", "dead and double, narrow"])
def test_components_that_features_lack_are_no_directions(regime, name):
    X, folds, k = REGIMES[regime], SPLITS["grouped"], 25
    Y, (ours, theirs) = responses(X), PAIRS[name]
    assert max(np.linalg.matrix_rank(X[a] - X[a].mean(0)) for a, _ in folds) < k
    expected = refitted(X, Y, folds, k, theirs)
    found = cross_validate([X], Y, folds, ours(components=k), dtype="float64", predictions=True)
    for mine, prediction in zip(found.predictions, expected, strict=True):
        np.testing.assert_allclose(mine[0], prediction, rtol=0, atol=1e-9)


def test_the_cut_off_takes_components_away():
    X, folds = REGIMES["null direction, narrow"], SPLITS["shuffled"]  # 29 directions and one of round-off
    Y = responses(X)
    found = cross_validate([X], Y, folds, OLS(components=30), dtype="float64")
    assert found.diagnoses[0].rank == (29, 29)
    assert found.diagnoses[0].condition == np.inf
    expected = refitted(X, Y, folds, 30, linear_model.LinearRegression())
    np.testing.assert_allclose(found.r[0], correlations(expected, Y, folds), rtol=0, atol=1e-9)
    few = cross_validate([X], Y, folds, OLS(rcond=0.5, components=30)).diagnoses[0]
    assert few.rank[1] < 29


@pytest.mark.parametrize("solver", [OLS(components=2), Ridge(components=2), RidgeCV(GRID, components=2)], ids=repr)
def test_features_that_do_not_vary_predict_the_mean(solver):
    Y = responses(REGIMES["rows > features"])
    dead = np.full((len(Y), 5), 2.7)
    np.testing.assert_allclose(clone(solver).fit(dead, Y).predict(dead[:2]), [Y.mean(0)] * 2, rtol=0, atol=1e-12)
    assert np.isnan(cross_validate([dead], Y, SPLITS["shuffled"], solver).r).all()


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("regime", ["rows > features", "outliers, narrow"])
def test_all_components_are_the_features(regime, name):
    X, folds = REGIMES[regime], SPLITS["grouped"]
    Y, (ours, _) = responses(X), PAIRS[name]
    all_of_them, features = (
        cross_validate([X], Y, folds, solver, dtype="float64").r for solver in (ours(components=X.shape[1]), ours())
    )
    np.testing.assert_allclose(all_of_them, features, rtol=0, atol=1e-9)


def test_components_are_orthonormal_in_every_shape():
    for X in (REGIMES["rows < features"], REGIMES["rows >> features"], REGIMES["spectrum k^-1.5"]):
        V, theirs = principal(X, 5), PCA(5, svd_solver="full").fit(X).components_.T
        np.testing.assert_allclose(V.T @ V, np.eye(5), rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.abs((V * theirs).sum(0)), 1.0, rtol=0, atol=1e-12)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_more_components_than_a_layer_has_are_refused_before_anything_is_computed():
    X, Y, folds = REGIMES["rows < features"], responses(REGIMES["rows < features"]), SPLITS["shuffled"]
    ticks = []

    def run(layers, components, **options):
        solver = OLS(components=components)
        return cross_validate(layers, Y, folds, solver, step=lambda *tick: ticks.append(tick), **options)

    with pytest.raises(DataError, match=r"components is 21, but layer 1 of X has 20 at most: 20 features"):
        run([X, X[:, :20], X[:, :30]], 21)
    with pytest.raises(DataError, match=r"components is 48, but layer 0 of X has 47 at most: 48 stimuli in a training"):
        run([X], 48)
    with pytest.raises(DataError, match=r"layer 0 of X has 35 at most: 36 stimuli"):  # two of five folds left out
        run([X], 47, inner=np.array([1]))
    gaps = Y.copy()
    gaps[:30, 4] = np.nan
    with pytest.raises(DataError, match=r"components is 35, but layer 0 of X has \d+ at most") as error:
        cross_validate([X], gaps, folds, OLS(components=35), step=lambda *tick: ticks.append(tick))
    present = [np.isfinite(gaps[train, 4]).sum() for train, _ in folds]
    assert f"has {min(present) - 1} at most" in str(error.value)
    assert not ticks
    assert run([X, X[:, :47]], 47).diagnoses[0].rank == (47, 47)


@pytest.mark.parametrize("build", [OLS, Ridge, RidgeCV])
def test_parameters_that_cannot_be_are_refused(build):
    X, Y = REGIMES["rows > features"], responses(REGIMES["rows > features"])
    for components in (0, -1, 2.0, "3"):
        message = f"components is {components!r}, expected a whole number"
        with pytest.raises(JaxscoreError, match=message):
            build(components=components).fit(X, Y)
        with pytest.raises(JaxscoreError, match=message):
            cross_validate([X], Y, 5, build(components=components))
    with pytest.raises(DataError, match=r"components is 21, but layer 0 of X has 20 at most: 20 features"):
        build(components=21).fit(X, Y)
    with pytest.raises(DataError, match=r"components is 15, but layer 0 of X has 14 at most: 15 stimuli"):
        build(components=15).fit(X[:15], Y[:15])


def test_components_of_partial_least_squares_are_another_matter():
    X, Y = REGIMES["rows > features"], responses(REGIMES["rows > features"])
    assert PLS(40).principal() is None
    assert cross_validate([X], Y, 5, PLS(40)).diagnoses[0].paths == {"pls": 5}


# --- scikit-learn's own checks ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [OLS(components=1), Ridge(components=1), RidgeCV(components=1)],  # some checks have one feature
    expected_failed_checks=lambda _: {"check_regressors_train": "one component of ten explains less than half"},
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
