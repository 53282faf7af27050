"""Words to tokens by offsets: aligned, or refused with the stimulus and the word; never shifted."""

from __future__ import annotations

import re

import numpy as np
import pytest
from contexts.tokenizers_at_hand import SMALL, across_spaces, ctrl, needs_data, real, small
from transformers import AutoTokenizer

from jaxscore.contexts.alignment import AlignmentError, align, tokenise
from jaxscore.contexts.encoding import Encoded
from jaxscore.errors import DataError

ORDINARY = [
    "A.",
    "The otter\u2019s \u201clantern\u201d \u2014 or so they say.",
    "Zoë\u2019s naïve café",
    "e\u0301 combining",
    "東京 は 晴れ です。",
    "שלום עולם وداعا",
    "tabs\tand\ttabs  two spaces\nand a line",
    "no-break\u00a0space and\u2003em space",
    "👩🏽‍🚀 flies",
    "ﬁne… ½ ①②",
    "ends with two spaces  ",
    " \t starts late",
]


def offsets(*spans: tuple[int, int]) -> Encoded:
    return Encoded(np.arange(len(spans)), np.array(spans, int).reshape(-1, 2))


@pytest.mark.parametrize("text", ORDINARY)
@pytest.mark.parametrize("name", SMALL)
def test_every_word_has_its_tokens(name, text):
    tokenizer = small(name)
    (found,) = tokenise(tokenizer, [text], ["s"])
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert found.ids.tolist() == encoding.input_ids
    words = list(re.finditer(r"\S+", text))
    assert len(found.words) == len(words)
    for (first, last), word in zip(found.words, words, strict=True):
        spans = encoding.offset_mapping[first : last + 1]
        assert spans[0][0] <= word.start() < spans[0][1]
        assert spans[-1][0] < word.end()
        assert not any(map(str.isalnum, text[spans[-1][1] : word.end()]))  # normalisers drop a last accent
        assert not text[spans[0][0] : word.start()].strip()  # no more than white space beside the word
        assert not text[word.end() : spans[-1][1]].strip()
    assert (found.first, found.last) == (found.words[0][0], found.words[-1][1])


@needs_data
@pytest.mark.parametrize("text", ORDINARY)
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_the_last_token_ends_the_words_up_to_it(name, text):
    """By another way than offsets: the text up to the end of a word has as many tokens."""
    tokenizer = real(name)
    (found,) = tokenise(tokenizer, [text], ["s"])
    for (_, last), word in zip(found.words, re.finditer(r"\S+", text), strict=True):
        assert tokenizer(text[: word.end()], add_special_tokens=False).input_ids == found.ids[: last + 1].tolist()


@pytest.mark.parametrize("name", ["byte_bpe", "byte_bpe trimmed", "byte_fallback"])
@pytest.mark.parametrize("word", ["😀", "👩🏽‍🚀", "日", "ש", "é"])
def test_bytes_of_one_character_all_belong_to_its_word(name, word):
    tokenizer = small(name)
    text = f"the {word} otter"
    (found,) = tokenise(tokenizer, [text], ["s"])
    (alone,) = tokenise(tokenizer, [f"the {word}"], ["s"])
    assert found.words[1][1] == len(alone.ids) - 1
    assert found.ids[: len(alone.ids)].tolist() == alone.ids.tolist()


@pytest.mark.parametrize("name", ["byte_bpe", "byte_bpe trimmed", "byte_fallback"])
@pytest.mark.parametrize("space", [" ", "  ", "\t", "\n", "\u00a0", "\u2003"])
def test_trailing_white_space_is_never_pooled(name, space):
    with_space, without = tokenise(small(name), [f"an otter{space}", "an otter"], ["a", "b"])
    assert with_space.last == without.last == len(without.ids) - 1
    assert len(with_space.ids) > len(without.ids)


def test_words_of_several_tokens():
    (found,) = tokenise(small("byte_bpe"), ["the otter"], ["s"])
    pieces = small("byte_bpe").convert_ids_to_tokens(found.ids)
    assert pieces == ["the", "\u0120", "o", "t", "t", "er"]
    assert found.words == ((0, 0), (2, 5))  # a token of white space alone belongs to no word


def test_texts_are_aligned_each_by_itself():
    texts, encoded = ["ab cd", "", "e", " f"], [offsets((0, 2), (2, 5)), offsets(), offsets((0, 1)), offsets((0, 2))]
    assert align(texts, encoded) == [((0, 0), (1, 1)), (), ((0, 0),), ((0, 0),)]


@pytest.mark.parametrize(
    ("spans", "word", "reason"),
    [
        ([(0, 1), (1, 4), (4, 5)], 0, "shares a token with the next word"),
        ([(0, 0), (3, 5)], 0, "has no token"),
        ([(0, 2)], 1, "has no token"),
        ([(0, 1), (3, 5), (1, 2)], 0, "has tokens after those of the next word"),
    ],
)
def test_what_is_not_aligned_is_refused(spans, word, reason):
    with pytest.raises(AlignmentError) as caught:
        align(["x", "ab cd"], [offsets((0, 1)), offsets(*spans)])
    assert (caught.value.text, caught.value.word, caught.value.reason) == (1, word, reason)


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0"])
def test_empty_stimulus(text):
    with pytest.raises(DataError, match="stimulus 'second' is empty"):
        tokenise(small("byte_bpe"), ["fine", text], ["first", "second"])


@pytest.mark.parametrize("word", ["\u200b", "\u0007", "\u200d", "\ufeff"])
def test_a_word_that_normalises_to_nothing(word):
    text = f"the {word} otter"
    with pytest.raises(DataError, match="stimulus 's7'") as caught:
        tokenise(small("word_piece"), ["the otter", text], ["s6", "s7"])
    assert f"the word {word!r} has no token" in caught.value.message
    assert "Remove or replace the word" in caught.value.hint
    assert len(tokenise(small("byte_bpe"), [text], ["s7"])[0].words) == 3  # which has a token for every byte


def test_a_tokenizer_that_goes_beyond_white_space():
    tokenizer = across_spaces()
    with pytest.raises(DataError, match="stimulus 'b': the word 'the' shares a token with the next word"):
        tokenise(tokenizer, ["the otter", "on the stone"], ["a", "b"])
    # in "the otter" the space belongs to the token of "the", which is no part of another word
    assert tokenise(tokenizer, ["the otter"], ["a"])[0].words[0] == (0, 0)


def test_a_separator_that_the_tokenizer_drops():
    """Python splits words at \\x1c, BERT's cleaning removes it: what stands beside it becomes one token."""
    with pytest.raises(DataError, match="the word 'th' shares a token"):
        tokenise(small("word_piece"), ["th\x1ce"], ["s"])


def test_a_tokenizer_without_offsets_is_aligned_by_construction(tmp_path):
    text = "the otter, the\tother"
    (found,) = tokenise(ctrl(tmp_path), [text], ["s"])
    pieces = ["the", "o@@", "t@@", "t@@", "e@@", "r@@", ",", "the", "o@@", "th@@", "er"]
    assert ctrl(tmp_path).convert_ids_to_tokens(found.ids.tolist()) == pieces
    assert found.words == ((0, 0), (1, 6), (7, 7), (8, 10))


def test_truncation_and_padding_of_the_file_are_ignored(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    (found,) = tokenise(tokenizer, ["an otter mends the lantern"], ["s"])
    assert len(found.ids) > 4
    assert found.last == len(found.ids) - 1


def test_tokens_carry_no_special_ones():
    tokenizer = small("word_piece")
    (found,) = tokenise(tokenizer, ["the otter"], ["s"])
    assert not {tokenizer.cls_token_id, tokenizer.sep_token_id} & set(found.ids.tolist())


@pytest.mark.parametrize("name", SMALL)
def test_ten_thousand_words(name):
    words = [f"wo{i % 997}rd" for i in range(10_000)]
    (found,) = tokenise(small(name), [" ".join(words)], ["s"])
    assert len(found.words) == 10_000
    (alone,) = tokenise(small(name), [" " + words[1234]], ["s"])
    first, last = found.words[1234]
    assert found.ids[first : last + 1].tolist() == alone.ids[alone.first : alone.last + 1].tolist()
