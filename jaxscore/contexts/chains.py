"""Stimuli of a context -> one chain of tokens, in which every word is located."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from jaxscore.contexts.alignment import AlignmentError, Tokens, align, check_words, refusal, tokenise
from jaxscore.contexts.encoding import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Words = Sequence[tuple[int, int]]
"""(first, last) token of each word."""


@dataclass(frozen=True)
class Chain:
    """The tokens of a context, without special ones.

    Attributes:
        ids: token ids.
        stimuli: index of each stimulus and the (first, last) tokens of its words, counted from the chain's start.
    """

    ids: np.ndarray
    stimuli: list[tuple[int, Words]]


def chain(group: Sequence[int], stimuli: Sequence[Tokens]) -> Chain:
    """Put the tokens of stimuli that were tokenised one by one in a row: nothing stands between two of them."""
    begins = np.cumsum([0, *(len(stimuli[i].ids) for i in group)]).tolist()
    moved = [[(a + begin, b + begin) for a, b in stimuli[i].words] for i, begin in zip(group, begins, strict=False)]
    return Chain(np.concatenate([stimuli[i].ids for i in group]), list(zip(group, moved, strict=True)))


def chain_apart(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], ids: Sequence[str], groups: Sequence[Sequence[int]]
) -> list[Chain]:
    """Chains of stimuli that are tokenised one by one (2021 pipeline); raises as `tokenise` does."""
    stimuli = tokenise(tokenizer, texts, ids)
    return [chain(group, stimuli) for group in groups]


def chain_joined(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], ids: Sequence[str], groups: Sequence[Sequence[int]]
) -> list[Chain]:
    """Chains of stimuli that are joined to running text and tokenised once; raises as `tokenise` does."""
    check_words(texts, ids)
    # no word spans two stimuli, as white space stands between them
    bounds = [np.cumsum([0, *(len(texts[i].split()) for i in group)]).tolist() for group in groups]
    joined = [join([texts[i] for i in group]) for group in groups]
    encoded = encode(tokenizer, joined)
    try:
        words = align(joined, encoded)
    except AlignmentError as error:
        place = int(np.searchsorted(bounds[error.text], error.word, side="right")) - 1
        stimulus, word = groups[error.text][place], error.word - bounds[error.text][place]
        raise refusal(ids[stimulus], texts[stimulus], word, error.reason) from None
    own = [[row[a:b] for a, b in pairwise(bound)] for row, bound in zip(words, bounds, strict=True)]
    rows = zip(encoded, groups, own, strict=True)
    return [Chain(one.ids, list(zip(group, row, strict=True))) for one, group, row in rows]


def join(texts: Sequence[str]) -> str:
    """Join with one space, or none where white space stands between two texts already."""
    pieces = [texts[0]]
    for left, right in pairwise(texts):
        pieces += ["" if left[-1].isspace() or right[0].isspace() else " ", right]
    return "".join(pieces)
