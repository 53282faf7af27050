"""The real stimuli of the published data sets, as tables with a row a presentation; small ones keep whole passages."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

SHARED = Path(__file__).resolve().parents[1] / "../shared/data"
SENTENCE_END = re.compile(r"[.!?]'?(\s+|$)")
TOPICS, PARTS, SENTENCES, STORIES = 12, 6, 12, 3
"""Of a small mirror: topics of an experiment, parts of a spoken sentence, read sentences, stories that are read."""
WORD_DIMENSIONS = 6


def pereira(small: bool) -> pd.DataFrame:
    """627 sentences of two experiments; small: one passage of each of 12 topics of either."""
    table = pd.read_csv(SHARED / "pereira2018_stimuli/Pereira2018_stimulus_set_20220209.csv", index_col=0)
    table = table.rename(columns={"sentence_num": "stimulus_num"})
    if small:
        first = table.drop_duplicates(["experiment", "passage_category"]).groupby("experiment").head(TOPICS)
        table = table.merge(first[["experiment", "passage_index"]])
    return table.astype({"passage_index": np.uint8}).reset_index(drop=True)


def blank(small: bool) -> pd.DataFrame:
    """Parts of 2 s of 8 stories, ids story.sentence.part from 0; small: up to 6 parts of the first 10 sentences.

    As published, a part is of the sentence in which it ends.
    """
    rows = []
    with np.load(SHARED / "blank2014_stimuli/story_data_dict.npz") as stories:
        for story in stories:
            texts = stories[story].tolist()
            starts = [0, *(end.end() for end in SENTENCE_END.finditer("".join(texts)))]
            sentences = np.searchsorted(starts, np.cumsum([len(text) for text in texts])) - 1
            parts = pd.Series(sentences).groupby(sentences).cumcount()
            rows += [(f"{story}.{s}.{p}", story, s, p, t) for s, p, t in zip(sentences, parts, texts, strict=True)]
    table = pd.DataFrame(rows, columns=["stimulus_id", "story", "sentence_num", "sentence_part", "sentence"])
    return table[(table.sentence_num < 10) & (table.sentence_part < PARTS)].reset_index(drop=True) if small else table


def fedorenko(small: bool) -> pd.DataFrame:
    """416 words of 52 sentences, capitals without full stops as they were shown; small: 12 sentences."""
    lines = (SHARED / "fedorenko2016_stimuli/sentences_ordered.txt").read_text(encoding="utf-8").splitlines()
    words = [line.upper().rstrip(".").split() for line in lines[: SENTENCES if small else None]]
    rows = [(i, k, word) for i, line in enumerate(words) for k, word in enumerate(line)]
    table = pd.DataFrame(rows, columns=["sentence_id", "word_num", "word"])
    return table.assign(stimulus_id=np.arange(len(table)))


def futrell(small: bool) -> pd.DataFrame:
    """10,256 words of 10 stories; small: the first 2 sentences of 3 stories."""
    from jaxscore.behaviour.natural_stories import read_natural_stories

    table = read_natural_stories(SHARED / "futrell2018_natural_stories").drop(columns=["rt", "sd", "n"])
    if small:
        first = table.groupby("story_id")["sentence_id"].transform("min")
        table = table[(table.sentence_id < first + 2) & (table.story_id <= STORIES)]
    return table.reset_index(drop=True)


def tuckute(small: bool) -> pd.DataFrame:
    """1000 sentences read alone; small: 60."""
    return regions(small)[["item_id", "sentence"]]


def regions(small: bool) -> pd.DataFrame:
    """The same with the REAL responses of 6 regions, mean of 5 subjects."""
    table = pd.read_csv(SHARED / "tuckute2024/bold_response_LH.csv")
    return table.head(60) if small else table


def vector(word: str) -> np.ndarray:
    """A word's own vector, drawn by its spelling."""
    return np.random.default_rng(zlib.crc32(word.lower().encode())).standard_normal(WORD_DIMENSIONS)


def write_vectors(path: Path, small: bool) -> None:
    """Write the vectors of all words as GloVe does, so that a model can have what the responses are made of."""
    texts = [table(small)[name] for table, name in TEXTS.items()]
    words = sorted({word for column in texts for line in column for word in line.split()})
    path.write_text("".join(f"{word} {' '.join(f'{x:.6f}' for x in vector(word))}\n" for word in words), "utf-8")


TEXTS = {pereira: "sentence", blank: "sentence", fedorenko: "word", futrell: "word", tuckute: "sentence"}
"""Where the text of a presentation stands."""


def features(texts: pd.Series, contexts: pd.Series) -> np.ndarray:
    """Standardised [stimulus, feature]: words, letters a word, place in the context, mean of hashed word vectors."""
    words = texts.str.split()
    vectors = {word: vector(word) for word in set().union(*words)}
    columns = [
        words.map(len),
        words.map(lambda found: np.mean([len(word) for word in found])),
        contexts.groupby(contexts, sort=False).cumcount(),
        *np.array([np.mean([vectors[word] for word in found], axis=0) for found in words]).T,
    ]
    found = np.column_stack([np.asarray(column, float) for column in columns])
    spread = found.std(0)
    return (found - found.mean(0)) / np.where(spread > 0, spread, 1)
