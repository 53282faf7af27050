"""Contiguous test blocks of long recordings, with rows left out between what is trained on and what is tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Int

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression.splits import Fold


@dataclass(frozen=True)
class TrimmedBlocks:
    """A splitter as scikit-learn's: every row is tested in one contiguous block, and not trained on near it.

    Responses go on for seconds after their stimulus, and delays bring features of several rows together: without a gap
    at least as long, training rows would hold part of what is tested.

    A run is cut into blocks of equal length (up to a row), at least one; the runs with the longest blocks are cut
    further until there are `n_splits`. Where there are more runs than folds, a fold tests several: the largest run that
    is left goes to the fold with the fewest rows.

    Attributes:
        n_splits: folds.
        trim: rows at the beginning and end of each run that are neither trained on nor tested, and rows before and
            after a test block, in its run, that are not trained on in its fold.

    Raises:
        JaxscoreError: for fewer than 2 folds, or a negative trim.
    """

    n_splits: int = 5
    trim: int = 5

    def __post_init__(self) -> None:
        if self.n_splits < 2 or self.trim < 0:
            raise JaxscoreError(
                f"{self}: expected at least 2 folds and 0 trimmed rows", "TrimmedBlocks(n_splits=5, trim=5)"
            )

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """The number of folds."""
        return self.n_splits

    def blocks(self, rows: int, runs: Sequence | np.ndarray | None = None) -> Int[np.ndarray, " row"]:
        """The number of the block that a row lies in, in the order of the rows; -1 for rows that are left out.

        Args:
            rows: how many there are.
            runs: the run of each row; rows of a run follow each other. None: all are one run.

        Raises:
            DataError: if runs do not fit, or are too short to be trimmed and cut.
        """
        labels, cuts = np.full(rows, -1), self._cuts(rows, runs)
        for number, block in enumerate(cuts):
            labels[block.start : block.stop] = number
        return labels

    def split(
        self, X: Sequence | np.ndarray, y: object = None, groups: Sequence | np.ndarray | None = None
    ) -> Iterator[Fold]:
        """Indices of the training and of the test rows of each fold; `groups` are the runs. Raises as `blocks` does."""
        cuts = self._cuts(len(X), groups)
        labels, fold = self.blocks(len(X), groups), np.zeros(len(cuts), int)
        sizes = np.zeros(self.n_splits, int)
        for number in sorted(range(len(cuts)), key=lambda i: -len(cuts[i])):
            # as many blocks as folds keep their order
            fold[number] = number if len(cuts) == self.n_splits else sizes.argmin()
            sizes[fold[number]] += len(cuts[number])
        for k in range(self.n_splits):
            train = labels >= 0
            for number in np.flatnonzero(fold == k):
                # never beyond its run, whose own ends are trimmed by as much
                train[cuts[number].start - self.trim : cuts[number].stop + self.trim] = False
            yield np.flatnonzero(train), np.flatnonzero((labels >= 0) & (fold[labels] == k))

    def _cuts(self, rows: int, runs: Sequence | np.ndarray | None) -> list[range]:
        """The rows of each block, in their order."""
        whole = _runs(rows, runs)
        kept = [range(run.start + self.trim, run.stop - self.trim) for run in whole]
        pieces = [1] * len(kept)
        while kept and sum(pieces) < self.n_splits:
            pieces[max(range(len(kept)), key=lambda i: len(kept[i]) / pieces[i])] += 1
        if not kept or min(len(run) // count for run, count in zip(kept, pieces, strict=True)) < 2:
            lengths = sorted(len(run) for run in whole)
            found = f"{len(whole)} runs of {lengths[0]} to {lengths[-1]} rows" if whole else "no rows"
            raise DataError(
                f"{found} cannot be trimmed by {self.trim} rows at both ends and cut into {self.n_splits} blocks of at "
                "least 2",
                "Use fewer folds, trim less, or drop short runs.",
            )
        cuts = []
        for run, count in zip(kept, pieces, strict=True):
            edges = [run.start + len(run) * i // count for i in range(count + 1)]
            cuts += [range(a, b) for a, b in pairwise(edges)]
        return cuts


def _runs(rows: int, runs: Sequence | np.ndarray | None) -> list[range]:
    """The rows of each run, in their order."""
    runs = np.zeros(rows, int) if runs is None else np.asarray(runs)
    if runs.shape != (rows,):
        raise DataError(f"runs have shape {runs.shape}, expected one for each of {rows} rows: ({rows},)")
    edges = [0, *(np.flatnonzero(runs[1:] != runs[:-1]) + 1).tolist(), rows] if rows else [0]
    if len(edges) - 1 != len(np.unique(runs)):
        raise DataError("The rows of a run are not together", "Sort the rows by run, in the order of time.")
    return [range(a, b) for a, b in pairwise(edges)]
