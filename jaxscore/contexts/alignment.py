"""Words to tokens by the offsets of a tokenizer: nothing is matched by spelling, so nothing shifts silently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from jaxscore.contexts.encoding import WORD, Encoded, check_texts, encode
from jaxscore.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Tokens:
    """One stimulus as tokens, without special ones.

    Attributes:
        ids: token ids.
        words: (first, last) token of every word; a word is the text between white space.
    """

    ids: np.ndarray
    words: tuple[tuple[int, int], ...]

    @property
    def first(self) -> int:
        """First token of the first word."""
        return self.words[0][0]

    @property
    def last(self) -> int:
        """Last token of the last word; a token of trailing white space is never it."""
        return self.words[-1][1]


class AlignmentError(ValueError):
    """A word whose tokens are not its own: `word` of the text at `text`; `reason` completes "the word ..."."""

    def __init__(self, text: int, word: int, reason: str) -> None:
        super().__init__(text, word, reason)
        self.text, self.word, self.reason = text, word, reason


def align(texts: Sequence[str], encoded: Sequence[Encoded]) -> list[tuple[tuple[int, int], ...]]:
    """(first, last) token of every white-space word of every text: the tokens whose offsets overlap the word.

    Of tokens that share a character (bytes of an emoji) all belong to the word, so that its last token is the last of
    them. Tokens of white space belong to no word. Spans are ordered and never overlap.

    Raises:
        AlignmentError: for a word without a token, or with one that stands for a part of another word too: the state
            of that token has read the next word already.
    """
    # all texts at once: a line each of one long text, which no word and no token spans
    lines = np.cumsum([0, *(len(text) + 1 for text in texts)])
    spans = np.array([match.span() for match in WORD.finditer("\n".join(texts))], np.int64).reshape(-1, 2)
    counts = [len(one.ids) for one in encoded]
    begin, end = (np.concatenate([one.offsets for one in encoded]) + np.repeat(lines[:-1], counts)[:, None]).T
    first, last, bad = _overlaps(spans, begin, end)
    bounds = np.searchsorted(spans[:, 0], lines)  # words of each text
    if bad:
        text = int(np.searchsorted(bounds, bad[0], side="right")) - 1
        raise AlignmentError(text, bad[0] - int(bounds[text]), bad[1])
    shift = np.repeat(np.cumsum([0, *counts[:-1]]), np.diff(bounds))
    words = list(zip((first - shift).tolist(), (last - shift).tolist(), strict=True))
    return [tuple(words[a:b]) for a, b in pairwise(bounds.tolist())]


def _overlaps(spans: np.ndarray, begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple | None]:
    """First and last token of each word, and the first word that has no tokens of its own, with the reason."""
    lowest = np.searchsorted(spans[:, 1], begin, side="right")  # the first word that ends after the token begins
    highest = np.searchsorted(spans[:, 0], end, side="left") - 1  # the last one that begins before the token ends
    inside = (lowest <= highest) & (begin < end)
    tokens, words = np.flatnonzero(inside), lowest[inside]
    first, last = np.full(len(spans), len(begin)), np.full(len(spans), -1)
    np.minimum.at(first, words, tokens)
    np.maximum.at(last, words, tokens)
    shares, later = np.zeros(len(spans), bool), np.zeros(len(spans), bool)
    shares[lowest[inside & (lowest < highest)]] = True
    later[:-1] = (first[1:] <= last[:-1]) & (last[1:] >= 0)
    reasons = {"shares a token with the next word": shares, "has no token": last < 0,
               "has tokens after those of the next word": later}  # fmt: skip
    for reason, words_ in reasons.items():
        if words_.any():
            return first, last, (int(np.argmax(words_)), reason)
    return first, last, None


def tokenise(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], ids: Sequence[str]) -> list[Tokens]:
    """Tokenise every stimulus on its own, without special tokens, and align its words.

    Args:
        tokenizer: of transformers.
        texts: one text per stimulus.
        ids: their stimulus ids, for messages.

    Raises:
        DataError: for a stimulus without words, or a word that has no token of its own after the tokenizer's
            normalisation.
        ModelError: if the tokenizer has no offsets and reads more than words.
    """
    check_words(texts, ids)
    encoded = encode(tokenizer, texts)
    try:
        words = align(texts, encoded)
    except AlignmentError as error:
        raise refusal(ids[error.text], texts[error.text], error.word, error.reason) from None
    return [Tokens(one.ids, own) for one, own in zip(encoded, words, strict=True)]


def check_words(texts: Sequence[str], ids: Sequence[str]) -> None:
    """Raise DataError for a stimulus that no tokenizer takes, or that has no word."""
    check_texts(texts, ids)
    for text, name in zip(texts, ids, strict=True):
        if not text.strip():
            raise DataError(f"stimulus {name!r} is empty: {text!r}", "Every stimulus needs at least one word.")


def refusal(name: str, text: str, word: int, reason: str) -> DataError:
    """The error for a word that cannot be aligned: names the stimulus, the word and the reason."""
    return DataError(
        f"stimulus {name!r}: the word {text.split()[word]!r} {reason} in this model's tokenizer: {text!r}",
        "Remove or replace the word, or choose a model whose tokenizer knows its characters and splits at white space.",
    )
