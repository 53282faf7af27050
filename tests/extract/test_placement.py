"""Models on several devices: the same numbers, a share of the bytes on each, nothing compiled or kept for nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxscore.contexts.windows import Slot, Window
from jaxscore.errors import JaxscoreError
from jaxscore.extract.expectations import memory_of
from jaxscore.extract.passes import extract
from jaxscore.extract.placement import divisors, grid, place, split_axis
from jaxscore.models.families import families
from jaxscore.models.hub import Checkpoint
from jaxscore.models.language_model import LanguageModel
from jaxscore.models.transformer import by_path

SIZES = {"vocab_size": 301, "num_hidden_layers": 2, "hidden_size": 64}
HEADS = {"num_attention_heads": 8, "intermediate_size": 176, "max_position_embeddings": 64}
GPT2 = {"vocab_size": 301, "n_layer": 2, "n_embd": 64, "n_head": 8, "n_positions": 64, "bos_token_id": 0,
        "eos_token_id": 0}  # fmt: skip
CONFIGS = {
    "gpt2": GPT2,
    "llama": SIZES | HEADS | {"num_key_value_heads": 2},  # fewer groups than devices
    "bert": SIZES | HEADS,
    "mamba": SIZES | {"state_size": 4},
    "wide": GPT2 | {"n_layer": 12, "n_embd": 256},
}


def configured(folder: Path, kind: str, **settings) -> Path:
    """A folder with a configuration and no weights."""
    from transformers import AutoConfig

    if families()[kind].published is not None:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"model_type": kind} | settings))
    else:
        AutoConfig.for_model(kind, **settings).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("models")
    for name, settings in CONFIGS.items():
        configured(root / name, "gpt2" if name == "wide" else name, **settings)
    faster = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # to compile
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count=8 {faster}", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("eight_devices.py"), root],
        env=os.environ | flags, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert", "mamba"])
@pytest.mark.parametrize("tensor", ["1", "2", "4", "8"])
def test_numbers_are_those_of_one_device(measured, kind, tensor):
    found = measured[kind][tensor]
    assert found["states"] < 1e-5
    assert found["surprisal"] < 1e-5


@pytest.mark.parametrize("tensor", [2, 4])
def test_every_device_holds_its_share(measured, tensor):
    llama, mamba = (measured[kind][str(tensor)]["bytes"] for kind in ("llama", "mamba"))
    split = {path for path, (whole, each) in llama.items() if each == [whole // tensor] * 8}
    matrices = {f"blocks/{name}/kernel" for name in ("qkv", "out", "up", "down")}
    assert split == matrices | {"embed/tokens", "head/tokens"}
    assert all(each == [whole] * 8 for path, (whole, each) in llama.items() if path not in split)
    rest = [path for path, (whole, each) in mamba.items() if each != [whole // tensor] * 8]
    assert sorted(rest) == ["blocks/norm/scale", "final_norm/scale"]


def test_a_program_never_puts_the_weights_together(measured):
    weights, arguments, temporaries = measured["program"]
    assert arguments < weights / 8 * 1.02
    assert temporaries < weights / 8


def test_checkpoints_of_one_architecture_share_a_program(measured):
    for first, *others in measured["compilations"]:
        assert first > 0
        assert others == [0, 0]


def test_a_dropped_model_leaves_nothing(measured):
    before, during, after = measured["left behind"]
    assert during > before
    assert after == before


def test_as_few_devices_share_as_hold_it(measured):
    found = measured["chosen"]
    assert {name: number for name, number in found.items() if name != f"enough for {number}"} == {
        "too little": 8,
        "not said": 1,
        "enough for 1, but it lies on 2": 2,
    }


@pytest.mark.parametrize("kind", sorted(families()))
def test_published_sizes_are_split(tmp_path, kind):
    """Of every family at the sizes of its configuration's defaults, two devices hold half each, but for small parts."""
    arch = LanguageModel(Checkpoint(kind, configured(tmp_path / kind, kind), "local")).arch
    shapes = arch.shapes()
    whole = sum(math.prod(shape) for path, shape in shapes.items() if split_axis(path, shape, 2) is None)
    assert whole < 0.01 * sum(map(math.prod, shapes.values()))


def test_what_does_not_divide_is_whole():
    assert split_axis("blocks/qkv/kernel", (2, 64, 192), 4) == 2
    assert split_axis("blocks/out/kernel", (2, 64, 192), 4) == 1
    assert split_axis("blocks/out/kernel", (2, 66, 192), 4) is None
    assert split_axis("blocks/attention_norm/scale", (2, 64), 4) is None
    assert split_axis("blocks/qkv/kernel", (2, 64, 192), 1) is None


@pytest.mark.parametrize("tensor", [2, 3, 0, -1])
def test_a_number_that_does_not_divide_the_devices(tiny, tensor):
    model = LanguageModel(Checkpoint("tiny", tiny, "local")).transformer()
    window = Window(np.arange(5, dtype=np.int32), (Slot(0, 0, 4),))
    with pytest.raises(JaxscoreError, match=f"tensor is {tensor}, but 1 device cannot") as caught:
        extract(model, [window], [0], tensor=tensor)
    assert "Choose from 1" in str(caught.value) + str(caught.value.hint)
    assert divisors(12) == [1, 2, 3, 4, 6, 12]


def test_a_cpu_takes_the_arrays_of_the_host(tiny):
    model = LanguageModel(Checkpoint("tiny", tiny, "local")).transformer()
    host = {path: array.ctypes.data for path, array in by_path(model.values)}
    arrays = by_path(place(model, grid(jax.local_devices()[:1], 1)))
    assert {path: array.unsafe_buffer_pointer() for path, array in arrays} == host


def test_memory_on_each_of_the_devices(tmp_path):
    """7B parameters in bfloat16 are 13.5 GB, a quarter of them 3.4 GB."""
    sizes = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}
    folder = configured(tmp_path / "7b", "llama", **sizes, vocab_size=32000, max_position_embeddings=4096)
    arch = LanguageModel(Checkpoint("7b", folder, "local")).arch
    found = memory_of(arch, "bfloat16", 512, 5_000_000_000, accelerator=True, devices=8)
    assert (found.tensor, found.fits) == (4, True)
    norms = 65 * 4096
    assert found.weights == 2 * (6_738_415_616 - norms) / 4 + 4 * norms
    assert found.weights < found.peak < 5e9
    assert memory_of(arch, "bfloat16", 512, 20_000_000_000, accelerator=True, devices=8).tensor == 1
    too_large = memory_of(arch, "bfloat16", 512, 1_000_000_000, accelerator=True, devices=8)
    assert (too_large.tensor, too_large.fits) == (8, False)
    assert memory_of(arch, "bfloat16", 512, 5_000_000_000, accelerator=False, devices=8).tensor == 1
