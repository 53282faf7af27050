"""Hold-one-subject-out ceiling: how well the brains of all others predict a person's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxscore.ceilings.collect import collect
from jaxscore.ceilings.pools import Plan, Subject
from jaxscore.metrics.aggregate import median_present
from jaxscore.metrics.comparisons import Step
from jaxscore.metrics.measure import Protocol, Rows, usable
from jaxscore.regression.job import mean_present


@dataclass(frozen=True)
class Holdout:
    """Every subject predicted from all others.

    Attributes:
        targets: place of each target's neuroid in Y, or code of its unit; sorted by subject.
        subjects: subject of each target.
        r: mean over folds, then over the parts that a target has; NaN skipped.
        medians: of each subject, over its targets.
        center: mean over subjects.
        error: standard deviation over subjects (ddof 0).
        notes: what the regressions warned of.
    """

    targets: Int[np.ndarray, " target"]
    subjects: np.ndarray
    r: Float[np.ndarray, " target"]
    medians: dict[Subject, float]
    center: float
    error: float
    notes: list[str]


def holdout(
    Y: Float[np.ndarray, "stimulus neuroid"],
    subjects: np.ndarray,
    units: Int[np.ndarray, " neuroid"],
    parts: Mapping[str, np.ndarray],
    protocol: Protocol,
    rows: Rows,
    *,
    scored: Bool[np.ndarray, " neuroid"] | None = None,
    step: Step | None = None,
) -> Holdout:
    """Predict each subject from the neuroids of all others, by the benchmark's metric and splits.

    Args:
        Y: responses.
        subjects: of each neuroid.
        units: as for `collect`.
        parts: rows of each part; in each, others are those who have it.
        protocol: metric and splits.
        rows: labels of the stimuli.
        scored: the neuroids that are predicted; by default all.
        step: as for `collect`.

    Raises:
        DataError: if no part has two subjects.
    """
    everyone = {name: sorted(set(subjects[usable(Y[inside])].tolist())) for name, inside in parts.items()}
    draws = {name: Plan(sizes=(max(len(own), 2),)).draw(own) for name, own in everyone.items()}
    found = collect(Y, subjects, units, parts, protocol, rows, draws, scored=scored, step=step)
    # all subjects of a part are one subset, of a size of its own
    r = np.concatenate(
        [mean_present(mean_present(np.concatenate(list(own.values())), 2), (0, 1)) for own in found.values.values()]
    )
    names = sorted(found.values)
    medians = {name: float(median_present(r[found.subjects == name], 0)) for name in names}
    known = np.array([value for value in medians.values() if np.isfinite(value)])
    center, error = (float(known.mean()), float(known.std())) if len(known) else (np.nan, np.nan)
    return Holdout(found.targets, found.subjects, r, medians, center, error, found.notes)
