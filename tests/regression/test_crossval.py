"""What `cross_validate` takes beside features and responses, and what it refuses rather than answers wrongly."""

from __future__ import annotations

import numpy as np
import pytest
from parity.reference_regression import pearson
from parity.regimes import gaussian, responses
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, StratifiedKFold

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression import OLS, PLS, Ridge, RidgeCV, cross_validate, linear_cka, make_folds, rdm_similarity
from jaxscore.regression.delays import delayed

X, WIDE = gaussian(20), gaussian(100)
Y = responses(X)
FOLDS = list(KFold(4).split(Y))
ALPHAS = (0.1, 1.0, 10.0, 100.0)


def test_labels_stratify():
    labels = np.arange(len(Y)) % 3
    splitter = StratifiedKFold(4, shuffle=True, random_state=0)
    found = cross_validate([X], Y, splitter, labels=labels).r
    np.testing.assert_array_equal(found, cross_validate([X], Y, list(splitter.split(X, labels))).r)


@pytest.mark.parametrize("features", [X, WIDE], ids=["narrow", "wide"])
def test_words_that_return_may_be_trained_on_and_tested(features):
    words, sentences = np.arange(len(Y)) % 25, np.arange(len(Y)) // 6
    found = cross_validate([features], Y, "nn-futrell", groups=sentences, values=words, dtype="float64").r[0]
    folds = make_folds("nn-futrell", len(Y), groups=sentences, values=words)
    assert any(np.isin(test, train).any() for train, test in folds)
    model = LinearRegression()
    expected = [pearson(model.fit(features[a], Y[a]).predict(features[b]), Y[b]) for a, b in folds]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_a_choice_for_all_together_sees_no_holes():
    holed = Y.copy()
    holed[3, 0] = np.nan
    for solver in (PLS(2), RidgeCV(ALPHAS, per_neuroid=False)):
        with pytest.raises(DataError, match=r"1 of 6 neuroids have NaN, but \w+ chooses for all together"):
            cross_validate([X], holed, FOLDS, solver)


@pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")
@pytest.mark.parametrize("solver", [PLS(2), RidgeCV(ALPHAS, per_neuroid=False)], ids=["pls", "one alpha"])
def test_what_is_scored_inside_is_chosen_with_all_neuroids(solver):
    some, every = (cross_validate([X], Y, FOLDS, solver, inner=inner, dtype="float64") for inner in ([1, 4], range(6)))
    np.testing.assert_allclose(some.inner_r, every.inner_r[..., [1, 4]], rtol=0, atol=1e-12)


def test_scaled_features_are_delayed_as_they_are():
    features = WIDE * np.linspace(0.5, 5.0, WIDE.shape[1])
    found = cross_validate([features], Y, FOLDS, PLS(2, scale=True), delays=(0, 1), dtype="float64").r[0]
    stacked, expected = delayed(features, (0, 1), rotate=False), []
    for train, test in FOLDS:
        model = PLSRegression(2, scale=False, tol=1e-26, max_iter=100_000)
        mean, deviation = stacked[train].mean(0), stacked[train].std(0, ddof=1)
        deviation[deviation == 0] = 1.0
        model.fit((stacked[train] - mean) / deviation, Y[train])
        expected.append(pearson(model.predict((stacked[test] - mean) / deviation), Y[test]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_the_host_may_be_asked_for():
    np.testing.assert_array_equal(cross_validate([X], Y, FOLDS, mesh="host").r, cross_validate([X], Y, FOLDS).r)
    with pytest.raises(JaxscoreError, match=r"mesh is 'gpu', expected a mesh of devices or 'host'"):
        cross_validate([X], Y, FOLDS, mesh="gpu")


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (Ridge(-1.0), r"alphas are \(-1.0,\), expected finite numbers > 0"),
        (Ridge("a"), r"alphas are \['a'\], expected numbers > 0"),
        (RidgeCV("loo"), "alphas are 'loo', expected numbers > 0"),
        (OLS("a"), "rcond is 'a', expected a number between 0 and 1"),
        ("ridge:x", "Unknown solver 'ridge:x'"),
    ],
)
def test_parameters_are_looked_at_before_anything_is_computed(solver, message, monkeypatch):
    monkeypatch.setattr("jaxscore.regression.job.Job.run", None)
    with pytest.raises(JaxscoreError, match=message):
        cross_validate([X], Y, FOLDS, solver)


def test_similarities_take_folds_for_their_test_parts():
    tests = [test for _, test in FOLDS]
    np.testing.assert_array_equal(rdm_similarity([X], Y, FOLDS), rdm_similarity([X], Y, tests))
    np.testing.assert_array_equal(linear_cka([X], Y, FOLDS), linear_cka([X], Y, tests))
