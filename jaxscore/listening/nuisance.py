"""Responses without what nobody asks about: movement, sound, drift; block by block.

All is fitted within a contiguous block (`TrimmedBlocks.blocks`, or a run) by itself. As a test set consists of whole
blocks, nothing that is done to training rows has seen a tested row, nor the other way round. Blocks are not independent
because of it: for that, rows next to a test block are not trained on (they do enter the fit of their own block).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.listening.recording import Recording

if TYPE_CHECKING:
    import xarray as xr

CUTOFF = 128.0
"""Period in seconds; slower drifts are removed, as SPM does."""
ROWS_PER_REGRESSOR = 3
"""Fewer rows leave more of the regressors' noise than of the responses."""
ROUND_OFF = 1e-10


def drifts(rows: int, tr: float, cutoff: float = CUTOFF) -> Float[np.ndarray, "presentation drift"]:
    """Discrete cosines cos(pi k (2 t + 1) / (2 rows)), k = 0 .. 2 rows tr / cutoff: the mean and all slower periods."""
    k = np.arange(int(2 * rows * tr / cutoff) + 1)
    return np.cos(np.pi * k * (2 * np.arange(rows)[:, None] + 1) / (2 * rows))


def residualise(
    values: Float[np.ndarray, "presentation column"],
    regressors: Float[np.ndarray, "presentation regressor"],
    blocks: Int[np.ndarray, " presentation"],
    tr: float,
    *,
    cutoff: float = CUTOFF,
) -> Float[np.ndarray, "presentation column"]:
    """What least squares leaves of the values in each block beside the regressors and the drifts.

    Args:
        values: responses or features.
        regressors: may have no columns.
        blocks: number of each row's block; rows with -1 belong to none, and become NaN.
        tr: seconds from row to row.
        cutoff: longest period in seconds that is kept.

    Raises:
        JaxscoreError: if the cutoff is not positive.
        DataError: if rows do not match, or a block has fewer than ROWS_PER_REGRESSOR rows for each regressor and drift.
    """
    if not cutoff > 0:
        raise JaxscoreError(
            f"cutoff is {cutoff}: expected a period in seconds", "cutoff=128.0; infinite: the mean alone."
        )
    if not len(values) == len(regressors) == len(blocks):
        raise DataError(f"{len(values)} rows of values, {len(regressors)} of regressors, {len(blocks)} of blocks")
    out = np.full(values.shape, np.nan)
    scaled = zscore(regressors, blocks)
    for number, rows in _each(blocks):
        design = np.hstack([drifts(len(rows), tr, cutoff), scaled[rows]])
        if len(rows) < ROWS_PER_REGRESSOR * design.shape[1]:
            raise DataError(
                f"block {number} has {len(rows)} rows for {design.shape[1]} regressors and drifts, expected "
                f"{ROWS_PER_REGRESSOR} for each",
                "Use fewer folds, so that blocks are longer, or fewer regressors.",
            )
        own = np.asarray(values[rows], np.float64)
        left = own - design @ np.linalg.lstsq(design, own, rcond=ROUND_OFF)[0]
        explained = np.linalg.norm(left, axis=0) <= ROUND_OFF * np.linalg.norm(own, axis=0)
        out[rows] = np.where(explained, 0.0, left)
    return out


def zscore(
    values: Float[np.ndarray, "presentation column"], blocks: Int[np.ndarray, " presentation"]
) -> Float[np.ndarray, "presentation column"]:
    """Mean 0 and standard deviation 1 (divided by n) in each block; constant columns 0, rows in no block (-1) NaN."""
    out = np.full(values.shape, np.nan)
    for _, rows in _each(blocks):
        own = np.asarray(values[rows], np.float64)
        centred, spread = own - own.mean(axis=0), own.std(axis=0)
        constant = spread <= ROUND_OFF * np.abs(own).max(axis=0, initial=0.0)
        out[rows] = np.where(constant, 0.0, centred / np.where(constant, 1.0, spread))
    return out


def clean_responses(
    recording: Recording, blocks: Int[np.ndarray, " presentation"], *, cutoff: float = CUTOFF
) -> xr.DataArray:
    """Responses [presentation, neuroid] of every subject without its own and the shared regressors and the drifts.

    They are z-scored in each block at last; rows in no block are NaN, which no fold of the same TrimmedBlocks has.

    Raises:
        DataError: as `residualise`; if a block spans runs.
    """
    for number, rows in _each(blocks):
        if len(np.unique(recording.runs[rows])) > 1 or (np.diff(rows) > 1).any():
            raise DataError(f"block {number} is not one stretch of one run", "TrimmedBlocks(...).blocks(rows, runs)")
    subjects, left = recording.responses["subject"].values, np.empty(recording.responses.shape)
    for subject in dict.fromkeys(subjects.tolist()):
        own = subjects == subject
        regressors = np.hstack(
            [recording.shared, *([recording.nuisance[subject]] if subject in recording.nuisance else [])]
        )
        values = recording.responses.values[:, own]
        left[:, own] = residualise(values, regressors, blocks, recording.tr, cutoff=cutoff)
    return recording.responses.copy(data=zscore(left, blocks))


def _each(blocks: Int[np.ndarray, " presentation"]) -> Iterator[tuple[int, Int[np.ndarray, " row"]]]:
    """The number and the rows of each block."""
    for number in np.unique(blocks[blocks >= 0]).tolist():
        yield number, np.flatnonzero(blocks == number)
