"""What the tests share: surroundings of their own, a tiny checkpoint, a small study, the command line in-process."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
END = "<|endoftext|>"
MERGES = ["t h", "th e", "\u0120 the", "i n", "a n", "e r", "\u0120 s", "o n"]


@pytest.fixture(autouse=True)
def surroundings(tmp_path, tmp_path_factory, monkeypatch) -> None:
    """The user's folders are out of reach, and so is the network: nothing listens on the port of its addresses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{probe.getsockname()[1]}"
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("HF_ENDPOINT", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, nowhere)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.chdir(tmp_path)


def write_gpt2(folder: Path, *, layers: int = 2, width: int = 16, positions: int = 256, seed: int = 0) -> Path:
    """Write a checkpoint folder: GPT-2 with random weights, biases and norms, and a byte-level BPE of few merges."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import GPT2Config, PreTrainedTokenizerFast

    pieces = sorted(pre_tokenizers.ByteLevel.alphabet()) + [pair.replace(" ", "") for pair in MERGES] + [END]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair.split()) for pair in MERGES]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    special = {"bos_token": END, "eos_token": END, "model_max_length": positions}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    sizes = {"n_layer": layers, "n_embd": width, "n_head": 2, "n_positions": positions, "vocab_size": len(pieces)}
    GPT2Config(**sizes, bos_token_id=vocabulary[END], eos_token_id=vocabulary[END]).save_pretrained(folder)
    blocks = {
        "ln_1": (width,), "ln_2": (width,), "attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width),
        "mlp.c_fc": (width, 4 * width), "mlp.c_proj": (4 * width, width),
    }  # fmt: skip
    shapes = {f"h.{i}.{name}": shape for i in range(layers) for name, shape in blocks.items()} | {"ln_f": (width,)}
    rng = np.random.default_rng(seed)
    tensors = {
        "wte.weight": rng.normal(0, 1, (len(pieces), width)),
        "wpe.weight": rng.normal(0, 0.3, (positions, width)),
    }
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = rng.normal(float(len(shape) == 1), 0.3, shape)
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, shape[-1])
    save_file({name: value.astype(np.float32) for name, value in tensors.items()}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A checkpoint folder of two layers; tests that change it take a copy."""
    return write_gpt2(tmp_path_factory.mktemp("checkpoints") / "tiny")


def sentences(count: int, seed: int = 0) -> list[str]:
    """English-like sentences, all different."""
    rng = np.random.default_rng(seed)
    nouns = ["otter", "lantern", "river", "teacher", "engine", "stone", "melody", "harbour"]
    verbs = ["follows", "paints", "carries", "hears", "mends", "leaves"]
    ends = ["slowly.", "at night.", "in the rain.", "without a word.", "again."]
    return [
        f"{'The A One Every'.split()[i % 4]} {rng.choice(nouns)} {rng.choice(verbs)} number {i} {rng.choice(ends)}"
        for i in range(count)
    ]


def toml(content: dict[str, Any]) -> str:
    """TOML of a card: values, then tables; JSON's spelling of text, numbers and lists is also TOML's."""
    values = {key: value for key, value in content.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    for name, table in tables.items():
        lines.append(f"[{name}]")
        for key, value in table.items():
            inner = (
                ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in value.items())
                if isinstance(value, dict)
                else ""
            )
            lines.append(f"{key} = {'{ ' + inner + ' }' if isinstance(value, dict) else json.dumps(value)}")
    return "\n".join(lines) + "\n"


@dataclass
class Study:
    """Somebody's own data: a table and a card beside it, to be changed before they are written.

    Attributes:
        folder: where both go.
        table: 30 sentences in 6 passages, responses a to d.
        card: content of the card.
    """

    folder: Path
    table: pd.DataFrame
    card: dict[str, Any] = field(
        default_factory=lambda: {
            "identifier": "study",
            "title": "A study",
            "follows": "nobody",
            "data": {
                "source": "study.csv", "stimulus_id": "item", "group": "passage", "responses": ["a", "b", "c", "d"],
            },
            "context": {"group": "passage"},
            "splits": {"scheme": "shuffled", "folds": 3},
            "regression": {"solver": "ridge", "alpha": 10.0},
            "ceiling": {"kind": "none", "source": "raw correlations"},
        }
    )  # fmt: skip

    def write(self) -> str:
        """Write both and return the card's path."""
        self.table.to_csv(self.folder / "study.csv", index=False)
        path = self.folder / "study.toml"
        path.write_text(toml(self.card), encoding="utf-8")
        return str(path)


@pytest.fixture
def study(tmp_path) -> Study:
    """A study that scores as it is."""
    rng = np.random.default_rng(1)
    text = sentences(30)
    table = pd.DataFrame(
        {"item": [f"s{i}" for i in range(30)], "passage": np.repeat(list("PQRSTU"), 5), "sentence": text}
    )
    lengths = np.array([len(line) for line in text], float)
    signal = (lengths - lengths.mean()) / lengths.std()
    for name in "abcd":
        table[name] = signal + rng.normal(0, 0.7, 30)
    return Study(tmp_path, table)


@dataclass(frozen=True)
class Ran:
    """What a command did: exit code, standard output and error."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch, capfd) -> Callable[..., Ran]:
    """Run the command line in this process: cli("run", "mini", "--quiet")."""
    from jaxscore.cli.app import main

    def invoke(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["jaxscore", *map(str, arguments)])
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")  # nothing that is compiled here outlives the test
        for name in (
            "JAX_COMPILATION_CACHE_MAX_SIZE",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
        ):
            monkeypatch.setenv(name, "-1")
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        return Ran(code, *capfd.readouterr())

    return invoke
