"""The split-half ceiling against the closed form of simulations whose noise is known."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from jaxscore.ceilings.split_half import spearman_brown, split_half
from jaxscore.errors import DataError

STORED = Path(__file__).resolve().parents[2] / "benchmarks" / "Simulated2026" / "Simulated2026.nc"


def standard_error(ceiling, stimuli):
    """Standard error of the estimate from two repetitions of a fixed signal, by the delta method.

    With rho = 1 / (1 + sigma^2) the correlation of two repetitions, var r = (1 - rho)^2 (1 + 2 rho - rho^2) / n, and
    the ceiling sqrt(2 r / (1 + r)) has the derivative 1 / (ceiling (1 + r)^2).
    """
    rho = ceiling**2 / (2 - ceiling**2)
    return (1 - rho) * np.sqrt((1 + 2 * rho - rho**2) / stimuli) / (ceiling * (1 + rho) ** 2)


def simulated(repetitions, stimuli, noise_sd, seed=0):
    """Return (signal of variance 1, responses) with noise of a known size."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((stimuli, len(noise_sd)))
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    return signal, signal + noise_sd * rng.standard_normal((repetitions, *signal.shape))


def test_spearman_brown_by_hand():
    np.testing.assert_allclose(spearman_brown(np.array([0.5, 1.0, 0.0, -0.3])), [2 / 3, 1, np.nan, np.nan])
    np.testing.assert_allclose(spearman_brown(np.array([0.5]), factor=3), [0.75])


def test_two_repetitions_by_hand():
    first, second = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])  # r = 0.8
    np.testing.assert_allclose(split_half(np.stack([first, second])[:, :, None]), [np.sqrt(1.6 / 1.8)], rtol=1e-12)


def test_converges_to_the_closed_form():
    stimuli, noise_sd = 40_000, np.linspace(0.3, 3, 40)
    truth = 1 / np.sqrt(1 + noise_sd**2 / 2)
    z = (split_half(simulated(2, stimuli, noise_sd)[1]) - truth) / standard_error(truth, stimuli)
    assert np.abs(z).max() < 4.5  # 40 normal values: one beyond 4.5 in 3,700 draws
    assert 0.6 < z.std() < 1.4  # and the bound is no wider than it need be: 40 values have a spread of 1 +- 0.11


@pytest.mark.parametrize("repetitions", [3, 4, 5])
def test_more_repetitions_converge_too(repetitions):
    """Odd counts leave one repetition out of each split; the prophecy formula still speaks of the mean of all."""
    stimuli, noise_sd = 20_000, np.linspace(0.5, 2, 10)
    truth = 1 / np.sqrt(1 + noise_sd**2 / repetitions)
    estimate = split_half(simulated(repetitions, stimuli, noise_sd)[1], splits=10)
    two = 1 / np.sqrt(1 + noise_sd**2 / 2)
    # More repetitions only lower the error of two, which bounds it; the ceiling of two is far outside that bound.
    bound = 4.5 * standard_error(two, stimuli)
    assert (np.abs(estimate - truth) < bound).all()
    assert (np.abs(two - truth) > bound).all()


def test_stored_benchmark_median_meets_the_closed_form():
    stored = xr.load_dataset(STORED, engine="h5netcdf")
    truth = stored["ceiling"].values
    estimate = split_half(stored["repetitions"].values)
    error = standard_error(truth, stored.sizes["presentation"])
    z = (estimate - truth) / error
    assert np.nanmax(np.abs(z)) < 5
    # Noise is independent between neuroids, and a median of m normal values has 1.2533 sd / sqrt(m).
    bound = 4 * 1.2533 * np.sqrt(np.mean(error**2) / len(truth))
    assert bound < 0.025
    assert abs(np.nanmedian(estimate) - np.median(truth)) < bound


def test_oracle_reaches_the_closed_form():
    """The noise-free signal correlates with the mean of two repetitions as both formula and estimate say."""
    stimuli, noise_sd = 10_000, np.linspace(0.3, 3, 40)
    signal, responses = simulated(2, stimuli, noise_sd)
    truth = 1 / np.sqrt(1 + noise_sd**2 / 2)
    mean = responses.mean(axis=0)
    oracle = np.array([np.corrcoef(signal[:, i], mean[:, i])[0, 1] for i in range(len(noise_sd))])
    error = (1 - truth**2) * np.sqrt((1 - truth**2 / 2) / stimuli)  # delta method, fixed signal
    assert np.abs((oracle - truth) / error).max() < 4.5
    assert np.abs(split_half(responses) - oracle).max() < 4.5 * np.hypot(standard_error(truth, stimuli), error).max()


def test_nan_where_nothing_is_known():
    _, responses = simulated(2, 50, np.full(6, 0.5))
    responses[1, :, 0] = -responses[0, :, 0]  # negative reliability
    responses[0, :, 1] = 0.1  # constant half
    responses[0, 3, 2] = np.nan
    responses[1, 4, 3] = np.inf
    estimate = split_half(responses)
    assert np.isnan(estimate[:4]).all()
    np.testing.assert_array_equal(estimate[4:], split_half(responses[:, :, 4:]))
    assert (estimate[4:] > 0.5).all()


def test_seeded_and_invariant_to_scale_and_offset():
    _, responses = simulated(4, 60, np.full(3, 1.0))
    estimate = split_half(responses, seed=1)
    np.testing.assert_array_equal(estimate, split_half(responses, seed=1))
    assert not np.array_equal(estimate, split_half(responses, seed=2, splits=1))
    np.testing.assert_allclose(split_half(1e3 * responses - 5, seed=1), estimate, rtol=1e-10)


@pytest.mark.parametrize("shape", [(1, 10, 2), (2, 2, 2), (10, 2)])
def test_too_few_measurements(shape):
    with pytest.raises(DataError, match="no two halves"):
        split_half(np.zeros(shape))
