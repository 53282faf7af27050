"""Tokenizers of every kind in small, and the real ones of GPT-2 and BERT where the data are at hand."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from parity.reference_torch import bert_tokenizer, gpt2_tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import CTRLTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the real tokenizers and stimuli (../shared/data) are away")
MERGES = ["t h", "th e", "{} the", "i n", "e r", "{} s", "o n", "{} a"]
CHARACTERS = list(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"()-\u2019\u201c\u201d\u2014\u00e9"
)


def _bpe(space: str, alphabet: list[str], **options) -> models.BPE:
    merges = [tuple(pair.format(space).split()) for pair in MERGES]
    pieces = [*alphabet, *("".join(pair) for pair in merges)]
    return models.BPE(vocab={piece: i for i, piece in enumerate(dict.fromkeys(pieces))}, merges=merges, **options)


def _wrap(tokenizer: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def byte_bpe(*, trim: bool = False, prefix_space: bool = False) -> PreTrainedTokenizerFast:
    """As GPT-2's and RoBERTa's: a token for every byte, few merges, offsets with or without the leading space."""
    tokenizer = Tokenizer(_bpe("\u0120", sorted(pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    tokenizer.add_special_tokens([AddedToken("<|end|>")])
    return _wrap(tokenizer, bos_token="<|end|>")


def word_piece() -> PreTrainedTokenizerFast:
    """As BERT's: cleaning, lower case, accents off, CJK apart, with a vocabulary of letters; CLS and SEP."""
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789.,'\u2019\u201c\u201d\u2014-東京")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "##er", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pair = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pair)
    return _wrap(tokenizer, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")


def unigram() -> PreTrainedTokenizerFast:
    """As T5's: NFKC, a mark before every word (the first one too), an end token."""
    pieces = ["<unk>", "</s>", "\u2581", "\u2581the", "er", "in", *CHARACTERS]
    tokenizer = Tokenizer(models.Unigram([(p, -1.0 - i / 50) for i, p in enumerate(pieces)], unk_id=0))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return _wrap(tokenizer, eos_token="</s>", unk_token="<unk>")


def byte_fallback() -> PreTrainedTokenizerFast:
    """As Llama's: no pre-tokenizer at all, a mark for spaces, bytes for unknown characters, a start token."""
    alphabet = ["<unk>", "<s>", *(f"<0x{i:02X}>" for i in range(256)), "\u2581", *CHARACTERS]
    tokenizer = Tokenizer(_bpe("\u2581", alphabet, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return _wrap(tokenizer, bos_token="<s>", unk_token="<unk>")


def across_spaces() -> PreTrainedTokenizerFast:
    """One whose tokens go beyond white space: "the" + space + "s" is one of them."""
    merges = [("t", "h"), ("th", "e"), ("the", " "), ("the ", "s")]
    pieces = [*map(chr, range(32, 127)), *("".join(pair) for pair in merges)]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return _wrap(Tokenizer(models.BPE(vocab=vocabulary, merges=merges)))


def ctrl(folder: Path) -> CTRLTokenizer:
    """CTRL's own tokenizer, written in Python, without offsets; it knows few characters."""
    pieces = ["<unk>", "th@@", "the", "er", *CHARACTERS, *(f"{c}@@" for c in CHARACTERS), "\n"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version\nt h\nth e</w>\ne r</w>\n", encoding="utf-8")
    return CTRLTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


SMALL = {
    "byte_bpe": byte_bpe,
    "byte_bpe trimmed": lambda: byte_bpe(trim=True),
    "byte_bpe prefixed": lambda: byte_bpe(trim=True, prefix_space=True),
    "word_piece": word_piece,
    "unigram": unigram,
    "byte_fallback": byte_fallback,
}
"""Fast tokenizers that split at white space."""


@cache
def small(name: str) -> PreTrainedTokenizerFast:
    return SMALL[name]()


@cache
def real(name: str) -> PreTrainedTokenizerBase:
    return {"gpt2": gpt2_tokenizer, "bert": bert_tokenizer}[name](SHARED)
