"""Protocol "parts" (today's platform): the text up to each part, tokenised and read anew, pooled at its last token.

A part is read in the parts of its context up to itself: blank parts dropped, joined with one space, white space before
`.,!?;:` removed. The tokenizer's plain call adds its start and end tokens; a text too long loses ordinary tokens from
the left and keeps those. The last token is pooled, whatever it is: the end token where there is one, a bare space where
a part ends in one. The tokens of a part, for other poolings and for surprisal, are those beyond the number of tokens
that the text before it had. A blank part changes no text: it has no tokens and a surprisal of 0 bits, and is pooled at
the last token of the text before it.

Source: brain-score/language 2.3, `prepare_context` and `HuggingfaceSubject.digest_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxscore.contexts.encoding import Encoded
from jaxscore.contexts.prefixes import Prefix, prefixes, splits_at_spaces
from jaxscore.contexts.windows import Slot, Window
from jaxscore.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def part_windows(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    names: Sequence[str],
    groups: Sequence[Sequence[int]],
    start: Sequence[int],
    end: Sequence[int],
    room: int,
    *,
    causal: bool,
) -> list[Window]:
    """Windows in which every part is pooled once.

    A causal model without end tokens reads a context in one pass as far as it fits and as the tokens of the text up to
    a part begin the tokens of the whole; every other part gets a window of its own.

    Args:
        tokenizer: of transformers.
        texts: one per part; blank ones are allowed.
        names: their stimulus ids, for messages.
        groups: indices of the parts of each context.
        start: tokens put at the start of each window.
        end: tokens put at the end of each window.
        room: tokens of text that fit a window beside them.
        causal: whether the model sees only what stands left.

    Raises:
        DataError: for a part that leaves the model nothing to read.
    """
    local = splits_at_spaces(tokenizer)
    windows = []
    for group in groups:
        whole, found = prefixes(tokenizer, [texts[i] for i in group], local=local)
        spans = _spans(group, found, whole)
        together = [causal and not end and _begins(prefix, whole) and len(prefix) <= room for prefix in found]
        shared = [span for span, here in zip(spans, together, strict=True) if here]
        if shared:
            windows.append(_one_pass(shared, whole, start))
        for span, prefix, here in zip(spans, found, together, strict=True):
            if not here:
                windows.append(_own(span, prefix, whole, start, end, room))
                if not len(windows[-1].tokens):
                    i = span.stimulus
                    raise DataError(
                        f"stimulus {names[i]!r}: {texts[i]!r} leaves the model nothing to read",
                        "Remove blank stimuli from the start of a context, or use --bos always.",
                    )
    return windows


def _spans(group: Sequence[int], found: Sequence[Prefix], whole: Encoded) -> list[Slot]:
    """The tokens that each part adds to the text before it, counted from the start of the text."""
    spans, before = [], Prefix(0, whole.ids[:0])
    for i, prefix in zip(group, found, strict=True):
        last = len(prefix) - 1
        nothing = len(prefix) == len(before) and np.array_equal(prefix.tokens(whole), before.tokens(whole))
        # a part that takes a space away may add no token to the number of them, but the last one is its own
        spans.append(Slot(i, last + 1 if nothing else min(len(before), last), last))
        before = prefix
    return spans


def _begins(prefix: Prefix, whole: Encoded) -> bool:
    """Whether the tokens of a prefix begin those of the whole text; one without tokens has nothing to pool."""
    return len(prefix) > 0 and np.array_equal(whole.ids[prefix.kept : len(prefix)], prefix.own)


def _one_pass(spans: Sequence[Slot], whole: Encoded, start: Sequence[int]) -> Window:
    """The window from which all parts are pooled whose text's tokens begin those of the whole text."""
    shift = len(start)
    slots = tuple(Slot(s.stimulus, s.first + shift, s.last + shift) for s in spans)
    longest = max(span.last for span in spans) + 1
    return Window(np.concatenate([np.array(start, np.int32), whole.ids[:longest]]), slots)


def _own(span: Slot, prefix: Prefix, whole: Encoded, start: Sequence[int], end: Sequence[int], room: int) -> Window:
    """The window of one part: the last tokens of its text that fit, between start and end tokens."""
    begin = max(0, len(prefix) - room)
    kept, own = whole.ids[min(begin, prefix.kept) : prefix.kept], prefix.own[max(0, begin - prefix.kept) :]
    tokens = np.concatenate([np.array(start, np.int32), kept, own, np.array(end, np.int32)])
    if span.first > span.last:
        return Window(tokens, (Slot(span.stimulus, len(tokens), len(tokens) - 1),))
    first = max(0, span.first - begin) + len(start)
    return Window(tokens, (Slot(span.stimulus, first, len(tokens) - 1, clipped=span.first < begin),))
