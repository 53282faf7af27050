"""Linear CKA: equal to exact arithmetic through kernels and covariances, and unmoved by what must not move it."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import reference_similarity as reference

from jaxscore.errors import DataError
from jaxscore.metrics.cka import linear_cka

FEW = settings(max_examples=12, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
BOTH = pytest.mark.parametrize("debiased", [False, True], ids=["biased", "debiased"])
N = 8


def gaussian(p: int, seed: int = 0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, p))


def outliers(p: int, n: int = N) -> np.ndarray:
    """Features near 1 beside four in the thousands that hardly move, as language models have them."""
    X = gaussian(p, 0, n)
    X[:, :4] += 1000 * np.array([3.0, -2.0, 5.0, 1.0])
    return X


def repeated(p: int) -> np.ndarray:
    return gaussian(p, 2)[[0, 1, 0, 2, 3, 3, 1, 4]]


# 30 columns make a kernel of 8 stimuli, 6 or 1 a covariance
REGIMES = {
    "wide": gaussian(30), "square": gaussian(N), "narrow": gaussian(6), "one": gaussian(1), "repeated": repeated(20),
    "outliers": outliers(30), "narrow outliers": outliers(6), "dead": gaussian(6) * [1, 0, 1, 0, 0, 1],
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("regime", REGIMES)
def test_parity(regime, dtype, debiased):
    X = (REGIMES[regime] * (10 if dtype is np.int32 else 1)).astype(dtype)
    kernel, covariance = gaussian(20, 1), gaussian(4, 2)
    for Y in (kernel, covariance):
        found = linear_cka([X], Y, debiased=debiased)[0, 0]
        assert found == pytest.approx(reference.linear_cka(X, Y, debiased), abs=1e-9)


@BOTH
def test_sets_are_scored_alone(debiased):
    layers, Y = [gaussian(p, p, 30) for p in (5, 20, 40)], gaussian(18, 9, 30)
    sets = [np.arange(4), np.arange(3, 30, 2), np.random.default_rng(0).permutation(30)[:27]]
    expected = [[linear_cka([x[s]], Y[s], debiased=debiased)[0, 0] for s in sets] for x in layers]
    found = linear_cka(layers, Y, sets, debiased=debiased)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) == 9


def _u_centred(kernel: np.ndarray) -> np.ndarray:
    """The kernel whose inner products are Song's HSIC: without its diagonal, every row summing to 0."""
    others = 1 - np.eye(N, dtype=kernel.dtype)
    ends = (kernel * others).sum(0) / np.float32(N - 2)
    return (kernel - ends - ends[:, None] + ends.sum() / np.float32(N - 1)) * others


@BOTH
def test_float32_kernels_lose_the_small_features(debiased):
    """A float32 kernel of features in the thousands, centred afterwards, has lost the differences between stimuli."""
    X, Y = outliers(24).astype(np.float32), gaussian(8, 1).astype(np.float32)
    Y += X[:, 10:18]
    exact = reference.linear_cka(X, Y, debiased)
    H = np.eye(N, dtype=np.float32) - np.float32(1 / N)
    kernels = [X @ X.T, Y @ Y.T]
    K, L = [_u_centred(M) for M in kernels] if debiased else [H @ M @ H for M in kernels]
    assert K.dtype == L.dtype == np.float32
    naive = np.vdot(K, L) / np.sqrt(np.vdot(K, K) * np.vdot(L, L))
    assert abs(naive - exact) > 1e-3
    assert linear_cka([X], Y, debiased=debiased)[0, 0] == pytest.approx(exact, abs=1e-9)


@BOTH
def test_float16_and_float32_do_not_overflow(debiased):
    X, Y = gaussian(30), gaussian(20, 1)
    half = (X * 20000).astype(np.float16)
    with np.errstate(over="ignore"):
        assert np.isinf(half @ half.T).any()
    found = linear_cka([half, (X * 1e38).astype(np.float32), X], Y.astype(np.float32) * 1e37, debiased=debiased)[:, 0]
    assert found == pytest.approx(found[2], abs=1e-3)
    assert found[1] == pytest.approx(found[2], abs=1e-6)


def test_debiased_cka_of_noise_is_near_zero():
    X, Y = np.stack([gaussian(500, seed, 40) for seed in range(20)]), gaussian(400, 99, 40)
    assert linear_cka(X, Y).min() > 0.8
    debiased = linear_cka(X, Y, debiased=True)
    assert np.abs(debiased).max() < 0.15
    assert abs(debiased.mean()) < 0.03
    assert debiased.min() < 0 < debiased.max()


@BOTH
def test_without_differences_there_is_no_value(debiased):
    X, Y = gaussian(6), gaussian(5, 1)
    constant = np.full((N, 6), 0.1)
    shaken = np.nextafter(np.float32(0.1), np.sign(X).astype(np.float32))
    assert np.ptp(shaken) > 0
    found = linear_cka([X, constant, shaken, X[:, :1]], Y, debiased=debiased)[:, 0]
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, False])
    assert np.isnan(linear_cka([X], constant, debiased=debiased))


@pytest.mark.parametrize("n", range(4, 24))
def test_equally_similar_stimuli_have_no_debiased_value(n):
    """Their unbiased energy is zero, and what round-off leaves of it must not be divided by."""
    one_hot, Y = np.eye(n) * 3 + 0.1, gaussian(5, 1, n)
    assert np.isnan(linear_cka([one_hot], Y, debiased=True))
    assert np.isfinite(linear_cka([one_hot], Y))


@given(seed=SEEDS, p=st.integers(1, 30), q=st.integers(1, 30), n=st.integers(6, 20), debiased=st.booleans())
@FEW
def test_what_changes_nothing(seed, p, q, n, debiased):
    rng = np.random.default_rng(seed)
    X, Y = gaussian(p, seed, n), gaussian(q, seed + 1, n)
    shifted = X + rng.normal(0, 1000, p)
    rotation = np.linalg.qr(rng.standard_normal((p, p)))[0]
    order = rng.permutation(n)
    found = linear_cka([X, X, shifted, X @ rotation, 7 * X], Y, debiased=debiased)[:, 0]
    assert found[0] == found[1]
    assert found == pytest.approx(found[0], abs=1e-9)
    assert linear_cka([X[order]], Y[order], debiased=debiased)[0, 0] == pytest.approx(found[0], abs=1e-9)
    assert linear_cka([Y], X, debiased=debiased)[0, 0] == pytest.approx(found[0], abs=1e-9)
    assert linear_cka([X], X, debiased=debiased)[0, 0] == pytest.approx(1, abs=1e-12)
    assert -debiased - 1e-12 <= found[0] <= 1 + 1e-12


@pytest.mark.parametrize(
    ("X", "Y", "debiased", "words"),
    [
        ([gaussian(3), gaussian(3) * [1, np.nan, 1]], gaussian(4), False, ["layer 1 of X", "8 values", "NaN"]),
        ([gaussian(3)], gaussian(2) * [1, np.inf], False, ["Y has 8 values"]),
        ([gaussian(3, n=7)], gaussian(4), False, ["layer 0 of X", "(7, 3)", "(8, 4)"]),
        ([gaussian(3, n=3)], gaussian(4, n=3), True, ["set 0", "3 stimuli", "at least 4"]),
        ([gaussian(3, n=2)], gaussian(4, n=2), False, ["set 0", "2 stimuli", "at least 3"]),
    ],
)
def test_bad_input(X, Y, debiased, words):
    with pytest.raises(DataError) as error:
        linear_cka(X, Y, debiased=debiased)
    assert [word for word in words if word not in str(error.value)] == []
