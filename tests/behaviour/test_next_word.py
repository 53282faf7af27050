"""Perplexity of long texts against transformers' sliding windows in torch: the same tokens, each once."""

from __future__ import annotations

import numpy as np
import pytest
from behaviour.torch_loops import sliding_bits
from conftest import sentences
from transformers import GPT2LMHeadModel

from jaxscore.behaviour.loading import token_ids
from jaxscore.behaviour.next_word import perplexity
from jaxscore.errors import DataError, ModelError
from jaxscore.models import load_model

TEXT = "\n".join(sentences(20)) + "\n\n  The end. "


@pytest.mark.parametrize(
    ("name", "window", "stride", "bos"),
    [
        ("mini", 64, 24, "auto"),
        ("tiny", 50, 49, "always"),
        ("tiny", 4096, None, "auto"),
        ("tiny", 33, 1, "never"),
    ],
)
def test_sliding_windows_of_torch(tiny, name, window, stride, bos):
    model = load_model(tiny if name == "tiny" else name)
    torch_model = GPT2LMHeadModel.from_pretrained(model.checkpoint.folder).eval()
    text = TEXT[:120] if stride == 1 else TEXT
    ids = token_ids(model, text).tolist()
    assert ids == model.tokenizer(text, add_special_tokens=False)["input_ids"]
    start = [model.tokenizer.bos_token_id] if bos == "always" else []
    found = perplexity(model, text, window=window, stride=stride, bos=bos)
    window = min(window, model.arch.positions)
    assert (found.window, found.stride) == (window, stride or window // 2)
    expected = sliding_bits(torch_model, ids, window, stride or window // 2, start)
    assert found.tokens == len(expected) == len(ids) - (not start)
    assert found.unpredicted == (not start)
    assert found.bits == pytest.approx(sum(expected), rel=1e-6)
    assert found.perplexity == pytest.approx(2 ** np.mean(expected), rel=1e-4)


def test_what_a_token_a_word_and_a_character_cost(tiny):
    found = perplexity(tiny, TEXT)
    assert (found.words, found.characters) == (len(TEXT.split()), len(TEXT))
    assert found.bits_per_token * found.tokens == pytest.approx(found.bits)
    assert found.bits_per_word * found.words == pytest.approx(found.bits)
    assert found.bits_per_character * found.characters == pytest.approx(found.bits)
    assert found.perplexity == pytest.approx(2**found.bits_per_token)


def test_windows_without_overlap_lose_their_first_tokens(tiny):
    whole = perplexity(tiny, TEXT)
    found = perplexity(tiny, TEXT, window=40, stride=40)
    windows = -(-(whole.tokens + 1) // 40)
    assert found.unpredicted == windows
    assert found.tokens + found.unpredicted == whole.tokens + 1


def test_loaded_weights_are_used(tiny):
    model = load_model(tiny)
    other = load_model(tiny, untrained=True).transformer(head=True)
    assert perplexity(model, TEXT, transformer=other).bits != perplexity(model, TEXT).bits
    assert perplexity(model, TEXT, transformer=model.transformer(head=True)) == perplexity(tiny, TEXT)


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        (" \n", {}, DataError, "no word"),
        ("a", {}, DataError, "A text of 1 tokens in windows of 256: nothing stands before"),
        (TEXT, {"window": 1}, DataError, "in windows of 1: nothing stands before"),
        ("\ud800", {}, DataError, "half of a pair"),
        (TEXT, {"window": 20, "stride": 21}, ModelError, "stride 21: windows hold 20"),
        (TEXT, {"window": 1, "bos": "always"}, ModelError, "no room"),
    ],
)
def test_what_cannot_be_read(tiny, text, options, error, message):
    with pytest.raises(error, match=message):
        perplexity(tiny, text, **options)


def test_a_static_model_predicts_nothing():
    with pytest.raises(ModelError, match="no tokens to predict"):
        perplexity("sentence-length", TEXT)
