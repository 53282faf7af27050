"""RDM similarity: equal to exact arithmetic, honest where it is not defined, clear where the input is wrong."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import reference_similarity as reference
from scipy import stats
from sklearn.model_selection import ShuffleSplit

from jaxscore.errors import DataError
from jaxscore.metrics.rdm import rdm_similarity

FEW = settings(max_examples=12, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
N = 12


def gaussian(p: int, seed: int = 0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, p))


def outliers(p: int = 40, n: int = N, seed: int = 0) -> np.ndarray:
    """Features near 1 beside four in the thousands, as language models have them."""
    X = gaussian(p, seed, n)
    X[:, :4] += 1000 * np.array([3.0, -2.0, 5.0, 1.0])
    return X


def repeated(p: int) -> np.ndarray:
    """Equal stimuli, and one that is another in other units: ties in exact arithmetic, not in a product's round-off."""
    X = np.round(64 * gaussian(p, 2))[[0, 1, 2, 0, 3, 4, 1, 5, 0, 6, 7, 8]] / 64  # so that the next line is exact
    X[7] = 2 * X[4] + 4
    return X


REGIMES = {
    "wide": gaussian(40),
    "narrow": gaussian(3),
    "two": gaussian(2),
    "outliers": outliers(),
    "ties": repeated(16),
}


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("regime", REGIMES)
def test_parity(regime, dtype):
    X = (REGIMES[regime] * (10 if dtype is np.int32 else 1)).astype(dtype)
    Y = gaussian(7, 1) + gaussian(7, 3)[:, :1]
    assert rdm_similarity([X], Y)[0, 0] == pytest.approx(reference.rdm_similarity(X, Y), abs=1e-12)


@pytest.mark.parametrize(
    "responses", [gaussian(2, 5), repeated(9), outliers(50, seed=6)], ids=["two", "ties", "outliers"]
)
def test_parity_of_responses(responses):
    layers = list(REGIMES.values())  # of different widths
    expected = [reference.rdm_similarity(X, responses) for X in layers]
    assert rdm_similarity(layers, responses)[:, 0] == pytest.approx(expected, abs=1e-12)


def test_sets_are_scored_alone():
    X, Y = np.stack([gaussian(10, s, 30) for s in range(3)]), gaussian(8, 9, 30)
    parts = [test for _, test in ShuffleSplit(4, test_size=0.9, random_state=1).split(Y)]
    parts.append(np.array([4, 28, 11]))
    expected = np.stack([rdm_similarity(X[:, rows], Y[rows])[:, 0] for rows in parts], 1)
    found = rdm_similarity(X, Y, parts)
    assert found.shape == (3, 5)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 10


def test_float32_loses_the_small_features():
    """Beside features in the thousands, float32 correlations are all 1 to six digits: their ranks are noise."""
    X, Y = outliers(24, 30).astype(np.float32), gaussian(8, 1, 30)
    Y[:, :6] += X[:, 4:10]
    exact = reference.rdm_similarity(X, Y)
    z = X - X.mean(1, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    naive = stats.spearmanr((1 - z @ z.T)[np.triu_indices(30, 1)], reference.rdm(Y)).statistic
    assert abs(naive - exact) > 1e-3
    assert rdm_similarity([X], Y)[0, 0] == pytest.approx(exact, abs=1e-12)


def test_round_off_is_not_a_rank():
    """Two neuroids give correlations of 1 and -1 alone; ranking what a product leaves of them ranks round-off."""
    X, Y = gaussian(10, 4, 20), gaussian(2, 5, 20)
    exact = reference.rdm_similarity(X, Y)
    upper = np.triu_indices(20, 1)
    naive = stats.spearmanr(1 - np.corrcoef(X)[upper], 1 - np.corrcoef(Y)[upper]).statistic
    assert abs(naive - exact) > 1e-3
    assert rdm_similarity([X], Y)[0, 0] == pytest.approx(exact, abs=1e-12)


def test_crowded_dissimilarities_are_not_one_tie():
    """Near-equal stimuli: neighbours in the ranking are closer than round-off's bin, their spread is much wider."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal(50) + 2e-6 * gaussian(50, 1, 120)
    Y = X + 2e-6 * gaussian(50, 2, 120)
    centred = X - X.mean(1, keepdims=True)
    z = (centred / np.linalg.norm(centred, axis=1, keepdims=True)).astype(np.longdouble)
    w = Y - Y.mean(1, keepdims=True)
    w = (w / np.linalg.norm(w, axis=1, keepdims=True)).astype(np.longdouble)
    i, j = np.triu_indices(120, 1)
    # squared distances of unit vectors are 2 - 2 corr, without its cancellation
    distances = [np.square(u[i] - u[j]).sum(1).astype(float) for u in (z, w)]
    expected = stats.spearmanr(*distances).statistic
    assert 0.3 < expected < 0.9
    assert rdm_similarity([X], Y)[0, 0] == pytest.approx(expected, abs=1e-2)


def test_without_variance_there_is_no_value():
    X, Y = gaussian(6), gaussian(5, 1)
    flat = X.copy()
    flat[3] = 0.1
    same = np.tile(X[:1], (N, 1))
    assert np.isnan(rdm_similarity([X], Y[:, :1])).all()
    without = np.delete(np.arange(N), 3)
    found = rdm_similarity([X, flat, X[:, :1], same], Y, [np.arange(N), without])
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1, 0])
    assert found[1, 1] == found[0, 1]
    assert np.isnan(found[2:]).all()


def test_round_off_is_not_variance():
    X = gaussian(6).astype(np.float32)
    X[3] = np.nextafter(np.full(6, 0.1, np.float32), np.array([0, 1, 0, 1, 1, 0], np.float32))
    assert np.ptp(X[3]) > 0
    assert np.isnan(rdm_similarity([X], gaussian(5, 1)))


@given(seed=SEEDS, p=st.integers(2, 40), q=st.integers(2, 20))
@FEW
def test_what_changes_nothing(seed, p, q):
    rng = np.random.default_rng(seed)
    X, Y = gaussian(p, seed), gaussian(q, seed + 1)
    order = rng.permutation(N)
    scaled = X[:, rng.permutation(p)] * rng.uniform(0.5, 20, (N, 1)) + rng.normal(0, 10, (N, 1))
    found = rdm_similarity([X, X, scaled], Y)[:, 0]
    assert found[0] == found[1]
    assert found[2] == pytest.approx(found[0], abs=1e-12)
    assert rdm_similarity([X[order]], Y[order])[0, 0] == pytest.approx(found[0], abs=1e-12)
    assert rdm_similarity([Y], X)[0, 0] == pytest.approx(found[0], abs=1e-12)
    assert rdm_similarity([Y], 3 * Y)[0, 0] == pytest.approx(1, abs=1e-12)
    assert abs(found[0]) <= 1 + 1e-12


def with_value(value: float, count: int, p: int = 4) -> np.ndarray:
    X = gaussian(p)
    X[:count, 1] = value
    return X


@pytest.mark.parametrize(
    ("X", "Y", "sets", "words"),
    [
        ([gaussian(3), with_value(np.nan, 2)], gaussian(4), None, ["layer 1 of X", "2 values", "NaN"]),
        (
            np.stack([gaussian(3).astype(np.float16) * np.float16(np.inf)]),
            gaussian(4),
            None,
            ["layer 0 of X", "36 values"],
        ),
        ([gaussian(3)], with_value(np.inf, 5), None, ["Y has 5 values"]),
        ([gaussian(3), gaussian(3, n=11)], gaussian(4), None, ["layer 1 of X", "(11, 3)", "(12, 4)"]),
        (gaussian(3), gaussian(4), None, ["layer 0 of X", "(3,)", "(12, 4)", "[layer, stimulus, feature]"]),
        ([gaussian(3)], gaussian(4)[:, 0], None, ["Y has shape (12,)"]),
        ([gaussian(3)[:, :0]], gaussian(4), None, ["layer 0 of X", "(12, 0)"]),
        ([], gaussian(4), None, ["No layers"]),
        ([gaussian(3).astype(complex)], gaussian(4), None, ["layer 0 of X", "complex128"]),
        ([gaussian(3)], gaussian(4).astype(str), None, ["Y is of type"]),
        ([gaussian(3, n=2)], gaussian(4, n=2), None, ["set 0", "2 stimuli", "at least 3"]),
        ([gaussian(3)], gaussian(4), [np.arange(5), np.arange(2)], ["set 1", "2 stimuli", "at least 3"]),
        ([gaussian(3)], gaussian(4), [[0, 3, 12]], ["set 0", "0 to 12", "12 stimuli"]),
        ([gaussian(3)], gaussian(4), [[-1, 3, 4]], ["set 0", "-1 to 4"]),
        ([gaussian(3)], gaussian(4), [[1, 1, 2, 3]], ["set 0", "repeats 1 of its 4"]),
        ([gaussian(3)], gaussian(4), [np.ones(N, bool)], ["set 0", "bool", "np.flatnonzero"]),
        ([gaussian(3)], gaussian(4), [], ["No sets"]),
    ],
)
def test_bad_input(X, Y, sets, words):
    with pytest.raises(DataError) as error:
        rdm_similarity(X, Y, sets)
    assert [word for word in words if word not in str(error.value)] == []
