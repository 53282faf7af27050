r"""Scores of predictions for one held-out set, made where the predictions are so that they never leave the cache.

With p and y the predictions and responses centred within the held-out set, in units of a neuroid's deviation d:

    pearson      sum(p y) / sqrt(sum(p^2) sum(y^2)); NaN where either varies by no more than round-off
    pearson-eps  the same with 1e-8 added to each norm, in the responses' own units: a constant gives 0
    spearman     pearson of the ranks, ties averaged
    r2           1 - sum (y - prediction)^2 / sum (y - training mean)^2
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxscore.errors import JaxscoreError, did_you_mean

SCORES = ("pearson", "pearson-eps", "spearman", "r2")
EPSILON = 1e-8
ROUND_OFF = 8.0
"""Deviations under this many units in the last place of what they are made of are no signal."""

OPERATORS = 1e-11
"""Relative error of operators: what they predict is not known better."""
SPIKE = 5.0
"""Deviations from which a response is far from all others."""

Block = Float[np.ndarray, "... test neuroid"]


def check_scores(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names without repetition, or raise JaxscoreError for one that is no score."""
    names = tuple(dict.fromkeys([names] if isinstance(names, str) else names))
    if not names:
        raise JaxscoreError("No scores are asked for", f"Choose from: {', '.join(SCORES)}.")
    for name in names:
        if name not in SCORES:
            raise JaxscoreError(
                f"Unknown score {name!r}. {did_you_mean(name, SCORES)}".strip(), f"Choose from: {', '.join(SCORES)}."
            )
    return names


class Standardised(NamedTuple):
    """Responses of mean 0 (spiked ones: median 0) and deviation 1, and what they had (NaN: no more than round-off)."""

    Z: Float[np.ndarray, "stimulus neuroid"]
    mean: Float[np.ndarray, " neuroid"]
    deviation: Float[np.ndarray, " neuroid"]


def standardise(Y: Float[np.ndarray, "stimulus neuroid"], dtype: str) -> Standardised:
    """Centre and scale each neuroid in float64; one whose variance is round-off of its own dtype becomes NaN."""
    resolution = np.finfo(Y.dtype if Y.dtype.kind == "f" else np.float64).eps
    Z = Y.astype(np.float64)
    largest = np.maximum(Z.max(0), -Z.min(0))
    mean = Z.mean(0)
    Z -= mean
    deviation = np.sqrt(np.einsum("sv,sv->v", Z, Z) / len(Z))
    deviation[deviation <= ROUND_OFF * resolution * largest] = np.nan
    # one response far from all others: centred on its neighbours, these keep their digits
    spiked = np.maximum(Z.max(0), -Z.min(0)) > min(SPIKE, 0.9 * len(Z) ** 0.5) * deviation
    if spiked.any():
        middle = np.median(Z[:, spiked], axis=0)
        Z[:, spiked] -= middle
        mean[spiked] += middle
    Z /= deviation
    return Standardised(Z.astype(dtype), mean, deviation)


def score(
    xp: ModuleType,
    names: tuple[str, ...],
    P: Block,
    y: Float[np.ndarray, "test neuroid"],
    *,
    scale: Float[np.ndarray, ...],
    deviation: Float[np.ndarray, " neuroid"],
    mask: Float[np.ndarray, " test"] | None = None,
    means: tuple[Block, Float[np.ndarray, " neuroid"]] | None = None,
) -> dict[str, Float[np.ndarray, "... neuroid"]]:
    """Score centred predictions of one held-out set.

    Args:
        xp: numpy or jax.numpy.
        names: which of SCORES; r2 comes as its two sums, "residual" and "total".
        P: predictions, centred within the set, of responses in units of their standard deviation.
        y: responses of the set, in the same units, not yet centred.
        scale: |A|_F of the operators that made P, with an axis for the neuroids: the size of their round-off.
        deviation: standard deviation of each neuroid.
        mask: 1 for rows of the set, 0 for padding.
        means: for r2: mean prediction in the set, and mean response in training, less that of the set's own units.
    """
    count = y.shape[0] if mask is None else mask.sum()
    y = y if mask is None else y * mask[:, None]
    mean = y.sum(0) / count
    y = y - mean if mask is None else (y - mean) * mask[:, None]
    floor = (ROUND_OFF * xp.finfo(y.dtype).eps) ** 2

    covariance = xp.einsum("...tv,tv->...v", P, y)
    energy, total = xp.einsum("...tv,...tv->...v", P, P), xp.einsum("tv,tv->v", y, y)
    signal = (energy > floor * xp.square(scale)) & (total > floor * count)

    def pearson(covariance, energy, total):
        return xp.where(signal, covariance / xp.sqrt(xp.where(signal, energy * total, 1.0)), xp.nan)

    out = {}
    for name in names:
        if name == "pearson":
            out[name] = pearson(covariance, energy, total)
        elif name == "pearson-eps":
            norms = (deviation * xp.sqrt(energy) + EPSILON) * (deviation * xp.sqrt(total) + EPSILON)
            out[name] = xp.where(signal, covariance * deviation**2 / norms, 0.0)
        elif name == "spearman":
            # stimuli with the same features have the same prediction up to round-off
            same = max(ROUND_OFF * float(xp.finfo(y.dtype).eps), OPERATORS) * scale / count**0.5
            ranks, ranks_y = _ranks(xp, P, same, mask), _ranks(xp, y, np.zeros(1), mask)
            out[name] = pearson(
                xp.einsum("...tv,tv->...v", ranks, ranks_y),
                xp.einsum("...tv,...tv->...v", ranks, ranks),
                xp.einsum("tv,tv->v", ranks_y, ranks_y),
            )
        else:
            predicted, trained = means
            out["residual"] = total - 2.0 * covariance + energy + count * xp.square(mean - predicted)
            away = total + count * xp.square(mean - trained)
            out["total"] = xp.broadcast_to(xp.where(away > floor * count, away, xp.nan), covariance.shape)
    return out


def _ranks(
    xp: ModuleType, values: Block, same: Float[np.ndarray, ...], mask: Float[np.ndarray, " test"] | None
) -> Block:
    """Centred ranks along the stimuli; values no further apart than `same` share their mean rank."""
    mask = xp.ones(values.shape[-2], values.dtype) if mask is None else mask
    same = xp.atleast_1d(xp.asarray(same, values.dtype))[..., None, :]

    def beat(t, twice):
        # counted one stimulus at a time: no sort along an axis that is not the last, and nothing of stimulus x stimulus
        ahead = values - values[..., t, None, :]
        return twice + mask[t] * ((ahead > same).astype(values.dtype) + (ahead >= -same))

    twice = xp.zeros_like(values)
    if xp is np:
        for t in range(values.shape[-2]):
            twice = beat(t, twice)
    else:
        from jax.lax import fori_loop

        twice = fori_loop(0, values.shape[-2], beat, twice)
    return (0.5 * twice - 0.5 * mask.sum()) * mask[:, None]
