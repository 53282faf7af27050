"""Stimuli of a context in a row: tokenised apart, or joined and tokenised once."""

from __future__ import annotations

import pytest
from contexts.tokenizers_at_hand import needs_data, real, small

from jaxscore.contexts.chains import chain_apart, chain_joined, join
from jaxscore.errors import DataError

TEXTS = ["The otter", "mends, ", "the lantern.", " Again", "it  leaves"]
IDS = ["a", "b", "c", "d", "e"]
GROUPS = [[0, 1, 2], [3, 4]]


def test_no_white_space_is_doubled():
    assert join(["a"]) == "a"
    assert join(["a", "b ", "c", "\u00a0d", "e\n", " f"]) == "a b c\u00a0d e\n f"


def test_joined_is_tokenised_once():
    tokenizer = small("byte_bpe")
    chains = chain_joined(tokenizer, TEXTS, IDS, GROUPS)
    joined = ["The otter mends, the lantern.", " Again it  leaves"]
    assert [chain.ids.tolist() for chain in chains] == [tokenizer(text).input_ids for text in joined]
    assert [[i for i, _ in chain.stimuli] for chain in chains] == GROUPS
    for chain in chains:
        for i, words in chain.stimuli:
            found = [tokenizer.decode(chain.ids[first : last + 1]).strip() for first, last in words]
            assert found == TEXTS[i].split()


@needs_data
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_apart_a_byte_level_bpe_sees_no_space_between_two_stimuli(name):
    tokenizer = real(name)
    (chain,) = chain_apart(tokenizer, ["Otters swim.", "They dive."], ["a", "b"], [[0, 1]])
    assert chain.ids.tolist() == [
        *tokenizer("Otters swim.", add_special_tokens=False).input_ids,
        *tokenizer("They dive.", add_special_tokens=False).input_ids,
    ]
    assert tokenizer.convert_ids_to_tokens(int(chain.ids[chain.stimuli[1][1][0][0]])) in ("They", "they")


@pytest.mark.parametrize("make", [chain_joined, chain_apart])
def test_a_word_without_a_token_is_named_with_its_stimulus(make):
    texts = ["the otter", "on a", "stone \u200b here", "again"]
    with pytest.raises(DataError, match=r"stimulus 'c': the word '\\u200b' has no token .*: 'stone \\u200b here'"):
        make(small("word_piece"), texts, IDS[:4], [[3], [0, 1, 2]])


@pytest.mark.parametrize("make", [chain_joined, chain_apart])
def test_a_blank_stimulus_is_refused(make):
    with pytest.raises(DataError, match="stimulus 'b' is empty: ' '"):
        make(small("byte_bpe"), ["a", " "], ["a", "b"], [[0, 1]])
