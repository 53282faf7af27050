"""Words that a model names, against greedy decoding in torch, a word at a time."""

from __future__ import annotations

import pytest
from behaviour.torch_loops import greedy
from conftest import sentences
from transformers import GPT2LMHeadModel

from jaxscore.behaviour import accuracy as module
from jaxscore.behaviour.accuracy import next_word_accuracy, pages
from jaxscore.errors import DataError
from jaxscore.models import load_model

WIKI = (
    " \n = One = \n \n The first of the first . \n = = Part = = \n It was the first of \n = Two = \n \n And the second"
)


def by_hand(model, text: str) -> tuple[int, int, int]:
    """(correct, words, unpredicted): each word's tokens beside what torch continues the page with."""
    torch_model = GPT2LMHeadModel.from_pretrained(model.checkpoint.folder).eval()
    correct = words = unpredicted = 0
    for page in pages(text):
        encoded = model.tokenizer(page, add_special_tokens=False, return_offsets_mapping=True)
        ids, spans = encoded["input_ids"], encoded["offset_mapping"]
        number = [len(page[:end].split()) if page[begin:end].strip() else 0 for begin, end in spans]
        for word in range(1, len(page.split()) + 1):
            own = [i for i, one in enumerate(number) if one == word]
            if not own[0]:
                unpredicted += 1
                continue
            words += 1
            correct += greedy(torch_model, ids[: own[0]], len(own)) == [ids[i] for i in own]
    return correct, words, unpredicted


@pytest.fixture(scope="module")
def mini():
    return load_model("mini")


def test_greedy_words_of_torch(mini):
    text = WIKI + "\n" + "He was born in the United States . It was the first of the two , and one of the most of the ."
    found = next_word_accuracy(mini, text)
    assert (found.correct, found.words, found.unpredicted) == by_hand(mini, text)
    assert found.pages == 2
    assert found.accuracy == found.correct / found.words > 0.1


def test_a_first_word_is_not_predicted(tiny):
    model, text = load_model(tiny), "the " + " ".join(sentences(3))
    found = next_word_accuracy(model, text)
    assert found.unpredicted == 1
    assert (found.correct, found.words, found.unpredicted) == by_hand(model, text)


def test_groups_change_nothing(mini, monkeypatch):
    whole = next_word_accuracy(mini, WIKI, window=24, stride=12)
    monkeypatch.setattr(module, "HELD", mini.arch.width * 60)
    assert next_word_accuracy(mini, WIKI, window=24, stride=12) == whole


def test_words_longer_than_their_window_are_not_predicted(tiny):
    found = next_word_accuracy(tiny, "a b " + "x" * 30 + " c", window=8, stride=4, bos="always")
    assert (found.words, found.unpredicted) == (3, 1)  # the start token stands before the first


def test_pages():
    assert pages(WIKI) == [WIKI[2 : WIKI.index(" = Two")], WIKI[WIKI.index(" = Two") :]]
    assert pages("Some text\n = Title = \n more") == ["Some text\n", " = Title = \n more"]
    assert pages("no = title = \n") == ["no = title = \n"]


def test_one_word_has_none_before_it(tiny):
    with pytest.raises(DataError, match="no word with another before it"):
        next_word_accuracy(tiny, "the")
