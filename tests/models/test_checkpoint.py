"""What a checkpoint folder may hold, how a wrong one is reported, and what an untrained model is drawn from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from jaxscore import load_model
from jaxscore.contexts.windows import Slot, Window
from jaxscore.errors import ModelError
from jaxscore.extract.passes import extract
from jaxscore.models.checkpoint import initial_params, load_params, nest, source_of
from jaxscore.models.families import families

GPT2 = {"vocab_size": 300, "n_positions": 60, "n_embd": 48, "n_layer": 4, "n_head": 3}
BERT = {
    "vocab_size": 300,
    "hidden_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 80,
    "max_position_embeddings": 60,
}
ROBERTA = BERT | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


def write(folder: Path, kind: str, options: dict, seed: int = 0) -> Path:
    """A checkpoint as transformers initialises it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **options)).save_pretrained(folder)
    return folder


def change_weights(folder: Path, change) -> None:
    """Rewrite model.safetensors with `change(tensors)` applied."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def change_config(folder: Path, **values) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def flat(params: dict, prefix: str = "") -> dict[str, np.ndarray]:
    """{"a": {"b": x}} -> {"a/b": x}."""
    found = {}
    for name, value in params.items():
        found |= flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: np.asarray(value)}
    return found


# --- wrong checkpoints ------------------------------------------------------------------------------------------------


def test_one_error_lists_missing_unexpected_and_misshapen_tensors(tmp_path):
    def change(tensors):
        del tensors["h.1.ln_2.bias"], tensors["h.3.mlp.c_fc.weight"]
        tensors["h.4.ln_1.weight"] = torch.ones(48)
        tensors["h.0.attn.rotary"] = torch.ones(3)
        tensors["wpe.weight"] = torch.zeros(61, 48)

    change_weights(write(tmp_path, "gpt2", GPT2), change)
    with pytest.raises(ModelError) as error:
        load_model(tmp_path).transformer()
    text = str(error.value)
    assert f"{tmp_path}: 5 tensors" in text
    assert {line.strip() for line in text.splitlines()[1:6]} == {
        "missing: h.1.ln_2.bias",
        "missing: h.3.mlp.c_fc.weight",
        "unexpected: h.4.ln_1.weight",
        "unexpected: h.0.attn.rotary",
        "shape of wpe.weight: (61, 48), expected (60, 48) for embed/positions",
    }
    assert error.value.hint


def test_a_long_list_is_cut_but_counted(tmp_path):
    write(tmp_path, "bert", BERT)
    change_config(tmp_path, num_hidden_layers=2)  # 2 layers too many in the file, 16 tensors each
    with pytest.raises(ModelError, match="32 tensors") as error:
        load_model(tmp_path).transformer()
    assert str(error.value).count("unexpected: encoder.layer.") == 20
    assert "..." in str(error.value)


def test_a_wrong_width_of_joined_tensors_is_named_by_the_checkpoint(tmp_path):
    change_weights(
        write(tmp_path, "bert", BERT),
        lambda tensors: tensors.update({"encoder.layer.2.attention.self.key.weight": torch.zeros(24, 48)}),
    )
    with pytest.raises(ModelError, match="1 tensors") as error:
        load_model(tmp_path).transformer()
    assert "shape of encoder.layer.2.attention.self.key.weight: (48, 24), expected (48, 48)" in str(error.value)


def test_weights_of_another_family(tmp_path):
    write(tmp_path / "a", "gpt2", GPT2)
    write(tmp_path / "b", "bert", BERT)
    (tmp_path / "b/model.safetensors").rename(tmp_path / "a/model.safetensors")
    with pytest.raises(ModelError, match=r"no tensor is called wte\.weight"):
        load_model(tmp_path / "a").transformer()


def test_a_folder_without_weights(tmp_path):
    write(tmp_path, "gpt2", GPT2)
    (tmp_path / "model.safetensors").rename(tmp_path / "flax_model.msgpack")
    model = load_model(tmp_path)
    with pytest.raises(ModelError, match=r"no weights.*found config\.json, flax_model\.msgpack") as error:
        model.transformer()
    assert "--untrained" in error.value.hint
    load_model(tmp_path, untrained=True).transformer()  # needs none


def test_a_shard_that_is_not_there(tmp_path):
    with torch.random.fork_rng(devices=[]):
        model = transformers.GPT2Model(transformers.GPT2Config(**GPT2))
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    gone = sorted(tmp_path.glob("model-*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ModelError, match=gone.name):
        load_model(tmp_path).transformer()


@pytest.mark.parametrize("shard", ["../other/model.safetensors", "model.py", "/etc/passwd"])
def test_an_index_names_files_of_its_folder_only(tmp_path, shard):
    write(tmp_path, "gpt2", GPT2)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"wte.weight": shard}}))
    with pytest.raises(ModelError, match="names a file that is no weight file of this folder"):
        load_model(tmp_path).transformer()


@pytest.mark.parametrize("old", [False, True])
def test_old_bin_files_read_like_safetensors(tmp_path, old):
    write(tmp_path, "gpt2", GPT2)
    expected = flat(load_model(tmp_path).transformer().arrays)
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(tensors, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=not old)
    found = flat(load_model(tmp_path).transformer().arrays)
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value, err_msg=path)


def test_a_truncated_file_of_weights(tmp_path):
    file = write(tmp_path, "gpt2", GPT2) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=f"{tmp_path}.*damaged weights"):
        load_model(tmp_path).transformer()


# --- configurations ---------------------------------------------------------------------------------------------------


def test_an_unsupported_architecture_is_named_with_the_supported_ones(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ModelError, match="'vit'") as error:
        _ = load_model(tmp_path).arch
    assert error.value.hint == f"Supported: {', '.join(sorted(families()))}."
    assert {"gpt2", "bert", "roberta", "xlm-roberta", "camembert", "electra"} <= set(families())


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_configuration_that_is_no_json_object(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        _ = load_model(tmp_path).arch


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt2", "scale_attn_weights", False),
        ("gpt2", "add_cross_attention", True),
        ("gpt2", "quantization_config", {"bits": 4}),
        ("bert", "is_decoder", True),
        ("bert", "position_embedding_type", "relative_key"),
        ("roberta", "position_embedding_type", "relative_key_query"),
        ("roberta", "is_decoder", True),
        ("electra", "add_cross_attention", True),
        ("camembert", "an_option_of_tomorrow", 3),
    ],
)
def test_an_attribute_that_is_not_understood_is_refused_by_name(tmp_path, kind, key, value):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, key: value}))
    with pytest.raises(ModelError, match=f"{key} = ") as error:
        _ = load_model(tmp_path).arch
    assert kind in str(error.value)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("gpt2", {"n_ctx": 1024, "reorder_and_upcast_attn": False, "resid_pdrop": 0.0, "gradient_checkpointing": True}),
        ("bert", {"position_embedding_type": "absolute", "is_decoder": False, "hidden_dropout_prob": 0.0}),
        ("roberta", {"use_cache": False, "classifier_dropout": 0.3, "position_embedding_type": "absolute"}),
    ],
)
def test_attributes_at_their_default_and_harmless_ones_pass(tmp_path, kind, values):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, **values}))
    assert load_model(tmp_path).arch.layers == 12


HUB = {  # what these files hold beyond today's attributes
    "distilgpt2": ("gpt2", {"_num_labels": 1, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "n_ctx": 1024}),
    "gpt2-medium": (
        "gpt2",
        {"n_special": 0, "predict_special_tokens": True, "n_ctx": 1024, "summary_activation": None},
    ),
    "gpt2-xl": ("gpt2", {"n_special": 0, "predict_special_tokens": True, "output_past": True}),
    "bert-base-multilingual-cased": (
        "bert",
        {
            "directionality": "bidi",
            "pooler_fc_size": 768,
            "pooler_num_attention_heads": 12,
            "pooler_num_fc_layers": 3,
            "pooler_size_per_head": 128,
            "pooler_type": "first_token_transform",
        },
    ),
    "xlm-roberta-base": ("xlm-roberta", {"output_past": True, "vocab_size": 250002, "max_position_embeddings": 514}),
    "electra-small": ("electra", {"summary_last_dropout": 0.1, "summary_use_proj": True, "summary_activation": "gelu"}),
}


@pytest.mark.parametrize("name", HUB)
def test_configurations_of_models_on_the_hub_pass(tmp_path, name):
    kind, values = HUB[name]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, **values}))
    assert load_model(tmp_path).arch.family == kind


@pytest.mark.parametrize(
    ("kind", "values"),
    [("gpt2", {"n_embd": 10, "n_head": 3}), ("bert", {"hidden_size": 10, "num_attention_heads": 3})],
)
def test_heads_that_do_not_divide_the_width(tmp_path, kind, values):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, **values}))
    with pytest.raises(ModelError, match="heads"):
        _ = load_model(tmp_path).arch


@pytest.mark.parametrize(("kind", "key"), [("gpt2", "activation_function"), ("bert", "hidden_act")])
def test_an_unknown_activation_is_refused_by_name(tmp_path, kind, key):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, key: "gelu_python_x"}))
    with pytest.raises(ModelError, match="gelu_python_x"):
        _ = load_model(tmp_path).arch


# --- untrained --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "options"), [("gpt2", GPT2), ("bert", BERT)])
def test_the_seed_makes_the_untrained_model(tmp_path, kind, options):
    folder = write(tmp_path, kind, options)
    first, again, other = (
        flat(load_model(folder, untrained=True, seed=seed).transformer().arrays) for seed in (3, 3, 4)
    )
    for path, values in first.items():
        np.testing.assert_array_equal(values, again[path], err_msg=path)
        drawn = not path.endswith(("/bias", "/scale"))
        assert (values != other[path]).any() == drawn, path


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("gpt2", GPT2),
        ("gpt2", GPT2 | {"initializer_range": 0.1, "n_layer": 9}),
        ("bert", BERT),
        ("bert", BERT | {"initializer_range": 0.05, "pad_token_id": 7}),
        ("roberta", ROBERTA),
        ("xlm-roberta", ROBERTA),
        ("camembert", ROBERTA),
        ("electra", BERT | {"embedding_size": 32}),
    ],
)
def test_the_initialisation_has_the_statistics_of_transformers_own(tmp_path, kind, options):
    folder = write(tmp_path, kind, options)
    arch, family = load_model(folder).arch, families()[kind]
    theirs = flat(load_params(arch, family, folder, "float32", lambda read: None))
    ours = flat(initial_params(arch, family, 1, "float32"))
    assert ours.keys() == theirs.keys()
    for path, expected in theirs.items():
        drawn, size = ours[path], expected.size
        assert drawn.shape == expected.shape, path
        if np.ptp(expected) == 0:
            np.testing.assert_array_equal(drawn, expected, err_msg=path)  # biases 0, norms 1
            continue
        std = expected.std()
        # five standard errors of the difference of two estimates
        assert abs(drawn.std() / std - 1) < 5 / np.sqrt(size), path
        assert abs(drawn.mean() - expected.mean()) < 5 * std * np.sqrt(2 / size), path
        if path == "embed/tokens":
            zero = np.flatnonzero((expected == 0).all(1))
            np.testing.assert_array_equal(np.flatnonzero((drawn == 0).all(1)), zero)
            assert len(zero) == (kind != "gpt2")


def test_gpt2_scales_what_writes_to_the_residual_stream(tmp_path):
    folder = write(tmp_path, "gpt2", GPT2 | {"n_layer": 8})
    blocks = load_model(folder, untrained=True).transformer().arrays["blocks"]
    for name, std in {"qkv": 0.02, "up": 0.02, "out": 0.02 / 4, "down": 0.02 / 4}.items():
        kernel = np.asarray(blocks[name]["kernel"])
        np.testing.assert_allclose(kernel.std((1, 2)), std, rtol=5 / np.sqrt(2 * kernel[0].size))


def test_untrained_matrices_take_the_asked_dtype(tmp_path):
    model = load_model(write(tmp_path, "gpt2", GPT2), untrained=True, dtype="bfloat16")
    for path, values in flat(model.transformer().arrays).items():
        expected = "float32" if path.endswith(("/bias", "/scale")) else "bfloat16"
        assert values.dtype == expected, path


# --- reading ----------------------------------------------------------------------------------------------------------


def test_progress_counts_the_bytes_of_the_file(tmp_path):
    folder, seen = write(tmp_path, "gpt2", GPT2), []
    model = load_model(folder)
    model.transformer(seen.append)
    tensors = load_file(folder / "model.safetensors").values()
    assert sorted(seen) == sorted(tensor.nbytes for tensor in tensors)
    assert 0 <= model.weight_bytes() - sum(seen) < 20_000  # the header


def test_nest():
    assert nest({"a/b/c": 1, "a/d": 2, "e": 3}) == {"a": {"b": {"c": 1}, "d": 2}, "e": 3}


@pytest.mark.parametrize("kind", sorted(set(families()) & set(transformers.CONFIG_MAPPING)))
def test_every_parameter_of_a_family_is_in_its_table(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    arch = load_model(tmp_path).arch
    family = families()[kind].of(arch)
    for path in arch.shapes():
        assert source_of(family, path), path


def test_loading_leaves_jax_as_it_was(tmp_path):
    before = dict(jax.config.values)
    load_model(write(tmp_path, "bert", BERT)).transformer()
    assert dict(jax.config.values) == before


# --- heads ------------------------------------------------------------------------------------------------------------


def bits(folder: Path, row: np.ndarray) -> np.ndarray:
    """Surprisal of every token but the first, by a pass."""
    window = Window(row.astype(np.int32), (Slot(0, 0, len(row) - 1),))
    return extract(load_model(folder).transformer(head=True), [window], [], surprisal=True).token_surprisal[1:]


@pytest.mark.parametrize("kind", ["gpt2", "ctrl"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_head_is_the_one_of_the_file(tmp_path, kind, tied):
    sizes = {"gpt2": GPT2, "ctrl": {key: GPT2[key] for key in ("vocab_size", "n_positions", "n_embd", "n_layer")}}
    options = sizes[kind] | {"n_head": 3, "tie_word_embeddings": tied, "initializer_range": 0.2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **options)).eval()
    model.save_pretrained(tmp_path)
    row = np.random.default_rng(0).integers(0, 300, 40)
    with torch.inference_mode():
        logits = model(torch.tensor(row)[None]).logits[0].double()
    expected = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(row[1:]), reduction="none") / np.log(2)
    np.testing.assert_allclose(bits(tmp_path, row), expected.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["openai-gpt", "xlm"])
def test_an_untied_head_is_refused_where_it_is_read_from_the_embedding(tmp_path, kind):
    options = {"model_type": kind, "tie_word_embeddings": False} | ({"causal": True} if kind == "xlm" else {})
    (tmp_path / "config.json").write_text(json.dumps(options))
    with pytest.raises(ModelError, match="tie_word_embeddings = False"):
        _ = load_model(tmp_path).arch


# --- hostile folders --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpt2", "transfo-xl"])
def test_no_code_of_a_folder_runs_whatever_is_typed(tmp_path, kind):
    folder = tmp_path / "evil"
    folder.mkdir()
    ran = tmp_path / "ran"
    code = f"from pathlib import Path\nPath({str(ran)!r}).touch()\nclass Evil:\n    pass\n"
    (folder / "evil.py").write_text(code)
    auto = dict.fromkeys(("AutoConfig", "AutoModel"), "evil.Evil") | {"AutoTokenizer": ["evil.Evil", None]}
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "auto_map": auto}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Evil", "auto_map": auto}))
    (folder / "vocab.json").write_text("{}")
    asked = [sys.executable, "-m", "jaxscore", "extract", folder, tmp_path / "t.txt", "--untrained", "--out", "x.nc"]
    (tmp_path / "t.txt").write_text("A text.\n")
    done = subprocess.run(list(map(str, asked)), input="y\ny\n", capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert not ran.exists()
