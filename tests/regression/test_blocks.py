"""Trimmed blocks: every row that is not trimmed is tested once, and nothing near it is trained on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parity.reference_regression import pearson
from parity.regimes import gaussian
from sklearn.linear_model import Ridge as TheirRidge
from sklearn.model_selection import KFold, cross_val_score

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression import Ridge, cross_validate, make_folds
from jaxscore.regression.blocks import TrimmedBlocks


@given(st.lists(st.integers(1, 60), min_size=1, max_size=7), st.integers(2, 6), st.integers(0, 4))
@settings(deadline=None)
def test_properties_of_the_splits(lengths, n_splits, trim):
    runs = np.repeat(np.arange(len(lengths))[::-1], lengths)
    splitter, rows = TrimmedBlocks(n_splits, trim), np.arange(len(runs))
    try:
        blocks = splitter.blocks(len(runs), runs)
    except DataError:
        # refused only if some run would have a block of fewer than two rows, however the blocks are dealt out
        assert min(lengths) - 2 * trim < 2 * n_splits
        return
    start = np.array([np.flatnonzero(runs == run)[0] for run in runs])
    end = np.array([np.flatnonzero(runs == run)[-1] for run in runs])
    kept = (rows - start >= trim) & (end - rows >= trim)
    np.testing.assert_array_equal(blocks >= 0, kept)
    tested = np.zeros(len(runs), int)
    folds = list(splitter.split(rows, groups=runs))
    assert len(folds) == n_splits == splitter.get_n_splits()
    for train, test in folds:
        tested[test] += 1
        assert len(test) >= 2
        assert kept[train].all()
        near = (np.abs(train[:, None] - test) <= trim) & (runs[train][:, None] == runs[test])
        assert not near.any()
        # nothing else is left out
        left = np.setdiff1d(np.flatnonzero(kept), np.r_[train, test])
        assert all(((np.abs(row - test) <= trim) & (runs[test] == runs[row])).any() for row in left)
        assert {np.unique(test[blocks[test] == b]).size for b in np.unique(blocks[test])} == {
            (blocks == b).sum() for b in np.unique(blocks[test])
        }
    np.testing.assert_array_equal(tested, kept)
    for block in range(blocks.max() + 1):
        own = np.flatnonzero(blocks == block)
        np.testing.assert_array_equal(np.diff(own), 1)
        assert len(set(runs[own])) == 1


@given(st.integers(2, 8), st.integers(40, 200), st.integers(0, 3))
@settings(deadline=None)
def test_one_run_without_trimming_is_contiguous_folds(n_splits, rows, trim):
    assume(rows > 2 * trim + 2 * n_splits)
    sizes = [len(test) for _, test in TrimmedBlocks(n_splits, trim).split(np.zeros(rows))]
    assert max(sizes) - min(sizes) <= 1
    if not trim and not rows % n_splits:
        for ours, theirs in zip(
            TrimmedBlocks(n_splits, 0).split(np.zeros(rows)), KFold(n_splits).split(np.zeros(rows)), strict=True
        ):
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[1], theirs[1])


def test_the_story_of_alice():
    blocks = TrimmedBlocks(5, 5).blocks(362)
    assert np.bincount(blocks[5:-5]).tolist() == [70, 70, 71, 70, 71]
    train, test = list(TrimmedBlocks(5, 5).split(np.zeros(362)))[1]
    assert (test[0], test[-1]) == (75, 144)
    assert (train[0], train[64], train[65], train[-1]) == (5, 69, 150, 356)


def test_more_runs_than_folds_are_kept_whole():
    runs = np.repeat(list("abcde"), [40, 30, 20, 20, 10])
    folds = list(TrimmedBlocks(2, 2).split(runs, groups=runs))
    assert ["".join(sorted(set(runs[test]))) for _, test in folds] == ["ad", "bce"]
    for train, test in folds:
        assert not set(runs[train]) & set(runs[test])
        assert len(train) + len(test) == 120 - 5 * 4


def test_fewer_runs_than_folds_are_cut_where_they_are_long():
    runs = np.repeat([0, 1], [100, 40])
    blocks = TrimmedBlocks(4, 0).blocks(140, runs)
    assert np.bincount(blocks).tolist() == [33, 33, 34, 40]


def test_it_is_a_splitter_for_both_libraries():
    X, Y = gaussian(8), gaussian(3, seed=1) + gaussian(8)[:, :3]
    splitter, runs = TrimmedBlocks(3, 2), np.repeat(["one", "two"], [24, 36])
    folds = make_folds(splitter, 60, groups=runs)
    assert [fold[1].tolist() for fold in folds] == [b.tolist() for _, b in splitter.split(X, groups=runs)]
    theirs = TheirRidge(2.0)
    expected = [pearson(theirs.fit(X[a], Y[a]).predict(X[b]), Y[b]) for a, b in folds]
    found = cross_validate([X], Y, splitter, Ridge(2.0), groups=runs, dtype="float64").r[0]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert len(cross_val_score(theirs, X, Y, groups=runs, cv=splitter)) == 3


def test_noise_that_is_shared_by_neighbours_predicts_nothing_across_the_gap():
    """Features of the volumes around a row tell its noise, if rows that share the noise are trained on."""
    rng = np.random.default_rng(0)
    noise = np.convolve(rng.normal(size=420), np.ones(21), "valid")[:, None]
    time = np.exp(-0.5 * ((np.arange(400)[:, None] - np.arange(0, 400, 4)) / 4) ** 2)
    leaking, clean = (
        cross_validate([time], noise, folds, Ridge(0.1), dtype="float64").r.mean()
        for folds in ("shuffled", TrimmedBlocks(5, 25))
    )
    assert leaking > 0.9
    assert clean < 0.3


@pytest.mark.parametrize(("splits", "trim"), [(1, 5), (5, -1)])
def test_impossible_splitters_are_refused(splits, trim):
    with pytest.raises(JaxscoreError, match="at least 2 folds"):
        TrimmedBlocks(splits, trim)


@pytest.mark.parametrize("lengths", [[], [10], [19], [200, 11]])
def test_runs_that_are_too_short_are_refused(lengths):
    with pytest.raises(DataError, match="cannot be trimmed by 5 rows"):
        TrimmedBlocks(5, 5).blocks(sum(lengths), np.repeat(np.arange(len(lengths)), lengths))


def test_runs_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="not together"):
        TrimmedBlocks(2, 0).blocks(60, np.arange(60) % 2)
    with pytest.raises(DataError, match="59"):
        TrimmedBlocks(2, 0).blocks(60, np.zeros(59))
