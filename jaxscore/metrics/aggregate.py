"""From correlations to a score: folds, parts, neuroids, subjects, ceiling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jaxscore.regression.job import mean_present

DEVIATION_SCALE = 1.4826
"""Factor on the median absolute deviation: makes it the standard deviation of a normal sample. The errors of the 2021
pipeline carry it (the default of the SciPy function that it called)."""


@dataclass(frozen=True)
class Aggregate:
    """Scores of any number of layers.

    Attributes:
        score: in units of the ceiling (raw correlations where there is none).
        error: scaled median absolute deviation of the score, over subjects, or over folds where there is one subject.
        r: the same aggregate of raw correlations.
        subjects: the score of each subject.
    """

    score: Float[np.ndarray, "*layer"]
    error: Float[np.ndarray, "*layer"]
    r: Float[np.ndarray, "*layer"]
    subjects: Float[np.ndarray, "*layer subject"]


@dataclass(frozen=True)
class Ceiled:
    """The neuroids of the aggregate, with what they are divided by.

    Attributes:
        subjects: subject of each neuroid.
        ceilings: of each neuroid; NaN where it has none.
    """

    subjects: np.ndarray
    ceilings: Float[np.ndarray, " neuroid"]

    @property
    def names(self) -> list[str]:
        """The subjects, sorted."""
        return sorted(set(self.subjects.tolist()))

    def aggregate(self, r: Float[np.ndarray, "*layer part fold neuroid"]) -> Aggregate:
        """Mean over folds and over parts, over the ceiling; median over the neuroids of a subject, then over subjects.

        Every step skips NaN.
        A ceiling for the whole is the same for every neuroid, and median(r / c) = median(r) / c.
        """
        neuroids = mean_present(mean_present(r, -2), -2)
        subjects = self.subject_medians(neuroids / self.ceilings)
        raw = median_present(self.subject_medians(neuroids), -1)
        if len(self.names) > 1:
            error = deviation(subjects)
        else:
            folds = mean_present(np.moveaxis(r, -2, 0), -2) / self.ceilings
            error = deviation(np.moveaxis(self.subject_medians(folds)[..., 0], 0, -1))
        return Aggregate(median_present(subjects, -1), error, raw, subjects)

    def subject_medians(self, neuroids: Float[np.ndarray, "*any neuroid"]) -> Float[np.ndarray, "*any subject"]:
        """Median over the neuroids of each subject, NaN skipped."""
        return np.stack([median_present(neuroids[..., self.subjects == name], -1) for name in self.names], -1)


def median_present(values: Float[np.ndarray, ...], axis: int) -> Float[np.ndarray, ...]:
    """Median over an axis that skips NaN; NaN where nothing is left."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        return np.nanmedian(values, axis)


def deviation(values: Float[np.ndarray, "*layer subject"]) -> Float[np.ndarray, "*layer"]:
    """Scaled median absolute deviation over the last axis; a NaN counts as 0, as in the 2021 pipeline."""
    filled = np.nan_to_num(values, nan=0.0)
    centre = np.median(filled, -1, keepdims=True)
    return DEVIATION_SCALE * np.median(np.abs(filled - centre), -1)
