"""The Pereira2018 extrapolation ceilings at full size, on simulated responses of the published shapes.

    python bench/ceilings.py [--quick] [--json FILE]

Ten subjects: nine read the 384 sentences, six the 243, five both. Ten random subsets of each size and experiment, five
draws of the held-out subject in each, five shuffled folds of least squares from all voxels of the other subjects in the
subset, products in float64; 100 bootstraps of every voxel, a curve fitted to each. Timed in a fresh process on two
cores, from responses to ceilings, with everything that is compiled on the way; the peak is that of the whole process.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
from common import arguments, machine, write
from measuring import memory
from workers import Worker

SENTENCES = {"243sentences": 243, "384sentences": 384}
VOXELS = {(384,): (1381, 1381, 1380, 1380), (243, 384): (1327, 1327, 1327, 1326, 1326), (243,): (1398,)}
"""Of the subjects who read these: 12,155 that saw the 384 sentences, 8,031 the 243, 6,633 both."""
CORES, SIGNALS = 2, 40
PUBLISHED = "the platform's published 60 and over 68 minutes; goal 90"


def simulate(share: float) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Responses, subject of each voxel, rows of each experiment.

    A voxel is a mixture of signals that all subjects share, signals of its subject (spectra k^-0.5), and noise: its
    ceiling, the share of the former, lies between 0 and 0.5.
    """
    rng, count = np.random.default_rng(0), sum(SENTENCES.values())
    spectrum = np.arange(1, SIGNALS + 1, dtype=np.float32) ** -0.5
    common = rng.standard_normal((count, SIGNALS), np.float32) * spectrum
    rows = np.split(np.arange(count), np.cumsum(list(SENTENCES.values()))[:-1])
    Y, subjects = [], []
    for read, voxels in [(read, v) for read, counts in VOXELS.items() for v in counts]:
        width = int(voxels * share)
        own = rng.standard_normal((count, SIGNALS), np.float32) * spectrum
        parts = [rng.uniform(0, 0.5, width), rng.uniform(0, 0.5, width)]
        y = rng.standard_normal((count, width), np.float32) * np.sqrt(1 - sum(parts))
        for signal, part in zip((common, own), parts, strict=True):
            mixed = signal @ rng.standard_normal((SIGNALS, width), np.float32)
            y += mixed / mixed.std(0) * np.sqrt(part)
        for sentences, inside in zip(SENTENCES.values(), rows, strict=True):
            if sentences not in read:
                y[inside] = np.nan
        Y.append(y.astype(np.float32))
        subjects += [f"{len(Y):02d}"] * width
    return np.hstack(Y), np.array(subjects), dict(zip(SENTENCES, rows, strict=True))


def ceilings(share: float) -> dict:
    """Figures of one run, in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    from jaxscore.ceilings.collect import collect, total
    from jaxscore.ceilings.extrapolation import extrapolate
    from jaxscore.ceilings.pools import Plan
    from jaxscore.metrics.comparisons import Metric
    from jaxscore.metrics.measure import Protocol, Rows
    from jaxscore.regression.estimators import OLS

    Y, subjects, parts = simulate(share)
    protocol = Protocol(Metric("encoding", OLS(), dtype="float64"), "shuffled")
    inputs, start, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    plan = Plan(subsets=10, held_out=5)
    draws = {name: plan.draw(subjects[np.isfinite(Y[rows]).all(0)].tolist()) for name, rows in parts.items()}
    collected = collect(Y, subjects, np.zeros(len(subjects), int), parts, protocol, Rows(len(Y)), draws)
    middle = time.perf_counter()
    found = extrapolate(collected)
    return {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "regressions": middle - start,
        "pairs": total(draws),
        "peak": memory("VmHWM"),
        "inputs": inputs,
        "center": found.whole().center,
        "failed": found.failed,
        "voxels": [int(np.isfinite(Y[rows]).all(0).sum()) for rows in parts.values()],
        "subjects": {subject: whole.center for subject, (whole, _) in found.by_subject().items()},
    }


def main() -> None:
    """Run in a fresh process, print, write."""
    options = arguments(__doc__.split("\n")[0])
    print(f"{machine()}; {os.getloadavg()[0]:.1f} cores busy before: wall seconds on two want 0")
    environment = {f"{name}_NUM_THREADS": str(CORES) for name in ("OMP", "OPENBLAS", "MKL")}
    with Worker(JAX_PLATFORMS="cpu", **environment) as worker:
        found = worker(ceilings, 0.4 if options.quick else 1.0)
    print(
        f"  {found['pairs']} predictions of a subject, {found['voxels'][1]} and {found['voxels'][0]} voxels: "
        f"{found['regressions']:.1f} s of regressions, {found['seconds'] - found['regressions']:.1f} s of curves, "
        f"{found['cpu']:.1f} CPU-s; {found['inputs']:.2f} GiB before\n"
        f"  ceiling {found['center']:.4f}, {found['failed']} curves failed; by subject "
        + " ".join(f"{name} {center:.3f}" for name, center in found["subjects"].items())
    )
    small = " (a quick run: fewer voxels)" if options.quick else ""
    rows = [
        {"name": "pereira_ceilings_seconds", "value": found["seconds"], "unit": "s", "peer": PUBLISHED + small},
        {"name": "pereira_ceilings_peak_gb", "value": found["peak"], "unit": "GiB", "peer": f"a goal of 4{small}"},
    ]
    write(rows, options.json)


if __name__ == "__main__":
    sys.exit(main())
