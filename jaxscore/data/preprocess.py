"""Slow drifts and scale taken out of responses, each run by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from jaxscore.data.assemblies import RELATIVE_RANGE
from jaxscore.errors import DataError, JaxscoreError, did_you_mean


def preprocess(assembly: xr.DataArray, steps: Sequence[str]) -> xr.DataArray:
    """Detrend and z-score each neuroid within each run.

    With y the responses of a neuroid in a run and t = 0, 1, ... the rows of the run, both over the rows that have a
    finite response: "detrend" is y - (a + b t), with a and b by least squares; "zscore" is (y - mean(y)) / std(y), with
    the standard deviation of the population (division by n).

    A run is described by its own responses alone, so nothing of a test run enters what is fitted on the others:
    leave-one-run-out does not leak. Folds WITHIN a run do: the mean, the trend and the standard deviation that its
    training rows are freed from are partly those of its test rows. `leaks_within` tells.

    Args:
        assembly: responses [presentation, neuroid], the rows of each run in the order of time; with the coordinate
            `run` on presentation, or else one run.
        steps: of "detrend" and "zscore", done in this order.

    Returns:
        The assembly with float responses of the same type. A response that was missing or infinite is NaN; after
        "zscore" so are all of a run in which the neuroid does not vary beyond round-off.

    Raises:
        JaxscoreError: a step has another name.
    """
    for step in steps:
        if step not in STEPS:
            known = ", ".join(STEPS)
            raise JaxscoreError(
                f"Unknown step {step!r} of preprocessing. {did_you_mean(step, STEPS)}", f"Known: {known}."
            )
    values = assembly.transpose("presentation", "neuroid").values
    done = np.empty(values.shape, values.dtype if values.dtype.kind == "f" else np.float64)
    runs = run_labels(assembly)
    for run in dict.fromkeys(runs.tolist()):
        rows = runs == run
        own = values[rows].astype(np.float64)
        there = np.isfinite(own)
        own[~there] = 0
        roundoff = RELATIVE_RANGE * np.abs(own).max(axis=0, initial=0)
        for step in steps:
            own = STEPS[step](own, there, roundoff)
        done[rows] = np.where(there, own, np.nan)
    return assembly.transpose("presentation", "neuroid").copy(data=done)


def leaks_within(folds: Iterable[tuple[np.ndarray, np.ndarray]], runs: np.ndarray) -> bool:
    """Whether a run has rows in training and in test of one fold, so that preprocessing by run leaks between them.

    Args:
        folds: indices of the training and of the test rows of each fold.
        runs: the run of each row.
    """
    runs = np.asarray(runs)
    return any(np.isin(runs[test], runs[train]).any() for train, test in folds)


def run_labels(assembly: xr.DataArray) -> np.ndarray:
    """Return the run of each presentation as text; one run where there is no coordinate `run`.

    Raises:
        DataError: `run` is not on presentation.
    """
    if "run" not in assembly.coords:
        return np.full(assembly.sizes["presentation"], "")
    if assembly["run"].dims != ("presentation",):
        raise DataError(f"The coordinate run has the dimensions {assembly['run'].dims}.", "Expected (presentation,).")
    return assembly["run"].values.astype(str)


Run = Float[np.ndarray, "row neuroid"]
"""Responses of a run, 0 where there is none."""


def _detrend(own: Run, there: Bool[np.ndarray, "row neuroid"], roundoff: Float[np.ndarray, " neuroid"]) -> Run:
    time = _centre(np.broadcast_to(np.arange(len(own), dtype=np.float64)[:, None], own.shape), there)
    own = _centre(own, there)
    energy = (time**2).sum(axis=0)
    own = own - (time * own).sum(axis=0) / np.where(energy > 0, energy, 1) * time
    return np.where(np.abs(own).max(axis=0, initial=0) > roundoff, own, 0)


def _zscore(own: Run, there: Bool[np.ndarray, "row neuroid"], roundoff: Float[np.ndarray, " neuroid"]) -> Run:
    own = _centre(own, there)
    count = np.maximum(there.sum(axis=0), 1)
    deviation = np.sqrt((own**2).sum(axis=0) / count)
    return own / np.where(np.abs(own).max(axis=0, initial=0) > roundoff, deviation, np.nan)


def _centre(values: Run, there: Bool[np.ndarray, "row neuroid"]) -> Run:
    """Values minus their mean over the rows that are there; 0 elsewhere."""
    mean = values.sum(axis=0, where=there) / np.maximum(there.sum(axis=0), 1)
    return np.where(there, values - mean, 0)


STEPS = {"detrend": _detrend, "zscore": _zscore}
