"""What resampling of held-out stimuli shares: blocks of neighbours, and predictions in portions that fit the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxscore.errors import JaxscoreError
from jaxscore.regression.checks import check_features, check_responses
from jaxscore.regression.crossval import cross_validate
from jaxscore.regression.estimators import OLS, Solver, make_solver
from jaxscore.regression.hardware import Hardware, choose_hardware, free_memory
from jaxscore.regression.labels import Labels
from jaxscore.regression.missing import patterns
from jaxscore.regression.scores import standardise
from jaxscore.regression.splits import Fold, check_folds, make_folds


@dataclass(frozen=True)
class Problem:
    """Checked arguments of `cross_validate`, and what goes on to it as it is.

    Attributes:
        X: features of every layer.
        Y: responses, each neuroid centred; those of a constant neuroid are 0.
        folds: pairs of indices; test stimuli in file order.
        solver: the regression.
        hardware: where and in which portions.
        options: further arguments of `cross_validate`.
    """

    X: list[Float[np.ndarray, "stimulus _"]]
    Y: Float[np.ndarray, "stimulus neuroid"]
    folds: list[Fold]
    solver: Solver
    hardware: Hardware
    options: dict[str, Any]

    @classmethod
    def of(cls, X, Y, folds, solver, groups, threads, chunk, options) -> Problem:
        """Check and order the arguments; see `cross_validate` for them and the errors."""
        for name in ("scores", "predictions", "inner"):
            if name in options:
                raise JaxscoreError(f"{name} cannot be chosen here", "Resampling is of Pearson r; leave it out.")
        X, Y, _ = Labels.take(X, Y)
        X = check_features(X, Y)
        Y = check_responses(Y)
        labels, values = options.get("labels"), options.get("values")
        folds = make_folds(folds, len(Y), groups=groups, labels=labels, values=values)
        folds = check_folds(folds, len(Y), overlap=values is not None)
        folds = [(train, np.sort(test)) for train, test in folds]
        hardware = choose_hardware(mesh=options.get("mesh"), threads=threads, chunk=chunk)
        options = {"groups": groups, "threads": threads, "chunk": chunk} | options
        return cls(X, centred_responses(Y), folds, make_solver(solver or OLS()), hardware, options)

    @property
    def dtype(self) -> np.dtype:
        """Of the products and of what is resampled."""
        return np.dtype(self.options.get("dtype", "float32"))

    def run(self, X: Sequence[np.ndarray], Y: np.ndarray, **more: Any):
        """`cross_validate` of some layers and responses."""
        return cross_validate(X, Y, self.folds, self.solver, **self.options, **more)

    def held_out(self, extra_rows: int = 0) -> Iterator[tuple[slice, np.ndarray, list[np.ndarray]]]:
        """Layers, their r [layer, fold, neuroid] and predictions, for as many layers at a time as fit the memory.

        Args:
            extra_rows: that are kept for each layer beside its predictions.
        """
        rows = extra_rows + sum(len(test) for _, test in self.folds)
        together = max(1, int(free_memory() / 4 / (rows * self.Y.shape[1] * self.dtype.itemsize)))
        for start in range(0, len(self.X), together):
            span = slice(start, min(start + together, len(self.X)))
            found = self.run(self.X[span], self.Y, predictions=True)
            yield span, found.r, found.predictions


@dataclass(frozen=True)
class Portion:
    """Some of the neuroids that have the same responses missing.

    Attributes:
        neuroids: which.
        tests: for each fold, the test stimuli whose responses are present.
        positions: of `tests` among the test stimuli of all folds, one fold after the other.
        starts: the first position of each fold, and the end.
    """

    neuroids: Int[np.ndarray, " neuroid"]
    tests: list[Int[np.ndarray, " _"]]
    positions: list[Int[np.ndarray, " _"]]
    starts: Int[np.ndarray, " fold_and_end"]

    def units(
        self, k: int, predictions: Float[np.ndarray, "layer test neuroid"], Y: Float[np.ndarray, "stimulus neuroid"]
    ) -> tuple[Float[np.ndarray, "layer present own"], Float[np.ndarray, "present own"]]:
        """Predictions and responses of fold k, centred and of unit norm over its stimuli."""
        within = self.positions[k] - self.starts[k]
        p = predictions[np.ix_(range(len(predictions)), within, self.neuroids)]
        return _unit(p), _unit(Y[np.ix_(self.tests[k], self.neuroids)].astype(p.dtype))


def portions(problem: Problem, size: int) -> list[Portion]:
    """All neuroids, at most `size` at a time, in groups that have the same responses missing."""
    starts = np.cumsum([0] + [len(test) for _, test in problem.folds])
    found = []
    for rows, neuroids in patterns(problem.Y):
        here = [np.isin(test, rows) for _, test in problem.folds]
        tests = [test[mask] for (_, test), mask in zip(problem.folds, here, strict=True)]
        positions = [np.flatnonzero(mask) + start for mask, start in zip(here, starts[:-1], strict=True)]
        for first in range(0, len(neuroids), size):
            found.append(Portion(neuroids[first : first + size], tests, positions, starts))
    return found


def block_orders(
    rng: np.random.Generator, rows: int, block: int, count: int, *, replace: bool = False
) -> Int[np.ndarray, "draw block"]:
    """Numbers of the blocks of `rows` neighbours, permuted or drawn with replacement, `count` times.

    Raises:
        JaxscoreError: unless there are at least two blocks.
    """
    if not 1 <= block < rows:
        raise JaxscoreError(
            f"block is {block}, expected 1 to {rows - 1}: {rows} stimuli must make at least two blocks",
            "Use shorter blocks, or fewer folds.",
        )
    blocks = -(-rows // block)
    if replace:
        return rng.integers(blocks, size=(count, blocks))
    return rng.permuted(np.tile(np.arange(blocks), (count, 1)), axis=1)


def block_permutations(
    rng: np.random.Generator, rows: int, block: int, count: int
) -> Int[np.ndarray, "permutation row"]:
    """Permutations of rows that keep blocks of neighbours together; the last block may be shorter."""
    order = block_orders(rng, rows, block, count)
    places = order[:, :, None] * block + np.arange(block)
    return places[places < rows].reshape(count, rows)


def restricted(
    table: Int[np.ndarray, "permutation row"], present: Int[np.ndarray, " present"]
) -> Int[np.ndarray, "permutation present"]:
    """The order that permutations give to some of the rows, as positions among these."""
    if len(present) == table.shape[1]:
        return table
    rank = np.full(table.shape[1], -1)
    rank[present] = np.arange(len(present))
    places = rank[table]
    return places[places >= 0].reshape(len(table), len(present))


def centred_responses(Y: Float[np.ndarray, "stimulus neuroid"]) -> Float[np.ndarray, "stimulus neuroid"]:
    """Responses with mean 0, which changes no r: predictions far from 0 would lose digits. Constant ones become 0."""
    out = np.full(Y.shape, np.nan, np.result_type(Y.dtype, np.float32))
    for rows, neuroids in patterns(Y):
        where = np.ix_(rows, neuroids)
        Z, _, deviation = standardise(Y[where], "float64")
        out[where] = np.nan_to_num(Z * deviation)
    return out


def check_count(name: str, value: int) -> None:
    """Raise JaxscoreError unless a number of draws is at least 1."""
    if value < 1:
        raise JaxscoreError(f"{name} is {value}, expected at least 1", f"A usual number is {name}=1000.")


def _unit(values: Float[np.ndarray, "... test neuroid"]) -> Float[np.ndarray, "... test neuroid"]:
    values -= values.mean(-2, keepdims=True)
    norm = np.sqrt(np.einsum("...tv,...tv->...v", values, values))[..., None, :]
    return np.divide(values, norm, out=values, where=norm > 0)
