"""The haemodynamic response is SPM's: two gamma densities of scipy, cut at 32 s, of integral 1."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma

from jaxscore.listening.hemodynamics import hrf, hrf_integral

T = np.linspace(-5, 45, 501)


def reference(t):
    return np.where((t >= 0) & (t <= 32), gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6, 0.0)


def test_hrf_is_the_difference_of_two_gamma_densities():
    area = quad(reference, 0, 32, epsabs=1e-12)[0]
    np.testing.assert_allclose(hrf(T), reference(T) / area, rtol=1e-10, atol=1e-15)
    assert quad(hrf, 0, 32, epsabs=1e-12)[0] == pytest.approx(1, abs=1e-10)


def test_its_maximum_is_at_5_s_and_its_minimum_between_10_and_20_s():
    fine = np.linspace(0, 32, 32001)
    assert fine[hrf(fine).argmax()] == pytest.approx(5.0, abs=0.05)
    assert 10 < fine[hrf(fine).argmin()] < 20
    assert hrf(fine).min() < 0
    assert hrf(np.array([-1e-9, 0.0, 32.1])).tolist() == [0, 0, 0]


@pytest.mark.parametrize("t", [-3.0, 0.0, 0.5, 5.0, 13.3, 31.9, 32.0, 100.0])
def test_the_integral_is_that_of_hrf(t):
    expected = quad(hrf, 0, min(max(t, 0), 32), epsabs=1e-12)[0]
    assert hrf_integral(np.array(t)) == pytest.approx(expected, abs=1e-9)
