"""Tokens of every prefix of a growing text, without tokenising all of it again for each.

Today's platform makes a text of the parts up to the i-th one and tokenises it anew for every i. Where a tokenizer
cannot join what stands on two sides of a space, a prefix's tokens differ from those of the whole text at its last
words only: those alone are tokenised again. Any other tokenizer gets every prefix whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from jaxscore.contexts.encoding import Encoded, encode, fast_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

SPACE_BEFORE_POINT = re.compile(r"\s+(?=[.,!?;:])")
BETWEEN_SPACES = re.compile(r"[^ ]+")
"""The words of this module: no tokenizer at hand reads a space otherwise, as some do with tabs."""
TAIL_WORDS = 5
"""Words of a prefix that are tokenised again; the first of them is thrown away, since its start may look different."""
WHOLE_PREFIXES = 64
"""Whole prefixes tokenised at a time."""
PROBE = "The cat, 12 cats: \u201ca\u201d (b) don't? x."
MARKS = str.maketrans("\u2581\u0120", "  ")
"""What SentencePiece and byte-level vocabularies write for a space."""


@dataclass(frozen=True)
class Prefix:
    """Tokens of a prefix: the first `kept` ones of the whole text's tokens, then `own`.

    Attributes:
        kept: how many are those of the whole text.
        own: token ids that follow them.
    """

    kept: int
    own: np.ndarray

    def __len__(self) -> int:
        return self.kept + len(self.own)

    def tokens(self, whole: Encoded) -> Int[np.ndarray, " token"]:
        """All of its token ids."""
        return np.concatenate([whole.ids[: self.kept], self.own])


@dataclass(frozen=True)
class Growing:
    """A text that grows part by part.

    Attributes:
        text: all parts: blank ones dropped, joined with one space, white space before `.,!?;:` removed.
        ends: characters of `text` that the text up to each part has in common with it.
        tails: what follows them there: white space that the next part removes.
    """

    text: str
    ends: list[int]
    tails: list[str]

    def up_to(self, part: int, begin: int = 0) -> str:
        """The text up to a part, from character `begin`."""
        return self.text[begin : self.ends[part]] + self.tails[part]


def grow(parts: Sequence[str]) -> Growing:
    """Locate every prefix in the text of all parts."""
    raw = " ".join(part for part in parts if part.strip())
    gaps = np.array([match.span() for match in SPACE_BEFORE_POINT.finditer(raw)], np.int64).reshape(-1, 2)
    removed = np.concatenate([[0], np.cumsum(gaps[:, 1] - gaps[:, 0])])
    ends, tails, at = [], [], 0
    for part in parts:
        if part.strip():
            at += len(part) + (at > 0)  # the space between two parts
        end, gap = _locate(at, gaps, removed)
        ends.append(end)
        tails.append(raw[at - gap : at])
    return Growing(SPACE_BEFORE_POINT.sub("", raw), ends, tails)


def _locate(at: int, gaps: np.ndarray, removed: np.ndarray) -> tuple[int, int]:
    """Where character `at` of the raw text is in the cleaned one, and how many characters of a gap lie left of it."""
    before = int(np.searchsorted(gaps[:, 0], at, side="left"))
    inside = before and at <= gaps[before - 1, 1]
    whole = before - 1 if inside else before
    gap = at - int(gaps[whole, 0]) if inside else 0
    return at - gap - int(removed[whole]), gap


def prefixes(tokenizer: PreTrainedTokenizerBase, parts: Sequence[str], *, local: bool) -> tuple[Encoded, list[Prefix]]:
    """Tokens of the text of all parts, and of the text up to each part.

    Args:
        tokenizer: of transformers.
        parts: texts in their order.
        local: whether no token depends on what stands beyond a space, by `splits_at_spaces`.
    """
    growing = grow(parts)
    (whole,) = encode(tokenizer, [growing.text])
    found = _by_tails(tokenizer, growing, whole) if local else [None] * len(parts)
    last = found[-1]
    if last is None or not np.array_equal(last.tokens(whole), whole.ids):
        found = [None] * len(parts)  # the last prefix is the whole text: a proof for free
    missing = [i for i, prefix in enumerate(found) if prefix is None]
    for i, encoded in _whole(tokenizer, growing, missing):
        found[i] = Prefix(0, encoded.ids)
    return whole, found


def _whole(tokenizer: PreTrainedTokenizerBase, growing: Growing, parts: Sequence[int]) -> Iterator[tuple[int, Encoded]]:
    """Tokenise prefixes from their first character on, a few at a time."""
    for at in range(0, len(parts), WHOLE_PREFIXES):
        some = parts[at : at + WHOLE_PREFIXES]
        yield from zip(some, encode(tokenizer, [growing.up_to(i) for i in some]), strict=True)


def _by_tails(tokenizer: PreTrainedTokenizerBase, growing: Growing, whole: Encoded) -> list[Prefix | None]:
    """Prefixes by the tokens of their last words; None where these do not meet those of the whole text."""
    words = np.array([match.span() for match in BETWEEN_SPACES.finditer(growing.text)], np.int64).reshape(-1, 2)
    count = np.searchsorted(words[:, 0], growing.ends, side="left")  # words of each prefix
    oldest = (count - TAIL_WORDS).tolist()
    begins = [int(words[j - 1, 1]) if j > 0 else 0 for j in oldest]
    tails = encode(tokenizer, [growing.up_to(i, begin) for i, begin in enumerate(begins)])
    reached = np.maximum.accumulate(whole.offsets[:, 1]) if len(whole.ids) else whole.offsets[:, 1]
    found: list[Prefix | None] = []
    for tail, begin, j in zip(tails, begins, oldest, strict=True):
        kept, skip = (0, 0) if j <= 0 else _meet(whole, reached, tail, begin, words[j, 1], words[j + 1, 0])
        found.append(None if kept is None else Prefix(kept, tail.ids[skip:]))
    return found


def _meet(
    whole: Encoded, reached: np.ndarray, tail: Encoded, begin: int, past: int, word: int
) -> tuple[int, int] | tuple[None, None]:
    """First token of the word at character `word`, in the whole text and in the tail; none may reach before `past`."""
    kept = int(np.searchsorted(reached, word, side="right"))
    later = np.flatnonzero(tail.offsets[:, 1] > word - begin)
    if kept == len(whole.ids) or not len(later):
        return None, None
    skip = int(later[0])
    apart = whole.offsets[kept, 0] >= past and tail.offsets[skip, 0] >= past - begin
    return (kept, skip) if apart and whole.ids[kept] == tail.ids[skip] else (None, None)


def splits_at_spaces(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether no token can depend on what stands beyond a space, so that only the end of a prefix may differ.

    So it is where the pre-tokenizer cuts at spaces, as the model sees one pre-token at a time; and for a BPE without
    such a cut, if no entry of its vocabulary goes on with a space, as no merge then crosses the end of a word. A
    tokenizer written in Python is given one word at a time.
    """
    if not tokenizer.is_fast:
        return True
    fast = fast_tokenizer(tokenizer)
    text = fast.normalizer.normalize_str(PROBE) if fast.normalizer else PROBE
    pieces = [piece for piece, _ in fast.pre_tokenizer.pre_tokenize_str(text)] if fast.pre_tokenizer else [text]
    return all(len(BETWEEN_SPACES.findall(piece.translate(MARKS))) <= 1 for piece in pieces) or _ends_with_words(fast)


def _ends_with_words(fast: Tokenizer) -> bool:
    """Whether no entry of a BPE vocabulary has a space after something else."""
    if type(fast.model).__name__ != "BPE" or "ByteLevel" in str(fast.pre_tokenizer):
        return False
    crossing = re.compile(r"[^ ] ")
    return not any(crossing.search(token.translate(MARKS)) for token in fast.get_vocab(with_added_tokens=False))
