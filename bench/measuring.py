"""Time sides of bench/peers.py, each library in a fresh process that measures itself and may use one core or two.

The clock is around the call alone: inputs are there, and ours has been called once on the same shapes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from peers import SIDES

FOLDS, FEW = 5, 100
Sizes = tuple[int, int, int, int]
Make = Callable[..., tuple[np.ndarray, np.ndarray]]
"""From the name and the sizes of a problem to its features and responses."""


@dataclass
class Side:
    """One thing that is timed: its settings for the function of bench/peers.py, and what part of the problem."""

    settings: dict
    problem: str = "first"
    layers: str = "some"
    folds: int = FOLDS
    repeats: int = 1
    found: dict[int, dict] = field(default_factory=dict)  # cores: figures and arrays

    def chosen_layers(self, total: int) -> list[int]:
        """Which of the layers: all, some (first and last) or the last."""
        return {"all": list(range(total)), "some": sorted({0, total - 1}), "last": [total - 1]}[self.layers]


class Run:
    """Times sides, each once for a number of cores, and keeps what was found."""

    def __init__(self, folder: Path, sides: dict[str, Side], sizes: dict[str, Sizes], make: Make) -> None:
        self.folder, self.sides, self.sizes, self.make = folder, sides, sizes, make

    def inputs(self, problem: str) -> Path:
        """Folder of a problem's X.npy and Y.npy."""
        path = self.folder / problem
        if not path.exists():
            path.mkdir()
            for name, array in zip("XY", self.make(problem, *self.sizes[problem]), strict=True):
                np.save(path / f"{name}.npy", array)
        return path

    def time(self, names: set[str], cores: int) -> None:
        """Time what was not timed yet, one fresh process for each library and problem."""
        groups: dict[tuple, list[str]] = {}
        for name, side in self.sides.items():  # in their order: OLS first, so that its peak is its own
            if name in names and cores not in side.found:
                library = "jax" if name.startswith(("ours", "product XLA")) else name.split()[0]
                groups.setdefault((side.problem, library), []).append(name)
        for (problem, _), group in groups.items():
            tasks = [self.task(name, index) for index, name in enumerate(group)]
            for name, task, figures in zip(group, tasks, self.work(problem, tasks, cores), strict=True):
                with np.load(task["out"]) as arrays:
                    self.sides[name].found[cores] = figures | dict(arrays)
                print(f"  {name}, {cores} core(s): {figures['cpu']:.2f} CPU-s, {figures['wall']:.2f} s", flush=True)

    def task(self, name: str, index: int) -> dict:
        """What `measure` needs of a side."""
        side = self.sides[name]
        layers = side.chosen_layers(self.sizes[side.problem][0])
        out = str(self.folder / f"{index}.npz")
        return side.settings | {"layers": layers, "folds": side.folds, "repeats": side.repeats, "out": out}

    def work(self, problem: str, tasks: list[dict], cores: int) -> list[dict]:
        """Run this file as a process that measures."""
        environment = os.environ | {f"{name}_NUM_THREADS": str(cores) for name in ("OMP", "OPENBLAS", "MKL")}
        environment |= {"JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
        if cores == 1:
            environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        task = json.dumps({"folder": str(self.inputs(problem)), "cores": cores, "sides": tasks})
        command = [sys.executable, str(Path(__file__))]
        done = subprocess.run(command, input=task, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    def scale(self, name: str) -> float:
        """From what was timed to all layers and folds."""
        side = self.sides[name]
        total = self.sizes[side.problem][0]
        return total / len(side.chosen_layers(total)) * FOLDS / side.folds

    def seconds(self, name: str, cores: int = 1) -> float:
        """CPU-seconds on one core, wall seconds on two, scaled."""
        found = self.sides[name].found[cores]
        return found["cpu" if cores == 1 else "wall"] * self.scale(name)

    def agreement(self, name: str, reference: str) -> dict[str, float]:
        """Share of equal alphas (NaN without), median and largest |delta r|, on the layers and folds of both."""
        a, b = self.sides[name], self.sides[reference]
        total, folds = self.sizes[a.problem][0], min(a.folds, b.folds)
        layers = [i for i in a.chosen_layers(total) if i in b.chosen_layers(total)]
        found = []
        for side in (a, b):
            rows = [side.chosen_layers(total).index(i) for i in layers]
            arrays = side.found[1]
            found.append({key: arrays[key][rows, :folds] for key in ("r", "alphas") if key in arrays})
        delta = np.abs(found[0]["r"] - found[1]["r"])
        alphas = [f["alphas"] for f in found if "alphas" in f and np.isfinite(f["alphas"]).all()]
        equal = np.isclose(*alphas, rtol=1e-3).mean() if len(alphas) == 2 else np.nan
        return {"equal": float(equal), "median": float(np.median(delta)), "max": float(np.max(delta))}


def memory(field: str) -> float:
    """GiB of this process now (VmRSS) or at its peak (VmHWM)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def forget_peak() -> float:
    """Let the peak start anew where the system can; GiB that are in use."""
    path = Path("/proc/self/clear_refs")
    if os.access(path, os.W_OK):
        path.write_text("5")
    return memory("VmRSS")


def measure(X: np.ndarray, Y: np.ndarray, s: dict) -> dict:
    """Median CPU and wall seconds of one side's calls after a first one, and the peak memory of the first full one.

    The first call is on the same shapes where something is compiled, else on FEW stimuli and voxels.
    """
    from sklearn.model_selection import KFold

    def folds(rows: int) -> list:
        return list((KFold(5) if s.get("contiguous") else KFold(5, shuffle=True, random_state=1)).split(range(rows)))

    side, compiled, times = SIDES[s["side"]], s["side"] in ("ours", "product"), []
    X, Y = (np.ascontiguousarray(a, s["dtype"]) for a in (X[s["layers"]], Y))
    if not compiled:
        few = s | {"candidates": s["candidates"][:2]} if "candidates" in s else s
        side(X[:1, :FEW], Y[:FEW, :FEW], folds(min(FEW, len(Y)))[:1], few)
    before = forget_peak()
    for repeat in range(s["repeats"] + compiled):
        cpu, wall = time.process_time(), time.perf_counter()
        arrays = side(X, Y, folds(len(Y))[: s["folds"]], s)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
        if repeat == 0:
            peak = memory("VmHWM") - before
    np.savez(s["out"], **arrays)
    cpu, wall = np.median(times[compiled:], 0)
    return {"cpu": cpu, "wall": wall, "peak": peak}


def main() -> None:
    """Limit this process to its cores, then measure each side and print the figures as one line of JSON."""
    task = json.load(sys.stdin)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task["cores"]])
    X, Y = (np.load(Path(task["folder"]) / f"{name}.npy") for name in "XY")
    print(json.dumps([measure(X, Y, s | {"cores": task["cores"]}) for s in task["sides"]]))


if __name__ == "__main__":
    main()
