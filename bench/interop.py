"""Benchmarks and metrics of brain-score language, with a jaxscore subject and with its own, side by side.

    python bench/interop.py [--quick] [--json FILE] [--peer PYTHON] [--tests CHECKOUT]

brain-score language 2.3 gets a virtual environment of its own, with jaxscore's plugin in it (`--peer`: one that has
both already). A random GPT-2 of distilgpt2's shape; the real stimuli; responses SIMULATED from one of its layers,
wrapped in brain-score's classes, written and read by its code (bench/interop_peer.py does all that, there). Scores and
correlations that differ by more than LIMITS end the run with an error. `--tests`: a checkout of its repository, whose
unit tests then run on our classes (bench/their_tests.py).

Rows: `interop_speedup_extraction`, seconds within `digest_text` of its subject over ours, weights loaded and programs
compiled within ours, over the five benchmarks and for each; `interop_speedup_metric`, `linear_pearsonr` on 384
presentations, 12,155 neuroids and 768 features, 10 splits; largest differences. `--quick`: a narrow model, less text.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
from common import ROOT, SHARED, write

sys.path.insert(0, str(ROOT / "tests"))
PEER = "brainscore-language==2.3.0"
LIMITS = {"score": 1e-4, "linear": 1e-6, "ridge": 1e-6, "rdm": 1e-9, "cka": 1e-9, "states": 1e-4, "surprisal": 1e-3}
"""Largest differences that are none."""
FULL = {"layers": 6, "width": 768, "pereira": 1.0, "blank": 100, "fedorenko": 52, "futrell": 600, "tuckute": 1000}
QUICK = {"layers": 2, "width": 64, "pereira": 0.2, "blank": 12, "fedorenko": 12, "futrell": 120, "tuckute": 40}
"""Of the texts: a share of the passages, parts of each story, sentences, words, sentences."""
SUBJECTS, NEUROIDS, NOISE = 4, 3, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller problem")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--shared", type=Path, default=SHARED, metavar="FOLDER", help="folder of the real data")
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="of an environment with brain-score and the plugin")
    parser.add_argument("--tests", type=Path, metavar="CHECKOUT", help="of brain-score language, to run its unit tests")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = asked.peer or environment(folder / "peer")
        sizes = QUICK if asked.quick else FULL
        checkpoint(folder / "checkpoint", sizes, asked.shared)
        problems(folder, sizes)
        (folder / "settings.json").write_text(json.dumps({"quick": asked.quick}))
        found = run(peer, "interop_peer.py", folder)
        if asked.tests:
            run(peer, "their_tests.py", asked.tests.resolve())
    write(found["rows"], asked.json)
    wrong = {name: value for name, value in found["differences"].items() if not value <= LIMITS[name.split()[0]]}
    if wrong:
        raise SystemExit(f"Different: {wrong}")


def environment(folder: Path) -> Path:
    """A virtual environment with brain-score language and this checkout's plugin; returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    for words in (["torch==2.13.0"], [PEER, "pytest"], ["--no-deps", str(ROOT)]):
        subprocess.run([python, "-m", "pip", "install", "-q", *words], check=True, stdout=sys.stderr)
    subprocess.run([python, "-m", "jaxscore.plugin", "install", "--python", sys.executable], check=True)
    return python


def checkpoint(folder: Path, sizes: dict, shared: Path) -> None:
    """GPT-2 with random weights, wide enough apart that its layers differ, and the real tokenizer."""
    import torch
    from end_to_end import gpt2_tokenizer
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    heads = max(1, sizes["width"] // 64)
    config = GPT2Config(n_layer=sizes["layers"], n_embd=sizes["width"], n_head=heads, initializer_range=0.05)
    GPT2LMHeadModel(config).save_pretrained(folder)
    gpt2_tokenizer(shared).save_pretrained(folder)


def problems(folder: Path, sizes: dict) -> None:
    """Stimuli of each data set with their labels, and simulated responses, in one folder."""
    import mirror_stimuli as stimuli

    from jaxscore import Reading, activations

    tables = {"pereira": stimuli.pereira(False), "blank": stimuli.blank(False), "fedorenko": stimuli.fedorenko(False)}
    tables |= {"futrell": stimuli.futrell(False), "tuckute": stimuli.tuckute(False)}
    tables["pereira"] = shortened(tables["pereira"], sizes["pereira"])
    tables["blank"] = tables["blank"].groupby("story").head(sizes["blank"])
    tables["fedorenko"] = tables["fedorenko"].query(f"sentence_id < {sizes['fedorenko']}")
    groups = {"pereira": ["experiment", "passage_label"], "blank": ["story"], "fedorenko": ["sentence_id"]}
    for name, table in tables.items():
        table = table.rename(columns={"sentence": "stimulus", "word": "stimulus"}).reset_index(drop=True)
        if name in ("futrell", "tuckute"):
            table = table.head(sizes[name])
        labels = table[groups[name]].astype(str).agg("/".join, axis=1) if name in groups else None
        labels = ["all"] * len(table) if name == "futrell" else labels
        read = activations(
            folder / "checkpoint", table.stimulus.tolist(), labels, layers="1", reading=Reading("parts", window=1024)
        )
        table.to_csv(folder / f"{name}.csv", index=False)
        np.save(folder / f"{name}.npy", responses(read.activations.values[0].astype(float)))


def shortened(table, share: float):
    """The first passages of each experiment's topics."""
    passages = table[["experiment", "passage_label"]].drop_duplicates()
    keep = passages.groupby("experiment", group_keys=False).head(int(np.ceil(share * len(passages))))
    return table.merge(keep)


def responses(X: np.ndarray) -> np.ndarray:
    """[presentation, neuroid] of subjects that share half of what they respond to, and noise."""
    rng = np.random.default_rng(0)
    common, own = (rng.standard_normal((X.shape[1], count)) for count in (NEUROIDS, SUBJECTS * NEUROIDS))
    X = (X - X.mean(0)) / X.std(0).mean()
    signal = X @ (np.tile(common, SUBJECTS) + 0.5 * own)
    signal /= signal.std(0)
    return signal + NOISE * rng.standard_normal(signal.shape)


def run(python: Path, script: str, folder: Path) -> dict:
    """Run a script of this folder in the other environment; what it wrote into results.json, if it did."""
    quiet = {"BS_INSTALL_DEPENDENCIES": "no", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    fresh = {"JAXSCORE_CACHE": str(folder / "cache")}  # nothing is compiled yet
    environment = os.environ | quiet | fresh
    subprocess.run([python, ROOT / "bench" / script, folder], check=True, env=environment, stdout=sys.stderr)
    results = folder / "results.json"
    return json.loads(results.read_text()) if results.exists() else {}


if __name__ == "__main__":
    main()
