"""Extrapolation to infinitely many subjects (or electrodes) with the curve fitted at its optimum: the slow reference.

It knows nothing of the package under test; v(x) = v0 (1 - exp(-x / tau0)), v0 in [0, 1], is the curve of both
pipelines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Values = Mapping[int, np.ndarray]
"""For each number k of subjects (or electrodes): r [subset, split] of a neuroid or subject, NaN where it has no part"""
Ceiling = dict[str, np.ndarray | float]

STEEPEST = 36.0  # from x / tau0 = 36 on, 1 - exp(-x / tau0) is 1 in float64
FLATTEST = 1e-8  # tau0 up to 1e8 times the largest x: v0 = 1 and a slope of nearly nothing


def curve(x: np.ndarray, v0: float, tau0: float) -> np.ndarray:
    """v(x); a tau0 of 0 is the limit, a step from 0 at x = 0 to v0."""
    x = np.asarray(x, np.float64)
    if v0 == 0 or tau0 == 0:
        return np.where(x > 0, v0, 0.0)
    return -v0 * np.expm1(-x / tau0)


def fit_curves(x: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each y of Y [set, x], v0 in [0, 1] and tau0 > 0 with the least squares of v(x) - y, of all local minima.

    v0 is best at clip(sum g y / sum g^2, 0, 1), g = 1 - exp(-x / tau0), so one unknown is left. Its minima are where
    the derivative by log tau0 changes from - to +: brackets on a fine grid, halved until no float is left between
    their ends. The other candidate is tau0 -> 0 (flat or falling values), given as tau0 = 0. Where nothing is better
    than v0 = 0, tau0 has no meaning and is NaN. scipy's `curve_fit` from (.5, 1) does not visit tau0 < 0, which is
    left out here too.

    Returns:
        v0 [set] and tau0 [set].
    """
    x, Y = np.asarray(x, np.float64), np.asarray(Y, np.float64)
    grid = np.linspace(np.log(x.min() / STEEPEST), np.log(x.max() / FLATTEST), 150)
    slope = np.array([_profile(x, Y, np.full(len(Y), at))[2] for at in grid])  # [grid, set]
    v0 = np.clip(Y.mean(axis=1), 0.0, 1.0)
    tau0, squares = np.zeros(len(Y)), np.sum((v0[:, None] - Y) ** 2, axis=1)
    bracket, which = np.nonzero((slope[:-1] < 0) & (slope[1:] >= 0))
    low, high = grid[bracket], grid[bracket + 1]
    for _ in range(60):  # a grid step over 2**60 is less than the distance of two floats
        middle = (low + high) / 2
        falling = _profile(x, Y[which], middle)[2] < 0
        low, high = np.where(falling, middle, low), np.where(falling, high, middle)
    for at, one, found, best in zip(high, which, *_profile(x, Y[which], high)[:2], strict=True):
        if found < squares[one]:
            squares[one], v0[one], tau0[one] = found, best, np.exp(at)
    return v0, np.where(v0 > 0, tau0, np.nan)


def _profile(x: np.ndarray, Y: np.ndarray, log_tau0: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each set and its log tau0: least squares over v0, that v0, and half their derivative by log tau0."""
    ratio = x / np.exp(log_tau0)[:, None]
    g = -np.expm1(-ratio)
    v0 = np.clip(np.sum(g * Y, axis=1) / np.sum(g * g, axis=1), 0.0, 1.0)
    residual = v0[:, None] * g - Y
    return np.sum(residual**2, axis=1), v0, -v0 * np.sum(residual * ratio * np.exp(-ratio), axis=1)


def extrapolate(values: Values, n_bootstraps: int = 100) -> Ceiling:
    """Ceiling at infinitely many subjects of one neuroid (or subject).

    Subsets with a NaN are dropped. With RandomState(0), a bootstrap draws for each k in ascending order as many of the
    flattened [subset, split] values as there are, with replacement, and takes their mean; the curve is fitted to those.

    Returns:
        centre (median v0), low and high (percentiles 2.5 and 97.5 of the bootstrapped curves at `end`, the first x of
        0..999 where the median curve rises by less than 5e-4), and v0, tau0 [bootstrap]. NaN and empty without a value.
    """
    whole = {k: np.asarray(values[k])[~np.isnan(values[k]).any(axis=1)].ravel() for k in sorted(values)}
    whole = {k: flat for k, flat in whole.items() if flat.size}
    if not whole:
        return {
            "centre": np.nan,
            "low": np.nan,
            "high": np.nan,
            "end": np.nan,
            "v0": np.array([]),
            "tau0": np.array([]),
        }
    rng = np.random.RandomState(0)
    means = np.array(
        [[np.mean(rng.choice(flat, len(flat), replace=True)) for flat in whole.values()] for _ in range(n_bootstraps)]
    )
    v0, tau0 = fit_curves(np.array(list(whole)), means)
    x = np.arange(1000)
    curves = np.array([curve(x, *pair) for pair in zip(v0, tau0, strict=True)])
    end = int(np.flatnonzero(np.diff(np.median(curves, axis=0)) < 5e-4)[0])
    low, high = np.percentile(curves[:, end], [2.5, 97.5]).tolist()
    return {"centre": float(np.median(v0)), "low": low, "high": high, "end": end, "v0": v0, "tau0": tau0}


def whole_ceiling(units: Sequence[Ceiling]) -> Ceiling:
    """Medians over neuroids or subjects (NaN skipped) of the centre and its distances to low and high; all centres."""
    centre, low, high = (np.array([unit[key] for unit in units]) for key in ("centre", "low", "high"))
    return {
        "centre": float(np.nanmedian(centre)),
        "error_low": float(np.nanmedian(centre - low)),
        "error_high": float(np.nanmedian(high - centre)),
        "raw": centre,
        "raw_low": low,
        "raw_high": high,
        "end": np.array([unit["end"] for unit in units]),
    }


def each_unit(values: Mapping[int, np.ndarray], n_bootstraps: int) -> list[Ceiling]:
    """Extrapolate every unit of {k: [subset, split, unit]}."""
    n_units = next(iter(values.values())).shape[-1]
    return [extrapolate({k: v[..., i] for k, v in values.items()}, n_bootstraps) for i in range(n_units)]
