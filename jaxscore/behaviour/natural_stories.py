"""The Natural Stories corpus: ten stories, word by word, with the mean reading time of each word.

Futrell et al. 2018, The Natural Stories Corpus (github.com/languageMIT/naturalstories). Its published reading times are
off by one: what is stored at a word is the time of the NEXT word (the corpus says so since 2025 and has not made the
tables of words anew). `shift=0` reads them as published and as Futrell2018 was scored, `shift=1` puts them right.

The data say which way: log frequency goes with the time stored at the word itself by r = -.31, one word earlier by
-.23, two words earlier by -.02, one word later by -.13; nobody can be slowed down by a word to come. Length, frequency
and spillover predict held-out stories with r = .49 as published and .59 shifted (`bench/reading_times.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from jaxscore.behaviour.reading_times import shift_by_word
from jaxscore.errors import DataError, JaxscoreError

if TYPE_CHECKING:
    import pandas as pd

WORDS, TIMES = "all_stories.tok", "processed_wordinfo.tsv"
TIME_COLUMNS = {"meanItemRT": "rt", "sdItemRT": "sd", "nItem": "n"}
ENDS = (".", "?", "!", ".'", "?'", "!'", ";'")
"""What the last word of a sentence ends in, unless the next word is in lower case."""
NO_END = "Mr."


def read_natural_stories(folder: str | Path, *, shift: int = 0) -> pd.DataFrame:
    """Words of all stories in their order, with mean reading times.

    Args:
        folder: with all_stories.tok and processed_wordinfo.tsv of the corpus.
        shift: 0 as published; 1: the time stored at a word is given to the next one of its story, as it belongs.

    Returns:
        A row a word: word, word_core (without punctuation), story_id, word_id (its place in the story, from 1),
        sentence_id, word_within_sentence_id, stimulus_id (all from 1), and rt and sd in milliseconds and n (subjects),
        NaN for the first word of a story where they are shifted.

    Raises:
        DataError: if a file or column is absent, or the files do not have the same words.
        JaxscoreError: if `shift` is neither 0 nor 1.
    """
    if shift not in (0, 1):
        raise JaxscoreError(f"shift is {shift!r}", "0 reads the times as published, 1 puts them right by one word.")
    words = _read(Path(folder) / WORDS, ["word", "zone", "item"])
    times = _read(Path(folder) / TIMES, ["word", "zone", "item", *TIME_COLUMNS]).rename(columns=TIME_COLUMNS)
    found = words.sort_values(["item", "zone"]).merge(
        times, on=["item", "zone"], how="outer", validate="one_to_one", suffixes=("", "_read")
    )
    if differ := int((found["word"] != found["word_read"]).sum()):
        raise DataError(
            f"{Path(folder) / WORDS} and {TIMES} differ in {differ} of {len(found)} words",
            "Take both from one version of the corpus.",
        )
    found = found.rename(columns={"item": "story_id", "zone": "word_id"})
    found["word_core"] = found["word"].str.replace(r"[^\w\s]", "", regex=True)
    found["sentence_id"] = sentence_numbers(found["word"].tolist())
    found["word_within_sentence_id"] = found.groupby("sentence_id").cumcount() + 1
    found["stimulus_id"] = np.arange(1, len(found) + 1)
    columns = list(TIME_COLUMNS.values())
    found[columns] = shift_by_word(found[columns].to_numpy(float), found["story_id"], shift)
    labels = ["word", "word_core", "story_id", "word_id", "sentence_id", "word_within_sentence_id", "stimulus_id"]
    return found[labels + columns]


def sentence_numbers(words: Sequence[str]) -> Int[np.ndarray, " word"]:
    """The sentence of each word, from 1, by the rule of the published assembly of Futrell2018.

    A sentence ends with a word that ends in one of . ? ! (a single quote may follow) or ;' unless the word is "Mr." or
    the next one is in lower case. Stories are not told apart.
    """
    ends = [
        word.endswith(ENDS) and not after.islower() and word != NO_END
        for word, after in zip(words, [*words[1:], ""], strict=False)
    ]
    return 1 + np.cumsum([0, *ends[:-1]]) if ends else np.zeros(0, int)


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    """Columns of a tab-separated file in which quotes are letters."""
    import csv

    import pandas as pd

    try:
        missing = {name: ["", "NA"] for name in TIME_COLUMNS}  # never a word
        layout = {"sep": "\t", "quoting": csv.QUOTE_NONE, "keep_default_na": False, "na_values": missing}
        return pd.read_csv(path, usecols=columns, **layout)[columns]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "Give the folder of the corpus.") from None
    except ValueError as error:  # pandas' parser errors, and columns that are not there
        raise DataError(f"{path} is not a table of the corpus: {error}", f"Expected columns {columns}.") from None
