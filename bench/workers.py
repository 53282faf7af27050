"""Fresh processes that measure themselves, and sides that take turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np


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
