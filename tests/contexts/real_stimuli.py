"""The real stimuli: (texts, ids, contexts) of three data sets."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from contexts.tokenizers_at_hand import SHARED

Stimuli = tuple[list[str], list[str], list[str]]


@cache
def pereira() -> Stimuli:
    """627 sentences, a context for each passage."""
    table = pd.read_csv(SHARED / "pereira2018_stimuli/Pereira2018_stimulus_set_20220209.csv")
    passage = table.experiment + "." + table.passage_index.astype(str)
    return table.sentence.tolist(), table.stimulus_id.tolist(), passage.tolist()


@cache
def blank() -> Stimuli:
    """8 stories in parts of 2 s, most of which end in a space."""
    with np.load(SHARED / "blank2014_stimuli/story_data_dict.npz") as stories:
        parts = [(story, i, text) for story in stories for i, text in enumerate(stories[story].tolist())]
    return [text for *_, text in parts], [f"{story}.{i}" for story, i, _ in parts], [story for story, *_ in parts]


@cache
def natural_stories() -> Stimuli:
    """10,256 words of 10 stories, which are longer than a window."""
    table = pd.read_csv(SHARED / "futrell2018_natural_stories/neural-nlp_stories_data.csv", keep_default_na=False)
    return table.word.tolist(), [f"w{i}" for i in range(len(table))], table["item"].astype(str).tolist()


DATA = {"pereira": pereira, "blank": blank, "natural_stories": natural_stories}
