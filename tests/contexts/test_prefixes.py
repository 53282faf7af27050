"""Tokens of growing texts: by their last words the same as by all of them, wherever that way is taken."""

from __future__ import annotations

import numpy as np
import pytest
from contexts.tokenizers_at_hand import SMALL, across_spaces, ctrl, needs_data, real, small
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from jaxscore.contexts import prefixes as module
from jaxscore.contexts.prefixes import grow, prefixes, splits_at_spaces

PARTS = [
    "", "The otter ", "mends", " , ", "the  lantern ", "\t", ".", "Again", "!?", " it (the", "stone ) :", "don't",
    "stop ", "\u00a0;", "👩🏽‍🚀", "😀😀", "e\u0301", "東京", "the", "s ", " ", "on", "...", "and on ", "and on",
    "in the end .",
]  # fmt: skip


def clean(parts: list[str]) -> str:
    """What today's platform makes of the parts up to one, written otherwise: character by character."""
    text = " ".join(part for part in parts if part.strip())
    kept = ""
    for character in text:
        kept = (kept.rstrip() if character in ".,!?;:" else kept) + character
    return kept


def check(tokenizer, parts: list[str], *, local: bool) -> None:
    whole, found = prefixes(tokenizer, parts, local=local)
    assert whole.ids.tolist() == tokenizer(clean(parts), add_special_tokens=False).input_ids
    for i, prefix in enumerate(found):
        text = clean(parts[: i + 1])
        encoding = tokenizer(text, add_special_tokens=False)
        tokens = np.concatenate([whole.ids[: prefix.kept], prefix.own]).tolist()
        assert tokens == encoding.input_ids, (i, text[-40:])
        assert len(prefix) == len(tokens)


@pytest.mark.parametrize("parts", [PARTS, PARTS[1:], ["a ", ". b"], ["x", " . ", "!"], ["", " "], [".", ",", " ;"]])
def test_every_text_up_to_a_part(parts):
    growing = grow(parts)
    assert growing.text == clean(parts)
    assert [growing.up_to(i) for i in range(len(parts))] == [clean(parts[: i + 1]) for i in range(len(parts))]


@pytest.mark.parametrize("name", SMALL)
def test_the_last_words_are_enough(name):
    assert splits_at_spaces(small(name))
    check(small(name), PARTS, local=True)


@pytest.mark.parametrize("name", SMALL)
def test_whole_prefixes(name, monkeypatch):
    monkeypatch.setattr(module, "WHOLE_PREFIXES", 4)
    check(small(name), PARTS, local=False)


def test_a_tokenizer_that_goes_beyond_white_space_gets_every_prefix_whole():
    tokenizer = across_spaces()
    assert not splits_at_spaces(tokenizer)
    parts = ["on", "the", "stone", "of", "the", "s", "and", "more", "words", "of", "the", "stone"]
    check(tokenizer, parts, local=False)
    whole, found = prefixes(tokenizer, parts, local=False)
    begins = [np.array_equal(whole.ids[: len(prefix)], prefix.own) for prefix in found]
    assert begins == [part != "the" for part in parts]  # "the" + space + "s" is one token


def test_white_space_within_tokens_is_found_in_the_vocabulary():
    crossing = {"a": 0, "b": 1, " ": 2, "a ": 3}
    for vocabulary, merges, expected in [(crossing, [("a", " ")], False), ({"a": 0, "b": 1, " ": 2}, [], True)]:
        tokenizer = Tokenizer(models.BPE(vocabulary, merges))
        assert splits_at_spaces(PreTrainedTokenizerFast(tokenizer_object=tokenizer)) is expected
    bytes_alone = Tokenizer(models.BPE({"a": 0, "\u0120": 1}, []))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert not splits_at_spaces(PreTrainedTokenizerFast(tokenizer_object=bytes_alone))


def test_no_hypothesis_about_a_tokenizer_survives_its_own_last_prefix():
    """Told that it splits at white space, a tokenizer that does not is found out, and gets every prefix whole."""
    parts = ["of", "the", "stone", "of", "the", "stone", "of", "the", "s"]
    check(across_spaces(), parts, local=True)


def test_a_tokenizer_without_offsets(tmp_path):
    tokenizer = ctrl(tmp_path)
    assert splits_at_spaces(tokenizer)
    check(tokenizer, ["the otter ", "mends", ",", "the stone.", "", "Again", "and", "on."], local=True)


@needs_data
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_the_real_tokenizers(name):
    """Whose windows `test_parts` compares on real texts."""
    assert splits_at_spaces(real(name))
    check(real(name), PARTS, local=True)
