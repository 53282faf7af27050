"""Linear centred kernel alignment: how much of the geometry of the stimuli a layer shares with the responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from jaxscore.metrics.rdm import Features, checked, is_constant

ROUND_OFF = 1e-12
"""A debiased energy under this share of the biased one is what round-off leaves of zero."""


def linear_cka(
    X: Features,
    Y: Float[np.ndarray, "stimulus neuroid"],
    sets: Sequence[Int[np.ndarray, " test"]] | None = None,
    *,
    debiased: bool = False,
) -> Float[np.ndarray, "layer set"]:
    """Linear CKA between the features of each layer and the responses.

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), K and L the linear kernels of X and Y centred over the set.
    Biased: HSIC ~ tr(K L), as in Kornblith et al. 2019; it nears 1 for any features with many more columns than there
    are stimuli. Debiased: the unbiased HSIC of Song et al. 2012, as in Nguyen, Raghu and Kornblith 2020; it is 0 on
    average for independent features, so it can be negative. All in float64, whatever the type of the input.

    Args:
        X: features of every layer, of any float type (bfloat16 as well).
        Y: responses; no NaN.
        sets: indices of the stimuli that each value is computed on, by protocol the test parts; by default one set of
            all stimuli.
        debiased: which HSIC.

    Returns:
        CKA: biased in [0, 1], debiased at most 1. NaN where the features or the responses do not differ between the
        stimuli of the set, or (debiased) where their unbiased HSIC is zero: all pairs of stimuli equally similar.

    Raises:
        DataError: if rows do not match, values are not finite, or a set has fewer than 3 stimuli (debiased: 4).
    """
    layers, responses, sets = checked(X, Y, sets, least=4 if debiased else 3)
    out = np.empty((len(layers), len(sets)))
    for s, rows in enumerate(sets):
        target = _gram(responses[rows])
        scale = _norm(target, debiased)
        for layer, x in enumerate(layers):
            gram = _gram(x[rows])
            shared = _inner(gram, target) - (_bias(gram, target) if debiased else 0)
            out[layer, s] = shared / _norm(gram, debiased) / scale
    return out


def profile(x: Float[np.ndarray, "stimulus feature"]) -> Float[np.ndarray, " pair"]:
    """The centred kernel at unit length: the dot product of two profiles is their biased CKA, or NaN."""
    gram = _gram(x)
    kernel = gram.held if gram.is_kernel else gram.held @ gram.held.T
    return kernel.ravel() / _norm(gram, False)


@dataclass(frozen=True)
class _Gram:
    """K = Z Z' of centred features Z, held as Z where there are fewer features than stimuli, else as K."""

    held: Float[np.ndarray, "stimulus _"]
    is_kernel: bool
    diagonal: Float[np.ndarray, " stimulus"]


def _gram(x: Float[np.ndarray, "stimulus feature"]) -> _Gram:
    z = x.astype(np.float64)
    constant = is_constant(z, x.dtype, 0).all()
    # centred before the product: features in the thousands would leave K's small differences to round-off
    z -= z.mean(0)
    if constant:
        z[:] = 0
    wide = z.shape[1] >= len(z)
    return _Gram(z @ z.T if wide else z, wide, np.einsum("sf,sf->s", z, z))


def _inner(a: _Gram, b: _Gram) -> float:
    """tr(K L), without a kernel where features are fewer."""
    if a.is_kernel and b.is_kernel:
        return float(np.vdot(a.held, b.held))
    if a.is_kernel or b.is_kernel:
        kernel, features = (a, b) if a.is_kernel else (b, a)
        return float(np.vdot(features.held, kernel.held @ features.held))
    return float(np.square(a.held.T @ b.held).sum())


def _bias(a: _Gram, b: _Gram) -> float:
    """What to take from tr(K L) for n (n - 3) times Song's unbiased HSIC.

    n (n - 3) HSIC = tr(K~ L~) + 1'K~1 1'L~1 / ((n - 1)(n - 2)) - 2 / (n - 2) 1'K~ L~1, K~ being K without its diagonal.
    It does not change with centring, and the rows of a centred K sum to 0: K~1 = -diag(K).
    """
    n = len(a.diagonal)
    traces = a.diagonal.sum() * b.diagonal.sum()
    return float(n / (n - 2) * np.vdot(a.diagonal, b.diagonal) - traces / ((n - 1) * (n - 2)))


def _norm(a: _Gram, debiased: bool) -> float:
    """sqrt(HSIC(K, K)); NaN where that is zero or what round-off leaves of zero."""
    biased = _inner(a, a)
    energy = biased - (_bias(a, a) if debiased else 0)
    return float(np.sqrt(energy)) if energy > ROUND_OFF * biased else np.nan
