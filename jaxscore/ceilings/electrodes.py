"""Subjects predicted from random electrodes of all others, for the extrapolation to infinitely many electrodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxscore.ceilings.collect import Collected, Part, gather
from jaxscore.errors import DataError
from jaxscore.metrics.comparisons import Step
from jaxscore.metrics.measure import Protocol, Rows, usable


def collect_electrodes(
    Y: Float[np.ndarray, "stimulus neuroid"],
    subjects: np.ndarray,
    units: Int[np.ndarray, " neuroid"],
    parts: Mapping[str, np.ndarray],
    protocol: Protocol,
    rows: Rows,
    *,
    every: int = 5,
    choices: int = 15,
    seed: int = 0,
    scored: Bool[np.ndarray, " neuroid"] | None = None,
    step: Step | None = None,
) -> Collected:
    """Predict every subject from random electrodes of all others: 5, 10, 15, ... of them.

    Args:
        Y: responses.
        subjects: of each electrode.
        units: as for `collect`.
        parts: rows of each part; chosen from are the electrodes without NaN in all of them.
        protocol: metric and splits.
        rows: labels of the stimuli.
        every: step of the number of electrodes, which stays under that of all others.
        choices: random choices of each number.
        seed: of the choices, one stream over the sorted subjects and the numbers.
        scored: the electrodes that are predicted; by default all.
        step: as for `collect`.

    Raises:
        DataError: if nobody has more than `every` electrodes of others.
    """
    places = np.arange(Y.shape[1])
    prepared = [Part(Y, subjects, places, inside, protocol, rows) for inside in parts.values()]
    complete = np.logical_and.reduce([usable(Y[inside]) for inside in parts.values()])
    rng, pools = np.random.RandomState(seed), {}
    for subject in sorted(set(subjects.tolist())):
        others = np.flatnonzero(complete & (subjects != subject))
        pools[subject] = {
            k: {row: dict.fromkeys(range(len(parts)), _choice(rng, others, k)) for row in range(choices)}
            for k in range(every, len(others), every)
        }
    if not any(pools.values()):
        raise DataError(
            f"{complete.sum()} electrodes without NaN of {len(pools)} subjects: nobody has more than {every} of others",
            "This ceiling needs 2 subjects or more; with few electrodes, a smaller `every`.",
        )
    return gather(prepared, tuple(parts), subjects, units, pools, scored, step)


def _choice(rng: np.random.RandomState, electrodes: Int[np.ndarray, " other"], k: int) -> tuple[int, ...]:
    return tuple(np.sort(rng.choice(electrodes, size=k, replace=False)).tolist())
