"""Repeated presentations of a stimulus: their average, and how much of its variance is signal.

The response of a neuroid to repetition j of stimulus i is y_ij = s_i + b_j + e_ij: signal, a level of the repetition,
and independent noise of variance N. For two repetitions j < k the difference y_ij - y_ik is free of signal, so with the
n_jk stimuli that have both,

    N = sum_jk sum_i (d_ijk - mean_i d_ijk)^2 / (2 sum_jk (n_jk - 1)),   d_ijk = y_ij - y_ik,

has no bias, whatever is missing. The average of stimulus i over its R_i repetitions has noise of variance N / R_i.
With V the variance of the averages over stimuli (division by n - 1), which holds signal and noise,

    explainable variance = 1 - N mean_i(1 / R_i) / V,   noise ceiling = sqrt(explainable variance):

the share of the variance of the averages that is signal, and the correlation of the noise-free signal with them, which
a perfect model reaches in expectation. N and V - N mean(1 / R_i) have no bias, their ratio one of order 2 / n.
Levels b_j cancel where all stimuli have all repetitions; where they do not, z-score each run first.

Where all stimuli have all R repetitions, V - N / R is the signal power of Sahani, M., and Linden, J. F. (2003), How
linear are auditory cortical responses?, NIPS 15; and the ceiling is CC_max of Schoppe, O., Harper, N. S., Willmore,
B. D. B., King, A. J., and Schnupp, J. W. H. (2016), Measuring the performance of neural models, Frontiers in
Computational Neuroscience 10:10, after Hsu, A., Borst, A., and Theunissen, F. E. (2004), Quantifying variability in
neural responses and its application for the validation of model predictions, Network 15.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from jaxscore.data.assemblies import RELATIVE_RANGE


@dataclass(frozen=True)
class Averaged:
    """Responses averaged over repetitions.

    Attributes:
        assembly: averages [presentation, neuroid], a presentation a stimulus.
        explainable_variance: share of the averages' variance that is signal; below 0 where chance has it so, NaN
            where no two stimuli have two repetitions in common or the averages do not vary.
        noise_ceiling: its square root; NaN where it is not positive.
        repetitions: how many presentations each stimulus had.
    """

    assembly: xr.DataArray
    explainable_variance: Float[np.ndarray, " neuroid"]
    noise_ceiling: Float[np.ndarray, " neuroid"]
    repetitions: Int[np.ndarray, " presentation"]


def average_repetitions(assembly: xr.DataArray) -> Averaged:
    """Average the presentations that have one stimulus id, and tell how much of the averages' variance is signal.

    Repetition j of a stimulus is its j-th presentation. Responses that are missing or infinite are skipped; an average
    of none is NaN.

    Args:
        assembly: responses [presentation, neuroid] with the coordinate `stimulus_id` on presentation.

    Returns:
        Averages in the order of the stimuli's first presentations, with the coordinates that are the same in all
        presentations of each stimulus (so without `repetition`, and without `run` where it differs), explainable
        variance and noise ceiling of each neuroid by the formulas of this module, and the numbers of presentations.
    """
    if "presentation" in assembly.indexes:
        assembly = assembly.reset_index("presentation")
    assembly = assembly.transpose("presentation", "neuroid")
    stimulus, first = _numbered(assembly["stimulus_id"].values)
    values = assembly.values.astype(np.float64)
    there = np.isfinite(values)
    values = np.where(there, values, 0)
    gather = csr_array((np.ones(len(stimulus)), (stimulus, np.arange(len(stimulus)))))
    counts = gather @ there.astype(np.float64)
    averages = gather @ values / np.where(counts > 0, counts, np.nan)
    share = _signal_share(averages, counts, _noise(values, there, stimulus))
    kept = assembly.isel(presentation=first)
    varying = [
        name for name, c in assembly.coords.items() if "presentation" in c.dims and not _same(c, stimulus, first)
    ]
    dtype = assembly.dtype if assembly.dtype.kind == "f" else np.float64
    return Averaged(
        kept.drop_vars(varying).copy(data=averages.astype(dtype)),
        share,
        np.sqrt(np.where(share > 0, share, np.nan)),
        np.bincount(stimulus),
    )


def _noise(
    values: Float[np.ndarray, "presentation neuroid"],
    there: Bool[np.ndarray, "presentation neuroid"],
    stimulus: Int[np.ndarray, " presentation"],
) -> Float[np.ndarray, " neuroid"]:
    """Variance of the noise of one presentation; NaN where nothing tells."""
    turn = pd.Series(stimulus).groupby(stimulus).cumcount().to_numpy()
    row = np.full((turn.max() + 1, stimulus.max() + 1), -1)
    row[turn, stimulus] = np.arange(len(stimulus))
    energy, freedom = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for j in range(len(row)):
        for k in range(j + 1, len(row)):
            first, second = row[j, row[k] >= 0], row[k, row[k] >= 0]  # a stimulus that has k has j too
            both = there[first] & there[second]
            count = both.sum(axis=0)
            difference = np.where(both, values[first] - values[second], 0)
            mean = difference.sum(axis=0) / np.maximum(count, 1)
            energy += (np.where(both, difference - mean, 0) ** 2).sum(axis=0)
            freedom += np.maximum(count - 1, 0)
    return energy / np.where(freedom > 0, 2 * freedom, np.nan)


def _signal_share(
    averages: Float[np.ndarray, "stimulus neuroid"],
    counts: Float[np.ndarray, "stimulus neuroid"],
    noise: Float[np.ndarray, " neuroid"],
) -> Float[np.ndarray, " neuroid"]:
    there = counts > 0
    known = np.maximum(there.sum(axis=0), 1)
    averages = np.where(there, averages, 0)
    deviations = np.where(there, averages - averages.sum(axis=0) / known, 0)
    constant = np.abs(deviations).max(axis=0) <= RELATIVE_RANGE * np.abs(averages).max(axis=0)
    variance = (deviations**2).sum(axis=0) / np.where(constant, np.nan, np.maximum(known - 1, 1))
    return 1 - noise * np.divide(1, counts, where=there, out=np.zeros_like(counts)).sum(axis=0) / known / variance


def _numbered(labels: np.ndarray) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " label"]]:
    """The number of each row's label in order of appearance, and the first row of each."""
    codes, _ = pd.factorize(labels, use_na_sentinel=False)
    return codes, np.unique(codes, return_index=True)[1]


def _same(
    coordinate: xr.DataArray, stimulus: Int[np.ndarray, " presentation"], first: Int[np.ndarray, " stimulus"]
) -> bool:
    """Whether all presentations of a stimulus agree in a coordinate; missing values agree with each other."""
    codes, _ = _numbered(coordinate.values)
    return bool((codes == codes[first][stimulus]).all())
