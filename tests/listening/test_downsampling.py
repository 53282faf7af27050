"""Weights of words in volumes equal loops over both, written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from scipy.stats import gamma

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.listening.downsampling import METHODS, convolve_hrf, downsample, empty, word_weights

TR = 2.0


def story(words: int = 60, volumes: int = 30, seed: int = 0):
    """Words of different lengths with silences between them, the last after the last volume."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.exponential(0.5, 2 * words))
    return edges[::2] + 3.0, edges[1::2] + 3.0, np.arange(volumes) * TR


def lanczos(t, onset, offset, window=3):
    d = ((onset + offset) / 2 - (t + TR / 2)) / TR
    if abs(d) >= window:
        return 0.0
    return 1.0 if d == 0 else window * np.sin(np.pi * d) * np.sin(np.pi * d / window) / (np.pi * d) ** 2


def inside(t, onset, offset):
    return float(t <= (onset + offset) / 2 < t + TR)


def response(t):
    area = gamma.cdf(32, 6) - gamma.cdf(32, 16) / 6
    return (gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6) / area if 0 <= t <= 32 else 0.0


def impulse(t, onset, offset):
    return response(t - (onset + offset) / 2)


LOOPS = {"lanczos": lanczos, "sum": inside, "impulse": impulse}


def looped(method, onsets, offsets, times):
    weigh = LOOPS[method]
    return np.array([[weigh(t, a, b) for a, b in zip(onsets, offsets, strict=True)] for t in times])


@pytest.mark.parametrize("method", LOOPS)
@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_a_double_loop(method, seed):
    onsets, offsets, times = story(seed=seed)
    found = word_weights(onsets, offsets, times, TR, method)
    np.testing.assert_allclose(found.toarray(), looped(method, onsets, offsets, times), rtol=1e-9, atol=1e-15)


@given(st.lists(st.tuples(st.floats(-20, 60), st.floats(0, 20)), min_size=1, max_size=12), st.sampled_from([*LOOPS]))
@settings(deadline=None, max_examples=60)
def test_weights_of_words_that_overlap_and_outlast_each_other(words, method):
    onsets, lengths = np.array(sorted(words)).T
    offsets, times = onsets + lengths, np.arange(15) * TR
    found = word_weights(onsets, offsets, times, TR, method).toarray()
    np.testing.assert_allclose(found, looped(method, onsets, offsets, times), rtol=1e-7, atol=1e-12)


def test_windows_of_lanczos():
    onsets, offsets, times = story()
    for window in (1, 2, 5):
        found = word_weights(onsets, offsets, times, TR, window=window).toarray()
        expected = [[lanczos(t, a, b, window) for a, b in zip(onsets, offsets, strict=True)] for t in times]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


def test_lanczos_of_regular_words_is_a_windowed_sinc_filter():
    """Words at every quarter of a volume: the finite filter that scipy applies, at every fourth of its values."""
    step, window = TR / 4, 3
    middles = np.arange(400) * step + TR / 2
    X = np.random.default_rng(0).normal(size=400)
    lags = np.arange(-4 * window, 4 * window + 1) / 4
    taps = np.sinc(lags) * np.sinc(lags / window)
    expected = signal.convolve(X, taps, mode="same")[::4]
    times = np.arange(100) * TR
    (found,) = downsample([X[:, None]], word_weights(middles, middles, times, TR, window=window))
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-12)


def test_lanczos_lets_slow_waves_pass_and_stops_fast_ones():
    middles, times = np.arange(4000) * 0.1, np.arange(20, 180) * TR
    weights = word_weights(middles, middles, times, TR)
    waves = [np.sin(2 * np.pi * f * middles)[:, None] for f in (0.02, 0.6)]
    slow, fast = (np.abs(x).max() * 0.1 / TR for x in downsample(waves, weights))
    assert slow == pytest.approx(1, abs=0.05)
    assert fast < 0.05


def test_mean_and_sum_of_the_words_of_a_volume():
    onsets, offsets, times = story()
    X = np.random.default_rng(1).normal(size=(60, 3))
    middles = (onsets + offsets) / 2
    weights = word_weights(onsets, offsets, times, TR, "mean")
    (means,) = downsample([X], weights)
    (sums,) = downsample([X], word_weights(onsets, offsets, times, TR, "sum"))
    without = 0
    for row, total, t in zip(means, sums, times, strict=True):
        words = X[(t <= middles) & (middles < t + TR)]
        without += not len(words)
        np.testing.assert_allclose(row, words.mean(0) if len(words) else 0, atol=1e-14)
        np.testing.assert_allclose(total, words.sum(0), atol=1e-14)
    assert empty(weights) == without > 0


def test_boxcars_equal_a_convolution_on_a_fine_grid():
    onsets, offsets, times = story(20, 40)
    step = 0.002
    grid = np.arange(0, 80, step) + step / 2
    X = np.random.default_rng(2).normal(size=20)
    stimulus = ((onsets <= grid[:, None]) & (grid[:, None] < offsets)) @ X
    t = np.arange(0, 32, step)
    kernel = (gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6) / (gamma.cdf(32, 6) - gamma.cdf(32, 16) / 6)
    fine = signal.oaconvolve(stimulus, kernel)[: len(grid)] * step
    expected = np.interp(times, grid + step / 2, fine)
    (found,) = downsample([X[:, None]], word_weights(onsets, offsets, times, TR, "boxcar"))
    np.testing.assert_allclose(found[:, 0], expected, atol=2e-3 * np.abs(expected).max())


def test_a_stimulus_that_goes_on_ends_in_a_response_of_its_height():
    times = np.arange(40) * TR
    found = convolve_hrf(np.full((40, 1), 3.0), times, TR)
    assert found[0] == 0
    np.testing.assert_allclose(found[17:], 3.0, rtol=1e-12)


def test_convolution_of_steps_keeps_runs_apart():
    X = np.random.default_rng(3).normal(size=(60, 2))
    runs, times = np.repeat(["b", "a", "c"], [30, 10, 20]), np.r_[np.arange(30), np.arange(10), 7 + np.arange(20)] * TR
    found = convolve_hrf(X, times, TR, runs)
    for run in "abc":
        own = runs == run
        np.testing.assert_allclose(found[own], convolve_hrf(X[own], times[own], TR), atol=1e-15)
    assert np.abs(found - convolve_hrf(X, np.arange(60) * TR, TR)).max() > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_words_have_no_weight_in_other_runs(method):
    first, second = story(40, 30, seed=4), story(25, 20, seed=5)
    onsets, offsets, times = (np.concatenate(pair) for pair in zip(first, second, strict=True))
    word_runs, runs = np.repeat(["x", "a"], [40, 25]), np.repeat(["x", "a"], [30, 20])
    found = word_weights(onsets, offsets, times, TR, method, word_runs=word_runs, runs=runs).toarray()
    np.testing.assert_allclose(found[:30, :40], word_weights(*first, TR, method).toarray())
    np.testing.assert_allclose(found[30:, 40:], word_weights(*second, TR, method).toarray())
    assert not found[:30, 40:].any()
    assert not found[30:, :40].any()


def test_only_words_in_reach_are_held():
    middles = np.arange(40_000) * 0.3
    weights = word_weights(middles, middles, np.arange(6_000) * TR, TR)
    assert weights.nnz <= 6_000 * (6 * TR / 0.3 + 1)


def test_layers_keep_their_precision():
    onsets, offsets, times = story()
    weights = word_weights(onsets, offsets, times, TR)
    layers = [np.ones((60, 2), dtype) for dtype in (np.float16, np.float32, np.float64)]
    found = downsample(layers, weights)
    assert [x.dtype for x in found] == [np.float32, np.float32, np.float64]
    np.testing.assert_allclose(found[0], found[2], rtol=1e-6)
    assert downsample(np.ones((4, 60, 2)), weights)[3].shape == (30, 2)


def test_what_does_not_fit_is_refused():
    onsets, offsets, times = story()
    with pytest.raises(JaxscoreError, match="Did you mean 'lanczos'"):
        word_weights(onsets, offsets, times, TR, "lanzcos")
    with pytest.raises(JaxscoreError, match="must be positive"):
        word_weights(onsets, offsets, times, 0.0)
    with pytest.raises(DataError, match="before it begins"):
        word_weights(offsets, onsets, times, TR)
    with pytest.raises(DataError, match="do not follow each other"):
        word_weights(onsets[::-1], offsets[::-1], times, TR)
    with pytest.raises(DataError, match="words and no volumes"):
        word_weights(onsets, offsets, times, TR, word_runs=np.ones(60))
    with pytest.raises(DataError, match="NaN"):
        word_weights(onsets, np.where(offsets > 20, np.nan, offsets), times, TR)
    with pytest.raises(DataError, match="one of each for a word"):
        word_weights(onsets, offsets[1:], times, TR)
    with pytest.raises(DataError, match="expected \\[word, feature\\] for 60 words"):
        downsample([np.ones((59, 2))], word_weights(onsets, offsets, times, TR))
