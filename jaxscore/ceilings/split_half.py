"""Split-half ceiling: how well a perfect model could correlate with the mean of repeated measurements.

Spearman, C. (1910), Correlation calculated from faulty data, and Brown, W. (1910), Some experimental results in the
correlation of mental abilities, both British Journal of Psychology 3.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from jaxscore.errors import DataError


def spearman_brown(r: Float[np.ndarray, " neuroid"], factor: float = 2.0) -> Float[np.ndarray, " neuroid"]:
    """Predict the reliability of a measurement lengthened by `factor`: k r / (1 + (k - 1) r), so 2 r / (1 + r).

    Args:
        r: reliability (correlation of two parallel measurements); a value <= 0 tells nothing and becomes NaN.
        factor: k >= 1, how many times as long the measurement is made.
    """
    known = np.where(r > 0, r, np.nan)
    return factor * known / (1 + (factor - 1) * known)


def split_half(
    repetitions: Float[np.ndarray, "repetition stimulus neuroid"], *, splits: int = 100, seed: int = 0
) -> Float[np.ndarray, " neuroid"]:
    """Estimate the ceiling of a model's correlation with the mean over repetitions.

    With R repetitions, r is the Pearson correlation over stimuli of the means of two disjoint sets of h = R // 2
    repetitions, averaged over random choices of the sets. Spearman-Brown with k = R / h (2 where R is even) makes of it
    the reliability of the mean of all R, whose square root is the correlation of the noise-free signal with that mean.
    It assumes independent noise of equal variance in all repetitions.

    Args:
        repetitions: responses; a neuroid with a value that is not finite gets NaN.
        splits: number of random choices of the two sets (two repetitions have only one, and take it).
        seed: of the random choices.

    Returns:
        Ceiling per neuroid, in (0, 1]; NaN where the reliability is <= 0 or the responses of a half are constant.

    Raises:
        DataError: if there are fewer than 2 repetitions or 3 stimuli.
    """
    data = np.asarray(repetitions, dtype=np.float64)
    if data.ndim != 3 or data.shape[0] < 2 or data.shape[1] < 3:
        raise DataError(
            f"responses of shape {data.shape} have no two halves to correlate",
            "Give [repetition, stimulus, neuroid] with at least 2 repetitions and 3 stimuli.",
        )
    # A NaN column for a neuroid with any value missing, before arithmetic on infinities can warn.
    data = np.where(np.isfinite(data).all(axis=(0, 1)), data, np.nan)
    count = data.shape[0]
    half = count // 2
    rng = np.random.Generator(np.random.PCG64(seed))
    orders = [np.arange(2)] if count == 2 else [rng.permutation(count) for _ in range(splits)]
    r = np.mean(
        [_correlate(data[o[:half]].mean(axis=0), data[o[half : 2 * half]].mean(axis=0)) for o in orders], axis=0
    )
    return np.sqrt(spearman_brown(r, count / half))


def _correlate(
    first: Float[np.ndarray, "stimulus neuroid"], second: Float[np.ndarray, "stimulus neuroid"]
) -> Float[np.ndarray, " neuroid"]:
    """Pearson's r of each column, NaN where a column is constant up to round-off."""
    x, y = (half - half.mean(axis=0) for half in (first, second))
    norms = [np.linalg.norm(half, axis=0) for half in (x, y)]
    roundoff = 1e-12 * np.sqrt(len(x))
    constant = [norm <= roundoff * np.abs(half).max(axis=0) for norm, half in zip(norms, (first, second), strict=True)]
    size = np.where(constant[0] | constant[1], np.nan, norms[0] * norms[1])
    return np.clip(np.sum(x * y, axis=0) / size, -1, 1)
