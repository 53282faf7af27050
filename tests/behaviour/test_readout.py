"""The readout against the same loop in torch: same features, first weights and order of blocks; when it stops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from behaviour.torch_loops import Decoder
from conftest import sentences
from transformers import BertConfig, GPT2Model

from jaxscore.behaviour import readout as module
from jaxscore.behaviour.decoder import first_decoder
from jaxscore.behaviour.readout import readout
from jaxscore.errors import DataError, JaxscoreError, ModelError
from jaxscore.models import load_model

TRAIN, VALID, TEST = (" ".join(sentences(count, seed)) for count, seed in ((17, 0), (5, 1), (5, 2)))


def test_the_loop_of_torch(tiny, monkeypatch):
    monkeypatch.setattr(module, "HELD", 12)  # several pieces of the text
    model, rate, epochs, seed = load_model(tiny), 0.02, 4, 7
    reference = GPT2Model.from_pretrained(tiny).eval()
    data = []
    for text in (TRAIN, VALID, TEST):
        ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
        blocks = torch.tensor(ids[: len(ids) // 32 * 32]).reshape(-1, 32)
        with torch.no_grad():
            data.append((reference(blocks).last_hidden_state, blocks))
    train, valid, test = data
    first = first_decoder(model.arch.width, model.arch.vocabulary, seed)
    count = len(train[0])
    decoder = Decoder(*(np.array(first[name]) for name in ("weight", "bias")), rate, epochs * -(-count // 4))
    rng, losses, perplexities = np.random.RandomState(seed), [], []
    for _ in range(epochs):
        losses.append(decoder.epoch(*train, rng.permutation(count)))
        perplexities.append(float(decoder.loss(*valid).detach().exp()))

    found = readout(model, TRAIN, VALID, TEST, epochs=epochs, rate=rate, seed=seed, threshold=-np.inf)
    assert found.blocks == tuple(len(blocks) for _, blocks in data)
    assert count % 4  # a last short batch
    assert losses[0] - losses[-1] > 0.5
    np.testing.assert_allclose(found.train_loss, losses, atol=1e-4)
    np.testing.assert_allclose(found.validation_perplexity, perplexities, rtol=1e-4)
    assert found.loss == pytest.approx(float(decoder.loss(*test).detach()), abs=1e-4)
    assert found.perplexity == pytest.approx(np.exp(found.loss))
    assert found.bits == pytest.approx(found.loss / np.log(2))
    assert (found.layer, found.features, found.seed) == (model.layer_names[-1], model.arch.width, seed)


def test_it_stops_when_validation_gains_too_little(tiny, monkeypatch):
    monkeypatch.setattr(module, "HELD", 12)
    found = readout(tiny, TRAIN, VALID, TEST, layer=1, epochs=30, rate=0.03)
    assert found.layer == "encoder.h.0"
    seen = np.array(found.validation_perplexity)
    assert 2 < len(seen) < 30
    assert (seen[:-2] - seen[1:-1] > 1).all()
    assert seen[-2] - seen[-1] <= 1


def test_wide_layers_are_subsampled(tiny, monkeypatch):
    monkeypatch.setattr(module, "WIDEST", 10)
    read = module._Features(load_model(tiny).transformer(), 2, [])
    chosen = np.random.RandomState(0).choice(np.arange(16), size=10, replace=False)
    blocks = np.arange(64, dtype=np.int32).reshape(2, 32)
    narrow = read(blocks)
    assert narrow.shape == (2, 31, 10)
    monkeypatch.setattr(module, "WIDEST", 16)
    np.testing.assert_array_equal(narrow, module._Features(load_model(tiny).transformer(), 2, [])(blocks)[..., chosen])


def test_a_bidirectional_model_has_not_read_what_it_predicts(tmp_path):
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertConfig(**sizes, intermediate_size=16).save_pretrained(tmp_path)
    read = module._Features(load_model(tmp_path, untrained=True).transformer(), 2, [1])
    blocks = np.random.default_rng(0).integers(2, 50, (1, 32)).astype(np.int32)
    changed = blocks.copy()
    changed[0, 20:] = 2
    before, after = read(blocks)[0], read(changed)[0]
    np.testing.assert_array_equal(before[:20], after[:20])
    assert np.abs(before[20:] - after[20:]).max(1).min() > 1e-3


@pytest.mark.parametrize(
    ("model", "texts", "layer", "error", "message"),
    [
        ("tiny", ("the", VALID, TEST), None, DataError, "training text has 1 tokens"),
        ("tiny", (TRAIN, " ", TEST), None, DataError, "validation text has no word"),
        ("tiny", (TRAIN, VALID, TEST), "0-1", JaxscoreError, "names 2 layers"),
        ("tiny", (TRAIN, VALID, TEST), "h.9", JaxscoreError, "No layer"),
        ("sentence-length", (TRAIN, VALID, TEST), None, ModelError, "no tokens"),
    ],
)
def test_what_cannot_be_read_out(tiny, model, texts, layer, error, message):
    with pytest.raises(error, match=message):
        readout(tiny if model == "tiny" else model, *texts, layer)
