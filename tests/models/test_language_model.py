"""A model by name, folder or draw: what it is called, what identifies it, what is wrong with one that cannot be had."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, BertConfig, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, XLMConfig

import jaxscore
from jaxscore.contexts.encoding import encode
from jaxscore.errors import FetchError, JaxscoreError, ModelError
from jaxscore.models import LanguageModel, StaticModel, load_model
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


@pytest.mark.parametrize("name", ["gpt2", "gpt2@main"])
def test_an_empty_folder_does_not_hide_a_name(tmp_path, monkeypatch, name):
    """A folder of results by the name of a model is no checkpoint: the name is looked for at the hub."""
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FetchError, match=r"openai-community/gpt2 is not on this machine and --offline"):
        load_model(name, offline=True)
    GPT2Config(n_layer=1).save_pretrained(tmp_path / name)
    assert load_model(name, untrained=True, offline=True).checkpoint.source == "local"


def test_an_empty_folder_does_not_hide_a_baseline_and_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sentence-length").mkdir()
    Path("owner/model").mkdir(parents=True)
    assert isinstance(load_model("sentence-length"), StaticModel)
    with pytest.raises(ModelError, match=r"without config\.json"):
        load_model("owner/model")


@pytest.mark.parametrize("spec", ["foo/bar baz", "org/na..me", "org/na--me", "org/-name", "org/", "a/" + "b" * 300])
@pytest.mark.parametrize("offline", [False, True])
def test_what_can_be_no_hub_id(spec, offline):
    with pytest.raises(ModelError, match="neither a local folder nor a hub id") as error:
        load_model(spec, offline=offline)
    assert "jaxscore ls models" in error.value.hint


def test_a_name_too_long_for_a_file():
    with pytest.raises(ModelError, match="Unknown model"):
        load_model("b" * 300)


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


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("gpt2", {"n_layer": 0}, "n_layer is 0"),
        ("gpt2", {"n_layer": -1}, "n_layer is -1"),
        ("gpt2", {"n_head": 0}, "n_head is 0"),
        ("bert", {"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ("t5", {"num_layers": 0}, "num_layers is 0"),
        ("distilbert", {"n_layers": 0}, "n_layers is 0"),
        ("llama", {"num_key_value_heads": 3}, "num_key_value_heads is 3, which does not divide num_attention_heads, 4"),
        ("llama", {"num_key_value_heads": 8}, "num_key_value_heads is 8, which does not divide num_attention_heads, 4"),
        ("llama", {"num_key_value_heads": 0}, "num_key_value_heads is 0"),
        ("albert", {"num_hidden_groups": 0}, "num_hidden_groups is 0"),
        ("albert", {"num_hidden_groups": 4}, "num_hidden_groups is 4, but num_hidden_layers is 3"),
    ],
)
def test_sizes_that_no_model_has(tmp_path, kind, changes, words):
    sizes = {
        "llama": {"num_attention_heads": 4, "hidden_size": 32},
        "albert": {"num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4},
    }
    config = {"model_type": kind} | sizes.get(kind, {})
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_model(tmp_path, untrained=True).arch.layers
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ModelError, match=words) as error:
        _ = load_model(tmp_path, untrained=True).arch
    assert str(tmp_path / "config.json") in error.value.message
    assert next(iter(changes)) in error.value.hint


def test_a_tokenizer_that_needs_a_package(tmp_path, monkeypatch):
    """As if it were not installed, wherever this runs."""
    XLMConfig(n_layers=1, n_heads=1, emb_dim=8, vocab_size=4).save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text('{"<s>": 0, "</s>": 1, "<unk>": 2, "a</w>": 3}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    model = load_model(tmp_path, untrained=True)
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(ModelError, match=r"needs a package that is not installed: sacremoses\n") as error:
        _ = model.tokenizer
    assert "pip install sacremoses" in error.value.hint
    assert "jaxscore[tokenizers]" in error.value.hint


def test_a_tokenizer_that_gives_up_names_the_text(tmp_path):
    """WordPiece without the token for unknown words."""
    tokenizer = Tokenizer(models.WordPiece({"a": 0, "b": 1}, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    assert encode(tokenizer, ["a b"])[0].ids.tolist() == [0, 1]
    with pytest.raises(ModelError, match=r"cannot read 'a strange b': .*\[UNK\]") as error:
        encode(tokenizer, ["a b", "a strange b", "a"])
    assert "save_pretrained" in error.value.hint


def test_a_model_is_its_checkpoint(folder):
    model = LanguageModel(Checkpoint("mine", folder, "local"), untrained=True, seed=5)
    assert (model.name, model.seed) == ("mine-untrained", 5)
