"""The likeliest token over chunks of the vocabulary, in heads of every kind, against torch's logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from jaxscore.behaviour.likeliest import likeliest, slot_states
from jaxscore.contexts.windows import Slot, Window
from jaxscore.errors import ModelError
from jaxscore.models import load_model

SIZES = {"vocab_size": 9001, "n_embd": 24, "n_layer": 2, "n_head": 2, "n_positions": 64}
HEADS = {
    "untied, with a bias": ("GPTJ", SIZES | {"rotary_dim": 4}),
    "projected": (
        "OPT",
        {
            "vocab_size": 9001, "hidden_size": 24, "word_embed_proj_dim": 12, "num_hidden_layers": 2, "ffn_dim": 32,
            "num_attention_heads": 2, "max_position_embeddings": 64, "do_layer_norm_before": False,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_argmax_of_torch(tmp_path, name):
    kind, sizes = HEADS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**sizes)
    reference = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        reference.get_output_embeddings().weight[8500:] *= 1.25
    reference.save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 9001, 40).astype(np.int32), rng.integers(0, 9001, 25).astype(np.int32)]
    windows = [Window(text, tuple(Slot(0, t, t) for t in range(len(text)))) for text in texts]
    model = load_model(tmp_path).transformer(head=True)
    states = slot_states(model, windows, model.arch.layers)
    with torch.no_grad():
        expected = [reference(torch.tensor(text[None])).logits[0].argmax(-1).numpy() for text in texts]
    np.testing.assert_array_equal(likeliest(model, states), np.concatenate(expected))
    chunks = np.concatenate(expected) // 4096
    assert {2} < set(chunks)  # the last chunk, which is moved back to fit, and others


def test_more_tokens_than_one_product_holds(monkeypatch, tiny):
    model = load_model(tiny).transformer(head=True)
    states = np.random.default_rng(1).normal(size=(37, model.arch.width)).astype(np.float32)
    whole = likeliest(model, states)
    np.testing.assert_array_equal(whole, (states @ np.asarray(model.arrays["embed"]["tokens"]).T).argmax(1))
    monkeypatch.setattr("jaxscore.behaviour.likeliest.TOKENS", 8)
    np.testing.assert_array_equal(likeliest(model, states), whole)
    assert likeliest(model, states[:0]).shape == (0,)


def test_a_bidirectional_model_has_no_next_word(tmp_path):
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.BertConfig(**sizes, intermediate_size=16).save_pretrained(tmp_path)
    model = load_model(tmp_path, untrained=True).transformer()
    with pytest.raises(ModelError, match="no surprisal"):
        likeliest(model, np.zeros((3, 16), np.float32))
