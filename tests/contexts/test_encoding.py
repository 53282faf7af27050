"""What a tokenizer gives: ids with offsets, start and end tokens; what is no text is refused."""

from __future__ import annotations

import pytest
from contexts.tokenizers_at_hand import ctrl, needs_data, real, small
from tokenizers import Tokenizer, models, processors
from transformers import AutoTokenizer, PreTrainedTokenizer, PreTrainedTokenizerFast

from jaxscore.contexts.encoding import added_tokens, check_texts, count_otherwise, encode, fast_tokenizer, start_tokens
from jaxscore.errors import DataError, ModelError


class Characters(PreTrainedTokenizer):
    """Written in Python, reads character by character, white space as well (as CANINE does)."""

    vocab_size = 128

    def get_vocab(self) -> dict[str, int]:
        return {chr(i): i for i in range(self.vocab_size)}

    def _tokenize(self, text: str) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return ord(token)


def test_start_tokens():
    bytes_bpe, word_piece = small("byte_bpe"), small("word_piece")
    end, cls = bytes_bpe.bos_token_id, word_piece.cls_token_id
    assert [start_tokens(bytes_bpe, bos) for bos in ("auto", "never", "always")] == [[], [], [end]]
    assert [start_tokens(word_piece, bos) for bos in ("auto", "never", "always")] == [[cls], [], [cls]]


def test_no_start_token_to_be_had(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    assert start_tokens(bare, "auto") == []
    with pytest.raises(ModelError, match="--bos always: this tokenizer has neither"):
        start_tokens(bare, "always")


@pytest.mark.parametrize("name", ["byte_bpe", "word_piece", "unigram", "byte_fallback"])
@pytest.mark.parametrize("text", ["the otter", "x ", "", " 東京"])
def test_a_plain_call_is_start_text_end(name, text):
    tokenizer = small(name)
    start, end = added_tokens(tokenizer)
    assert [*start, *encode(tokenizer, [text])[0].ids.tolist(), *end] == tokenizer(text).input_ids


@needs_data
def test_what_the_real_tokenizers_add():
    assert added_tokens(real("gpt2")) == ([], [])
    bert = real("bert")
    assert added_tokens(bert) == ([bert.cls_token_id], [bert.sep_token_id])


def test_a_tokenizer_without_offsets(tmp_path):
    tokenizer = ctrl(tmp_path)
    assert added_tokens(tokenizer) == ([], [])
    assert count_otherwise(tokenizer, ["the otter", "an other stone."]) == 0
    # CTRL joins the end of a line to the word before it
    assert count_otherwise(tokenizer, ["the otter\nmends", "the otter"]) == 1


def test_a_tokenizer_without_offsets_that_adds_tokens(tmp_path):
    tokenizer = ctrl(tmp_path)
    tokenizer.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]"})
    tokenizer.special_tokens_pattern = "cls_sep"
    assert added_tokens(tokenizer) == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])


class Silent(PreTrainedTokenizer):
    """Written in Python, makes nothing of any text."""

    vocab_size = 0

    def get_vocab(self) -> dict[str, int]:
        return dict(self.added_tokens_encoder)

    def _tokenize(self, text: str) -> list[str]:
        return []

    def build_inputs_with_special_tokens(self, token_ids_0: list[int], token_ids_1: list[int] | None = None):
        return [self.cls_token_id, *token_ids_0, self.sep_token_id]


def test_a_vocabulary_without_latin_letters_has_start_tokens_all_the_same():
    """No unknown token: "a" gives no token at all."""
    vocabulary = {"東": 0, "京": 1, "<s>": 2, "</s>": 3}
    inside = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    special = [("<s>", 2), ("</s>", 3)]
    inside.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(single="<s> $A </s> <s>", special_tokens=special),
        ]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inside, bos_token="<s>", eos_token="</s>")
    assert encode(tokenizer, ["a"])[0].ids.tolist() == []
    assert tokenizer("東京").input_ids == [2, 0, 1, 3, 2]
    assert added_tokens(tokenizer) == ([2], [3, 2])
    assert start_tokens(tokenizer, "auto") == [2]


def test_a_tokenizer_in_python_without_latin_letters_has_start_tokens_all_the_same():
    tokenizer = Silent(cls_token="[CLS]", sep_token="[SEP]")
    assert tokenizer.tokenize("a") == []
    assert added_tokens(tokenizer) == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])


def test_a_tokenizer_that_reads_more_than_words_and_has_no_offsets():
    with pytest.raises(ModelError, match="Characters is not a fast tokenizer") as caught:
        encode(Characters(), ["a"])
    assert "tokenizer.json" in caught.value.hint
    with pytest.raises(ModelError, match="not a fast tokenizer"):
        fast_tokenizer(Characters())


def test_no_text():
    with pytest.raises(DataError, match="stimulus 's2' is not text but nan"):
        check_texts(["fine", float("nan")], ["s1", "s2"])
    with pytest.raises(DataError, match=r"stimulus 's1': character 3 is .*, half of a pair") as caught:
        check_texts(["caf\udce9"], ["s1"])
    assert "UTF-8" in caught.value.hint
