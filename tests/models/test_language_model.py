"""A model by name, folder or draw: what it is called, what identifies it, what is wrong with one that cannot be had."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, BertConfig, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import jaxscore
from jaxscore.errors import JaxscoreError, ModelError
from jaxscore.models import LanguageModel, load_model
from jaxscore.models.hub import Checkpoint

CARD = """
identifier = "Tiny"
title = "twenty texts"
follows = "a test"
data = { source = "data.csv" }
splits = { scheme = "contiguous" }
regression = { solver = "ridge", alpha = 1.0 }
ceiling = { kind = "none", source = "none" }
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A tiny GPT-2 with a tokenizer of words."""
    folder = tmp_path / "tiny"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=4, n_positions=16, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "b": 2, "?": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="?").save_pretrained(folder)
    return folder


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_local_folder(folder):
    model = load_model(folder)
    assert (model.name, model.checkpoint.source, model.checkpoint.commit) == ("tiny", "local", None)
    assert (model.untrained, model.dtype) == (False, "float32")
    assert model.layer_names == ["drop", "encoder.h.0", "encoder.h.1"]
    assert (model.arch.layers, model.arch.width, model.arch.positions, model.arch.causal) == (2, 8, 16, True)
    assert model.tokenizer("b a").input_ids == [2, 1]
    assert model.transformer().arch == model.arch
    assert load_model(str(folder)).fingerprint == model.fingerprint


def test_the_embedded_model():
    model = jaxscore.load_model("mini")
    assert (model.name, model.checkpoint.source) == ("mini", "embedded")
    assert len(model.layer_names) == model.arch.layers + 1


def test_names_of_layers_of_bert(tmp_path):
    BertConfig(num_hidden_layers=2).save_pretrained(tmp_path)
    names = load_model(tmp_path, untrained=True).layer_names
    assert names == ["embedding", "encoder.layer.0.output", "encoder.layer.1.output"]


def test_the_weights_are_read_when_they_are_needed_and_not_before(folder):
    (folder / "model.safetensors").unlink()
    model = load_model(folder)
    assert model.layer_names
    with pytest.raises(ModelError, match="no weights"):
        model.weight_bytes()


# --- fingerprint ------------------------------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_weights_configuration_and_tokenizer(folder):
    found = [load_model(folder).fingerprint]
    change(folder / "config.json", '"layer_norm_epsilon": 1e-05', '"layer_norm_epsilon": 1e-04')
    found.append(load_model(folder).fingerprint)
    change(folder / "tokenizer.json", '"Whitespace"', '"WhitespaceSplit"')
    found.append(load_model(folder).fingerprint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        GPT2LMHeadModel(GPT2Config.from_pretrained(folder)).save_pretrained(folder)
    found.append(load_model(folder).fingerprint)
    assert len(set(found)) == 4


def test_the_fingerprint_of_an_untrained_model_has_the_seed_and_not_the_weights(folder):
    trained = load_model(folder).fingerprint
    drawn = [load_model(folder, untrained=True, seed=seed).fingerprint for seed in (0, 1)]
    assert len({trained, *drawn}) == 3
    (folder / "model.safetensors").unlink()
    assert load_model(folder, untrained=True, seed=1).fingerprint == drawn[1]


def test_the_fingerprint_does_not_depend_on_where_the_folder_lies(folder, tmp_path):
    before = load_model(folder).fingerprint
    assert load_model(folder.rename(tmp_path / "elsewhere")).fingerprint == before


def test_an_untrained_model_says_so_in_its_name(folder):
    assert load_model(folder, untrained=True).name == "tiny-untrained"
    assert load_model(folder, untrained=True).weight_bytes() == 0


# --- what cannot be had -----------------------------------------------------------------------------------------------


def test_unknown_names_get_a_suggestion():
    with pytest.raises(ModelError, match=r"Unknown model 'distilgtp2'.*distilgpt2") as error:
        load_model("distilgtp2")
    assert "jaxscore ls models" in error.value.hint


@pytest.mark.parametrize("spec", ["./nowhere", "/no/such/folder", "a/b/c", "no such model"])
def test_paths_that_are_not_there_are_no_hub_ids(spec):
    with pytest.raises(ModelError, match="Unknown model"):
        load_model(spec)


def test_a_folder_without_configuration(tmp_path):
    with pytest.raises(ModelError, match=r"without config\.json") as error:
        load_model(tmp_path)
    assert "save_pretrained" in error.value.hint


def test_an_unknown_dtype(folder):
    with pytest.raises(JaxscoreError, match=r"'bfloat'.*bfloat16") as error:
        load_model(folder, dtype="bfloat")
    assert "float32, bfloat16, float16" in error.value.hint


@pytest.mark.parametrize("kind", ["gpt2", "bert", "roberta", "electra"])
def test_a_folder_without_tokenizer(tmp_path, kind):
    """The transformers library makes a tokenizer out of nothing then, to which every word is unknown."""
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    model = load_model(tmp_path, untrained=True)
    with pytest.raises(ModelError, match="tokenizer") as error:
        _ = model.tokenizer
    assert "tokenizer.json" in error.value.hint


def test_a_tokenizer_of_another_model(folder, tmp_path, monkeypatch):
    """Its ids lie beyond the embedding, where an indexed array gives its last row without a word."""
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    change(folder / "tokenizer.json", '"b": 2', '"b": 200')
    rng = np.random.default_rng(0)
    rows = [f"a {'b' if i % 3 else 'a'} a,{rng.random()}" for i in range(20)]
    (tmp_path / "data.csv").write_text("\n".join(["sentence,y", *rows]))
    (tmp_path / "card.toml").write_text(CARD)
    with pytest.raises(ModelError, match="200"):
        jaxscore.score(folder, tmp_path / "card.toml", out=None)


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    model = load_model(folder)
    with pytest.raises(ModelError, match="no tokenizer"):
        _ = model.tokenizer


def test_a_damaged_configuration_is_reported_by_its_path(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"n_layer": "two"}))
    with pytest.raises(ModelError, match=r"config\.json"):
        _ = load_model(folder).arch


def test_a_model_is_its_checkpoint(folder):
    model = LanguageModel(Checkpoint("mine", folder, "local"), untrained=True, seed=5)
    assert (model.name, model.seed) == ("mine-untrained", 5)
