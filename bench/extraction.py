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
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property, lru_cache, partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from common import arguments, machine, write

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


# ---- processes


class Worker:
    """A fresh process: nothing is loaded, nothing compiled, and its peak memory is its own."""

    def __init__(self, **environment: str) -> None:
        quiet = {"JAX_ENABLE_COMPILATION_CACHE": "false", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), prepare, (quiet | environment,))

    def __call__(self, function: Callable, *args: object):
        """The function's result in that process."""
        return self.pool.submit(function, *args).result()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown()


def prepare(environment: dict[str, str]) -> None:
    os.environ.update(environment)


on_cores = partial(Worker, JAX_PLATFORMS="cpu")


def timed(function: Callable, *args: object) -> tuple:
    """Wall seconds, CPU-seconds and the result of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = function(*args)
    return time.perf_counter() - wall, time.process_time() - cpu, result


def peer(name: str, *args: object):
    """A function of bench/torch_extraction.py; torch is loaded in the process that calls it and nowhere else."""
    import torch_extraction

    return getattr(torch_extraction, name)(*args)


def take_turns(sides: dict[str, Callable[[], tuple]], turns: int) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Time every side once a turn, another one first each time: ({side: [turn, (wall, CPU)]}, {side: last result})."""
    times, results, names = {name: [] for name in sides}, {}, list(sides)
    for turn in range(turns):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            *seconds, results[name] = sides[name]()
            times[name].append(seconds)
    for name, own in times.items():
        (wall, cpu), walls = np.median(own, 0), [wall for wall, _ in own]
        print(f"  {name:<28}{wall:9.2f} s ({min(walls):.2f} to {max(walls):.2f}){cpu:9.2f} CPU-s", flush=True)
    return {name: np.array(own) for name, own in times.items()}, results


# ---- our side; runs in a worker


@lru_cache
def loaded(folder: Path, untrained: bool = False) -> tuple:
    """A model and its weights."""
    from jaxscore import load_model

    model = load_model(folder, untrained=untrained)
    return model, model.transformer()


def ours(folder: Path, windows: Sequence, untrained: bool = False) -> np.ndarray:
    """Pooled states of all layers [layer, presentation, feature]."""
    from jaxscore.extract.passes import extract

    model, transformer = loaded(folder, untrained)
    return extract(transformer, windows, range(model.arch.layers + 1)).states


def our_parts(folder: Path, texts: Sequence[str], contexts: Sequence[str]) -> np.ndarray:
    """The same by the protocol of today's platform, from the text on."""
    from jaxscore.contexts.reading import Reading

    model, _ = loaded(folder)
    return ours(folder, windows_of(model, texts, contexts, Reading("parts", window=model.arch.positions)))


def windows_of(model, texts: Sequence[str], contexts: Sequence[str], reading) -> list:
    """What the model reads."""
    from jaxscore.contexts.reading import read

    ids, arch = list(map(str, range(len(texts)))), model.arch
    return read(model.tokenizer, texts, ids, contexts, reading, causal=arch.causal, limit=arch.positions).windows


def first_run(folder: Path, windows: Sequence) -> tuple[float, float]:
    """Seconds of the first pass of a process, and GiB at its peak, weights included."""
    from measuring import memory

    loaded(folder)
    return timed(ours, folder, windows)[0], memory("VmHWM")


def product(library: str, a: np.ndarray, b: np.ndarray, repeats: int) -> tuple:
    """Median wall and CPU-seconds of a float32 product by NumPy, XLA or torch."""
    if library == "torch":
        run = peer("product", a, b)
    elif library == "XLA":
        import jax

        a, b = jax.device_put(a), jax.device_put(b)
        run = lambda: multiply()(a, b).block_until_ready()  # noqa: E731
    else:
        run = partial(np.matmul, a, b, out=np.empty((len(a), b.shape[1]), np.float32))
    run()
    return *np.median([timed(run)[:2] for _ in range(repeats)], axis=0), None


@lru_cache
def multiply() -> Callable:
    import jax

    return jax.jit(partial(jax.numpy.matmul, precision="highest"))


def compiling(folder: Path, windows: Sequence) -> float:
    """Seconds of tracing, lowering and compiling in a pass, after JAX has forgotten all that it compiled."""
    import jax

    loaded(folder, True)
    spent = []

    def listen(event: str, seconds: float, **about: object) -> None:
        if event.startswith("/jax/core/compile/"):
            spent.append(seconds)

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(listen)
    ours(folder, windows, True)
    jax.monitoring.unregister_event_duration_listener(listen)
    return sum(spent)


def load_peak(folder: Path, dtype: str) -> tuple[float, float]:
    """Peak of loading beyond what was there after all imports, and size of the checkpoint, both in GiB."""
    import jax
    from measuring import forget_peak, memory

    import jaxscore.models.checkpoint
    import jaxscore.models.transformer

    model = jaxscore.load_model(folder, dtype=dtype)
    assert model.arch, jax.devices()  # the configuration is read and the backend is there
    before = forget_peak()
    transformer = model.transformer()
    jax.block_until_ready(transformer.arrays)
    return memory("VmHWM") - before, model.weight_bytes() / 2**30


def accelerated(folder: Path, windows: Sequence, turns: int) -> dict:
    """Seconds of a pass in bfloat16 on one device, of which weights are drawn there, and FLOP/s of a bare product."""
    import jax
    from jax import numpy as jnp

    from jaxscore import load_model
    from jaxscore.extract.passes import extract
    from jaxscore.models.checkpoint import dtype_of, nest, parameter_shapes
    from jaxscore.models.transformer import Transformer

    arch, params = load_model(folder, untrained=True, dtype="bfloat16").arch, {}
    for number, (path, shape) in enumerate(parameter_shapes(arch, head=False).items()):
        dtype = dtype_of(path, "bfloat16")
        normal = partial(jax.random.normal, jax.random.key(number))
        draw, scale = (jnp.ones, 1.0) if path.endswith("/scale") else (normal, arch.initializer_range)
        params[path] = draw(shape, dtype) * jnp.asarray(scale, dtype)
    transformer, device = Transformer(arch, nest(params)), jax.local_devices()[0]
    run = partial(extract, transformer, layers=[arch.layers], devices=[device])
    few, all_of_them = (run(some).states[0] for some in (windows[:2], windows))
    seconds = [timed(run, windows)[0] for _ in range(turns)]
    a, b = (jnp.ones(shape, jnp.bfloat16) for shape in ((16384, arch.width), (arch.width, arch.hidden)))
    multiply()(a, b).block_until_ready()
    products = [timed(lambda: jax.block_until_ready([multiply()(a, b) for _ in range(50)]))[0] for _ in range(5)]
    return {
        "seconds": float(np.median(seconds)),
        "flops": useful_flops(arch, windows),
        "ceiling": 50 * 2 * len(a) * b.size / min(products),
        "device": device.device_kind,
        "same": bool(np.corrcoef(few.ravel(), all_of_them[:2].ravel())[0, 1] > 0.99),  # bfloat16, another batch
    }


def backend() -> str:
    import jax

    return jax.default_backend()


def useful_flops(arch, windows: Sequence) -> float:
    """2 x multiply-adds: the blocks' matrices for every real token, attention for every pair that it may see."""
    shapes = arch.shapes().items()
    matrices = sum(math.prod(s) for path, s in shapes if path.startswith("blocks/") and path.endswith("/kernel"))
    lengths = np.array([len(window.tokens) for window in windows], float)
    pairs = (lengths * (lengths + 1) / 2 if arch.causal else lengths**2).sum()
    return 2 * matrices * lengths.sum() + 4 * arch.layers * arch.heads * arch.head_width * pairs


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
        return model.arch, windows_of(model, *self.texts(every), Reading())

    def sides(self, folder: Path, windows: list, sizes: Iterable[int]) -> dict[str, Callable[[], tuple]]:
        """Ours, and torch by the number of texts in a batch, each with its weights loaded."""
        self.torch(peer, "batched", folder, windows[:8], 8)
        made = {"ours": partial(self.jax, timed, ours, folder, windows)}
        return made | {batches(n): partial(self.torch, timed, peer, "batched", folder, windows, n) for n in sizes}

    def passages(self) -> list[dict]:
        """A causal model, a pass a passage: torch batched, torch a text at a time, the machine's matrix product."""
        arch, windows = self.windows(self.gpt2, 28 if self.quick else 1)
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal(shape, np.float32) for shape in (SHAPE[:2], SHAPE[1:]))
        first, our_peak = self.jax(first_run, self.gpt2, windows)  # the first group: nothing ran there before
        sides = self.sides(self.gpt2, windows, (*SIZES, 1))
        for library, worker in {"NumPy": self.jax, "XLA": self.jax, "torch": self.torch}.items():
            sides[f"product {library}"] = partial(worker, product, library, a, b, 2 if self.quick else 10)
        times, results = take_turns(sides, self.turns)
        best, top = fastest(times, map(batches, SIZES)), fastest(times, [n for n in times if n.startswith("product")])
        with on_cores() as torch:
            torch_peak = torch(peer, "peak", self.gpt2, windows, int(best.split()[-1]))
        ceiling = 2 * math.prod(SHAPE) / times[top][:, 0]
        share = np.median(useful_flops(arch, windows) / times["ours"][:, 0] / ceiling)
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
        self.jax(ours, self.bert, windows)
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
            self.jax(our_parts, self.gpt2, texts, contexts)
            sides = {"ours": partial(self.jax, timed, our_parts, self.gpt2, texts, contexts)}
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
            worker(compiling, folders[12], windows)  # the first one also starts the compiler
            for _ in range(self.fewer):
                for layers, folder in folders.items():
                    times.setdefault(layers, []).append(worker(compiling, folder, windows))
        ratio = np.median(np.array(times[48]) / times[12])
        return [row("compile_48_over_12", ratio, "x", f"{np.median(times[12]):.2f} s for 12 layers")]

    def loading(self) -> list[dict]:
        """Peak memory of loading a checkpoint of 1 GB over its size, in both dtypes."""
        rows = []
        for dtype, layers in {"float32": 16, "bfloat16": 36}.items():
            settings = {"n_layer": 4, "vocab_size": 5000} if self.quick else {"n_layer": layers}
            folder = self.checkpoint(dtype, "gpt2", dtype, n_embd=1024, n_head=16, **settings)
            with on_cores() as worker:
                peak, size = worker(load_peak, folder, dtype)
            name = "load_peak_over_checkpoint" + ("" if dtype == "float32" else f"_{dtype}")
            rows.append(row(name, peak / size, "x", f"{size:.2f} GiB of {dtype}"))
        return rows

    def accelerator(self) -> list[dict]:
        """Share of the device's peak that a pass in bfloat16 reaches on texts of 512 tokens, beside torch."""
        from transformers import AutoConfig

        from jaxscore.contexts.windows import Slot, Window

        with Worker() as worker:
            if worker(backend) == "cpu":
                print("  skipped: JAX sees no accelerator")
                return []
        rows, rng = [], np.random.default_rng(0)
        for name, (kind, settings) in BIG.items():
            folder = self.folder / name
            AutoConfig.for_model(kind, **settings).save_pretrained(folder)
            texts = rng.integers(0, 30_000, (32 if self.quick else 128, 512), np.int32)
            windows = [Window(text, (Slot(i, 511, 511),)) for i, text in enumerate(texts)]
            with Worker() as worker:
                found = worker(accelerated, folder, windows, self.turns)
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
