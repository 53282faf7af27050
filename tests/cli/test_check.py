"""`jaxscore check`: counts against checkpoints, memory and time against plain formulas, and nothing loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.cells import cell_len
from safetensors import safe_open

from jaxscore.cards import load_benchmark
from jaxscore.extract import expectations as expected
from jaxscore.models import load_model
from jaxscore.models.hub import Checkpoint, find_checkpoint
from jaxscore.models.language_model import LanguageModel

LLAMA_7B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip


@pytest.fixture
def seven(tmp_path) -> Path:
    """The configuration of a Llama of 7B parameters, and no weights."""
    folder = tmp_path / "llama-7b"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA_7B))
    return folder


def lines_of(out: str) -> dict[str, str]:
    return {line[:14].strip(): line[14:] for line in out.splitlines() if line[:14].strip()}


def elements(folder: Path) -> int:
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        return sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118 - not a mapping


def test_help_loads_no_jax_and_fits_a_terminal():
    code = "import atexit, sys; atexit.register(lambda: print('jax' in sys.modules))"
    code += "; from jaxscore.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "check", "--help"], capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert (done.stderr, lines[-1]) == ("", "False")
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize("name", ["tiny", "mini"])
def test_parameters_are_the_elements_of_the_checkpoint(cli, tiny, name):
    folder = tiny if name == "tiny" else find_checkpoint("mini").folder
    ran = cli("check", tiny if name == "tiny" else "mini", "--json")
    assert (ran.code, ran.err) == (0, "")
    about = json.loads(ran.out)
    assert about["parameters"] == elements(folder)
    model = load_model(folder)
    shape = model.arch
    tables = (shape.vocabulary + shape.positions) * shape.width
    assert about["without_embeddings"] == about["parameters"] - tables
    assert about["checkpoint"]["bytes"] == (folder / "model.safetensors").stat().st_size
    assert about["checkpoint"]["dtypes"] == {"float32": 4 * about["parameters"]}
    assert about["memory"]["weights"] == 4 * about["parameters"]
    assert about["states"] == model.state_names
    assert about["memory"]["fits"] is True


def test_lines(cli, tiny):
    ran = cli("check", tiny)
    assert (ran.code, ran.err) == (0, "")
    found = lines_of(ran.out)
    assert found["model"] == "tiny: gpt2, 2 blocks"
    assert found["layers"] == "3, from drop to encoder.h.1; also before_final_norm"
    assert found["width"] == "16 features"
    assert found["vocabulary"] == "265 tokens"
    assert found["longest text"] == "256 tokens"
    assert found["sees"] == "what stands left (causal)"
    assert found["surprisal"] == "yes, its head is tied"
    assert found["device"].endswith(" free: fits")
    assert " for 10,000 tokens (whole windows)" in found["time"]


def test_a_configuration_without_weights(cli, seven):
    ran = cli("check", seven, "--dtype", "bfloat16", "--offline")
    assert (ran.code, ran.err) == (0, "")
    found = lines_of(ran.out)
    assert found["parameters"] == "6,738,415,616 (6,476,271,616 without embeddings)"
    assert found["memory"].startswith("13.5 GB of weights in bfloat16, ")
    assert found["checkpoint"] == "no weights on this machine"


def test_seven_billion_parameters_fit_24_gb_in_bfloat16_only(seven):
    arch = LanguageModel(Checkpoint("llama-7b", seven, "local")).arch
    narrow = expected.memory_of(arch, "bfloat16", 512, 24_000_000_000, accelerator=True)
    # two bytes for every matrix, four for the norms
    assert narrow.weights == 2 * 6_738_415_616 + 2 * 65 * 4096
    assert narrow.fits
    assert narrow.weights + 1e9 < narrow.peak < 24e9
    assert narrow.tokens >= 4096
    wide = expected.memory_of(arch, "float32", 512, 24_000_000_000, accelerator=True)
    assert not wide.fits
    assert wide.tokens == 512  # even a batch of one text does not fit
    assert expected.memory_of(arch, "float32", 512, None, accelerator=True).fits is None


def test_what_to_type_where_it_does_not_fit(cli, seven, monkeypatch):
    monkeypatch.setattr(expected, "free_bytes", lambda: 20_000_000_000)
    assert "does not fit: use --dtype bfloat16 (14.6 GB)" in lines_of(cli("check", seven).out)["device"]
    monkeypatch.setattr(expected, "free_bytes", lambda: 10_000_000_000)
    found = lines_of(cli("check", seven, "--dtype", "bfloat16").out)["device"]
    assert "10 GB free: does not fit: choose a smaller model, or a machine with 14.6 GB free" in found


def test_a_registered_name_in_the_cache_of_the_hub(cli, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository, commit = tmp_path / "hub" / "models--openai-community--gpt2", "0" * 39 + "1"
    shutil.copytree(tiny, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    ran = cli("check", "gpt2", "--offline", "--json")
    assert (ran.code, ran.err) == (0, "")
    about = json.loads(ran.out)
    assert (about["source"], about["commit"]) == ("openai-community/gpt2", commit)
    assert about["parameters"] == elements(tiny)
    assert about["checkpoint"]["dtypes"] == {"float32": 4 * about["parameters"]}
    missing = cli("check", "gpt2-xl", "--offline")
    assert (missing.code, missing.out) == (2, "")
    assert "--offline" in missing.err


def test_weights_are_told_from_their_headers(tiny, tmp_path):
    tensors = {"a": torch.ones(3, 2, dtype=torch.bfloat16), "b": torch.ones(2, dtype=torch.float32)}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    found = expected.stored(tmp_path)
    assert found.dtypes == {"bfloat16": 12, "float32": 8}
    assert found.bytes == (tmp_path / "pytorch_model.bin").stat().st_size
    (tmp_path / "pytorch_model.bin").unlink()
    assert expected.stored(tmp_path) is None


def test_operations_of_gpt2(tiny):
    """12 width^2 weights a block; attention takes 4 width for each pair of tokens, half of them seen."""
    arch = load_model(tiny).arch
    lengths = np.array([7, 31, 64])
    by_hand = 2 * (2 * 12 * 16**2 * lengths.sum() + 4 * 16 * (lengths**2).sum() / 2)
    assert expected.pass_flops(arch, lengths) == by_hand


def test_shared_blocks_count_for_every_layer(tmp_path):
    from transformers import AlbertConfig

    sizes = {"hidden_size": 32, "embedding_size": 16, "num_attention_heads": 2, "intermediate_size": 64}
    AlbertConfig(**sizes, num_hidden_layers=6, num_hidden_groups=1, vocab_size=50).save_pretrained(tmp_path)
    arch = LanguageModel(Checkpoint("albert", tmp_path, "local")).arch
    assert expected.pass_flops(arch, [10]) == 6 * (2 * (4 * 32**2 + 2 * 32 * 64) * 10 + 4 * 32 * 100)


def test_time_of_a_benchmark(cli):
    about = json.loads(cli("check", "mini", "-b", "Simulated2026-encoding", "--json").out)
    model, card = load_model("mini"), load_benchmark("Simulated2026-encoding")
    lengths = expected.benchmark_lengths(model, card, offline=True)
    time = about["time"]
    assert (time["tokens"], time["longest"]) == (sum(lengths), max(lengths))
    assert time["seconds"] == pytest.approx(expected.pass_flops(model.arch, lengths) / (0.6 * time["rate"]))
    from jaxscore.data.material import load_material
    from jaxscore.data.source import open_source

    texts = load_material(card, open_source(card)).texts
    tokens = sum(len(model.tokenizer(text).input_ids) for text in texts)
    assert sum(lengths) == tokens  # a causal model reads every stimulus of a passage once


def test_whole_texts():
    assert expected.whole_texts(1000, 300) == [300, 300, 300, 100]
    assert expected.whole_texts(600, 300) == [300, 300]
    assert expected.whole_texts(5, 300) == [5]


def test_the_rate_is_that_of_products_here():
    """NumPy's product on the same processors is as fast, give or take what else runs here."""
    import time

    matrix = np.random.default_rng(0).standard_normal((1024, 1024), np.float32)
    matrix @ matrix
    start = time.perf_counter()
    for _ in range(3):
        matrix @ matrix
    rate = 3 * 2 * 1024**3 / (time.perf_counter() - start)
    assert 0.05 < expected.measure_rate("float32") / rate < 20


def test_models_without_a_network(cli, tmp_path):
    found = lines_of(cli("check", "sentence-length").out)
    assert found["model"] == "sentence-length: baseline"
    (tmp_path / "vectors.txt").write_text("the 0.1 0.2\notter 0.3 0.4\n")
    ran = cli("check", "glove:vectors.txt")
    assert (ran.code, ran.err) == (0, "")
    assert lines_of(ran.out)["file"] == "vectors.txt, 26 B"
    assert json.loads(cli("check", "glove:vectors.txt", "--json").out)["layer"] == "projection"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], ["Unknown model 'nothing'", "jaxscore ls models"]),
        (["mini", "--dtype", "float8"], ["Unknown dtype 'float8'"]),
        (["mini", "-b", "Nothing2020"], ["Nothing2020"]),
        (["mini", "-b", "Simulated2026-encoding", "--tokens", "5"], ["--tokens and --benchmark"]),
    ],
)
def test_refused(cli, arguments, words):
    ran = cli("check", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert [word for word in words if word not in ran.err] == []
