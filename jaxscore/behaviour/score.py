"""A model's surprisal with what readers do: the score of a card whose metric is "surprisal"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from jaxscore.behaviour.predictors import delta_r, read_frequencies, word_predictors
from jaxscore.behaviour.reading_times import correlate
from jaxscore.errors import DataError
from jaxscore.metrics.measure import Measured

if TYPE_CHECKING:
    from jaxscore.cards import Card
    from jaxscore.data.material import Material


def measure_surprisal(card: Card, material: Material, bits: Float[np.ndarray, " word"]) -> Measured:
    """Pearson r of surprisal with the mean over subjects, and with each subject, as targets; nothing is fitted.

    Args:
        card: whether r is absolute, and whether controls are wanted.
        material: words, and which of their responses are scored.
        bits: surprisal of all words that are read.
    """
    words, rules = material.everything, card.behaviour
    keep = np.zeros(len(bits), bool)
    keep[material.align([np.arange(len(bits))])[0]] = True
    found = correlate(bits, words.values, keep=keep, absolute=rules.absolute)
    r = np.array([found.r, *found.subjects])[None, None, None]
    out = Measured(r, r[..., :1], stimuli={"all": found.n}, neuroids={"all": words.sizes["neuroid"]})
    for count, why in ((found.unread, "were read by nobody"), (found.unpredicted, "have no surprisal")):
        if count:
            out.notes.append(f"{count} words {why} and are left out")
    if rules.controls:
        out.notes.append(_controlled(card, material, bits, keep))
    return out


def _controlled(card: Card, material: Material, bits: np.ndarray, keep: Bool[np.ndarray, " word"]) -> str:
    """What surprisal adds to what is known without a language model, in a sentence."""
    import pandas as pd

    words = material.everything
    needed = {"word": "sentence", "story_id": "story", "word_within_sentence_id": "word_within_sentence_id"}
    if lacking := [name for name in needed.values() if name not in words.coords]:
        raise DataError(
            f"{card.identifier}: controls need {', '.join(lacking)} of every word", "Leave out behaviour.controls."
        )
    frame = pd.DataFrame({name: words[own].values for name, own in needed.items()})
    frame["word_within_sentence_id"] = pd.to_numeric(frame["word_within_sentence_id"])
    counts = read_frequencies(card.place(card.behaviour.frequency)) if card.behaviour.frequency else None
    controls = word_predictors(frame, counts)
    found = delta_r(bits, words.values, controls, frame["story_id"].tolist(), keep=keep)
    named = "length, frequency" if counts else "length"
    return (
        f"surprisal raises the r of held-out stories by {found.delta:.3f}, from {found.controls:.3f} "
        f"({named}, position, the word before) to {found.full:.3f}"
    )
