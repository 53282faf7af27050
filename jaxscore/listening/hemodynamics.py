"""The canonical haemodynamic response: two gamma densities, the second for the undershoot.

    h(t) = (g(t; 6) - g(t; 16) / 6) / c,    g(t; k) = t**(k - 1) exp(-t) / (k - 1)!,    0 <= t <= 32 s

These are the constants of SPM's spm_hrf: response after 6 s, undershoot after 16 s (the shapes of the densities, whose
maxima lie at 5 and 15 s), dispersions of 1 s, ratio 6, length 32 s. c makes the integral 1, so that a stimulus
that never stops ends in a response of its own height. Source: Friston et al. (1998), NeuroImage 7, 30-40.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import gammainc, gammaln, xlogy

RESPONSE, UNDERSHOOT, RATIO = 6.0, 16.0, 6.0
LENGTH = 32.0
"""In seconds; there is no response later."""


def hrf(t: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """h(t), the response in 1/s to an impulse at t = 0; t in seconds."""
    inside = np.where((t >= 0) & (t <= LENGTH), t, 0.0)
    return (_density(inside, RESPONSE) - _density(inside, UNDERSHOOT) / RATIO) / _AREA


def hrf_integral(t: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """H(t), the integral of h from 0 to t: the response to a stimulus of height 1 that began at t = 0 and goes on."""
    return _integral(np.clip(t, 0.0, LENGTH)) / _AREA


def _density(t: Float[np.ndarray, "*any"], shape: float) -> Float[np.ndarray, "*any"]:
    return np.exp(xlogy(shape - 1, t) - t - gammaln(shape))


def _integral(t: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return gammainc(RESPONSE, t) - gammainc(UNDERSHOOT, t) / RATIO


_AREA = _integral(np.array(LENGTH))
