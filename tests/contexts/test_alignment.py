"""Words to tokens by offsets: with a byte-level BPE, a WordPiece and a tokenizer without offsets."""

from __future__ import annotations

import re

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, CanineTokenizer, PreTrainedTokenizerFast

from jaxscore.contexts.alignment import align, start_tokens, tokenise
from jaxscore.errors import DataError, ModelError

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
    "ends with two spaces  ",
    " \t starts late",
]


@pytest.fixture(scope="module")
def bytes_bpe(tiny) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(tiny)


@pytest.fixture(scope="module")
def word_piece() -> PreTrainedTokenizerFast:
    """BERT's pipeline (cleaning, lower case, accents off, CJK apart) with a vocabulary of letters."""
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789.,'\u2019\u201c\u201d\u2014-東京")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "##er", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pair = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pair)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")


@pytest.mark.parametrize("text", ORDINARY)
@pytest.mark.parametrize("name", ["bytes_bpe", "word_piece"])
def test_every_word_has_its_tokens(request, name, text):
    tokenizer = request.getfixturevalue(name)
    (found,) = tokenise(tokenizer, [text], ["s"])
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert found.ids.tolist() == encoding.input_ids
    words = list(re.finditer(r"\S+", text))
    assert len(found.words) == len(words)
    for (first, last), word in zip(found.words, words, strict=True):
        spans = encoding.offset_mapping[first : last + 1]
        assert spans[0][0] <= word.start() < spans[0][1]
        assert spans[-1][0] < word.end()
        assert not any(map(str.isalnum, text[spans[-1][1] : word.end()]))  # BERT's normaliser drops a last accent
        assert not text[spans[0][0] : word.start()].strip()  # no more than white space beside the word
        assert not text[word.end() : spans[-1][1]].strip()
    assert (found.first, found.last) == (found.words[0][0], found.words[-1][1])


@pytest.mark.parametrize("space", [" ", "  ", "\t", "\n", "\u00a0", "\u2003"])
def test_trailing_white_space_is_never_pooled(bytes_bpe, space):
    with_space, without = tokenise(bytes_bpe, [f"an otter{space}", "an otter"], ["a", "b"])
    assert with_space.last == without.last == len(without.ids) - 1
    assert len(with_space.ids) > len(without.ids)


def test_words_of_several_tokens(bytes_bpe):
    (found,) = tokenise(bytes_bpe, ["the otter"], ["s"])
    pieces = bytes_bpe.convert_ids_to_tokens(found.ids)
    assert pieces == ["the", "\u0120", "o", "t", "t", "er"]
    assert found.words == ((0, 0), (2, 5))  # a token of white space alone belongs to no word


def test_a_token_that_spans_two_words_belongs_to_both():
    assert align("ab cd", [(0, 1), (1, 4), (4, 5)]) == ((0, 1), (1, 2))


def test_empty_offsets_cover_nothing():
    with pytest.raises(ValueError, match=r"^ab$"):
        align("ab", [(0, 0)])
    with pytest.raises(ValueError, match=r"^cd$"):
        align("ab cd", [(0, 2)])


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0"])
def test_empty_stimulus(bytes_bpe, text):
    with pytest.raises(DataError, match="stimulus 'second' is empty"):
        tokenise(bytes_bpe, ["fine", text], ["first", "second"])


@pytest.mark.parametrize("word", ["\u200b", "\u0007", "\u200d", "\ufeff"])
def test_a_word_that_normalises_to_nothing(word_piece, bytes_bpe, word):
    text = f"the {word} otter"
    with pytest.raises(DataError, match="stimulus 's7'") as caught:
        tokenise(word_piece, [text], ["s7"])
    assert repr(word) in caught.value.message
    assert "Remove or replace the word" in caught.value.hint
    assert len(tokenise(bytes_bpe, [text], ["s7"])[0].words) == 3  # which has a token for every byte


def test_a_tokenizer_without_offsets():
    with pytest.raises(ModelError, match="CanineTokenizer is not a fast tokenizer") as caught:
        tokenise(CanineTokenizer(), ["a"], ["s"])
    assert "tokenizer.json" in caught.value.hint


def test_truncation_and_padding_of_the_file_are_ignored(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    (found,) = tokenise(tokenizer, ["an otter mends the lantern"], ["s"])
    assert len(found.ids) > 4
    assert found.last == len(found.ids) - 1


def test_start_tokens(bytes_bpe, word_piece):
    end, cls = bytes_bpe.bos_token_id, word_piece.cls_token_id
    assert [start_tokens(bytes_bpe, bos) for bos in ("auto", "never", "always")] == [[], [], [end]]
    assert [start_tokens(word_piece, bos) for bos in ("auto", "never", "always")] == [[cls], [], [cls]]


def test_no_start_token_to_be_had(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    assert start_tokens(bare, "auto") == []
    with pytest.raises(ModelError, match="--bos always: this tokenizer has neither"):
        start_tokens(bare, "always")


def test_tokens_carry_no_special_ones(word_piece):
    (found,) = tokenise(word_piece, ["the otter"], ["s"])
    assert not {word_piece.cls_token_id, word_piece.sep_token_id} & set(found.ids.tolist())
