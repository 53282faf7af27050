"""The regression engine against its peers, on one machine in one run (add --only NAME ... for some of the rows).

    python bench/regression.py [--quick] [--only NAME ...] [--json FILE]

Ratios are of CPU-seconds on one core, peer over ours: over 1 means that we are faster. How they are taken is in
bench/measuring.py. A peer enters at the fastest of its settings that is valid: the r and, where alphas are chosen, the
alphas of a float64 reference. What costs the same for each layer and fold is timed on some of them and scaled, and the
row says so. All settings are printed, with their agreement.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from common import arguments, machine, write
from measuring import FOLDS, Run, Side

ALPHAS, DELAYS = np.logspace(-3, 3, 7).tolist(), [1, 2, 3, 4]
PROBLEMS = {  # layers, stimuli, features, voxels
    False: {"first": (13, 384, 768, 13_000), "wide": (49, 627, 1600, 60_000), "long": (1, 10_000, 1024, 20_000)},
    True: {"first": (3, 384, 768, 3_000), "wide": (6, 627, 1600, 6_000), "long": (1, 2_500, 256, 3_000)},
}
SAME_ALPHAS, SAME_R = 0.99, 1e-4  # share of equal alphas and median |delta r| of a setting that is valid


@dataclass
class Ratio:
    """A row of CPU-seconds of the best valid peer over ours."""

    ours: str
    peers: list[str]
    reference: str
    goal: float
    truth: str | None = None  # reference of ours, where it is not that of the peers
    valid: bool = True  # the peer must agree with the reference


def sides(quick: bool) -> dict[str, Side]:
    """All that can be timed, by the name that is printed."""
    alphas, ridge = {"alphas": ALPHAS}, {"alpha": 10.0, "delays": DELAYS, "contiguous": True}
    weights = np.random.default_rng(0).dirichlet(np.ones(4), 6 if quick else 100).tolist()
    banded = alphas | {"candidates": weights}
    part, some = {"layers": "last", "folds": 1}, {"folds": 1 if quick else FOLDS}

    def ours(model, **more):
        return {"side": "ours", "model": model, "dtype": "float32"} | more

    def sklearn(model, dtype, **more):
        return {"side": "sklearn", "model": model, "dtype": dtype} | more

    made = {
        "ours OLS": Side(ours("ols"), layers="all", repeats=3),
        "ours leave-one-out": Side(ours("loo", **alphas), layers="all"),
        "ours inner 5-fold": Side(ours("inner", **alphas), layers="all"),
        "ours GCV": Side(ours("gcv", **alphas), layers="all"),
        "ours banded": Side(ours("banded", **banded), layers="last"),
        "ours permutations": Side(ours("permutations", permutations=1000), layers="all"),
        "ours wide": Side(ours("ols"), "wide", "all"),
        "ours long": Side(ours("ridge", **ridge), "long"),
        "product NumPy": Side({"side": "product", "model": "numpy", "dtype": "float32"}, layers="all", repeats=5),
        "product XLA": Side({"side": "product", "model": "xla", "dtype": "float32"}, layers="all", repeats=5),
        "scikit-learn LinearRegression float64": Side(sklearn("ols", "float64"), **some),
        "scikit-learn LinearRegression float32": Side(sklearn("ols", "float32"), **some),
        "scikit-learn RidgeCV float64": Side(sklearn("loo", "float64", **alphas), **some),
        "scikit-learn Ridge float64": Side(sklearn("ridge", "float64", **ridge), "long", folds=1),
        "scikit-learn Ridge float32": Side(sklearn("ridge", "float32", **ridge), "long", folds=1),
        "reference inner 5-fold": Side(
            {"side": "reference", "select": "inner", "dtype": "float64"} | alphas, folds=1 if quick else FOLDS
        ),
        "reference GCV": Side({"side": "reference", "select": "gcv", "dtype": "float64"} | alphas, folds=1),
    }
    for backend in ("numpy", "torch"):
        for dtype in ("float32", "float64"):
            common = {"side": "himalaya", "backend": backend, "dtype": dtype, "batch": 1000}
            tail = f"{backend} {dtype}"
            made |= {
                f"himalaya KernelRidgeCV {tail}": Side(common | alphas | {"model": "kernel-cv"}, **some),
                f"himalaya RidgeCV {tail}": Side(common | alphas | {"model": "ridge-cv"}, **some),
                f"himalaya GroupRidgeCV {tail}": Side(common | banded | {"model": "group"}, **part),
                f"himalaya MultipleKernelRidgeCV {tail}": Side(common | banded | {"model": "multiple-kernel"}, **part),
                f"himalaya one-alpha RidgeCV {tail}": Side(common | ridge | {"model": "ridge"}, "long", folds=1),
            }
    return made


def himalaya(model: str, *tails: str) -> list[str]:
    return [f"himalaya {model} {tail}" for tail in tails]


def ratios(quick: bool) -> dict[str, Ratio]:
    """The rows that compare; a quick run takes only the settings that won a full one."""
    n32, n64, t32, t64 = "numpy float32", "numpy float64", "torch float32", "torch float64"
    kernel = himalaya("KernelRidgeCV", *([n64] if quick else [t32, t64, n32, n64]))
    ridge = himalaya("RidgeCV", *([n32] if quick else [t32, n32]))
    exact = himalaya("MultipleKernelRidgeCV", n64)
    banded = himalaya("GroupRidgeCV", *([n32] if quick else [t32, n32])) + exact
    long = himalaya("one-alpha RidgeCV", *([n32] if quick else [t32, n32]))
    ols, inner, one = "scikit-learn LinearRegression", "reference inner 5-fold", "scikit-learn Ridge"
    loo = "scikit-learn RidgeCV float64"
    return {
        "ols_vs_sklearn_f64": Ratio("ours OLS", [f"{ols} float64"], f"{ols} float64", 200),
        "ols_vs_sklearn_f32": Ratio("ours OLS", [f"{ols} float32"], f"{ols} float64", 100, valid=False),
        "loo_vs_sklearn": Ratio("ours leave-one-out", [loo], loo, 8),
        "inner_vs_himalaya_kernel": Ratio("ours inner 5-fold", kernel, inner, 1.8),
        "inner_vs_himalaya_ridge": Ratio("ours inner 5-fold", ridge, inner, 2.5),
        "gcv_vs_himalaya": Ratio("ours GCV", kernel + ridge, inner, 7, truth="reference GCV"),
        "banded_vs_himalaya": Ratio("ours banded", banded, exact[0], 3),
        "long_vs_himalaya": Ratio("ours long", long, f"{one} float64", 1),
        "long_vs_sklearn": Ratio("ours long", [f"{one} float32", f"{one} float64"], f"{one} float64", 1),
    }


OTHERS = {  # rows that are not ratios to a peer: what they need on two cores
    "ols_product_share": ["ours OLS", "product NumPy", "product XLA"],
    "ols_peak_gb": ["ours OLS"],
    "wide_seconds": ["ours wide", "product NumPy", "product XLA"],
    "wide_over_floor": ["ours wide", "product NumPy", "product XLA"],
    "wide_peak_gb": ["ours wide"],
    "long_peak_gb": ["ours long"],
    "permutations_over_one": ["ours permutations", "ours OLS"],
}


def make(problem: str, layers: int, stimuli: int, features: int, voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that share their latents, spectra k^-0.5 to k^-1, four features a thousand times larger; responses.

    A voxel is a random linear mixture of the first 100 latents (in the long problem, of two stimuli before) and noise;
    the share of variance that is signal is uniform between 0 and 1, so that the best alpha differs between voxels.
    """
    rng, f32 = np.random.default_rng(0), np.float32
    latents, k = rng.standard_normal((stimuli, features), f32), np.arange(1, features + 1, dtype=f32)
    X = np.empty((layers, stimuli, features), f32)
    for x, power in zip(X, np.linspace(0.5, 1.0, layers, dtype=f32), strict=True):
        x[:] = (latents * k**-power) @ rng.standard_normal((features, features), f32)
        x *= 0.1 / x.std()  # with this unit the best alphas lie within the grid
        x[:, rng.choice(features, 4, replace=False)] *= 1000
    signal = np.roll(latents[:, :100] * k[:100] ** f32(-0.5), 2 if problem == "long" else 0, axis=0)
    share = rng.uniform(0, 1, voxels).astype(f32)
    weights = rng.standard_normal((signal.shape[1], voxels), f32)
    weights *= np.sqrt(share / np.einsum("ij,ik,jk->k", np.cov(signal.T), weights, weights, optimize=True)).astype(f32)
    Y = rng.standard_normal((stimuli, voxels), f32)
    Y *= np.sqrt(1 - share)
    Y += signal @ weights
    return X, Y


def ratio_row(run: Run, name: str, ratio: Ratio, quick: bool) -> dict | None:
    """Compare, print every setting, and give the row against the fastest valid one."""
    print(f"{name}: goal {ratio.goal:g}")
    truth = ratio.truth or ratio.reference
    agreements = {side: run.agreement(side, ratio.reference) for side in ratio.peers}
    valid = [
        side
        for side, found in agreements.items()
        if not ratio.valid or (found["median"] <= SAME_R and not found["equal"] < SAME_ALPHAS)
    ]
    best = min(valid, key=run.seconds, default=None)
    if not quick:
        run.time({ratio.ours} | ({best} if best else set()), 2)
    for side, found in ({ratio.ours: run.agreement(ratio.ours, truth)} | agreements).items():
        wall = f"{run.seconds(side, 2):8.2f} s on two" if 2 in run.sides[side].found else " " * 17
        print(
            f"  {side:<46}{run.seconds(side):9.2f} CPU-s {wall}  peak {run.sides[side].found[1]['peak']:5.2f} GiB"
            f"  equal alphas {found['equal']:.4f}  |delta r| median {found['median']:.1e} max {found['max']:.1e}"
            + ("" if side in valid or side == ratio.ours else "  not valid")
        )
    if best is None:
        print(f"{name}: skipped, no setting of the peer is valid")
        return None
    part, ours = run.scale(best), run.scale(ratio.ours)
    scaled = f", timed on 1/{part:g} of layers x folds and scaled" if part != 1 else ""
    scaled += f"; ours on 1/{ours:g}" if ours != 1 else ""
    return {
        "name": name,
        "value": run.seconds(best) / run.seconds(ratio.ours),
        "unit": "x",
        "peer": best + scaled,
        "goal": ratio.goal,
        "cpu_seconds": {"ours": run.seconds(ratio.ours), "peer": run.seconds(best)},
        "agreement": {"ours": run.agreement(ratio.ours, truth), "peer": agreements[best]},
    }


def other_row(run: Run, name: str) -> dict:
    """The rows of OTHERS, from what was timed on two cores."""

    def wall(side):
        return run.seconds(side, 2)

    if name.endswith("peak_gb"):
        goal = {"ols": 1, "wide": 3, "long": 4}[name.split("_")[0]]
        found = run.sides[OTHERS[name][0]].found
        value = found[max(found)]["peak"]
        return {"name": name, "value": value, "unit": "GiB", "peer": f"a goal of {goal}, above the inputs"}
    if name == "permutations_over_one":
        value = wall("ours permutations") / wall("ours OLS")
        return {"name": name, "value": value, "unit": "x", "peer": f"one evaluation, {wall('ours OLS'):.2f} s; goal 20"}
    layers, stimuli, _, voxels = run.sizes["first"]
    product = min(("product NumPy", "product XLA"), key=wall)
    rate = 2 * layers * stimuli**2 * voxels / wall(product)
    at = f"{product} at {rate / 1e9:.0f} GFLOP/s"
    if name == "ols_product_share":
        return {"name": name, "value": wall(product) / wall("ours OLS"), "unit": "", "peer": f"{at}; goal 0.7"}
    layers, stimuli, _, voxels = run.sizes["wide"]
    floor = 2 * layers * stimuli**2 * voxels / rate
    if name == "wide_seconds":
        return {"name": name, "value": wall("ours wide"), "unit": "s", "peer": f"a floor of {floor:.2f} s, {at}"}
    return {"name": name, "value": wall("ours wide") / floor, "unit": "x", "peer": f"{at}; goal 1.6"}


def comparable(compared: dict[str, Ratio]) -> dict[str, Ratio]:
    """What remains with the peers that are installed; a word on what does not."""
    remaining = {}
    for row, ratio in compared.items():
        lacks = {name for side in ratio.peers for name in ("himalaya", "torch") if name in side and not find_spec(name)}
        ratio.peers = [side for side in ratio.peers if not any(name in side for name in lacks)]
        if lacks:
            what = "its other settings remain" if ratio.peers else "skipped"
            print(f"{row}: {' and '.join(sorted(lacks))} not installed (pip install 'jaxscore[bench]'), {what}")
        if ratio.peers:
            remaining[row] = ratio
    return remaining


def main() -> None:
    """Time, compare, print."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", nargs="+", default=[])
    known, sys.argv[1:] = parser.parse_known_args()
    options = arguments(__doc__.split("\n")[0])
    compared = ratios(options.quick)
    chosen = known.only or [*compared, *OTHERS]
    if unknown := set(chosen) - set(compared) - set(OTHERS):
        sys.exit(f"No row {', '.join(sorted(unknown))}; there are {', '.join([*compared, *OTHERS])}")
    print(f"{machine()}; {os.getloadavg()[0]:.1f} cores busy before: wall seconds on two want 0")
    compared = comparable({row: ratio for row, ratio in compared.items() if row in chosen})
    others = [row for row in OTHERS if row in chosen]
    with tempfile.TemporaryDirectory() as name:
        run = Run(Path(name), sides(options.quick), PROBLEMS[options.quick], make)
        run.time({side for r in compared.values() for side in (r.ours, *r.peers, r.reference, r.truth)}, 1)
        one_core_will_do = options.quick and "ours long" in {ratio.ours for ratio in compared.values()}
        run.time({side for row in others for side in OTHERS[row]} - ({"ours long"} if one_core_will_do else set()), 2)
        rows = [ratio_row(run, row, ratio, options.quick) for row, ratio in compared.items()]
        rows += [other_row(run, row) for row in others]
    write([row for row in rows if row], options.json)


if __name__ == "__main__":
    main()
