"""Values on held-out stimuli, part by part, against plain loops with scikit-learn; the choice of a layer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge as TheirRidge
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.metrics.cka import linear_cka
from jaxscore.metrics.comparisons import Metric
from jaxscore.metrics.measure import LEAKING, Measured, Protocol, Rows, choose_layer, measure
from jaxscore.metrics.rdm import rdm_similarity
from jaxscore.regression.blocks import TrimmedBlocks
from jaxscore.regression.estimators import OLS, Ridge, RidgeCV
from jaxscore.regression.splits import PROTOCOLS, SCHEMES

RIDGE = Ridge(2.0)
PARTS = {"first": np.arange(18), "second": np.arange(18, 46)}


def encoding(scheme: str, folds: int | None = None, **options) -> Protocol:
    return Protocol(Metric("encoding", RIDGE, dtype="float64"), scheme, folds, **options)


def data(neuroids: int = 5, widths=(4, 6), stimuli: int = 46, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Features of layers, and responses that the first layer explains in part."""
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(stimuli, width)) for width in widths]
    Y = X[0] @ rng.normal(size=(widths[0], neuroids)) + 2 * rng.normal(size=(stimuli, neuroids))
    return X, Y


def measured(X, Y, protocol, rows=None, parts=PARTS, scored=None, **options) -> Measured:
    count = Y.shape[1]
    scored = np.ones(count, bool) if scored is None else scored
    return measure(X, Y, parts, np.arange(count), scored, protocol, rows or Rows(len(Y)), **options)


def looped(X, Y, folds) -> np.ndarray:
    """Pearson r [layer, fold, neuroid] of out-of-fold predictions."""
    return np.array([[fitted(x, Y, train, test) for train, test in folds] for x in X])


def fitted(x, Y, train, test) -> np.ndarray:
    predicted = TheirRidge(2.0).fit(x[train], Y[train]).predict(x[test]).reshape(len(test), -1)
    return pearsonr(predicted, Y[test].reshape(len(test), -1), axis=0).statistic


def inner_looped(X, Y, folds) -> np.ndarray:
    """For each fold [layer, fold, neuroid], the mean over the others of r when they are predicted without it."""
    return np.array([[_without(x, Y, folds, k) for k in range(len(folds))] for x in X])


def _without(x, Y, folds, k: int) -> np.ndarray:
    others = [fold for j, fold in enumerate(folds) if j != k]
    return np.mean([fitted(x, Y, np.setdiff1d(train, folds[k][1]), test) for train, test in others], axis=0)


def near(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_two_parts_with_neuroids_that_lack_responses():
    """A neuroid that lacks a response in a part is left out of that part; only scored ones have inner values."""
    X, Y = data()
    Y[3, 2], Y[18:, 3] = np.nan, np.nan
    scored = np.array([True, False, True, True, True])
    found = measured(X, Y, encoding("contiguous", 4), scored=scored)
    assert found.r.shape == (2, 2, 4, 5)
    assert found.inner_r.shape == (2, 2, 4, 4)
    assert found.grouped_r is None
    for p, rows in enumerate(PARTS.values()):
        folds, own, here = list(KFold(4).split(rows)), [x[rows] for x in X], np.isfinite(Y[rows]).all(0)
        near(found.r[:, p][..., here], looped(own, Y[np.ix_(rows, here)], folds))
        near(found.inner_r[:, p][..., here[scored]], inner_looped(own, Y[np.ix_(rows, here & scored)], folds))
        assert np.isnan(found.r[:, p][..., ~here]).all()
        assert np.isnan(found.inner_r[:, p][..., ~here[scored]]).all()
    assert found.stimuli == {"first": 18, "second": 28}
    assert found.neuroids == {"first": 4, "second": 4}
    assert found.undefined == {"first": 0, "second": 0}
    assert {name: len(each) for name, each in found.diagnoses.items()} == {"first": 2, "second": 2}
    assert found.notes == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_parts_with_different_numbers_of_folds_are_padded(order):
    """One fold for each of 3 runs in one part, and of 7 in the other."""
    X, Y = data(neuroids=3)
    classes = np.concatenate([np.repeat(np.arange(3), 6), np.repeat(np.arange(3, 10), 4)])
    parts = {list(PARTS)[i]: list(PARTS.values())[i] for i in order}
    found = measured(X, Y, encoding("leave-one-group-out"), Rows(46, classes=classes), parts)
    assert found.r.shape == (2, 2, 7, 3)
    assert found.inner_r.shape == (2, 2, 7, 3)
    for p, rows in enumerate(parts.values()):
        folds, own = list(LeaveOneGroupOut().split(rows, groups=classes[rows])), [x[rows] for x in X]
        near(found.r[:, p, : len(folds)], looped(own, Y[rows], folds))
        near(found.inner_r[:, p, : len(folds)], inner_looped(own, Y[rows], folds))
        assert np.isnan(found.r[:, p, len(folds) :]).all()
        assert np.isnan(found.inner_r[:, p, len(folds) :]).all()
    assert found.undefined == {"first": 0, "second": 0}


@pytest.mark.parametrize("passages", [(3, 7), (7, 3), (2, 4), (4, 2)])
def test_grouped_values_stand_beside_shuffled_folds(passages):
    """As many folds as the shuffled ones, or as passages; none for a part of two passages."""
    X, Y = data(neuroids=3)
    groups = np.concatenate(
        [np.arange(len(rows)) % count for count, rows in zip(passages, PARTS.values(), strict=True)]
    )
    scored = np.array([True, False, True])
    found = measured(X, Y, encoding("shuffled", 5), Rows(46, groups=groups), scored=scored)
    counts = [min(count, 5) if count > 2 else 0 for count in passages]
    assert found.grouped_r.shape == (2, 2, max(counts), 2)
    for p, (rows, count) in enumerate(zip(PARTS.values(), counts, strict=True)):
        own, shuffled = [x[rows] for x in X], list(KFold(5, shuffle=True, random_state=1).split(rows))
        splitter = GroupKFold(max(count, 2), shuffle=True, random_state=1)
        folds = list(splitter.split(rows, groups=groups[rows])) if count else []
        near(found.r[:, p], looped(own, Y[rows], shuffled))
        near(found.grouped_r[:, p, :count], looped(own, Y[np.ix_(rows, scored)], folds).reshape(2, count, 2))
        assert np.isnan(found.grouped_r[:, p, count:]).all()


def test_folds_that_keep_passages_whole_have_none_beside_them():
    X, Y = data(neuroids=2)
    groups = np.arange(46) // 4
    assert measured(X, Y, encoding("grouped", 3), Rows(46, groups, groups)).grouped_r is None
    assert measured(X, Y, encoding("contiguous", 3), Rows(46, groups, groups)).grouped_r is None


def test_every_scheme_that_shuffles_stimuli_of_a_passage_apart_is_known_to_leak():
    """But for those that compare test stimuli alone, and for words that are split by value: they have no other."""
    known = SCHEMES | PROTOCOLS
    shuffling = {name for name, own in known.items() if own.seed is not None and own.splitter != "GroupKFold"}
    assert set(LEAKING) == shuffling - {"nn-rdm", "bl-rdm", "nn-futrell"}


def test_each_neuroid_on_the_rows_that_it_has():
    """Folds are made of the rows of each neuroid."""
    X, Y = data(neuroids=4)
    Y[[1, 5, 20], 0], Y[7, 1], Y[18:, 2] = np.nan, np.nan, np.nan
    found = measured(X, Y, encoding("shuffled", 3), own_rows=True)
    for p, rows in enumerate(PARTS.values()):
        for n in range(4):
            here = rows[np.isfinite(Y[rows, n])]
            if not len(here):
                assert np.isnan(found.r[:, p, :, n]).all()
                continue
            folds, own = list(KFold(3, shuffle=True, random_state=1).split(here)), [x[here] for x in X]
            near(found.r[:, p, :, [n]], np.moveaxis(looped(own, Y[here][:, [n]], folds), -1, 0))
            near(found.inner_r[:, p, :, [n]], np.moveaxis(inner_looped(own, Y[here][:, [n]], folds), -1, 0))
    assert found.neuroids == {"first": 4, "second": 3}


def test_labels_go_with_the_rows_that_a_neuroid_has():
    X, Y = data(neuroids=2)
    Y[[0, 1, 30], 1] = np.nan
    classes = np.arange(46) % 5
    found = measured(X, Y, encoding("leave-one-group-out"), Rows(46, classes=classes), own_rows=True)
    rows = PARTS["first"][2:]
    folds = list(LeaveOneGroupOut().split(rows, groups=classes[rows]))
    near(found.r[:, 0, :, 1], looped([x[rows] for x in X], Y[rows, 1], folds)[..., 0])


@pytest.mark.parametrize("own_rows", [False, True])
def test_no_neuroid_is_complete_anywhere(own_rows):
    X, Y = data(neuroids=2)
    Y[[2, 20]] = np.nan
    if own_rows:
        assert np.isfinite(measured(X, Y, encoding("contiguous", 3), own_rows=True).r).all()
        return
    with pytest.raises(DataError, match=r'data\.missing = "keep"'):
        measured(X, Y, encoding("contiguous", 3))


def test_a_part_that_nobody_has_is_nan():
    X, Y = data(neuroids=2)
    Y[2] = np.nan
    found = measured(X, Y, encoding("contiguous", 3))
    assert np.isnan(found.r[:, 0]).all()
    assert np.isfinite(found.r[:, 1]).all()
    assert (found.stimuli, found.neuroids) == ({"first": 18, "second": 28}, {"first": 0, "second": 2})


def test_constant_responses_are_counted():
    X, Y = data(neuroids=3)
    Y[:18, 1] = 0.5
    found = measured(X, Y, encoding("contiguous", 3))
    assert found.undefined == {"first": 1, "second": 0}
    assert np.isnan(found.r[:, 0, :, 1]).all()


def test_alphas_on_the_edge_are_noted_once():
    X, Y = data(neuroids=2)
    protocol = Protocol(Metric("encoding", RidgeCV((1e-9, 1e-8)), dtype="float64"), "contiguous", 3)
    found = measured(X, Y, protocol)
    assert len(found.notes) == len(set(found.notes)) > 0
    assert "edge" in found.notes[0]


@pytest.mark.parametrize(("name", "similarity"), [("rdm", rdm_similarity), ("cka", linear_cka)])
def test_similarity_on_test_stimuli_and_inside_on_all_others(name, similarity):
    X, Y = data(neuroids=7)
    units = np.array([0, 1, 0, 1, 0, 1, 1])
    Y[20, 6] = np.nan  # this neuroid of unit 1 is not in the second part
    scored = np.array([False, True])
    found = measure(X, Y, PARTS, units, scored, Protocol(Metric(name, OLS()), "shuffled", 3), Rows(46))
    assert (found.r.shape, found.inner_r.shape) == ((2, 2, 3, 2), (2, 2, 3, 1))
    for p, rows in enumerate(PARTS.values()):
        here, own = np.isfinite(Y[rows]).all(0), [x[rows] for x in X]
        tests = [test for _, test in KFold(3, shuffle=True, random_state=1).split(rows)]
        for unit in range(2):
            y = Y[np.ix_(rows, here & (units == unit))]
            near(found.r[:, p, :, unit], similarity(own, y, tests))
            if unit:
                others = [np.setdiff1d(np.arange(len(rows)), test) for test in tests]
                near(found.inner_r[:, p, :, 0], similarity(own, y, others))


def test_decoding_places_features_of_layers_of_different_widths():
    """Targets are unit x widest layer + feature; narrower layers have NaN behind their features."""
    X, Y = data(neuroids=5, widths=(2, 3))
    units, scored = np.array([0, 1, 0, 1, 1]), np.repeat([False, True], 3)
    protocol = Protocol(Metric("decoding", RIDGE, dtype="float64"), "contiguous", 3)
    found = measure(X, Y, PARTS, units, scored, protocol, Rows(46))
    assert (found.r.shape, found.inner_r.shape) == ((2, 2, 3, 6), (2, 2, 3, 3))
    for p, rows in enumerate(PARTS.values()):
        folds = list(KFold(3).split(rows))
        for i, x in enumerate(X):
            for unit in range(2):
                brain, at, width = [Y[np.ix_(rows, units == unit)]], 3 * unit, x.shape[1]
                near(found.r[i, p, :, at : at + width], looped(brain, x[rows], folds)[0])
                assert np.isnan(found.r[i, p, :, at + width : at + 3]).all()
                if unit:
                    near(found.inner_r[i, p, :, :width], inner_looped(brain, x[rows], folds)[0])
    assert found.neuroids == {"first": 5, "second": 5}


def test_a_unit_that_is_not_in_a_part_leaves_its_targets_nan():
    X, Y = data(neuroids=4)
    Y[:18, 2:] = np.nan
    units = np.array([0, 0, 1, 1])
    for name, width in (("cka", 1), ("decoding", 6)):
        protocol = Protocol(Metric(name, RIDGE), "contiguous", 3)
        found = measure(X, Y, PARTS, units, np.ones(2 * width, bool), protocol, Rows(46))
        own = found.r.reshape(2, 2, 3, 2, width)
        assert np.isnan(own[:, 0, :, 1]).all()
        assert np.isfinite(own[1, 1]).all()
        assert np.isfinite(own[1, 0, :, 0]).all()


def test_blocks_lie_apart_and_within_runs():
    runs = np.repeat(["r1", "r2"], 20)
    folds = encoding("blocks", 4, trim=2).split(Rows(40, runs=runs))
    expected = list(TrimmedBlocks(4, 2).split(np.zeros(40), groups=runs))
    for (train, test), (their_train, their_test) in zip(folds, expected, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(test, their_test)
        assert len(set(runs[test])) == 1
    assert len(encoding("blocks").split(Rows(40))) == 5


def test_seeds_and_impossible_folds():
    rows = Rows(20)
    first, second = (encoding("shuffled", 4, seed=seed).split(rows)[0][1].tolist() for seed in (1, 2))
    assert first == next(KFold(4, shuffle=True, random_state=1).split(np.zeros(20)))[1].tolist() != second
    with pytest.raises(JaxscoreError, match="need to know the group"):
        encoding("grouped", 3).split(rows)


def test_progress_counts_layers_and_neuroids():
    X, Y = data(neuroids=3)
    seen: list[tuple[str, int]] = []
    measured(X, Y, encoding("contiguous", 3), step=lambda *amount: seen.append(amount))
    assert {phase for phase, _ in seen} == {"operators", "voxels"}
    assert sum(amount for phase, amount in seen if phase == "operators") == 2 * len(PARTS)


def test_the_layer_of_a_fold_is_the_best_one_without_it():
    inner = np.array([[0.1, 0.5, np.nan], [0.4, 0.2, np.nan]])
    r = np.arange(2 * 2 * 3 * 2, dtype=float).reshape(2, 2, 3, 2)
    found = choose_layer(inner, r)
    assert found.layers == [1, 0, 0]
    assert found.layer == 0
    np.testing.assert_array_equal(found.r[:, 0], r[1, :, 0])
    np.testing.assert_array_equal(found.r[:, 1:], r[0, :, 1:])
    assert choose_layer(np.array([[0.1, 0.9], [0.2, 0.3]]), r[:, :, :2]).layer == 0  # a tie: the lower one
