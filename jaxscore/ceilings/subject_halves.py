"""Split halves of subjects: how well the mean reader of one half goes with that of the other.

The ceiling of Futrell2018-pearsonr (brain-score/language): in each of 10 draws half of the subjects are drawn, both
halves are averaged, r is |Pearson r| over words, corrected to the whole by Spearman-Brown, 2 r / (1 + r); the ceiling
is the median over draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from jaxscore.behaviour.reading_times import pearson
from jaxscore.ceilings.split_half import spearman_brown
from jaxscore.errors import DataError
from jaxscore.metrics.aggregate import median_present
from jaxscore.regression.job import mean_present


@dataclass(frozen=True)
class Halves:
    """The ceiling, and what it comes from.

    Attributes:
        ceiling: median over splits of the corrected |r|.
        corrected: 2 r / (1 + r) of each split.
        raw: |r| of each split; NaN where fewer than 3 presentations are common to both halves.
        presentations: how many each split correlates over: those that someone of either half has read.
    """

    ceiling: float
    corrected: Float[np.ndarray, " split"]
    raw: Float[np.ndarray, " split"]
    presentations: Int[np.ndarray, " split"]


def subject_halves(responses: Float[np.ndarray, "word subject"], *, splits: int = 10, seed: int = 0) -> Halves:
    """Estimate how well anything could correlate with the mean over subjects.

    The published ceiling correlates over all presentations and would be NaN with a word that nobody of a half has read
    (its data have none); here such a word is left out of that split, and counted in `presentations`.

    Args:
        responses: of each subject to each word; NaN where a subject did not read it. The published ceiling takes every
            word, the first ones of sentences too.
        splits: number of draws.
        seed: of `numpy.random.RandomState`, whose draws (n // 2 subjects without replacement) are the published ones.

    Raises:
        DataError: if there are fewer than 2 subjects or 3 words, or no split has 3 words in common.
    """
    data = np.asarray(responses, float)
    if data.ndim != 2 or data.shape[0] < 3 or data.shape[1] < 2 or splits < 1:
        raise DataError(
            f"responses of shape {data.shape} in {splits} splits have no two halves to correlate",
            "Give [word, subject] with at least 3 words and 2 subjects, and 1 split or more.",
        )
    if infinite := int(np.isinf(data).sum()):
        raise DataError(f"{infinite} responses are infinite", "A word that was not read is NaN.")
    rng, subjects = np.random.RandomState(seed), data.shape[1]
    raw, counts = np.full(splits, np.nan), np.zeros(splits, int)
    for split in range(splits):
        drawn = np.isin(np.arange(subjects), rng.choice(subjects, size=subjects // 2, replace=False))
        halves = np.stack([mean_present(data[:, drawn], 1), mean_present(data[:, ~drawn], 1)])
        common = np.isfinite(halves).all(0)
        counts[split] = common.sum()
        raw[split] = abs(pearson(*halves[:, common]))
    corrected = spearman_brown(raw)
    if np.isnan(corrected).all():
        raise DataError(
            f"No split of the {subjects} subjects has halves that vary over 3 words which both have read",
            "Subjects must have words in common.",
        )
    return Halves(float(median_present(corrected, -1)), corrected, raw, counts)
