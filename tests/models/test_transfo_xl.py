"""Transformer-XL against what transformers 4.35.2 computed: `make_transfo_xl_reference.py` wrote the arrays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxscore.contexts.windows import Slot, Window
from jaxscore.errors import ModelError
from jaxscore.extract.expectations import size_of
from jaxscore.extract.passes import extract
from jaxscore.models import load_model
from jaxscore.models.checkpoint import parameter_shapes

FILE = np.load(Path(__file__).with_name("transfo_xl_reference.npz"), allow_pickle=False)
REFERENCE = {name: FILE[name] for name in FILE.files}
CASES = sorted({name.split("/")[0] for name in REFERENCE if "/states/" in name})


def part(prefix: str) -> dict[str, np.ndarray]:
    """The arrays under a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in REFERENCE.items() if name.startswith(prefix)}


def write(folder: Path, case: str, **changed) -> Path:
    """A checkpoint of the case's configuration and weights, as transformers 4 saved them."""
    config = json.loads(str(REFERENCE[f"{case}/config"])) | changed
    (folder / "config.json").write_text(json.dumps(config))
    save_file(part(f"{case}/weights/"), folder / "model.safetensors")
    return folder


def assert_equal_reference(folder: Path, case: str, tolerance: float = 2e-5) -> None:
    """Every state of every token of all texts in one batch, padded on the right with ids that must not matter."""
    texts, expected = part(f"{case}/tokens/"), part(f"{case}/states/")
    lengths = np.array([len(text) for text in texts.values()])
    model = load_model(folder)
    tokens = np.random.default_rng(2).integers(0, model.arch.vocabulary, (len(texts), max(lengths) + 1))
    for row, text in zip(tokens, texts.values(), strict=True):
        row[: len(text)] = text
    states = np.asarray(model.transformer()(tokens, lengths))
    for i, length in enumerate(lengths):
        np.testing.assert_allclose(states[:, i, :length], expected[str(i)], rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_hidden_states_equal_transformers(tmp_path, case):
    assert_equal_reference(write(tmp_path, case), case)


@pytest.mark.parametrize("case", CASES)
def test_every_table_of_tokens_counts_as_embeddings(tmp_path, case):
    size = size_of(load_model(write(tmp_path, case)))
    tables = [array.size for name, array in part(f"{case}/weights/").items() if ".emb_layers." in name]
    assert sum(tables) > 0
    assert size.without_embeddings == size.parameters - sum(tables)


@pytest.mark.parametrize("case", CASES)
def test_the_pass_pools_what_the_states_are(tmp_path, case):
    model = load_model(write(tmp_path, case))
    texts = list(part(f"{case}/tokens/").values())
    windows = [Window(text.astype(np.int32), (Slot(i, 0, len(text) - 1),)) for i, text in enumerate(texts)]
    found = extract(model.transformer(), windows, range(model.arch.layers + 1))
    for i, expected in enumerate(part(f"{case}/states/").values()):
        np.testing.assert_allclose(found.states[:, i], expected[:, -1], rtol=0, atol=2e-5)


def test_names_of_the_model_with_a_head(tmp_path):
    folder = write(tmp_path, "published choices", ext_len=0, tgt_len=128, tie_weight=True)
    tensors = {f"transformer.{name}": array for name, array in part("published choices/weights/").items()}
    head = {"crit.cluster_weight": np.ones((2, 10), "f4"), "transformer.pos_emb.inv_freq": np.ones(6, "f4")}
    save_file(tensors | head, folder / "model.safetensors")
    assert_equal_reference(folder, "published choices")


@pytest.mark.parametrize("case", ["published choices", "all of the memory"])
def test_memory_matters(tmp_path, case):
    """Without the zeros before the text the states are others: the cases above do see them."""
    write(tmp_path, case, mem_len=0, same_length=False)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equal_reference(tmp_path, case, 0.01)


def test_published_configuration(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "transfo-xl"}')
    model = load_model(tmp_path, untrained=True)
    shapes = parameter_shapes(model.arch, head=False)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == REFERENCE["published size"]
    assert model.arch.clusters[1] == (20000, 40000, 256)
    assert model.layer_names[0] == "drop"
    assert model.layer_names[-1] == "encoder.layers.17"
    assert model.layer_aliases["transformer.layers.17"] == 18


DRAWN = {
    "embed/0/tokens": "word_emb.emb_layers.0.weight",
    "embed/0/kernel": "word_emb.emb_projs.0",
    "embed/2/kernel": "word_emb.emb_projs.2",
    "blocks/attention/heads/kernel": "dec_attn.qkv_net.weight",
    "blocks/attention/distance/kernel": "dec_attn.r_net.weight",
    "blocks/attention/content_bias": "dec_attn.r_w_bias",
    "blocks/attention/position_bias": "dec_attn.r_r_bias",
    "blocks/attention_norm/scale": "dec_attn.layer_norm.weight",
    "blocks/down/kernel": "pos_ff.CoreNet.3.weight",
    "blocks/down/bias": "pos_ff.CoreNet.3.bias",
    "blocks/mlp_norm/scale": "pos_ff.layer_norm.weight",
    "blocks/mlp_norm/bias": "pos_ff.layer_norm.bias",
}


@pytest.mark.parametrize(("path", "name"), DRAWN.items(), ids=DRAWN)
def test_fresh_draw(tmp_path, path, name):
    (tmp_path / "config.json").write_text(str(REFERENCE["draw/config"]))
    value = load_model(tmp_path, untrained=True).transformer().arrays
    for key in path.split("/"):
        value = value[key]
    blocks = path.startswith("blocks")
    own = np.asarray(value[0] if blocks else value)
    mean, spread = REFERENCE[f"draw/layers.0.{name}" if blocks else f"draw/{name}"]
    # five standard errors of the difference between two samples of so many numbers
    assert abs(own.mean() - mean) <= 5 * spread * np.sqrt(2 / own.size)
    assert abs(own.std() - spread) <= 5 * spread / np.sqrt(own.size)


@pytest.mark.parametrize(
    "changed",
    [
        {"untie_r": False},
        {"pre_lnorm": True},
        {"attn_type": 2},
        {"init": "uniform"},
        {"mem_len": 0},
        {"adaptive": False},
    ],
    ids=str,
)
def test_other_choices_are_refused(tmp_path, changed):
    write(tmp_path, "published choices", **changed)
    with pytest.raises(ModelError, match=next(iter(changed))):
        _ = load_model(tmp_path).arch
