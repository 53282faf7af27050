"""What slows readers down beside surprisal: how long and how rare a word is, and the word before it (spillover)."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from jaxscore.behaviour.reading_times import correlate, shift_by_word
from jaxscore.errors import DataError, did_you_mean
from jaxscore.regression.job import mean_present

if TYPE_CHECKING:
    import pandas as pd

SPILLING = ("length", "log_frequency")
"""Predictors that the next word has as well, under the name previous_..."""
NEEDED = ("word", "story_id", "word_within_sentence_id")


@dataclass(frozen=True)
class DeltaR:
    """What surprisal adds to other predictors.

    Attributes:
        controls: Pearson r of held-out responses and their prediction from the controls, mean over folds.
        full: the same from controls and surprisal.
        delta: full - controls.
        folds: (controls, full) of each fold; a fold is a story.
        n: words.
    """

    controls: float
    full: float
    delta: float
    folds: Float[np.ndarray, "two fold"]
    n: int


def delta_r(
    surprisal: Float[np.ndarray, " word"],
    responses: Float[np.ndarray, "word subject"],
    controls: pd.DataFrame,
    stories: Sequence,
    *,
    keep: Bool[np.ndarray, " word"] | None = None,
    spillover: bool = True,
) -> DeltaR:
    """How much better held-out stories are predicted with surprisal than without.

    The mean over subjects is regressed (least squares) on the controls, and on the controls with surprisal; every story
    is predicted from the others. Words without a response or without one of the predictors are left out of both.

    Args:
        surprisal: bits of each word.
        responses: of each subject to each word, NaN where it did not read it.
        controls: numeric columns, a row a word: see `word_predictors`.
        stories: the story of each word.
        keep: the words that enter; all by default.
        spillover: add the surprisal of the word before, within the story, as well.

    Raises:
        DataError: if there are fewer than 2 stories, or what `correlate` refuses.
    """
    from jaxscore.regression import OLS, cross_validate

    correlate(surprisal, responses, keep=keep)  # refuses what does not fit
    surprisal, stories, y = np.asarray(surprisal, float), np.asarray(stories), mean_present(np.asarray(responses), 1)
    added = np.stack([surprisal, *([shift_by_word(surprisal, stories)] if spillover else [])], 1)
    before = controls.to_numpy(float)
    full = np.hstack([before, added])
    rows = np.isfinite(full).all(1) & np.isfinite(y) & (True if keep is None else np.asarray(keep))
    if len(found := set(stories[rows].tolist())) < 2:
        raise DataError(
            f"{rows.sum()} words of {len(found)} stories have a response and all predictors",
            "Give 2 stories or more: one is predicted from the others.",
        )
    layers = [before[rows], full[rows]]
    scored = cross_validate(layers, y[rows, None], "leave-one-group-out", OLS(), groups=stories[rows], dtype="float64")
    folds = scored.r[..., 0]
    without, together = folds.mean(1).tolist()
    return DeltaR(without, together, together - without, folds, int(rows.sum()))


def word_predictors(words: pd.DataFrame, frequency: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Predictors of each word that need no language model.

    Args:
        words: with the columns word, story_id and word_within_sentence_id (from 1); words of a story stand together, in
            their order.
        frequency: count of each word in some large corpus, see `read_frequencies`; None leaves frequency out. A word is
            looked up as it is written, then without the punctuation around it, then in lower case; one that is not
            there has the count 0.

    Returns:
        A row a word: `length` in letters and digits; `log_frequency`, log2(count + 1); `previous_length` and
        `previous_log_frequency` of the word before it in the story, NaN for the first one; `sentence_initial`, 1 or 0;
        `position` in the story, from 1. `attrs["unknown"]` counts words that are not in the table.

    Raises:
        DataError: if a column is absent.
    """
    import pandas as pd

    if absent := [name for name in NEEDED if name not in words]:
        raise DataError(
            f"words have no column {', '.join(absent)}; their columns: {', '.join(map(str, words))}. "
            f"{did_you_mean(absent[0], map(str, words))}".strip(),
            f"Name the columns {', '.join(NEEDED)}.",
        )
    texts, stories = words["word"].tolist(), words["story_id"]
    found = pd.DataFrame({"length": [float(sum(map(str.isalnum, word))) for word in texts]}, index=words.index)
    unknown = 0
    if frequency is not None:
        counts = [_look_up(word, frequency) for word in texts]
        unknown = sum(count is None for count in counts)
        found["log_frequency"] = np.log2([(count or 0) + 1.0 for count in counts])
    for name in SPILLING:
        if name in found:
            found[f"previous_{name}"] = shift_by_word(found[name].to_numpy(), stories)
    found["sentence_initial"] = (words["word_within_sentence_id"] == 1).astype(float)
    found["position"] = words.groupby("story_id").cumcount() + 1.0
    found.attrs["unknown"] = unknown
    return found


def _look_up(word: str, frequency: Mapping[str, float]) -> float | None:
    letters = [place for place, letter in enumerate(word) if letter.isalnum()]
    bare = word[letters[0] : letters[-1] + 1] if letters else word
    return next((frequency[form] for form in (word, bare, word.lower(), bare.lower()) if form in frequency), None)


def read_frequencies(path: str | Path) -> dict[str, float]:
    """Counts of words: freqs-1.tsv of Natural Stories, or a table with the columns word and count.

    freqs-1.tsv has no header and five columns: identifier (story.zone.part), length of the n-gram, its tokens with a
    space between, its count in Google Books, its condition's count. Of the parts, `whole` is the word as it is written
    (counted with its punctuation), `word` is without: its count is taken, under the spelling of both.

    Raises:
        DataError: if the file cannot be read, is neither, or has a count that is no number.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            separator = "\t" if "\t" in header else ","
            names = [name.strip() for name in header.split(separator)]
            if {"word", "count"} <= set(names):
                rows = list(csv.DictReader(file, names, delimiter=separator))
                return {row["word"]: float(row["count"]) for row in rows}
            if len(names) == 5 and names[0].count(".") == 2:
                return _natural_stories([header, *file])
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "Check the path.") from None
    except (ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{path} is no table of counts in UTF-8: {error}", "A row is a word and a number.") from None
    raise DataError(
        f"{path} has the columns {', '.join(names)}", "Expected the columns word and count, or freqs-1.tsv."
    )


def _natural_stories(lines: Sequence[str]) -> dict[str, float]:
    """Counts from freqs-1.tsv; a word that is all punctuation has only its `whole`."""
    parts: dict[str, dict[str, tuple[str, float]]] = {}
    for line in lines:
        identifier, _, text, count, _ = line.rstrip("\r\n").split("\t")
        place, part = identifier.rsplit(".", 1)
        parts.setdefault(place, {})[part] = (text.replace(" ", ""), float(count))
    counts = {}
    for own in parts.values():
        spelling, count = own.get("word", own["whole"])
        counts |= {own["whole"][0]: count, spelling: count}
    return counts
