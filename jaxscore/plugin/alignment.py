"""Rows of two assemblies brought together by the stimuli they are of, and the rows of each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from jaxscore.errors import DataError

Fold = tuple[np.ndarray, np.ndarray]
"""Rows to train on, rows to test on."""


class EmptyError(DataError, ValueError):
    """An assembly without neuroids; brain-score's ceilings know it by the first words, as a ValueError."""


def pairing(
    source: tuple[np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray], *, coord: str, split_coord: str
) -> np.ndarray:
    """For each row of the target, the row of the source with the same stimulus.

    Rows that repeat a stimulus are paired in the order that they come in, split by split.

    Args:
        source: the stimulus [presentation] and the split value [presentation] of each row.
        target: the same.
        coord: the stimulus coordinate, for errors.
        split_coord: the split coordinate, for errors.

    Raises:
        DataError: if stimuli differ, or the rows of a stimulus differ in their split values.
    """
    (stimuli, splits), (wanted, wanted_splits) = source, target
    if Counter(stimuli.tolist()) != Counter(wanted.tolist()):
        raise DataError(
            f"The {len(stimuli)} presentations of the first assembly and the {len(wanted)} of the second are not of "
            f"the same {coord}s: {_difference(stimuli, wanted)}",
            f"Give both the same {coord} for the same stimulus, and drop the presentations that only one has.",
        )
    order, places = np.lexsort((splits, stimuli)), np.lexsort((wanted_splits, wanted))
    if (splits[order] != wanted_splits[places]).any():
        row = places[np.flatnonzero(splits[order] != wanted_splits[places])[0]]
        raise DataError(
            f"The assemblies have different {split_coord}s for {coord} {str(wanted[row])!r}",
            f"Set {split_coord} in both.",
        )
    rows = np.empty(len(order), np.intp)
    rows[places] = order
    return rows


def fold_rows(values: np.ndarray, split_values: np.ndarray, splits: Sequence[Fold]) -> list[Fold]:
    """The rows of each split: all whose value is among those of the split.

    Args:
        values: split value of each row [presentation].
        split_values: the values that were split.
        splits: positions among them.
    """
    codes = {value: code for code, value in enumerate(dict.fromkeys(values.tolist()))}
    row_codes = np.array([codes[value] for value in values.tolist()], np.intp)
    value_codes = np.array([codes[value] for value in split_values.tolist()], np.intp)
    return [tuple(np.flatnonzero(np.isin(row_codes, value_codes[part])) for part in split) for split in splits]


def check_values(values: np.ndarray, name: str) -> None:
    """Refuse values that no regression takes: none at all, NaN, infinities."""
    if values.shape[1] == 0:
        raise EmptyError(f"Found array with 0 neuroids: the {name} assembly has shape {values.shape}")
    if values.dtype.kind not in "biuf":
        raise DataError(f"The {name} assembly is of type {values.dtype}, expected real numbers", "Use .astype(float).")
    # a sum is finite only where all its terms are; it overflows at worst, and then the terms are looked at
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(values.sum())
    if not finite and (count := np.count_nonzero(~np.isfinite(values))):
        neuroids = np.count_nonzero(~np.isfinite(values).all(0))
        raise DataError(
            f"The {name} assembly has {count} values that are NaN or infinite, in {neuroids} of its "
            f"{values.shape[1]} neuroids",
            "Drop them before scoring: assembly.dropna('neuroid').",
        )


def _difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    one, other = Counter(ours.tolist()), Counter(theirs.tolist())
    only = {"first": list((one - other).elements()), "second": list((other - one).elements())}
    said = [f"{len(ids)} only in the {name}, such as {ids[0]!r}" for name, ids in only.items() if ids]
    return "; ".join(said)
