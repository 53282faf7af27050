"""Surprisal beside what readers do at each word: reading times, or the amplitude of an EEG component.

The correlation is that of Futrell2018-pearsonr (brain-score/language), after Futrell et al. 2018, The Natural Stories
Corpus, LREC: the first word of each sentence is left out, subjects are averaged, |Pearson r| over words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from jaxscore.errors import DataError
from jaxscore.regression.job import mean_present

FEWEST = 3
"""Words that a correlation needs: two lie on a line whatever they are."""
NEARLY_CONSTANT = 1e-13
"""Deviation from the mean, relative to it, that is round-off."""


@dataclass(frozen=True)
class Correlated:
    """How surprisal goes with responses over words.

    Attributes:
        r: Pearson r of surprisal and the mean over subjects; |r| unless the sign was asked for.
        n: words behind it.
        subjects: r of each subject over the words that it has, positive where it goes the way of the mean (with the
            sign asked for: as it is); NaN where a subject has fewer than 3 words or does not vary.
        left_out: words that `keep` leaves out.
        unread: words, of the others, that no subject has a response to.
        unpredicted: words, of the others, without surprisal (nothing stands before the first word of a text).
    """

    r: float
    n: int
    subjects: Float[np.ndarray, " subject"]
    left_out: int
    unread: int
    unpredicted: int


def correlate(
    surprisal: Float[np.ndarray, " word"],
    responses: Float[np.ndarray, "word subject"],
    *,
    keep: Bool[np.ndarray, " word"] | None = None,
    absolute: bool = True,
) -> Correlated:
    """Pearson r of surprisal and the mean response over words.

    Args:
        surprisal: bits of each word; NaN where nothing predicts it: the word is left out, and counted.
        responses: of each subject to each word, in any unit (milliseconds, microvolts); NaN where a subject did not
            read the word. A component of the EEG is such a table with subjects as columns.
        keep: the words that enter, for Futrell2018 those that do not begin a sentence; all by default.
        absolute: |r|, as published; False keeps the sign (an N400 grows downwards).

    Raises:
        DataError: if shapes differ, a response is infinite, or fewer than 3 words are left.
    """
    surprisal, responses, keep = _checked(surprisal, responses, keep)
    read, predicted = np.isfinite(responses).any(1), np.isfinite(surprisal)
    rows = keep & read & predicted
    counts = {"left_out": ~keep, "unread": keep & ~read, "unpredicted": keep & read & ~predicted}
    counts = {name: int(mask.sum()) for name, mask in counts.items()}
    n = int(rows.sum())
    if n < FEWEST:
        raise DataError(
            f"{n} of {len(surprisal)} words are left: {counts['left_out']} are not kept, {counts['unread']} have no "
            f"response, {counts['unpredicted']} no surprisal",
            f"A correlation needs {FEWEST} words at least.",
        )
    x, y = surprisal[rows], responses[rows]
    r = pearson(x, mean_present(y, 1))
    read_by = np.isfinite(y).T
    subjects = np.array([pearson(x[own], column[own]) for own, column in zip(read_by, y.T, strict=True)])
    sign = -1.0 if absolute and r < 0 else 1.0
    return Correlated(sign * r, n, sign * subjects, **counts)


def pearson(x: Float[np.ndarray, " word"], y: Float[np.ndarray, " word"]) -> float:
    """Pearson r; NaN for fewer than 3 words, or where either is constant up to round-off."""
    from scipy.stats import pearsonr

    if len(x) < FEWEST:
        return np.nan
    if any(np.linalg.norm(values - values.mean()) <= NEARLY_CONSTANT * abs(values.mean()) for values in (x, y)):
        return np.nan
    return float(pearsonr(x, y).statistic)


def shift_by_word(
    responses: Float[np.ndarray, "word ..."], stories: Sequence, shift: int = 1
) -> Float[np.ndarray, "word ..."]:
    """Move responses `shift` words later within their story; words that get none are NaN.

    Args:
        responses: to each word; words of a story stand together, in their order.
        stories: the story of each word.
        shift: how many words; negative moves them earlier.
    """
    import pandas as pd

    moved = pd.DataFrame(np.asarray(responses, float)).groupby(np.asarray(stories), sort=False).shift(shift)
    return moved.to_numpy().reshape(np.shape(responses))


def _checked(surprisal, responses, keep) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    surprisal, responses = np.asarray(surprisal, float), np.asarray(responses, float)
    keep = np.ones(len(surprisal), bool) if keep is None else np.asarray(keep)
    shapes = surprisal.shape, responses.shape, keep.shape
    if surprisal.ndim != 1 or responses.ndim != 2 or len(responses) != len(surprisal) or keep.shape != surprisal.shape:
        raise DataError(
            "surprisal, responses and keep have the shapes {}, {} and {}".format(*shapes),
            "Expected [word], [word, subject] and [word]: one row for each word.",
        )
    if keep.dtype != bool:
        raise DataError(f"keep is {keep.dtype}, expected True or False for each word", "Write keep=words != 1.")
    if infinite := int(np.isinf(responses).sum()):
        raise DataError(f"{infinite} responses are infinite", "A word that was not read is NaN.")
    return surprisal, responses, keep
