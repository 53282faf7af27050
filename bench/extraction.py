"""Extraction against torch, on one machine in one run (add --only ROW ... for some of the rows).

    python bench/extraction.py [--quick] [--only ROW ...] [--json FILE]

GPT-2-small's shape with random weights, the same in both, the real GPT-2 tokenizer and the 627 Pereira sentences in
their 168 passages, states of all 13 layers at the last token of each sentence. Each library has a process of its own on
all cores, which measures itself. Sides take turns, and a ratio is the median over the turns, wall seconds of the peer
over ours: over 1 means that we are faster. CPU-seconds stand beside it. The torch side is bench/torch_extraction.py.
States that differ by more than 1e-4 end the run with an error.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import our_extraction as own
from common import arguments, machine, write
from workers import Worker, on_cores, peer, take_turns, timed

SAME = 1e-4  # largest difference of states that are the same
SIZES = (4, 8, 16, 32)  # texts in a batch of torch
SHAPE = (4096, 768, 3072)  # of the product that is the machine's ceiling
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}  # FLOP/s, bfloat16, dense
BIG = {
    "gpu_gpt2xl_mfu": ("gpt2", {"n_layer": 48, "n_embd": 1600, "n_head": 25}),
    "gpu_7b_bf16_mfu": ("llama", {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 11008}),
}
GOALS = {
    "vs_torch_batched": 1.1,
    "vs_torch_unpadded": 1.0,
    "vs_part_by_part": 10,
    "bert_prefix_vs_torch": 1.1,
    "ceiling_share": 0.65,
    "compile_48_over_12": 1.5,
    "load_peak_over_checkpoint": 1.15,
    "load_peak_over_checkpoint_bfloat16": 1.15,
    **dict.fromkeys(BIG, 0.4),
}


# ---- what is measured


class Bench:
    """A method for each group of rows that are measured together."""

    def __init__(self, folder: Path, jax: Worker, torch: Worker, shared: Path, quick: bool) -> None:
        self.folder, self.jax, self.torch, self.shared, self.quick = folder, jax, torch, shared, quick
        self.turns, self.fewer = (2, 1) if quick else (5, 3)

    def texts(self, every: int, context: str = "passage") -> tuple[list[str], list[str]]:
        """Sentences of each `every`-th context, and their contexts."""
        import pandas as pd

        table = pd.read_csv(self.shared / "pereira2018_stimuli" / "Pereira2018_stimulus_set_20220209.csv")
        table["passage"] = table["experiment"] + table["passage_index"].astype(str)
        table = table[table[context].isin(table[context].unique()[::every])]
        return table["sentence"].tolist(), table[context].tolist()

    def checkpoint(self, name: str, kind: str, dtype: str = "float32", **settings: int) -> Path:
        """A checkpoint with random weights, written by transformers."""
        self.torch(peer, "save", self.folder / name, kind, dtype, settings)
        return self.folder / name

    @cached_property
    def gpt2(self) -> Path:
        """GPT-2-small's shape; fewer layers in a quick run."""
        from end_to_end import gpt2_tokenizer

        folder = self.checkpoint("gpt2", "gpt2", **({"n_layer": 3} if self.quick else {}))
        gpt2_tokenizer(self.shared).save_pretrained(folder)
        return folder

    @cached_property
    def bert(self) -> Path:
        """BERT-base's shape; fewer layers in a quick run."""
        from transformers import BertTokenizer

        folder = self.checkpoint("bert", "bert", **({"num_hidden_layers": 3} if self.quick else {}))
        lines = (self.shared / "tokenizer_bert" / "bert-base-uncased-vocab.txt").read_text("utf-8").split("\n")
        BertTokenizer(vocab={token: i for i, token in enumerate(filter(None, lines))}).save_pretrained(folder)
        return folder

    def windows(self, folder: Path, every: int) -> tuple[object, list]:
        """Architecture, and windows of each `every`-th passage by the 2021 pipeline's protocol."""
        from jaxscore import load_model
        from jaxscore.contexts.reading import Reading

        model = load_model(folder)
        return model.arch, own.windows_of(model, *self.texts(every), Reading())

    def sides(self, folder: Path, windows: list, sizes: Iterable[int]) -> dict[str, Callable[[], tuple]]:
        """Ours, and torch by the number of texts in a batch, each with its weights loaded."""
        self.torch(peer, "batched", folder, windows[:8], 8)
        made = {"ours": partial(self.jax, timed, own.ours, folder, windows)}
        return made | {batches(n): partial(self.torch, timed, peer, "batched", folder, windows, n) for n in sizes}

    def passages(self) -> list[dict]:
        """A causal model, a pass a passage: torch batched, torch a text at a time, the machine's matrix product."""
        arch, windows = self.windows(self.gpt2, 28 if self.quick else 1)
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal(shape, np.float32) for shape in (SHAPE[:2], SHAPE[1:]))
        first, our_peak = self.jax(own.first_run, self.gpt2, windows)  # the first group: nothing ran there before
        sides = self.sides(self.gpt2, windows, (*SIZES, 1))
        for library, worker in {"NumPy": self.jax, "XLA": self.jax, "torch": self.torch}.items():
            sides[f"product {library}"] = partial(worker, own.product, library, a, b, 2 if self.quick else 10)
        times, results = take_turns(sides, self.turns)
        best, top = fastest(times, map(batches, SIZES)), fastest(times, [n for n in times if n.startswith("product")])
        with on_cores() as torch:
            torch_peak = torch(peer, "peak", self.gpt2, windows, int(best.split()[-1]))
        ceiling = 2 * math.prod(SHAPE) / times[top][:, 0]
        share = np.median(own.useful_flops(arch, windows) / times["ours"][:, 0] / ceiling)
        steady = np.median(times["ours"][:, 0])
        return [
            ratio_row("vs_torch_batched", best, times, results),
            ratio_row("vs_torch_unpadded", batches(1), times, results),
            row("ceiling_share", share, "", f"{top} at {np.median(ceiling) / 1e9:.0f} GFLOP/s"),
            row("first_run_seconds", first, "s", f"{steady:.2f} s once compiled"),
            row("ours_peak_gb", our_peak, "GiB", "a fresh process, weights and compilation included"),
            row("torch_peak_gb", torch_peak, "GiB", f"a fresh process, weights included, {best}"),
        ]

    def prefixes(self) -> list[dict]:
        """A bidirectional model by prefixes: each sentence has a text of its own, up to its last word."""
        _, windows = self.windows(self.bert, 42 if self.quick else 2)
        self.jax(own.ours, self.bert, windows)
        times, results = take_turns(self.sides(self.bert, windows, SIZES), self.fewer)
        return [ratio_row("bert_prefix_vs_torch", fastest(times, map(batches, SIZES)), times, results)]

    def parts(self) -> list[dict]:
        """The loop that runs the context so far for each part; both sides begin with text and tokenise it."""
        kinds = {  # today's contexts of these sentences, the topics of the 2021 paper, every word of a passage
            "": self.texts(30 if self.quick else 6, "passage_label"),
            "/story": self.texts(8, "story"),
            "/word": words(*self.texts(42)),
        }
        rows, head, bare = [], "part by part", "part by part, no head"
        for kind, (texts, contexts) in list(kinds.items())[: 1 if self.quick else None]:
            self.jax(own.our_parts, self.gpt2, texts, contexts)
            sides = {"ours": partial(self.jax, timed, own.our_parts, self.gpt2, texts, contexts)}
            for name in (head, bare):
                loop = partial(self.torch, timed, peer, "part_by_part", self.gpt2)
                loop(texts[:1], contexts[:1], name == head)
                sides[name] = partial(loop, texts, contexts, name == head)
            times, results = take_turns(sides, self.fewer)
            found = ratio_row(f"vs_part_by_part{kind}", head, times, results)
            alone = paired(times, bare)[0]
            found["peer"] += f"; {alone:.1f} x without its head; {len(texts)} parts, {len(set(contexts))} contexts"
            rows.append(found)
        return rows

    def compilation(self) -> list[dict]:
        """Seconds to compile a pass of 48 layers over those of 12, untrained models of one width."""
        from transformers import GPT2Config

        width, times, windows = 128 if self.quick else 768, {}, self.windows(self.gpt2, 168)[1]
        folders = {layers: self.folder / f"{layers}-layers" for layers in (12, 48)}
        for layers, folder in folders.items():
            GPT2Config(n_layer=layers, n_embd=width, n_head=width // 64).save_pretrained(folder)
        with on_cores() as worker:
            worker(own.compiling, folders[12], windows)  # the first one also starts the compiler
            for _ in range(self.fewer):
                for layers, folder in folders.items():
                    times.setdefault(layers, []).append(worker(own.compiling, folder, windows))
        ratio = np.median(np.array(times[48]) / times[12])
        return [row("compile_48_over_12", ratio, "x", f"{np.median(times[12]):.2f} s for 12 layers")]

    def loading(self) -> list[dict]:
        """Peak memory of loading a checkpoint of 1 GB over its size, in both dtypes."""
        rows = []
        for dtype, layers in {"float32": 16, "bfloat16": 36}.items():
            settings = {"n_layer": 4, "vocab_size": 5000} if self.quick else {"n_layer": layers}
            folder = self.checkpoint(dtype, "gpt2", dtype, n_embd=1024, n_head=16, **settings)
            with on_cores() as worker:
                peak, size = worker(own.load_peak, folder, dtype)
            name = "load_peak_over_checkpoint" + ("" if dtype == "float32" else f"_{dtype}")
            rows.append(row(name, peak / size, "x", f"{size:.2f} GiB of {dtype}"))
        return rows

    def accelerator(self) -> list[dict]:
        """Share of the device's peak that a pass in bfloat16 reaches on texts of 512 tokens, beside torch."""
        from transformers import AutoConfig

        from jaxscore.contexts.windows import Slot, Window

        with Worker() as worker:
            if worker(own.backend) == "cpu":
                print("  skipped: JAX sees no accelerator")
                return []
        rows, rng = [], np.random.default_rng(0)
        for name, (kind, settings) in BIG.items():
            folder = self.folder / name
            AutoConfig.for_model(kind, **settings).save_pretrained(folder)
            texts = rng.integers(0, 30_000, (32 if self.quick else 128, 512), np.int32)
            windows = [Window(text, (Slot(i, 511, 511),)) for i, text in enumerate(texts)]
            with Worker() as worker:
                found = worker(own.accelerated, folder, windows, self.turns)
            with Worker() as worker:  # after ours, which holds most of the device's memory
                rows.append(
                    utilisation_row(name, found, worker(peer, "accelerated", folder, windows, SIZES, self.turns))
                )
        return rows


def words(texts: Sequence[str], contexts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of texts, and the context of each."""
    pairs = [(word, context) for text, context in zip(texts, contexts, strict=True) for word in text.split()]
    return [word for word, _ in pairs], [context for _, context in pairs]


# ---- rows

GROUPS = {
    "vs_torch_batched vs_torch_unpadded ceiling_share first_run_seconds ours_peak_gb torch_peak_gb": Bench.passages,
    "vs_part_by_part": Bench.parts,
    "bert_prefix_vs_torch": Bench.prefixes,
    "compile_48_over_12": Bench.compilation,
    "load_peak_over_checkpoint": Bench.loading,
    " ".join(BIG): Bench.accelerator,
}


def batches(size: int) -> str:
    return f"torch, texts a batch: {size}"


def fastest(times: dict[str, np.ndarray], names: Iterable[str]) -> str:
    """The side with the lowest median of wall seconds."""
    return min(names, key=lambda name: np.median(times[name][:, 0]))


def paired(times: dict[str, np.ndarray], side: str) -> np.ndarray:
    """Medians over the turns of a side's (wall, CPU) seconds over ours."""
    return np.median(times[side] / times["ours"], axis=0)


def row(name: str, value: float, unit: str, note: str) -> dict:
    """A row with its goal, where it has one."""
    note += f"; goal {GOALS[name]:g}" if name in GOALS else ""
    return {"name": name, "value": float(value), "unit": unit, "peer": note, "goal": GOALS.get(name)}


def ratio_row(name: str, side: str, times: dict[str, np.ndarray], results: dict[str, np.ndarray]) -> dict:
    """Wall seconds of a side over ours, and how far its states are from ours."""
    (wall, cpu), delta = paired(times, side), float(np.max(np.abs(results[side] - results["ours"])))
    made = row(name, wall, "x", f"{side}; {cpu:.2f} x in CPU-seconds; states differ by {delta:.0e}")
    return made | {"cpu_ratio": float(cpu), "difference": delta, "same": delta <= SAME}


def utilisation_row(name: str, found: dict, torch: dict[int, float]) -> dict:
    """FLOP/s over the datasheet's peak, or over the measured product's where the device is not in the table."""
    rate = found["flops"] / found["seconds"]
    peak = next((peak for known, peak in PEAKS.items() if known in found["device"]), None)
    note = f"{found['device']}" + ("" if peak else ", whose peak is not known: share of a product")
    note += f", {rate / 1e12:.4g} TFLOP/s, {rate / found['ceiling']:.2f} of a bare product"
    peak = peak or found["ceiling"]
    if torch:
        size = min(torch, key=torch.get)
        note += f"; torch SDPA {found['flops'] / torch[size] / peak:.3f}, {size} texts a batch"
    return row(name, rate / peak, "", note) | {"same": found["same"]}


def main() -> None:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", nargs="+", default=[])
    known, sys.argv[1:] = parser.parse_known_args()
    options, names = arguments(__doc__.split("\n")[0]), " ".join(GROUPS).split()
    if unknown := set(known.only) - set(names):
        sys.exit(f"No row {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if not find_spec("torch"):
        sys.exit("torch is not installed: pip install 'jaxscore[bench]'")
    print(f"{machine()}; {os.getloadavg()[0]:.1f} cores busy before: wall seconds want 0")
    rows = []
    with tempfile.TemporaryDirectory() as folder, on_cores() as jax, on_cores() as torch:
        bench = Bench(Path(folder), jax, torch, options.shared, options.quick)
        for group, measure in GROUPS.items():
            wanted = tuple(name for name in group.split() if name in (known.only or names))
            if wanted:
                print(f"{', '.join(wanted)}: {measure.__doc__.splitlines()[0]}", flush=True)
                rows += [row for row in measure(bench) if row["name"].startswith(wanted)]
    write(rows, options.json)
    if wrong := [row["name"] for row in rows if not row.get("same", True)]:
        sys.exit(f"The states are not the same: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
