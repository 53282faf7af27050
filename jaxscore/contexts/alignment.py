"""Words to tokens by the offsets of a fast tokenizer: nothing is matched by spelling, so nothing shifts silently."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxscore.errors import DataError, ModelError


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


def align(text: str, offsets: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """(first, last) token of every white-space word of `text`: the tokens whose offsets overlap the word.

    Raises:
        ValueError: with the word as its argument, if a word has no token.
    """
    starts, ends = np.array(offsets, int).reshape(-1, 2).T
    words = []
    for match in re.finditer(r"\S+", text):
        (covered,) = np.nonzero((starts < match.end()) & (ends > match.start()))
        if not len(covered):
            raise ValueError(match.group())
        words.append((int(covered[0]), int(covered[-1])))
    return tuple(words)


def fast_tokenizer(tokenizer):
    """The Rust tokenizer inside a transformers one, without truncation or padding.

    Raises:
        ModelError: if there is none, so that no offsets can be had.
    """
    inside = getattr(tokenizer, "backend_tokenizer", None)
    if inside is None or not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} is not a fast tokenizer, so it cannot say which tokens belong to which word",
            "Save a tokenizer.json beside the checkpoint: "
            "transformers.AutoTokenizer.from_pretrained(folder, use_fast=True).save_pretrained(folder).",
        )
    inside.no_truncation()
    inside.no_padding()
    return inside


def tokenise(tokenizer, texts: Sequence[str], ids: Sequence[str]) -> list[Tokens]:
    """Tokenise every stimulus on its own, without special tokens, and align its words.

    Args:
        tokenizer: of transformers, with a fast backend.
        texts: one text per stimulus.
        ids: their stimulus ids, for messages.

    Raises:
        DataError: for a stimulus without words, or a word that has no token after the tokenizer's normalisation.
        ModelError: if the tokenizer has no offsets.
    """
    encodings = fast_tokenizer(tokenizer).encode_batch(list(texts), add_special_tokens=False)
    stimuli = []
    for text, name, encoding in zip(texts, ids, encodings, strict=True):
        if not text.strip():
            raise DataError(f"stimulus {name!r} is empty: {text!r}", "Every stimulus needs at least one word.")
        try:
            words = align(text, encoding.offsets)
        except ValueError as error:
            raise DataError(
                f"stimulus {name!r}: the word {error.args[0]!r} has no token in this model's tokenizer: {text!r}",
                "Remove or replace the word, or choose a model whose tokenizer knows its characters.",
            ) from None
        stimuli.append(Tokens(np.array(encoding.ids, np.int32), words))
    return stimuli


def start_tokens(tokenizer, bos: str) -> list[int]:
    """What stands before the first token of every context: BOS or CLS, once, never pooled.

    Args:
        tokenizer: of transformers.
        bos: "auto": what the tokenizer itself puts at the start of a text; "never": nothing; "always": also where the
            tokenizer by itself puts nothing (GPT-2), its `bos_token` or `cls_token`.

    Raises:
        ModelError: for "always", if the tokenizer has neither.
    """
    if bos == "never":
        return []
    encoding = fast_tokenizer(tokenizer).encode("a")
    ordinary = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
    start = encoding.ids[: ordinary[0]] if ordinary else []
    if start or bos == "auto":
        return start
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
    if token is None:
        raise ModelError("--bos always: this tokenizer has neither a BOS nor a CLS token", "Use --bos auto.")
    return [token]
