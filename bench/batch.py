"""Twenty checkpoints of one architecture as a person scores them: `jaxscore batch FOLDERS --data FILE`, one process.

    python bench/batch.py [--quick] [--json FILE]

Checkpoints of GPT-2-small's shape, 500 MB each, on the disk and not in its cache; data and benchmark are those of
bench/end_to_end.py: 627 real sentences, 50,000 simulated voxels in five atlases, both experiments, 13 layers. Nothing
is compiled when the batch starts. The pure compute of a checkpoint is extraction and regression as its record gives
them: the median over all but the first, and, for comparison, that of the last alone, since no other is read meanwhile.
`jaxscore run` is timed for a few of the checkpoints, again with nothing compiled, and scaled: the first, and the median
of the others for each of the rest. For bench/many_hosts.md: the size of a result, and how many tokens GPT-2's
tokenizer makes of the texts of five benchmarks, one by one and in one pass. `--quick`: 4 checkpoints, 2 of them for
`jaxscore run`, a tenth of the voxels.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from common import ROOT, arguments, machine, write
from workers import Worker

CORES, GOAL = 2, 1.15
EXTRACTION = "_side_by_side"  # the compiled program, in jaxscore/extract/passes.py
COMPILED = re.compile(r"^Finished XLA compilation of jit\((\w+)\)", re.MULTILINE)
BENCHMARKS = {
    "Pereira2018-encoding": ("pereira", "sentence", ["experiment", "passage_index"]),
    "Blank2014-recommended": ("blank", "sentence", ["story"]),
    "Fedorenko2016-recommended": ("fedorenko", "word", ["sentence_id"]),
    "Tuckute2024-recommended": ("tuckute", "sentence", ["item_id"]),
    "Futrell2018-recommended": ("futrell", "word", ["story_id"]),
}
"""Tables of tests/mirror_stimuli.py, the column of texts, and the columns that name the context."""
ENDED = re.compile(r"^\S \d+/\d+ ", re.MULTILINE)  # the line that a job leaves


def prepare(folder: Path, shared: Path, count: int, scale: float) -> None:
    """Checkpoints that differ in a few of their weights, and the responses, all on the disk."""
    from end_to_end import assembly, checkpoint, neuroids

    from jaxscore.data.assemblies import write_assembly

    first = folder / "step-1"
    checkpoint(first, shared)
    for number in range(2, count + 1):
        other = shutil.copytree(first, folder / f"step-{number}")
        change(other / "model.safetensors", "transformer.wte.weight", number)
    stimuli = pd.read_csv(shared / "pereira2018_stimuli" / "Pereira2018_stimulus_set_20220209.csv")
    write_assembly(assembly(stimuli, neuroids(scale)), folder / "Pereira2018.nc")
    forget(folder.glob("step-*/*"))


def change(path: Path, name: str, seed: int, rows: int = 1000) -> None:
    """Draw the first rows of a float32 tensor anew, in place."""
    with path.open("rb+") as file:
        size = int.from_bytes(file.read(8), "little")
        about = json.loads(file.read(size))[name]
        file.seek(8 + size + about["data_offsets"][0])
        drawn = 0.02 * np.random.default_rng(seed).standard_normal((rows, about["shape"][1]))
        file.write(drawn.astype("<f4").tobytes())


def forget(paths: Iterable[Path]) -> None:
    """Drop files from the system's memory once they are on the disk, so that reading them is reading the disk."""
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def tokens(shared: Path) -> dict[str, int]:
    """Tokens that a model of 2,048 positions reads for each benchmark, and for all of them in one pass."""
    sys.path.insert(0, str(ROOT / "tests"))
    import mirror_stimuli
    from end_to_end import gpt2_tokenizer
    from transformers import PreTrainedTokenizerFast

    from jaxscore.cards import load_benchmark
    from jaxscore.contexts.reading import read
    from jaxscore.extract.activations import Request
    from jaxscore.extract.union import Union

    mirror_stimuli.SHARED = shared
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=gpt2_tokenizer(shared).backend_tokenizer)
    requests, reads = [], []
    for name, (table, text, by) in BENCHMARKS.items():
        card, stimuli = load_benchmark(name), getattr(mirror_stimuli, table)(False)
        texts, ids, contexts = (
            stimuli[text].tolist(),
            stimuli.index.astype(str),
            stimuli[by].astype(str).agg(" ".join, 1),
        )
        pooling = None if card.metric == "surprisal" else card.pooling
        requests.append(Request(texts, ids.tolist(), contexts.tolist(), card.context.reading("auto"), pooling))
        own = (requests[-1].stimuli, requests[-1].ids, requests[-1].contexts, requests[-1].reading)
        reads.append(read(tokenizer, *own, causal=True, limit=2048))
    found = {n: Union.of([q], [r], causal=True).tokens for n, q, r in zip(BENCHMARKS, requests, reads, strict=True)}
    return found | {"all five": Union.of(requests, reads, causal=True).tokens}


def run(folder: Path, cache: str, *words: str) -> tuple[float, float, str]:
    """Run a command on the responses: wall seconds, peak in GiB, what it said, compilations included."""
    command = [sys.executable, "-m", "jaxscore", *words, "--data", "Pereira2018.nc"]
    environment = os.environ | {"JAXSCORE_CACHE": str(folder / cache), "JAX_LOG_COMPILES": "1", "JAX_PLATFORMS": "cpu"}
    said = folder / "said.txt"
    with said.open("w") as file:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)  # the peak of this child alone
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read_text()[-3000:]}")
    return seconds, usage.ru_maxrss / 2**20, said.read_text()


def phases(out: Path, models: Iterable[str]) -> list[dict[str, float]]:
    """Seconds of each phase, of each model's record."""
    return [json.loads(next(out.glob(f"*/{model}.*.json")).read_text())["seconds"] for model in models]


def compute(seconds: dict[str, float]) -> float:
    """Of one checkpoint, without anything around it."""
    return seconds["extraction"] + seconds["regression"]


def compilations(said: str) -> tuple[int, int]:
    """Of the extraction's program: up to the end of the first job, and after it."""
    first = next(ENDED.finditer(said)).start()
    found = [match.start() < first for match in COMPILED.finditer(said) if match[1] == EXTRACTION]
    return sum(found), len(found) - sum(found)


def main() -> None:
    """Prepare, run both ways, print."""
    options = arguments(__doc__.split("\n")[0])
    count, few, scale = (4, 2, 0.1) if options.quick else (20, 4, 1.0)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    models = [f"step-{number}" for number in range(1, count + 1)]
    print(f"{machine()}; {os.getloadavg()[0]:.1f} cores busy before: wall seconds want 0")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Worker(JAX_PLATFORMS="cpu") as worker:  # whose memory is not in the peaks
            worker(prepare, folder, options.shared, count, scale)
            read = worker(tokens, options.shared)
        seconds, peak, said = run(folder, "cache", "batch", *models, "--out", "out")
        found = phases(folder / "out", models)
        size = sum(path.stat().st_size for path in (folder / "out").glob(f"*/{models[-1]}.*")) / 1e6
        forget(folder.glob("step-*/*"))
        alone = [run(folder, "cache-of-run", "run", model, "--out", "out-of-run")[0] for model in models[:few]]
    for name in found[0]:
        rest = median(each[name] for each in found[1:])
        print(f"  {name:<12}{found[0][name]:8.2f} s of the first,{rest:8.2f} s the median of the others")
    before, after = compilations(said)
    print(f"  {before} shapes of the extraction's program compiled for the first checkpoint, {after} after it")
    print(f"  jaxscore run: {', '.join(f'{value:.1f}' for value in alone)} s")
    pure, last = median(map(compute, found[1:])), compute(found[-1])
    twenty = alone[0] + (count - 1) * median(alone[1:])
    total = f"{count} checkpoints"
    write(
        [
            {"name": "batch_over_compute", "value": seconds / (count * pure), "unit": "", "peer": f"goal {GOAL}"},
            {"name": "batch_over_last", "value": seconds / (count * last), "unit": ""},
            {"name": "batch_compute_seconds", "value": pure, "unit": "s"},
            {"name": "batch_seconds", "value": seconds, "unit": f"s, {total}"},
            {"name": "batch_compilations", "value": before, "unit": "for the first checkpoint"},
            {"name": "batch_compilations_after", "value": after, "unit": "for all others", "peer": "goal 0"},
            {
                "name": "run_twenty_seconds",
                "value": twenty,
                "unit": f"s, {total}",
                "peer": f"`jaxscore run` for each, scaled from {few} of them",
            },
            {"name": "batch_peak_gb", "value": peak, "unit": "GiB"},
            {"name": "batch_result_mb", "value": size, "unit": "MB"},
            *({"name": f"tokens/{name}", "value": count, "unit": "tokens"} for name, count in read.items()),
        ],
        options.json,
    )


if __name__ == "__main__":
    main()
