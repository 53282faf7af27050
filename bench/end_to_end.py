"""The seed's benchmark at full size as a person runs it: `jaxscore run FOLDER --data FILE`, one process, start to end.

    python bench/end_to_end.py [--quick] [--json FILE]

627 real Pereira sentences; a checkpoint of GPT-2-small's shape with random weights and the real GPT-2 tokenizer;
simulated responses of 10 subjects in five atlases, 50,000 voxels of which 13,553 are language voxels, each experiment
with the published number of voxels and NaN elsewhere; OLS, 5 folds, both experiments, 13 layers. Compilation, loading,
saving and the folds grouped by passage are included. `--quick`: a tenth of the voxels.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from common import arguments, write
from transformers import GPT2Config, GPT2Tokenizer

from jaxscore.data.assemblies import write_assembly
from jaxscore.models.checkpoint import initial_params
from jaxscore.models.families.gpt2 import FAMILIES, read
from jaxscore.models.mini.train import save

LANGUAGE = (12_155, 8_031, 13_553)  # voxels in 384sentences, in 243sentences, in either
VOXELS = 50_000
ATLASES = ("DMN", "MD", "visual", "auditory")
SUBJECTS = ("018", "199", "288", "289", "296", "343", "366", "407", "426", "P01")


def neuroids(scale: float) -> pd.DataFrame:
    """Labels of the voxels, and which experiments each took part in."""
    rng = np.random.default_rng(0)
    a, b, either = (round(scale * count) for count in LANGUAGE)
    language = np.zeros((either, 2), bool)
    language[:a, 0] = language[either - b :, 1] = True
    rest = rng.random((round(scale * VOXELS) - either, 2)) < np.array([a, b]) / either
    rest[~rest.any(1), 0] = True
    present = np.concatenate([language, rest])
    count = len(present)
    frame = pd.DataFrame(
        {
            "subject": np.sort(rng.choice(SUBJECTS, count)) if scale < 0.01 else np.resize(SUBJECTS, count),
            "atlas": ["language"] * either + np.resize(ATLASES, count - either).tolist(),
            "voxel_num": np.arange(count),
            "filter_strategy": np.where(np.arange(count) < either, "", "HminusE"),
            "atlas_selection": "from90to100prcnt",
            "atlas_selection_lower": 90,
            "roi": "LH_PTL",
            "indices_in_3d": rng.integers(0, 500_000, count),
            **{f"col_to_coord_{axis}": rng.integers(0, 90, count) for axis in (1, 2, 3)},
        }
    )
    frame["neuroid_id"] = frame["subject"] + "." + frame["voxel_num"].astype(str)
    return frame.assign(in_384=present[:, 0], in_243=present[:, 1])


def assembly(stimuli: pd.DataFrame, voxels: pd.DataFrame) -> xr.DataArray:
    """Noise with the published names of coordinates; a voxel is NaN in an experiment that it has no part in."""
    rng = np.random.default_rng(1)
    responses = rng.standard_normal((len(stimuli), len(voxels)), np.float32)
    for name in ("384", "243"):
        rows = (stimuli["experiment"] == f"{name}sentences").to_numpy()
        responses[np.ix_(rows, ~voxels[f"in_{name}"].to_numpy())] = np.nan
    columns = ["experiment", "sentence", "passage_index", "passage_label", "passage_category", "stimulus_id", "story"]
    coords = {name: ("presentation", stimuli[name].to_numpy()) for name in columns}
    coords |= {name: ("neuroid", voxels[name].to_numpy()) for name in voxels if not name.startswith("in_")}
    return xr.DataArray(
        responses,
        coords,
        ("presentation", "neuroid"),
        attrs={"identifier": "Pereira2018", "note": "simulated responses"},
    )


def gpt2_tokenizer(shared: Path) -> GPT2Tokenizer:
    """The real GPT-2 tokenizer."""
    source = shared / "tokenizer_gpt2"
    merges = [tuple(line.split(" ")) for line in (source / "vocab.bpe").read_text("utf-8").split("\n")[1:] if line]
    return GPT2Tokenizer(vocab=json.loads((source / "encoder.json").read_text("utf-8")), merges=merges)


def checkpoint(folder: Path, shared: Path) -> None:
    """GPT-2-small's shape, its own initialisation, the real tokenizer."""
    config = GPT2Config()
    save(
        folder,
        config,
        initial_params(read(config), FAMILIES["gpt2"], 0, "float32"),
        gpt2_tokenizer(shared).backend_tokenizer,
    )


def main() -> None:
    """Prepare, run, print."""
    options = arguments(__doc__.split("\n")[0])
    stimuli = pd.read_csv(options.shared / "pereira2018_stimuli" / "Pereira2018_stimulus_set_20220209.csv")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint(folder / "gpt2-shape", options.shared)
        data = folder / "Pereira2018.nc"
        made = assembly(stimuli, neuroids(0.1 if options.quick else 1.0))
        write_assembly(made, data)
        command = [sys.executable, "-m", "jaxscore", "run", str(folder / "gpt2-shape"), "--data", str(data)]
        command += ["--out", str(folder / "out"), "--json"]
        environment = os.environ | {"JAXSCORE_CACHE": str(folder / "cache")}
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    record = json.loads(done.stdout)
    for phase, value in record["seconds"].items():
        print(f"{phase:<28}{value:>12.3f} s")
    print(f"{made.sizes['neuroid']} voxels, {len(record['result']['layers'])} layers, {record['result']['counts']}")
    write(
        [
            {"name": "end_to_end_seconds", "value": seconds, "unit": "s"},
            {"name": "end_to_end_peak_gb", "value": peak, "unit": "GiB"},
        ],
        options.json,
    )


if __name__ == "__main__":
    main()
