"""What is presented and pooled: stimuli, or the words of stimuli."""

from __future__ import annotations

from collections.abc import Sequence

from jaxscore.contexts.chains import Chain
from jaxscore.contexts.windows import Slot

Presentation = tuple[int, int | None, str]
"""Index of the stimulus, index of the word in it (None: the whole stimulus), text."""


def present(stimuli: Sequence[str], unit: str) -> list[Presentation]:
    """Stimuli, or their white-space words, in the order of the stimuli."""
    if unit == "stimulus":
        return [(i, None, text) for i, text in enumerate(stimuli)]
    return [(i, k, word) for i, text in enumerate(stimuli) for k, word in enumerate(text.split())]


def locate(chains: Sequence[Chain], presentations: Sequence[Presentation]) -> list[list[Slot]]:
    """Where each presentation stands in its chain: from the first token of its first word to the last of its last."""
    place = {(i, k): number for number, (i, k, _) in enumerate(presentations)}
    found = []
    for chain in chains:
        spans = []
        for i, words in chain.stimuli:
            if (i, None) in place:
                spans.append((place[i, None], words[0][0], words[-1][1]))
            else:
                spans += [(place[i, k], *word) for k, word in enumerate(words)]
        free = [0, *(last + 1 for *_, last in spans)]  # the first token that no presentation before has
        found.append([Slot(*span, span[1] - begin) for span, begin in zip(spans, free, strict=False)])
    return found
