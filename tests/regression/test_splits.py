"""Splits: a name gives scikit-learn's indices, the rest is taken as it is, and bad folds are refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression.splits import PROTOCOLS, SCHEMES, check_folds, check_scheme, make_folds, nested

N = 384
# 12 groups of 32, as objects and out of order; so that neither the dtype nor the order of appearance can matter
GROUPS = np.array([f"story {k}" for k in np.random.default_rng(3).permutation(np.arange(N) % 12)], dtype=object)
STORIES = Path(__file__).resolve().parents[2] / "../shared/data"

BY_NAME = {
    "shuffled": KFold(5, shuffle=True, random_state=1),
    "contiguous": KFold(5),
    "grouped": GroupKFold(5, shuffle=True, random_state=1),
    "stratified": StratifiedKFold(5, shuffle=True, random_state=1),
    "shuffle-split": ShuffleSplit(10, train_size=0.9, random_state=1),
    "leave-one-group-out": LeaveOneGroupOut(),
    "nn-pereira": KFold(5, shuffle=True, random_state=1),
    "nn-blank": StratifiedKFold(5, shuffle=True, random_state=1),
    "nn-fedorenko": StratifiedKFold(5, shuffle=True, random_state=1),
    "nn-rdm": KFold(5, shuffle=True, random_state=1),
    "bl-linear-shuffle": ShuffleSplit(10, train_size=0.9, random_state=1),
    "bl-tuckute": ShuffleSplit(10, train_size=0.9, random_state=1),
    "bl-pereira-ridge": GroupKFold(10, shuffle=True, random_state=1234),
    "bl-blank-ridge": GroupKFold(8, shuffle=True, random_state=1234),
    "bl-fedorenko-ridge": GroupKFold(10, shuffle=True, random_state=1234),
    "bl-rdm": ShuffleSplit(10, test_size=0.9, random_state=1),
}


def theirs(splitter, stimuli=N, groups=GROUPS, labels=None):
    """What scikit-learn gives; its splitters that stratify take the groups as classes here."""
    if isinstance(splitter, StratifiedKFold):
        return list(splitter.split(np.zeros(stimuli), groups))
    consumes = isinstance(splitter, (GroupKFold, LeaveOneGroupOut, StratifiedGroupKFold))
    return list(splitter.split(np.zeros(stimuli), labels, groups if consumes else None))


def assert_equal_folds(found, expected):
    assert len(found) == len(expected)
    for ours, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours[0], other[0])
        np.testing.assert_array_equal(ours[1], other[1])


def test_every_name_is_compared_with_scikit_learn():
    assert set(SCHEMES) | set(PROTOCOLS) == set(BY_NAME) | {"nn-futrell"}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_name_gives_the_indices_of_its_splitter(name):
    assert_equal_folds(make_folds(name, N, groups=GROUPS), theirs(BY_NAME[name]))


@pytest.mark.parametrize(
    ("name", "splitter"),
    [
        ("shuffled", KFold(7, shuffle=True, random_state=4)),
        ("contiguous", KFold(7)),
        ("grouped", GroupKFold(7, shuffle=True, random_state=4)),
        ("stratified", StratifiedKFold(7, shuffle=True, random_state=4)),
        ("shuffle-split", ShuffleSplit(7, train_size=0.9, random_state=4)),
    ],
)
def test_folds_and_seed_are_the_splitters(name, splitter):
    assert_equal_folds(make_folds(name, N, folds=7, seed=4, groups=GROUPS), theirs(splitter))


def test_sizes_of_the_published_shuffle_splits():
    assert {(len(train), len(test)) for train, test in make_folds("bl-linear-shuffle", 384)} == {(345, 39)}
    assert {(len(train), len(test)) for train, test in make_folds("bl-rdm", 384)} == {(38, 346)}


@pytest.mark.parametrize("dtype", [object, str, float, int])
@pytest.mark.parametrize("name", ["grouped", "stratified", "leave-one-group-out"])
def test_groups_of_any_kind_split_as_scikit_learn_splits_them(name, dtype):
    groups = np.array([int(group.split()[1]) for group in GROUPS]).astype(dtype)
    # scikit-learn stratifies on no numbers in an array of objects; text sorts otherwise than numbers
    known = groups.astype(int) if dtype is object else groups
    assert_equal_folds(make_folds(name, N, groups=groups), theirs(BY_NAME[name], groups=known))


def test_a_name_stratifies_on_labels_rather_than_groups():
    labels = np.arange(N) % 3
    expected = list(StratifiedKFold(5, shuffle=True, random_state=1).split(np.zeros(N), labels))
    assert_equal_folds(make_folds("stratified", N, groups=GROUPS, labels=labels), expected)


def test_labels_do_not_replace_the_groups_that_are_kept_whole():
    assert_equal_folds(make_folds("grouped", N, groups=GROUPS, labels=np.arange(N) % 6), theirs(BY_NAME["grouped"]))


def test_leave_one_group_out_tests_one_group_a_fold():
    folds = make_folds("leave-one-group-out", N, groups=GROUPS, folds=12)
    assert [set(GROUPS[test]) for _, test in folds] == [{group} for group in sorted(set(GROUPS))]


@pytest.mark.parametrize("number", [6, np.int64(6)])
def test_a_number_makes_contiguous_folds(number):
    assert_equal_folds(make_folds(number, N), list(KFold(6).split(np.zeros(N))))


@pytest.mark.parametrize(
    "splitter",
    [
        TimeSeriesSplit(4),
        StratifiedGroupKFold(4, shuffle=True, random_state=2),
        PredefinedSplit(np.arange(N) // 100),
        GroupKFold(3),
        ShuffleSplit(3, test_size=0.5, random_state=0),
    ],
)
def test_a_splitter_is_taken_as_it_is(splitter):
    labels = np.arange(N) % 2
    groups = GROUPS if isinstance(splitter, (GroupKFold, StratifiedGroupKFold)) else None
    expected = theirs(splitter, labels=labels)
    assert_equal_folds(make_folds(splitter, N, groups=groups, labels=labels), expected)


def test_pairs_are_taken_as_they_are_from_any_iterable():
    pairs = [([5, 3, 4], [1, 0]), (range(3), (5, 3))]
    found = make_folds(iter(pairs), 6)
    assert [[rows.tolist() for rows in fold] for fold in found] == [[[5, 3, 4], [1, 0]], [[0, 1, 2], [5, 3]]]
    assert all(rows.dtype == np.intp for fold in found for rows in fold)


def test_futrell_splits_by_word_so_that_repeated_words_are_on_both_sides():
    words = np.array(["the", "cat", "saw", "the", "dog", "and", "the", "dog", "ran", "off"] * 4)
    words = np.char.add(words, np.where(np.isin(words, ["the", "dog"]), "", np.repeat(list("abcd"), 10)))
    sentences = np.repeat(np.arange(8), 5)
    folds = make_folds("nn-futrell", 40, groups=sentences, values=words)
    rows = list(StratifiedKFold(5, shuffle=True, random_state=1).split(np.zeros(40), sentences))
    for (train, test), (train_rows, test_rows) in zip(folds, rows, strict=True):
        assert train.tolist() == [i for i in range(40) if words[i] in set(words[train_rows])]
        assert test.tolist() == [i for i in range(40) if words[i] in set(words[test_rows])]
    assert any(np.intersect1d(train, test).size for train, test in folds)


def test_pereira_sentences_by_story():
    table = STORIES / "pereira2018_stimuli" / "Pereira2018_stimulus_set_20220209.csv"
    if not table.exists():
        pytest.skip(f"no {table.name}: ../shared/data is not beside the checkout")
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["experiment"].startswith("384")]
    stories = [row["story"] for row in rows]
    assert len(rows) == 384
    folds = make_folds("bl-pereira-ridge", 384, groups=stories)
    assert_equal_folds(folds, theirs(BY_NAME["bl-pereira-ridge"], groups=stories))
    assert all({stories[i] for i in train}.isdisjoint(stories[i] for i in test) for train, test in folds)


@pytest.mark.parametrize(
    ("scheme", "splitter"),
    [
        ("contiguous", KFold(4)),
        (4, KFold(4)),
        ("shuffled", KFold(4, shuffle=True, random_state=9)),
        ("grouped", GroupKFold(4, shuffle=True, random_state=9)),
        (GroupKFold(4), GroupKFold(4)),
    ],
)
@pytest.mark.parametrize("outer", ["grouped", "shuffle-split", "leave-one-group-out"])
def test_nested_folds_are_global_and_inside_the_training_set(outer, scheme, splitter):
    outer = make_folds(outer, N, groups=GROUPS)
    named = isinstance(scheme, str)
    groups = GROUPS if isinstance(splitter, GroupKFold) else None
    found = nested(outer, scheme, groups=groups, folds=4 if named else None, seed=9 if named else None)
    for (train, test), inner in zip(outer, found, strict=True):
        train = np.sort(train)
        local = theirs(splitter, len(train), GROUPS[train])
        assert_equal_folds(inner, [(train[a], train[b]) for a, b in local])
        assert all(np.intersect1d(np.concatenate(pair), test).size == 0 for pair in inner)
        if groups is not None:
            assert all(set(GROUPS[a]).isdisjoint(GROUPS[b]) for a, b in inner)


def test_nested_stratified_on_labels():
    labels = np.arange(N) % 3
    outer = make_folds("contiguous", N)
    for (train, _), inner in zip(outer, nested(outer, StratifiedKFold(2), labels=labels), strict=True):
        local = StratifiedKFold(2).split(np.zeros(len(train)), labels[train])
        assert_equal_folds(inner, [(train[a], train[b]) for a, b in local])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nested([(range(4, 40), range(4))], "shuffled", folds=30), "outer fold 0: 36 stimuli cannot make 30"),
        (
            lambda: nested(make_folds("leave-one-group-out", 8, groups=[0] * 4 + [1] * 4), "grouped", groups=[0] * 7),
            r"groups has shape \(7,\), expected one value for each of 8 stimuli",
        ),
        (
            lambda: nested([(range(4, 20), range(4))], "grouped", folds=2, groups=[0] * 4 + [1] * 16),
            "outer fold 0: 1 group cannot make 2 grouped folds",
        ),
    ],
)
def test_nested_errors_name_the_outer_fold(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_nested_refuses_pairs():
    with pytest.raises(JaxscoreError, match="cannot split the training stimuli of every outer fold"):
        nested(make_folds(5, N), make_folds(5, 300))


GOOD = (range(4, 10), range(4))


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([], "no folds"),
        ([GOOD, (range(4, 11), range(4))], "7 training indices of fold 1 run from 4 to 10, expected 0 to 9 for 10"),
        ([(range(4, 10), range(-1, 3))], "4 test indices of fold 0 run from -1 to 2"),
        ([(range(3, 10), range(4))], "fold 0 has 1 of its 4 test stimuli in its training set of 7 .*first is 3"),
        ([GOOD, GOOD, ([1], [2, 3])], "fold 2 has 1 training and 2 test stimuli, expected at least 2"),
        ([([1, 4], [])], "fold 0 has 2 training and 0 test stimuli"),
        ([(np.arange(4.0, 10), range(4))], "training indices of fold 0 are float64, expected integers"),
        ([(range(4, 10), np.arange(10) < 4)], r"test indices of fold 0 are bool(.|\n)*flatnonzero"),
        ([(np.ones((3, 2), int), range(4))], r"fold 0 have shape \(3, 2\)"),
        ([([4, 5, 5], range(4))], "3 training indices of fold 0 name 1 stimuli more than once"),
        ([(1, 2, 3)], r"fold 0 is \(1, 2, 3\), expected a pair"),
        ([7], "fold 0 is 7, expected a pair"),
    ],
)
def test_folds_that_cannot_be_used(folds, message):
    for check in (check_folds, make_folds):
        with pytest.raises(DataError, match=message):
            check(folds, 10)


def test_overlapping_test_sets_of_different_folds_are_fine():
    assert len(check_folds([GOOD, GOOD], 10)) == 2


def test_overlap_within_a_fold_only_on_request():
    ((train, test),) = check_folds([(range(3, 10), range(4))], 10, overlap=True)
    assert (train.tolist(), test.tolist()) == ([3, 4, 5, 6, 7, 8, 9], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("scheme", "arguments", "message"),
    [
        ("shuffled", {"folds": 6}, "10 stimuli cannot make 6 folds of at least 2"),
        ("contiguous", {"folds": 1}, r"at least 2 folds\)"),
        (0, {}, "10 stimuli cannot make 0 folds"),
        ("grouped", {}, r"'grouped' need to know the group of every stimulus(.|\n)*data.group"),
        ("bl-blank-ridge", {}, "10 stimuli cannot make 8 folds"),
        ("nn-blank", {}, "'nn-blank' need to know the story of every stimulus"),
        ("grouped", {"groups": [1] * 10}, "1 group cannot make 5 grouped folds"),
        ("grouped", {"groups": [1, 2] * 5}, r"2 groups cannot make 5 grouped folds\nUse 2 folds or fewer"),
        ("leave-one-group-out", {"groups": [1] * 10}, "1 group cannot make leave-one-group-out folds"),
        ("leave-one-group-out", {"groups": [1, 2] * 5, "folds": 5}, "makes 2 folds, 5 were asked for"),
        ("leave-one-group-out", {"groups": [0] * 9 + [1]}, "fold 0 has 1 training and 9 test stimuli"),
        ("stratified", {"groups": [1] * 9 + [2]}, "1 of 2 classes have one stimulus, such as 2"),
        ("stratified", {"groups": [1] * 10}, "1 group cannot make 5 stratified folds"),
        ("grouped", {"groups": [1, 2] * 4}, r"groups has shape \(8,\), expected one value for each of 10 stimuli"),
        ("grouped", {"groups": [("a", 1)] * 10}, r"groups has shape \(10, 2\)"),
        ("grouped", {"groups": [1.0, np.nan] * 5}, "5 of 10 stimuli have no value in groups"),
        ("grouped", {"groups": ["a", None] * 5}, "5 of 10 stimuli have no value in groups"),
        (StratifiedKFold(2), {"labels": [1, 2]}, r"labels has shape \(2,\)"),
        (GroupKFold(2), {}, r"GroupKFold(.|\n)*cannot split 10 stimuli: .*groups(.|\n)*groups="),
        (StratifiedKFold(2), {}, r"StratifiedKFold(.|\n)*cannot split 10 stimuli(.|\n)*labels="),
        (KFold(3), {"folds": 4}, "makes 3 folds, 4 were asked for"),
        ("nn-pereira", {"folds": 4}, "nn-pereira makes 5 folds, 4 were asked for"),
        ("nn-futrell", {"groups": [1, 2] * 5}, r"has no values(.|\n)*the word of every row"),
    ],
)
def test_data_that_do_not_allow_the_folds(scheme, arguments, message):
    with pytest.raises(DataError, match=message):
        make_folds(scheme, 10, **arguments)


def test_a_protocol_keeps_its_seed():
    with pytest.raises(JaxscoreError, match="nn-pereira has the seed 1, 2 was asked for"):
        make_folds("nn-pereira", N, seed=2)
    assert_equal_folds(make_folds("nn-pereira", N, seed=1, folds=5), theirs(BY_NAME["nn-pereira"]))


@pytest.mark.parametrize("check", [check_scheme, lambda name: make_folds(name, N)])
def test_unknown_names(check):
    with pytest.raises(JaxscoreError, match=r"Unknown splits 'nn-periera'. Did you mean 'nn-pereira'") as caught:
        check("nn-periera")
    assert "leave-one-group-out" in caught.value.hint


def test_no_splits_at_all():
    with pytest.raises(JaxscoreError, match="Splits are None, expected a name"):
        make_folds(None, N)
