"""Text to token ids with the characters that each token stands for, and what a tokenizer puts around a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from jaxscore.errors import DataError, ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

WORD = re.compile(r"\S+")
"""A word is the text between white space."""


@dataclass(frozen=True)
class Encoded:
    """One text as tokens, without special ones.

    Attributes:
        ids: token ids.
        offsets: the characters [first, end) of the original text that each token stands for.
    """

    ids: Int[np.ndarray, " token"]
    offsets: Int[np.ndarray, "token 2"]


def fast_tokenizer(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
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


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Encoded]:
    """Tokenise texts without special tokens.

    A tokenizer written in Python has no offsets (CTRL, XLM): it gets one word at a time, so that every token is known
    to belong to its word. `count_otherwise` says for how many texts it would by itself have given other tokens.

    Raises:
        ModelError: if a tokenizer without offsets gives tokens to white space, so that words are not all it reads; or
            if a tokenizer gives up on a text.
    """
    if tokenizer.is_fast:
        try:
            found = fast_tokenizer(tokenizer).encode_batch(list(texts), add_special_tokens=False)
        except Exception as error:  # the library has no other type: a word without a token, and none for unknown ones
            raise _unreadable(tokenizer, texts, error) from None
        return [Encoded(np.array(e.ids, np.int32), np.array(e.offsets, np.int64).reshape(-1, 2)) for e in found]
    if tokenizer.tokenize("a a") != 2 * tokenizer.tokenize("a"):
        fast_tokenizer(tokenizer)  # says what is missing, and what to do
    known: dict[str, list[int]] = {}
    return [_encode_words(tokenizer, text, known) for text in texts]


def _unreadable(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], error: Exception) -> Exception:
    """What to raise where a batch failed: an error that shows its first text that fails by itself."""
    if isinstance(error, ModelError):
        return error
    for text in texts:
        try:
            fast_tokenizer(tokenizer).encode(text, add_special_tokens=False)
        except Exception:
            return ModelError(
                f"The tokenizer cannot read {text!r}: {error}",
                "Its files may be damaged: save it again with tokenizer.save_pretrained(folder); or remove the text.",
            )
    return error


def _encode_words(tokenizer: PreTrainedTokenizerBase, text: str, known: dict[str, list[int]]) -> Encoded:
    """Tokenise each word by itself; `known` remembers the words of earlier texts."""
    ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    for match in WORD.finditer(text):
        word = match.group()
        if word not in known:
            known[word] = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word))
        ids += known[word]
        offsets += [match.span()] * len(known[word])
    return Encoded(np.array(ids, np.int32), np.array(offsets, np.int64).reshape(-1, 2))


def count_otherwise(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> int:
    """For how many texts `encode` gives other tokens than the tokenizer itself; 0 for every fast tokenizer."""
    if tokenizer.is_fast:
        return 0
    whole = [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) for text in texts]
    return sum(a != b.ids.tolist() for a, b in zip(whole, encode(tokenizer, texts), strict=True))


def check_texts(texts: Sequence[str], ids: Sequence[str]) -> None:
    """Refuse what no tokenizer takes.

    Raises:
        DataError: for a stimulus that is not text, or holds half of a surrogate pair (a file read in a wrong encoding).
    """
    for text, name in zip(texts, ids, strict=True):
        if not isinstance(text, str):
            raise DataError(f"stimulus {name!r} is not text but {text!r}", "Every stimulus needs at least one word.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"stimulus {name!r}: character {error.start} is {text[error.start]!r}, half of a pair: {text!r}",
                "Read the file in its own encoding and save it as UTF-8.",
            ) from None


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Ids that the tokenizer by itself puts before a text (BOS, CLS) and after it (SEP, EOS).

    They are put around a token that is none of the tokenizer's: what it makes of a letter depends on its vocabulary.
    """
    if tokenizer.is_fast:
        from tokenizers import Tokenizer, models

        foreign = Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).encode("a", add_special_tokens=False)
        encoding = fast_tokenizer(tokenizer).post_process(foreign)
        ids, text = encoding.ids, encoding.special_tokens_mask.index(0)
    else:
        ids = list(tokenizer.build_inputs_with_special_tokens([-1]))
        text = ids.index(-1)
    return ids[:text], ids[text + 1 :]


def start_tokens(tokenizer: PreTrainedTokenizerBase, bos: str) -> list[int]:
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
    start, _ = added_tokens(tokenizer)
    if start or bos == "auto":
        return start
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
    if token is None:
        raise ModelError("--bos always: this tokenizer has neither a BOS nor a CLS token", "Use --bos auto.")
    return [token]
