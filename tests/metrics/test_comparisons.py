"""Comparisons of features with responses on given folds, against scikit-learn and the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, KFold

from jaxscore.metrics.cka import linear_cka
from jaxscore.metrics.comparisons import METRICS, Metric, compare
from jaxscore.metrics.rdm import rdm_similarity
from jaxscore.regression.estimators import OLS, RidgeCV

STIMULI = 24
FOLDS = list(KFold(3).split(np.zeros(STIMULI)))
UNITS = np.array([4, 2, 4, 2, 4, 2])


def data(widths=(3, 5)) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(3)
    X = [rng.normal(size=(STIMULI, width)) for width in widths]
    return X, X[0][:, :1] + rng.normal(size=(STIMULI, len(UNITS)))


def metric(name: str, **options) -> Metric:
    return Metric(name, OLS(), **{"dtype": "float64"} | options)


def looped(x: np.ndarray, Y: np.ndarray, folds=FOLDS) -> np.ndarray:
    """Pearson r [fold, column] of out-of-fold predictions."""
    fits = [(LinearRegression().fit(x[train], Y[train]).predict(x[test]), Y[test]) for train, test in folds]
    return np.array([pearsonr(predicted, y, axis=0).statistic for predicted, y in fits])


def test_encoding():
    X, Y = data()
    found = compare(X, Y, UNITS, FOLDS, metric("encoding"))
    np.testing.assert_array_equal(found.targets, np.arange(6))
    np.testing.assert_allclose(found.r, [looped(x, Y) for x in X], rtol=0, atol=1e-9)
    assert found.inner_r is None
    assert len(found.diagnoses) == 2


@pytest.mark.parametrize("name", ["encoding", "decoding", "rdm", "cka"])
def test_inner_values_do_not_see_the_responses_of_the_fold(name):
    X, Y = data()
    other = Y.copy()
    other[FOLDS[1][1]] = np.random.default_rng(9).normal(size=(8, 6))
    first, second = (compare(X, own, UNITS, FOLDS, metric(name), inner=np.ones(6, bool)) for own in (Y, other))
    np.testing.assert_array_equal(np.isnan(first.inner_r), np.isnan(first.r))
    np.testing.assert_allclose(second.inner_r[:, 1], first.inner_r[:, 1], rtol=0, atol=1e-12)
    known = ~np.isnan(first.r[:, 1])
    assert (np.abs(second.r[:, 1] - first.r[:, 1])[known] > 1e-6).all()
    assert (np.abs(second.inner_r[:, 0] - first.inner_r[:, 0])[known] > 1e-6).all()


def test_inner_values_of_wanted_neuroids_alone():
    X, Y = data()
    wanted = np.array([False, True, False, False, True, False])
    some, every = (compare(X, Y, UNITS, FOLDS, metric("encoding"), inner=mask) for mask in (wanted, wanted | True))
    assert np.isnan(some.inner_r[..., ~wanted]).all()
    np.testing.assert_allclose(some.inner_r[..., wanted], every.inner_r[..., wanted], rtol=0, atol=1e-12)
    nobody = compare(X, Y, UNITS, FOLDS, metric("encoding"), inner=np.zeros(6, bool))
    assert np.isnan(nobody.inner_r).all()


def test_decoding_has_a_target_for_each_unit_and_feature_of_the_widest_layer():
    """Units take their codes' order; a narrow layer has NaN where the widest has more features."""
    X, Y = data((3, 5, 1))
    units = np.array([1, 0, 1, 0, 1, 0])
    found = compare(X, Y, units, FOLDS, metric("decoding"), inner=np.ones(6, bool))
    np.testing.assert_array_equal(found.targets, np.arange(10))
    r, inner = (values.reshape(3, 3, 2, 5) for values in (found.r, found.inner_r))
    for i, x in enumerate(X):
        for unit in (0, 1):
            np.testing.assert_allclose(r[i, :, unit, : x.shape[1]], looped(Y[:, units == unit], x), rtol=0, atol=1e-6)
        for values in (r, inner):
            assert np.isnan(values[i, ..., x.shape[1] :]).all()
            assert np.isfinite(values[i, ..., : x.shape[1]]).all()
    assert len(found.diagnoses) == 3


def test_codes_of_units_that_are_there_name_the_targets():
    """A part may lack the neuroids of a unit: the targets of the others keep their places."""
    X, Y = data()
    found = compare(X, Y, UNITS, FOLDS, metric("decoding"))
    np.testing.assert_array_equal(found.targets, [*range(10, 15), *range(20, 25)])
    np.testing.assert_array_equal(compare(X, Y, UNITS, FOLDS, metric("cka")).targets, [2, 4])


@pytest.mark.parametrize(("name", "similarity"), [("rdm", rdm_similarity), ("cka", linear_cka)])
def test_similarity(name, similarity):
    X, Y = data()
    found = compare(X, Y, UNITS, FOLDS, metric(name), inner=np.array([True] + [False] * 5))
    tests = [test for _, test in FOLDS]
    for place, unit in enumerate((2, 4)):
        own = Y[:, np.equal(UNITS, unit)]
        np.testing.assert_allclose(found.r[..., place], similarity(X, own, tests), rtol=0, atol=1e-12)
        others = [np.setdiff1d(np.arange(STIMULI), test) for test in tests]
        np.testing.assert_allclose(found.inner_r[..., place], similarity(X, own, others), rtol=0, atol=1e-12)
    assert found.diagnoses == []


def test_similarity_of_training_stimuli_that_are_few():
    """Inside, all other stimuli are compared, whether or not they are trained on."""
    X, Y = data()
    folds = [(train[:4], test) for train, test in FOLDS]
    some, every = (compare(X, Y, UNITS, own, metric("cka"), inner=np.ones(6, bool)) for own in (folds, FOLDS))
    np.testing.assert_array_equal(some.inner_r, every.inner_r)


def test_a_norm_that_is_1e_8_longer_gives_0_for_a_constant():
    """Today's platform adds it to both norms; without it, a constant has no correlation."""
    X, Y = data()
    Y[:, 1] = 2.0
    plain, guarded = (
        compare(X, Y, UNITS, FOLDS, metric("encoding", correlation=c)).r for c in ("pearson", "pearson-eps")
    )
    assert np.isnan(plain[..., 1]).all()
    np.testing.assert_array_equal(guarded[..., 1], 0)
    rest = [0, 2, 3, 4, 5]
    np.testing.assert_allclose(guarded[..., rest], plain[..., rest], rtol=0, atol=1e-7)


def test_products_in_float32_stay_near():
    X, Y = data()
    found = [compare(X, Y, UNITS, FOLDS, metric("encoding", dtype=dtype)).r for dtype in ("float32", "float64")]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-5)


def test_alphas_are_chosen_on_inner_folds_that_keep_groups_whole():
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    X, Y = data()
    groups, alphas = np.repeat(np.arange(8), 3), (0.1, 1.0, 10.0, 100.0)
    folds = list(GroupKFold(3).split(Y, groups=groups))
    inner = GroupKFold(3)
    solver = RidgeCV(alphas, select=inner)
    found = compare(X[:1], Y[:, :2], UNITS[:2], folds, Metric("encoding", solver, dtype="float64"), groups=groups)
    for k, (train, test) in enumerate(folds):
        for n in range(2):
            search = GridSearchCV(Ridge(), {"alpha": alphas}, cv=inner, scoring="neg_mean_squared_error")
            search.fit(X[0][train], Y[train, n], groups=groups[train])
            expected = pearsonr(search.predict(X[0][test]), Y[test, n]).statistic
            assert found.r[0, k, n] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_progress(name):
    X, Y = data()
    seen: dict[str, int] = {}
    compare(
        X, Y, UNITS, FOLDS, metric(name), step=lambda phase, amount: seen.update({phase: seen.get(phase, 0) + amount})
    )
    assert set(seen) == {"operators", "voxels"}
    assert min(seen.values()) > 0


def test_which_metrics_compare_neuroids_together():
    assert {name: metric(name).by_unit for name in METRICS} == {
        "encoding": False, "decoding": True, "rdm": True, "cka": True,
    }  # fmt: skip
