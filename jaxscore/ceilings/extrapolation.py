"""Ceilings extrapolated to infinitely many subjects or electrodes: bootstrap, curve, asymptote.

Schrimpf, M. et al. (2021), The neural architecture of language, PNAS 118.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxscore.ceilings.collect import Collected
from jaxscore.ceilings.curves import curve, fit
from jaxscore.ceilings.pools import Subject
from jaxscore.errors import DataError
from jaxscore.metrics.aggregate import median_present
from jaxscore.metrics.comparisons import Step

SLOPE, FARTHEST = 5e-4, 999
"""The curve has ended where it rises by less than SLOPE from one x to the next, x from 0 to FARTHEST."""
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Whole:
    """Medians over targets, as `Extrapolated`."""

    center: float
    error_low: float
    error_high: float
    endpoint: float


@dataclass(frozen=True)
class Extrapolated:
    """Ceilings of every target; NaN where it has no fit.

    Attributes:
        targets: see `Collected`.
        subjects: subject of each target.
        sizes: k, ascending.
        means: mean over subsets, folds and parts of the values of each size.
        center: median v0 of the bootstraps.
        error_low: from there down to the 2.5 percentile of the curves at the endpoint.
        error_high: and up to the 97.5 percentile.
        endpoint: first x from which the median curve rises by less than 5e-4.
        v0: asymptote of each bootstrap.
        tau0: its scale.
        failed: how many curves were not fitted; the medians skip them.
        seed: of the bootstraps.
    """

    targets: Int[np.ndarray, " target"]
    subjects: np.ndarray
    sizes: tuple[int, ...]
    means: Float[np.ndarray, "target size"]
    center: Float[np.ndarray, " target"]
    error_low: Float[np.ndarray, " target"]
    error_high: Float[np.ndarray, " target"]
    endpoint: Float[np.ndarray, " target"]
    v0: Float[np.ndarray, "target bootstrap"]
    tau0: Float[np.ndarray, "target bootstrap"]
    failed: int
    seed: int

    def whole(self, mask: Bool[np.ndarray, " target"] | None = None) -> Whole:
        """Median over targets, all or those of a mask."""
        rows = slice(None) if mask is None else mask
        columns = (self.center, self.error_low, self.error_high, self.endpoint)
        return Whole(*[float(median_present(column[rows], 0)) for column in columns])

    def medians(self, mask: Bool[np.ndarray, " target"]) -> Float[np.ndarray, " size"]:
        """Median over the targets of a mask of the mean value of each size: the points of a figure."""
        return median_present(self.means[mask], 0)

    def by_subject(self) -> dict[Subject, tuple[Whole, Float[np.ndarray, " size"]]]:
        """Ceiling, and median value of each size, of the targets of each subject."""
        masks = {subject: self.subjects == subject for subject in sorted(set(self.subjects.tolist()))}
        return {subject: (self.whole(mask), self.medians(mask)) for subject, mask in masks.items()}


def extrapolate(
    collected: Collected, bootstraps: int = 100, seed: int = 0, *, step: Step | None = None
) -> Extrapolated:
    """Extrapolate every target.

    Values are averaged over parts, subsets in which the target has a NaN are left out, and for each bootstrap, and each
    k in ascending order, the rest are drawn with replacement from the flattened [subset, fold] and averaged. Every
    target has RandomState(seed) anew: targets with as many values have the same draws, and their means are one product.

    Args:
        collected: values of each size.
        bootstraps: how many.
        seed: of the bootstraps.
        step: called as step("curves", n) after n more targets.

    Raises:
        DataError: if there are fewer than two sizes.
    """
    sizes = collected.sizes
    if len(sizes) < 2:
        raise DataError(
            f"There are values for subsets of {list(sizes)} subjects alone: a curve needs two sizes or more",
            "Extrapolation needs 3 subjects or more; with 2, hold one subject out at a time.",
        )
    shape = (len(collected.targets), bootstraps, len(sizes))
    sampled, means = np.full(shape, np.nan), np.full((shape[0], len(sizes)), np.nan)
    for members, values in _patterns(collected):
        counts = tuple(len(each) for each in values)
        for i, (weights, each) in enumerate(zip(_weights(counts, bootstraps, seed), values, strict=True)):
            if len(each):
                sampled[members, :, i] = (weights @ each).T
                means[members, i] = each.mean(0)
    v0, tau0 = np.empty(shape[:2]), np.empty(shape[:2])
    for start in range(0, len(sampled), 2048):
        part = slice(start, start + 2048)
        found = fit(np.array(sizes, float), sampled[part].reshape(-1, len(sizes)))
        v0[part], tau0[part] = (each.reshape(-1, bootstraps) for each in found[:2])
        if step:
            step("curves", len(v0[part]))
    center, endpoint = median_present(v0, 1), _endpoints(v0, tau0)
    ends = curve(endpoint[:, None], v0, tau0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        low, high = np.nanpercentile(ends, INTERVAL, axis=1)
    return Extrapolated(
        collected.targets, collected.subjects, sizes, means, center, center - low, high - center, endpoint, v0, tau0,
        int(np.isnan(v0).sum()), seed,
    )  # fmt: skip


def _patterns(collected: Collected) -> Iterator[tuple[Int[np.ndarray, " some"], list[Float[np.ndarray, "value some"]]]]:
    """Targets that have the same subsets, and their values of each size, flattened [subset, fold]."""
    for subject in collected.values:
        places = np.flatnonzero(collected.subjects == subject)
        values = {k: collected.over_parts(subject, k) for k in collected.values[subject]}
        if not values or not len(places):
            continue
        here = {k: np.isfinite(each).all(1) for k, each in values.items()}
        _, code = np.unique(np.concatenate(list(here.values())), axis=1, return_inverse=True)
        for group in range(code.max() + 1):
            some = np.flatnonzero(code == group)
            kept = [
                values[k][here[k][:, some[0]]][..., some].reshape(-1, len(some)) if k in values else np.empty((0, 0))
                for k in collected.sizes
            ]
            yield places[some], kept


def _weights(counts: tuple[int, ...], bootstraps: int, seed: int) -> list[Float[np.ndarray, "bootstrap value"]]:
    """How often each value of each size is drawn, over how many are: products with it are means of the draws."""
    rng = np.random.RandomState(seed)
    weights = [np.zeros((bootstraps, count)) for count in counts]
    for b in range(bootstraps):
        for own, count in zip(weights, counts, strict=True):
            if count:
                own[b] = np.bincount(rng.choice(count, size=count), minlength=count) / count
    return weights


def _endpoints(
    v0: Float[np.ndarray, "target bootstrap"], tau0: Float[np.ndarray, "target bootstrap"]
) -> Float[np.ndarray, " target"]:
    """Where the median curve of each target ends: x by x, for the targets that have not ended before.

    A curve with 0 <= v0 <= 1 rises by less than 3.7e-4 from x = 998 on, and so does the median of such curves.
    """
    found = np.full(len(v0), np.nan)
    open_ = np.flatnonzero(~np.isnan(v0).all(1))
    before = np.zeros(len(open_))
    for x in range(FARTHEST):
        if not len(open_):
            break
        now = _median(curve(np.array(x + 1.0), v0[open_], tau0[open_]))
        ended = now - before < SLOPE
        found[open_[ended]] = x
        open_, before = open_[~ended], now[~ended]
    return found


def _median(curves: Float[np.ndarray, "target bootstrap"]) -> Float[np.ndarray, " target"]:
    return np.nanmedian(curves, 1) if np.isnan(curves).any() else np.median(curves, 1)
