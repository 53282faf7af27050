"""Makes transfo_xl_reference.npz: what a transformers with a working Transformer-XL computes.

transformers 5 has no Transformer-XL, and where 4 has it under models/deprecated its forward raises (4.44.2 and 4.57.1:
`type_as(dtype=...)`), so that the reference is 4.35.2, as released. In an environment of its own:

    pip install "transformers==4.35.2" "torch==2.13.0" && python tests/models/make_transfo_xl_reference.py

The file holds, for each case, the configuration (JSON), random weights by their names in a checkpoint, token ids of
texts, and every hidden state of TransfoXLModel in evaluation mode for each text alone; of one fresh draw, mean and
standard deviation of every parameter; and the number of parameters of the published configuration.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import TransfoXLConfig, TransfoXLModel

TINY = {
    "vocab_size": 61, "cutoffs": [10, 30], "d_model": 12, "d_embed": 10, "d_inner": 14, "n_layer": 2, "n_head": 2,
    "d_head": 5, "div_val": 2, "mem_len": 11, "clamp_len": 7,
}  # fmt: skip
CASES = {
    "published choices": TINY,
    "longer memory than text": TINY | {"mem_len": 190, "clamp_len": 20},
    "all of the memory": TINY | {"mem_len": 9, "same_length": False},
    "no memory": TINY | {"mem_len": 0, "same_length": False, "clamp_len": -1, "layer_norm_epsilon": 0.3},
    "one cluster": TINY | {"div_val": 1, "d_embed": 12, "n_head": 3},
    "one cluster, projected": TINY | {"div_val": 1, "clamp_len": 0, "n_layer": 1},
    "small weights": TINY | {"layer_norm_epsilon": 1e-4},
}
LENGTHS = {"published choices": (1, 12, 131), "all of the memory": (2, 131), "longer memory than text": (1, 2, 40)}
OUT = Path(__file__).with_name("transfo_xl_reference.npz")


def model_of(options: dict, std: float) -> TransfoXLModel:
    """A model with every parameter random: matrices and biases N(0, std), norms N(1, std)."""
    model = TransfoXLModel(TransfoXLConfig(**options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float("layer_norm.weight" in name), std)
    return model


def published_size() -> int:
    """Parameters of the published configuration, none of them allocated."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in TransfoXLModel(TransfoXLConfig()).parameters())


def main() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    arrays = {"versions": np.array(versions), "published size": np.array(published_size())}
    for case, options in CASES.items():
        model = model_of(options, 0.02 if case == "small weights" else 0.2)
        config = {"model_type": "transfo-xl", **options}
        arrays[f"{case}/config"] = np.array(json.dumps(config))
        for name, parameter in model.named_parameters():
            arrays[f"{case}/weights/{name}"] = parameter.detach().numpy()
        for i, length in enumerate(LENGTHS.get(case, (1, 3, 16))):
            tokens = rng.integers(0, options["vocab_size"], length)
            with torch.inference_mode():
                states = model(torch.tensor(tokens)[None], output_hidden_states=True).hidden_states
            arrays[f"{case}/tokens/{i}"] = tokens.astype(np.int32)
            arrays[f"{case}/states/{i}"] = torch.cat(states).numpy()
    wide = TINY | {"d_model": 96, "d_embed": 96, "d_inner": 128, "proj_init_std": 0.05}
    arrays["draw/config"] = np.array(json.dumps({"model_type": "transfo-xl", **wide}))
    for name, parameter in TransfoXLModel(TransfoXLConfig(**wide)).named_parameters():
        arrays[f"draw/{name}"] = np.array([parameter.mean().item(), parameter.std().item()])
    np.savez_compressed(OUT, allow_pickle=False, **arrays)
    print(f"{OUT}: {OUT.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
