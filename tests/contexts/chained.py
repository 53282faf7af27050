"""Windows of stimuli that were tokenised one by one, straight from their tokens."""

from __future__ import annotations

from collections.abc import Sequence

from jaxscore.contexts.alignment import Tokens
from jaxscore.contexts.chains import chain
from jaxscore.contexts.windows import Slot, Window, exact_windows, room_for


def make_windows(
    groups: Sequence[Sequence[int]], stimuli: Sequence[Tokens], start: Sequence[int], *, causal: bool, limit: int
) -> list[Window]:
    """Windows of stimuli that were tokenised one by one, by the exact rule, each stimulus pooled once.

    Args:
        groups: stimulus indices of each context.
        stimuli: tokens of each stimulus.
        start: tokens put at the start of each window.
        causal: whether the model sees only what stands left.
        limit: longest window in tokens, start tokens included.

    Raises:
        ModelError: if the limit leaves no room for a stimulus token.
    """
    room = room_for(limit, start)
    windows = []
    for group in groups:
        row = chain(group, stimuli)
        spans = [Slot(i, words[0][0], words[-1][1]) for i, words in row.stimuli]
        windows += exact_windows(row.ids, spans, start, room, causal=causal)
    return windows
