"""The ceilings of both published pipelines in plain float64 loops, with the draws given: the slow reference.

It knows nothing of the package under test. A metric is a function (source [stimulus, feature], target [stimulus,
neuroid]) -> r [split, neuroid], or -> [split] for one that compares subjects as wholes (rdm, cka): the benchmark's own
(`published_metrics`), with a pool of subjects in the place of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
from parity.published_curves import Ceiling, each_unit, extrapolate, whole_ceiling
from parity.published_data import Data
from parity.published_scores import usable, word_encoding
from parity.reference_protocol import mean_of_present
from scipy import stats

Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]


def hold_out(
    responses: np.ndarray, subject: np.ndarray, pool: Sequence[str], held: str, metric: Metric, target: np.ndarray
) -> np.ndarray:
    """R [split, unit] of the held subject's `target` neuroids, predicted from the others of the pool side by side.

    Units are all neuroids, or all subjects in sorted order for a metric that gives [split]; NaN for those not held.
    Neuroids with NaN (a subject that has not done the experiment) neither predict nor are predicted.
    """
    present = ~np.isnan(responses).any(axis=0)
    sources = present & np.isin(subject, [name for name in pool if name != held])
    own = present & (subject == held) & target
    r = metric(responses[:, sources], responses[:, own])
    units, column = (subject, own) if r.ndim == 2 else (np.unique(subject), np.unique(subject) == held)
    placed = np.full((len(r), len(units)), np.nan)
    placed[:, column] = r.reshape(len(r), -1)
    return placed


def extrapolation(data: Data, metric: Metric, n_bootstraps: int = 100) -> Ceiling:
    """Ceiling of Blank2014 and Fedorenko2016 (both pipelines): all subsets of the sorted subjects, each one held out.

    The metric's splits and correlation make it the one pipeline's or the other's; a metric that gives [split] makes the
    subjects the units.
    """
    responses, subject = data["responses"], data["subject_UID"]
    subjects, everything = sorted(set(subject.tolist())), np.ones(len(subject), dtype=bool)
    values = {}
    for k in range(2, len(subjects) + 1):
        pools = list(combinations(subjects, k))
        held = [[hold_out(responses, subject, pool, name, metric, everything) for name in pool] for pool in pools]
        values[k] = np.array([mean_of_present(np.array(of_pool), axis=0) for of_pool in held])
    return whole_ceiling(each_unit(values, n_bootstraps))


def pereira_extrapolation(
    data: Data,
    metrics: Mapping[str, Metric],
    subsets: Mapping[tuple[str, int], Sequence[tuple[str, ...]]],
    held: Mapping[tuple[str, int], Sequence[Sequence[str]]],
    n_bootstraps: int = 100,
    by_subject: bool = False,
) -> Ceiling:
    """Ceiling of Pereira2018 from drawn subsets (experiment, k) and the drawn held-out subjects of each of them.

    A subset is scored on its experiment's rows, with all neuroids (all atlases) of the pool as sources. Values of a
    subset drawn in both experiments are averaged, NaN skipped; subsets keep their order, experiments sorted. The
    medians of the whole are over language neuroids. One experiment alone is today's platform.

    Args:
        data: in full; what does not count is dropped here.
        metrics: of each experiment, as the folds differ.
        subsets: for each (experiment, k).
        held: the same, the draws of each subset; a subject drawn again adds nothing.
        n_bootstraps: of each unit.
        by_subject: the metrics give [split], of the held-out subject's language neuroids, and subjects are the units.
    """
    data = usable(data)
    subject, language = data["subject"], data["atlas"] == "language"
    target = language if by_subject else np.ones_like(language)
    values = {}
    for k in sorted({k for _, k in subsets}):
        scored: dict[tuple[str, ...], list[np.ndarray]] = {}
        for experiment in sorted({name for name, of_k in subsets if of_k == k}):
            responses = data["responses"][data["experiment"] == experiment]
            for pool, drawn in zip(subsets[experiment, k], held[experiment, k], strict=True):
                for name in sorted(set(drawn)):
                    placed = hold_out(responses, subject, pool, name, metrics[experiment], target)
                    scored.setdefault(tuple(pool), []).append(placed)
        values[k] = np.array([mean_of_present(np.array(of_pool), axis=0) for of_pool in scored.values()])
    units = each_unit(values, n_bootstraps)
    chosen = units if by_subject else [unit for unit, counts in zip(units, language, strict=True) if counts]
    return {**whole_ceiling(chosen), "all_raw": np.array([unit["centre"] for unit in units])}


def electrode_choices(data: Data, n_choices: int = 15, step: int = 5) -> dict[tuple[str, int], list[np.ndarray]]:
    """For each held-out subject and number of electrodes 5, 10, ...: draws (numbers of neuroids) of the others'."""
    rng, subject = np.random.RandomState(0), data["subject_UID"]
    choices = {}
    for held in sorted(set(subject.tolist())):
        pool = np.flatnonzero(subject != held)
        for n in range(step, len(pool), step):
            choices[held, n] = [rng.choice(pool, size=n, replace=False) for _ in range(n_choices)]
    return choices


def electrode_extrapolation(
    data: Data, metric: Metric, choices: Mapping[tuple[str, int], Sequence[np.ndarray]], n_bootstraps: int = 100
) -> Ceiling:
    """Ceiling at infinitely many electrodes: held-out subjects from drawn electrodes of the others, k their number."""
    responses, subject = data["responses"], data["subject_UID"]
    values: dict[int, dict[int, np.ndarray]] = {i: {} for i in range(len(subject))}
    for (held, n), draws in choices.items():
        own = np.flatnonzero(subject == held)
        r = np.array([metric(responses[:, np.sort(draw)], responses[:, own]) for draw in draws])  # [draw, split, own]
        for column, neuroid in enumerate(own):
            values[neuroid][n] = r[..., column]
    return whole_ceiling([extrapolate(values[i], n_bootstraps) for i in range(len(subject))])


def futrell_extrapolation(
    data: Data, halves: Mapping[int, Sequence[Sequence[tuple[np.ndarray, np.ndarray]]]], n_bootstraps: int = 100
) -> Ceiling:
    """Ceiling of Futrell2018-encoding: mean times of half 2 predict those of half 1 by the benchmark's own metric.

    Args:
        data: of Futrell2018.
        halves: for each k = 2, 7, 12, ... and each subset of k subjects, the drawn (half 1, half 2), as numbers of
            subjects. A pair with under ten words in common is skipped; a split's value is its median over the pairs.
        n_bootstraps: of the one curve.
    """
    values = {k: np.array([_half_values(data, pairs) for pairs in subsets]) for k, subsets in halves.items()}
    return extrapolate(values, n_bootstraps)


def _half_values(data: Data, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    scored = []
    for half1, half2 in pairs:
        target, source = (mean_of_present(data["responses"][:, half], axis=1) for half in (half1, half2))
        if np.sum(~np.isnan(target) & ~np.isnan(source)) >= 10:
            scored.append(word_encoding(source[:, None], data, target)[:, 0])
    return np.median(scored, axis=0) if scored else np.full(5, np.nan)


# --- split halves ---------------------------------------------------------------------------------------------------


def spearman_brown(r: np.ndarray | float) -> np.ndarray | float:
    """Reliability of twice the data: 2 r / (1 + r)."""
    return 2 * r / (1 + r)


def split_half(values: np.ndarray, halves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Ceiling:
    """Median over pairs of halves of the corrected |r| of their means (NaN skipped) of values [stimulus, subject]."""
    r = [abs(stats.pearsonr(*(mean_of_present(values[:, half], axis=1) for half in pair)).statistic) for pair in halves]
    corrected = spearman_brown(np.array(r))
    return {"centre": float(np.median(corrected)), "raw": corrected, "uncorrected": np.array(r)}


def futrell_halves(data: Data, n_splits: int = 10) -> list[tuple[np.ndarray, np.ndarray]]:
    """BL: numbers of the subjects of each half, drawn by RandomState(0) without replacement from their file order."""
    rng, subjects = np.random.RandomState(0), data["subject_id"]
    drawn = [rng.choice(subjects, size=len(subjects) // 2, replace=False) for _ in range(n_splits)]
    return [(np.flatnonzero(np.isin(subjects, half)), np.flatnonzero(~np.isin(subjects, half))) for half in drawn]


def futrell_split_half(data: Data) -> Ceiling:
    """Ceiling of Futrell2018-pearsonr: all words, ten pairs of halves."""
    return split_half(data["responses"], futrell_halves(data))
