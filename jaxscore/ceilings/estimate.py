"""A ceiling computed from a benchmark's own responses, as one dataset: for a score, a table, a figure and the cache."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from sklearn.base import clone

from jaxscore import __version__
from jaxscore.ceilings.collect import Collected, collect, total
from jaxscore.ceilings.known import Ceilings
from jaxscore.ceilings.pools import Plan
from jaxscore.errors import DataError, JaxscoreError
from jaxscore.metrics.aggregate import median_present
from jaxscore.progress import Reporter

if TYPE_CHECKING:
    from jaxscore.cards import Card
    from jaxscore.ceilings.extrapolation import Extrapolated
    from jaxscore.data.material import Material
    from jaxscore.metrics.measure import Protocol
    from jaxscore.metrics.targets import Targets

MOST_SUBJECTS = 10
"""Up to so many subjects every subset is looked at."""


def estimate(
    card: Card, material: Material, targets: Targets, protocol: Protocol, reporter: Reporter | None = None
) -> xr.Dataset:
    """Compute the ceiling that a card asks for.

    Args:
        card: its ceiling says the method, its metric, splits and regression are those of the scores.
        material: the responses.
        targets: what values belong to; ceilings are of those that the score is made of.
        protocol: of the scores.
        reporter: receives the phases "pools" and "curves".

    Returns:
        `ceiling`, `error_low`, `error_high` (distances to the ends of a 95% interval, NaN where the method gives none)
        [target] with neuroid_id and target_subject; for an extrapolation also `points` [subject, size], `medians`
        [size] over all targets, and `curves` [percentile, x].
        Attributes: whole, whole_low, whole_high, method, seed, failed, notes (JSON).

    Raises:
        DataError: if the data do not have what the method needs: subjects, repetitions.
    """
    reporter = reporter or Reporter()
    _check(card)
    solver = clone(protocol.metric.solver)
    if "components" in solver.get_params():  # a reduction is of the model's features, not of other subjects'
        solver.set_params(components=None)
    # float64: curves are fitted to small differences
    protocol = replace(protocol, metric=replace(protocol.metric, solver=solver, dtype="float64"))
    method = {
        "extrapolation": _extrapolation,
        "holdout": _holdout,
        "split-half": _split_half,
        "test-retest": _retest,
        "subject-halves": _subject_halves,
    }[card.ceiling.method]
    found = method(card, material, targets, protocol, reporter)
    return found.assign_attrs(
        benchmark=card.identifier, method=card.ceiling.method, seed=card.ceiling.seed, jaxscore=__version__
    )


def _check(card: Card) -> None:
    """Refuse a method that is none for the metric."""
    method, behaviour = card.ceiling.method, card.metric == "surprisal"
    if behaviour != (method == "subject-halves"):
        known = "subject-halves" if behaviour else "extrapolation, holdout, split-half, test-retest"
        raise JaxscoreError(f"{card.identifier}: {method} is no ceiling of {card.metric}", f"Choose from: {known}.")
    if method in ("split-half", "test-retest") and card.metric != "encoding":
        raise JaxscoreError(
            f"{card.identifier}: {method} of repetitions is no ceiling of {card.metric}",
            "Use extrapolation or holdout.",
        )


def _arguments(card: Card, material: Material, targets: Targets, protocol: Protocol) -> tuple[Any, ...]:
    """Responses, subjects, units, parts, protocol and labels of rows, as `collect` takes them."""
    assembly = material.assembly
    subjects = assembly["subject"].values.astype(str)
    if len(set(subjects.tolist())) < 2:
        raise DataError(
            f"{card.identifier} has one subject, {str(subjects[0])!r}: nobody is predicted from others",
            "With repetitions, use split-half or test-retest; else give published ceilings.",
        )
    return assembly.values, subjects, targets.units, material.parts, protocol, material.rows


def _scored(card: Card, targets: Targets) -> np.ndarray:
    """The neuroids that the score is made of."""
    mask = targets.aggregated(card)
    if card.metric == "encoding":
        return mask
    return mask.reshape(int(targets.units.max()) + 1, -1).any(1)[targets.units]


def _extrapolation(card, material, targets, protocol, reporter) -> xr.Dataset:
    from jaxscore.ceilings.electrodes import collect_electrodes
    from jaxscore.ceilings.extrapolation import extrapolate

    asked, arguments = card.ceiling, _arguments(card, material, targets, protocol)
    subjects, scored = len(set(arguments[1].tolist())), _scored(card, targets)
    if asked.over == "electrodes":
        with reporter.phase("pools") as step:
            collected = collect_electrodes(
                *arguments, seed=asked.seed, scored=scored, step=lambda _, amount: step(amount)
            )
    else:
        if asked.subsets is None and subjects > MOST_SUBJECTS:
            raise DataError(
                f"{card.identifier} has {subjects} subjects: there are {2**subjects:,} subsets of them",
                "Draw some: --subsets 10 --held-out 5 (card: ceiling.subsets, ceiling.held_out); or use holdout.",
            )
        Y, owners, _, parts, *_ = arguments
        plan = Plan(asked.subsets, asked.held_out, asked.seed)
        draws = {name: plan.draw(_present(Y[rows], owners)) for name, rows in parts.items()}
        with reporter.phase("pools", total(draws)) as step:
            collected = collect(*arguments, draws, scored=scored, step=lambda _, n: step(n))
    with reporter.phase("curves", len(collected.targets)) as step:
        found = extrapolate(collected, asked.bootstraps, asked.seed, step=lambda _, amount: step(amount))
    return _laid_out(collected, found, targets, card)


def _present(Y: np.ndarray, owners: np.ndarray) -> list[str]:
    """Subjects who have responses in a part."""
    return sorted(set(owners[np.isfinite(Y).all(0)].tolist()))


def _laid_out(collected: Collected, found: Extrapolated, targets: Targets, card: Card) -> xr.Dataset:
    """An extrapolation with its points and curves."""
    whole, each = found.whole(), found.by_subject()
    x = np.linspace(0, max(2 * max(found.sizes), min(60.0, np.nan_to_num(whole.endpoint))), 61)
    everyone = np.ones(len(found.targets), bool)
    names = targets.coords["neuroid_id"].astype(str)
    width = 1 if card.metric == "encoding" else len(names) // (int(targets.units.max()) + 1)
    return xr.Dataset(
        {
            "ceiling": ("target", found.center),
            "error_low": ("target", found.error_low),
            "error_high": ("target", found.error_high),
            "endpoint": ("target", found.endpoint),
            "points": (("subject", "size"), np.stack([points for _, points in each.values()])),
            "medians": ("size", found.medians(everyone)),
            "curves": (("percentile", "x"), _curves(found, x)),
        },
        {
            "neuroid_id": ("target", names[found.targets * width]),
            "target_subject": ("target", found.subjects.astype(str)),
            "subject": list(each),
            "size": list(found.sizes),
            "percentile": [2.5, 50.0, 97.5],
            "x": x,
        },
        {
            "whole": whole.center,
            "whole_low": whole.error_low,
            "whole_high": whole.error_high,
            "endpoint": whole.endpoint,
            "failed": found.failed,
            "notes": json.dumps(collected.notes),
            "over": card.ceiling.over,
            "bootstraps": found.v0.shape[1],
        },
    )


def _curves(found: Extrapolated, x: np.ndarray) -> np.ndarray:
    """Percentiles over bootstraps of each target's curve, as medians over targets [percentile, x]."""
    from jaxscore.ceilings.curves import curve

    fitted = np.flatnonzero(~np.isnan(found.v0).any(1))
    out = np.full((3, len(x)), np.nan)
    for i, at in enumerate(x if len(fitted) else ()):
        drawn = curve(np.array(at), found.v0[fitted], found.tau0[fitted])
        out[:, i] = median_present(np.percentile(drawn, [2.5, 50, 97.5], axis=1), 1)
    return out


def _holdout(card, material, targets, protocol, reporter) -> xr.Dataset:
    from jaxscore.ceilings.holdout import holdout

    arguments = _arguments(card, material, targets, protocol)
    count = len(material.parts) * len(set(arguments[1].tolist()))
    with reporter.phase("pools", count) as step:
        found = holdout(*arguments, scored=_scored(card, targets), step=lambda _, amount: step(amount))
    names = targets.coords["neuroid_id"].astype(str)
    width = 1 if card.metric == "encoding" else len(names) // (int(targets.units.max()) + 1)
    medians = np.array(list(found.medians.values()))
    whole = float(median_present(medians, 0))
    out = _plain(found.r, names[found.targets * width], found.subjects.astype(str), whole)
    return out.assign_attrs(notes=json.dumps(found.notes))


def _split_half(card, material, targets, protocol, reporter) -> xr.Dataset:
    from jaxscore.ceilings.split_half import split_half

    repetitions = _repetitions(card, material)
    with reporter.phase("halves"):
        values = split_half(repetitions, splits=card.ceiling.splits, seed=card.ceiling.seed)
    return _of_neuroids(values, card, targets)


def _retest(card, material, targets, protocol, reporter) -> xr.Dataset:
    from jaxscore.ceilings.retest import retest

    repetitions = _repetitions(card, material)
    with reporter.phase("halves"):
        half = len(repetitions) // 2  # of as many: an odd one is left out
        found = retest(repetitions[0 : 2 * half : 2].mean(0), repetitions[1 : 2 * half : 2].mean(0))
    return _of_neuroids(np.sqrt(found.corrected), card, targets)


def _repetitions(card: Card, material: Material) -> np.ndarray:
    if material.repetitions is None:
        raise DataError(
            f"{card.identifier} has no repetitions: nothing can be compared with itself",
            "Name the column that tells presentations of one stimulus apart: data.repetition.",
        )
    lacking = np.isnan(material.repetitions).all(-1).any(0)
    if lacking.any():
        raise DataError(
            f"{card.identifier}: {lacking.sum()} of {len(lacking)} stimuli have fewer repetitions than others",
            "Leave them out, or use the coordinate noise_ceiling, which takes any number of repetitions.",
        )
    return material.repetitions


def _of_neuroids(values: np.ndarray, card: Card, targets: Targets) -> xr.Dataset:
    """Ceilings of all neuroids; the whole is aggregated as scores are."""
    names, subjects = (targets.coords[name].astype(str) for name in ("neuroid_id", "subject"))
    whole = Ceilings.of_each(values, targets, targets.aggregated(card), "").whole
    return _plain(values, names, subjects, whole)


def _subject_halves(card, material, targets, protocol, reporter) -> xr.Dataset:
    from jaxscore.ceilings.subject_halves import subject_halves

    with reporter.phase("halves"):
        found = subject_halves(material.everything.values, splits=card.ceiling.splits, seed=card.ceiling.seed)
    names = targets.coords["neuroid_id"].astype(str)[:1]
    return _plain(np.array([found.ceiling]), names, names, found.ceiling)


def _plain(values: np.ndarray, names: np.ndarray, subjects: np.ndarray, whole: float) -> xr.Dataset:
    """Ceilings without curves."""
    nothing = np.full(len(values), np.nan)
    data = {"ceiling": values, "error_low": nothing, "error_high": nothing}
    return xr.Dataset(
        {name: ("target", column) for name, column in data.items()},
        {"neuroid_id": ("target", names), "target_subject": ("target", subjects)},
        {"whole": whole, "whole_low": np.nan, "whole_high": np.nan, "failed": 0, "notes": "[]"},
    )
