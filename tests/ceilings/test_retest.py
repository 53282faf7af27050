"""Test-retest correlations against SciPy and against simulations of known reliability."""

import numpy as np
import pytest
from scipy.stats import pearsonr

from jaxscore.ceilings.retest import retest
from jaxscore.errors import DataError


def measured(stimuli=60, noise=(0.5, 1.0, 2.0), seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((stimuli, len(noise)))
    return tuple(signal + np.array(noise) * rng.standard_normal(signal.shape) for _ in range(2))


def test_is_the_correlation_and_its_prophecy():
    first, second = measured()
    found = retest(first, second)
    expected = [pearsonr(a, b)[0] for a, b in zip(first.T, second.T, strict=True)]
    np.testing.assert_allclose(found.r, expected, rtol=1e-12)
    np.testing.assert_allclose(found.corrected, 2 * found.r / (1 + found.r), rtol=1e-12)


def test_reliabilities_meet_the_closed_form():
    """One measurement has the reliability 1 / (1 + s^2), the mean of two 1 / (1 + s^2 / 2)."""
    noise = np.array([0.5, 1.0, 2.0])
    found = retest(*measured(200_000, noise))
    np.testing.assert_allclose(found.r, 1 / (1 + noise**2), atol=0.01)
    np.testing.assert_allclose(found.corrected, 1 / (1 + noise**2 / 2), atol=0.01)
    assert (np.abs(found.corrected - 1 / (1 + noise**2)) > 0.05).all()


def test_nothing_is_known():
    first, second = measured(noise=(0.5,) * 5)
    first[:, 0], first[3, 1], second[4, 2], second[:, 3] = 0.1, np.nan, np.inf, -first[:, 3]
    found = retest(first, second)
    np.testing.assert_array_equal(np.isnan(found.r), [True, True, True, False, False])
    np.testing.assert_array_equal(np.isnan(found.corrected), [True, True, True, True, False])


@pytest.mark.parametrize(("a", "b"), [((10, 2), (9, 2)), ((2, 3), (2, 3)), ((10,), (10,))])
def test_measurements_that_do_not_pair(a, b):
    with pytest.raises(DataError, match="Pair the rows"):
        retest(np.zeros(a), np.zeros(b))
