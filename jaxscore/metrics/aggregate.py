"""From values on folds to a score: folds, parts, neuroids, subjects, ceiling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from jaxscore.regression.job import mean_present

DEVIATION_SCALE = 1.4826
"""Factor on the median absolute deviation: makes it the standard deviation of a normal sample. The errors of the 2021
pipeline carry it (the default of the SciPy function that it called)."""

RESAMPLES = 2000
"""Draws of subjects for an interval."""


@dataclass(frozen=True)
class Aggregate:
    """Scores of any number of layers.

    Attributes:
        score: in units of the ceiling (raw correlations where there is none), clipped where the card says so.
        unclipped: the same before.
        error: of the score, in its units; see `Rule.error`.
        r: the same aggregate of raw correlations.
        subjects: the score of each subject.
        low: 2.5th percentile of the score over resampled subjects; NaN where there are fewer than 3.
        high: 97.5th percentile.
    """

    score: Float[np.ndarray, "*layer"]
    unclipped: Float[np.ndarray, "*layer"]
    error: Float[np.ndarray, "*layer"]
    r: Float[np.ndarray, "*layer"]
    subjects: Float[np.ndarray, "*layer subject"]
    low: Float[np.ndarray, "*layer"]
    high: Float[np.ndarray, "*layer"]


@dataclass(frozen=True)
class Rule:
    """How values become one score.

    Attributes:
        kind: "subjects" or "neuroids"; see `cards.parts.Aggregation`.
        clip: whether scores end at 0 and 1.
        error: "mad" or "sd" over subjects, or "bootstrap": standard error over resampled subjects. Over folds where
            there is one subject, or all neuroids are taken together.
    """

    kind: str = "subjects"
    clip: bool = False
    error: str = "mad"


@dataclass(frozen=True)
class Ceiled:
    """The targets of the aggregate, with what they are divided by.

    Attributes:
        subjects: subject of each target.
        ceilings: of each target; NaN where it has none. One ceiling for the whole is the same for every target:
            median(r / c) = median(r) / c.
        rule: how they are aggregated.
    """

    subjects: np.ndarray
    ceilings: Float[np.ndarray, " target"]
    rule: Rule = Rule()

    @cached_property
    def names(self) -> list[str]:
        """The subjects, sorted."""
        return sorted(set(self.subjects.tolist()))

    @property
    def over_folds(self) -> bool:
        """Whether the error is over folds."""
        return self.rule.kind == "neuroids" or len(self.names) == 1

    def aggregate(self, r: Float[np.ndarray, "*layer part fold target"]) -> Aggregate:
        """Aggregate by the rule; every step skips NaN.

        "subjects": mean over folds and over parts, over the ceiling; median over the targets of a subject, then over
        subjects. "neuroids": over the ceiling, median over all targets in each fold; mean over folds and over parts.
        """
        targets = mean_present(mean_present(r, -2), -2)
        subjects = self.subject_medians(targets / self.ceilings)
        if self.rule.kind == "neuroids":
            folds = mean_present(np.moveaxis(median_present(r / self.ceilings, -1), -1, 0), -1)
            unclipped = mean_present(mean_present(median_present(r / self.ceilings, -1), -1), -1)
            raw = mean_present(mean_present(median_present(r, -1), -1), -1)
            folds = np.moveaxis(folds, 0, -1)
        else:
            unclipped = median_present(subjects, -1)
            raw = median_present(self.subject_medians(targets), -1)
            if self.over_folds:
                each = mean_present(np.moveaxis(r, -2, 0), -2) / self.ceilings
                folds = np.moveaxis(self.subject_medians(each)[..., 0], 0, -1)
        low, high, spread = self._resampled(subjects)
        if self.over_folds or self.rule.error == "mad":
            error = deviation(folds if self.over_folds else subjects)
        else:
            error = spread if self.rule.error == "bootstrap" else _spread(subjects)
        error = np.where(np.isnan(unclipped), np.nan, error)
        score = np.clip(unclipped, 0, 1) if self.rule.clip else unclipped
        return Aggregate(score, unclipped, error, raw, subjects, low, high)

    def subject_medians(self, values: Float[np.ndarray, "*any target"]) -> Float[np.ndarray, "*any subject"]:
        """Median over the targets of each subject, NaN skipped."""
        return np.stack([median_present(values[..., self.subjects == name], -1) for name in self.names], -1)

    def _resampled(self, subjects: Float[np.ndarray, "*layer subject"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Percentiles and standard deviation of the median over subjects that are drawn with replacement."""
        count = len(self.names)
        if count < 3 or self.rule.kind == "neuroids":
            return (np.full(subjects.shape[:-1], np.nan),) * 3
        drawn = np.random.Generator(np.random.PCG64(0)).integers(count, size=(RESAMPLES, count))
        medians = median_present(subjects[..., drawn], -1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # layers without any score
            low, high = np.nanpercentile(medians, [2.5, 97.5], axis=-1)
            return low, high, np.nanstd(medians, -1)


def _spread(values: Float[np.ndarray, "*layer subject"]) -> Float[np.ndarray, "*layer"]:
    """Standard deviation (ddof 0) over the last axis; skips NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanstd(values, -1)


def median_present(values: Float[np.ndarray, ...], axis: int) -> Float[np.ndarray, ...]:
    """Median over an axis that skips NaN; NaN where nothing is left."""
    whole = values.size and not np.isnan(values).any()
    median = np.median if whole else np.nanmedian  # which goes row by row
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN|Mean of empty", RuntimeWarning)
        return median(values, axis)


def deviation(values: Float[np.ndarray, "*layer subject"]) -> Float[np.ndarray, "*layer"]:
    """Scaled median absolute deviation over the last axis; a NaN counts as 0, as in the 2021 pipeline."""
    filled = np.nan_to_num(values, nan=0.0)
    centre = np.median(filled, -1, keepdims=True)
    return DEVIATION_SCALE * np.median(np.abs(filled - centre), -1)
