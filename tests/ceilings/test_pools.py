"""Draws of subsets and held-out subjects; the features of a pool."""

import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from ceilings.loops import responses

from jaxscore.ceilings.pools import SAFE, Plan, Sources, check_draws
from jaxscore.errors import DataError, JaxscoreError
from jaxscore.metrics.comparisons import Metric
from jaxscore.regression.estimators import OLS, PLS

NINE = [f"{i:03d}" for i in (199, 288, 289, 296, 343, 366, 407, 426, 94)]
SCRIPT = """
from jaxscore.ceilings.pools import Plan
print(Plan(10, 5, seed=3).draw({"018", "215", "199", "288", "289", "296", "343"}))
"""


def test_all_combinations_hold_out_every_member_in_sorted_order():
    drawn = Plan().draw(["c", "a", "b", "d", "a"])
    assert list(drawn) == [2, 3, 4]
    for k, subsets in drawn.items():
        assert subsets == [(subset, subset) for subset in combinations("abcd", k)]


def test_random_subsets_are_distinct_sets_and_every_draw_counts():
    drawn = Plan(10, 5).draw(NINE)
    assert list(drawn) == list(range(2, 10))
    for k, subsets in drawn.items():
        assert len({frozenset(subset) for subset, _ in subsets}) == len(subsets) == {8: 9, 9: 1}.get(k, 10)
        for subset, held in subsets:
            assert list(subset) == sorted(subset)
            assert len(subset) == k
            assert list(held) == sorted(set(held))
            assert set(held) <= set(subset)
    # five draws with replacement: not always five subjects, never more, unless the subset was taken again
    counts = [len(held) for k in range(3, 8) for _, held in drawn[k]]
    assert max(counts) <= 5
    assert min(counts) < 5
    assert len(drawn[9][0][1]) == 9  # fifty draws of nine


def test_draws_are_those_of_two_streams_of_numpy():
    """The first subset of two and its first held-out subjects, by hand."""
    subset = sorted(np.array(sorted(NINE))[np.random.RandomState(7).choice(9, size=2, replace=False)].tolist())
    held = {subset[i] for i in np.random.RandomState(7).choice(2, size=5)}
    assert Plan(10, 5, seed=7).draw(NINE)[2][0] == (tuple(subset), tuple(sorted(held)))


def test_the_same_under_any_hash_seed():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert outputs[0]
    assert outputs[0] == outputs[1]


def test_seeds_differ_and_sizes_are_chosen():
    assert Plan(10, 5, seed=1).draw(NINE) != Plan(10, 5, seed=2).draw(NINE)
    assert list(Plan(sizes=3).draw(NINE)) == [2, 5, 8]
    assert list(Plan(sizes=(9, 4, 40)).draw(NINE)) == [4, 9]
    assert list(Plan().draw(["a", "b"])) == [2]


def test_too_few_subjects():
    with pytest.raises(DataError, match="need 2 subjects or more; with repetitions, use split-half"):
        Plan().draw(["a", "a"])
    with pytest.raises(DataError, match="expected some from 2 to 3 subjects"):
        Plan(sizes=(5, 6)).draw("abc")
    with pytest.raises(JaxscoreError, match="step of sizes is 0"):
        Plan(sizes=0).draw("abc")


@pytest.mark.parametrize("draw", [(("a", "x"), ("a",)), (("a", "b"), ("c",)), (("a",), ("a",))])
def test_draws_that_cannot_be(draw):
    with pytest.raises(DataError, match="size 2"):
        check_draws({2: [draw]}, set("abc"))


def sources(Y, subjects, solver=None, name="encoding"):
    own = {subject: np.flatnonzero(subjects == subject) for subject in np.unique(subjects).tolist()}
    return Sources(Y, own, Metric(name, solver or OLS()))


def kernel(X):
    X = X - X.mean(0)
    return X @ X.T


@pytest.mark.parametrize(("steep", "columns"), [(0, 39), (2, 80)])
def test_features_keep_the_inner_products_of_the_pool(steep, columns):
    """Well conditioned kernels are summed; where they are not, triangular factors are put side by side."""
    Y, subjects, _ = responses((60, 70, 50))
    Y = (Y - Y.mean(0)) * np.arange(1, 41.0)[:, None] ** -steep
    made = sources(Y, subjects)
    largest, smallest = np.sum([made.kernels[s][1] for s in ("s0", "s2")], 0)
    assert (largest > SAFE * smallest) == bool(steep)
    found, whole = made.features(("s0", "s2")), Y[:, subjects != "s1"]
    assert found.shape == (40, columns)
    np.testing.assert_allclose(kernel(found), kernel(whole), rtol=0, atol=1e-12 * np.abs(kernel(whole)).max())
    values = np.linalg.eigvalsh(kernel(whole))
    assert largest / max(smallest, 1e-300) >= (values[-1] / values[1]) * (1 - 1e-9)  # the bound is one


def test_a_subject_with_few_neuroids_in_a_wide_pool():
    Y, subjects, _ = responses((60, 3))
    found = sources(Y, subjects).features(("s0", "s1"))
    np.testing.assert_allclose(kernel(found), kernel(Y), atol=1e-10)


@pytest.mark.parametrize(("solver", "name"), [(PLS(3, scale=True), "encoding"), (OLS(), "rdm"), (OLS(), "decoding")])
def test_features_stay_what_they_are_where_a_rotation_would_be_seen(solver, name):
    Y, subjects, _ = responses((60, 70))
    np.testing.assert_array_equal(sources(Y, subjects, solver, name).features(("s0", "s1")), Y)


def test_narrow_pools_stay_what_they_are():
    Y, subjects, _ = responses((12, 12, 12))
    np.testing.assert_array_equal(sources(Y, subjects).features(("s0", "s2")), Y[:, subjects != "s1"])
