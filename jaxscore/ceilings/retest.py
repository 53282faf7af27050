"""Test-retest ceiling: how well two measurements of the same stimuli agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jaxscore.ceilings.split_half import _correlate, spearman_brown
from jaxscore.errors import DataError


@dataclass(frozen=True)
class Retest:
    """Agreement of two measurements; NaN where one of them is constant or has a NaN.

    Attributes:
        r: their correlation: the reliability of one of them.
        corrected: by Spearman and Brown, the reliability of their mean; NaN where r <= 0.
    """

    r: Float[np.ndarray, " neuroid"]
    corrected: Float[np.ndarray, " neuroid"]


def retest(first: Float[np.ndarray, "stimulus neuroid"], second: Float[np.ndarray, "stimulus neuroid"]) -> Retest:
    """Correlate two measurements (repetitions, runs, or means of some) over their stimuli.

    A model without noise of its own correlates with one measurement by sqrt(r) at most, with their mean by
    sqrt(corrected).

    Args:
        first: responses in one measurement.
        second: in the other, stimulus by stimulus; noise is taken to be independent and of the same variance.

    Raises:
        DataError: if the shapes differ, or there are fewer than 3 stimuli.
    """
    halves = [np.asarray(half, np.float64) for half in (first, second)]
    if halves[0].shape != halves[1].shape or halves[0].ndim != 2 or len(halves[0]) < 3:
        raise DataError(
            f"the two measurements have shapes {halves[0].shape} and {halves[1].shape}, expected the same "
            "[stimulus, neuroid] with at least 3 stimuli",
            "Pair the rows of both by their stimuli, and leave out stimuli that one of them lacks.",
        )
    complete = np.isfinite(halves[0]).all(0) & np.isfinite(halves[1]).all(0)
    # a NaN column for a neuroid with any value missing, before arithmetic on infinities can warn
    r = _correlate(*[np.where(complete, half, np.nan) for half in halves])
    return Retest(r, spearman_brown(r))
