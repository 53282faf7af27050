"""Cross-validation of neuroids that share their stimuli: operators, products, choices made inside training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxscore.errors import DataError
from jaxscore.regression.components import check_room
from jaxscore.regression.estimators import Solver
from jaxscore.regression.hardware import Hardware
from jaxscore.regression.operators import Diagnosis, Split, fold_operators
from jaxscore.regression.primal import evaluate_primal, primal, wanted
from jaxscore.regression.products import Scores, columns, evaluate
from jaxscore.regression.searched import Searched
from jaxscore.regression.splits import Fold

Step = Callable[[str, int], None]


@dataclass(frozen=True)
class Part:
    """Results of one job; see `CrossValidation`."""

    scores: Scores
    inner_r: Float[np.ndarray, "layer fold inner"]
    chosen: Int[np.ndarray, "layer fold neuroid"]
    predictions: list[Float[np.ndarray, "layer test neuroid"]]
    diagnoses: list[Diagnosis]


@dataclass(frozen=True)
class Job:
    """What stays the same for all neuroids; the attributes are arguments of `cross_validate`."""

    solver: Solver
    names: tuple[str, ...]
    predictions: bool
    path: str
    dtype: str
    hardware: Hardware
    step: Step

    def check(self, layers: Sequence[Any], folds: list[Fold], inner: bool) -> None:
        """Raise DataError where a layer has fewer principal components in some training set than are asked for."""
        if (components := self.solver.principal()) is not None:
            smallest = min(len(split.train) for splits in _splits(folds, inner) for split in splits)
            check_room(components, [x.shape[1] for x in layers], smallest)

    def run(
        self,
        layers: Sequence[Any],
        Y: Float[np.ndarray, "stimulus neuroid"],
        folds: list[Fold],
        groups: np.ndarray | None,
        inner: Int[np.ndarray, " inner"],
    ) -> Part:
        """Cross-validate complete responses.

        Args:
            layers: of each layer, what `Solver.coordinates` returned, for the rows of Y.
            Y: responses without NaN.
            folds: positions among the rows.
            groups: of the rows.
            inner: neuroids whose scores are wanted inside the folds as well.
        """
        outer, pairs = _splits(folds, len(inner) > 0)
        run = self._searched if self.solver.searches else self._fixed
        shape = (len(layers), len(folds), Y.shape[1])
        kept = None
        if self.predictions:
            kept = [np.full((shape[0], len(test), shape[2]), np.nan, self.dtype) for _, test in folds]
        (scores, chosen, diagnoses), inside = run(layers, Y, outer, pairs, groups, inner, kept)
        inner_r = _inner_means(inside["pearson"], len(folds)) if pairs else np.zeros((*shape[:2], 0))
        return Part(scores, inner_r, chosen, kept or [], diagnoses)

    def _fixed(self, layers, Y, outer, pairs, groups, inner, kept):
        solver, k = self.solver.fixed(), len(outer)
        splits = outer + pairs
        long = {i: primal(x, splits, solver) for i, x in enumerate(layers) if wanted(*x.shape, self.path)}
        long = {i: made for i, made in long.items() if made is not None}
        short = [i for i in range(len(layers)) if i not in long]
        if self.path == "primal" and short:
            raise DataError(
                f"{len(short)} of {len(layers)} layers lack full column rank in training, which primal needs",
                'Use path="auto".',
            )
        made = self.hardware.map(lambda i: fold_operators(layers[i], splits, solver, self.path), short)
        self.step("operators", len(layers))
        common = {"dtype": self.dtype, "hardware": self.hardware}
        report = None if long else lambda amount: self.step("voxels", amount)

        def product(which: slice, responses: np.ndarray, names: tuple[str, ...], kept: list | None) -> Scores:
            here = splits[which]
            trains, tests = zip(*[(split.train, test) for split in here for test in split.tests], strict=True)
            shape = (len(layers), len(tests), responses.shape[1])
            scores = {name: np.empty(shape, self.dtype) for name in columns(names)}
            for i, layer in long.items():
                place = None if kept is None else [values[i] for values in kept]
                found = evaluate_primal(layer.part(which), here, responses, names, predictions=place, **common)
                for name, values in found.items():
                    scores[name][i] = values
            if short:
                first = sum(len(split.tests) for split in splits[: which.start])
                operators = [rows[first : first + len(tests)] for rows, _ in made]
                place = (
                    None
                    if kept is None
                    else [np.empty((len(short), *values.shape[1:]), values.dtype) for values in kept]
                )
                found = evaluate(operators, trains, tests, responses, names, predictions=place, step=report, **common)
                for name, values in found.items():
                    scores[name][short] = values
                for values, new in zip(kept or [], place or [], strict=True):
                    values[short] = new
            if long:
                self.step("voxels", shape[2])
            return scores

        scores = product(slice(0, k), Y, self.names, kept)
        inside = product(slice(k, len(splits)), Y[:, inner], ("pearson",), None) if pairs else None
        known = dict(zip(short, [diagnosis for _, diagnosis in made], strict=True))
        known |= {i: layer.diagnosis for i, layer in long.items()}
        chosen = np.zeros((len(layers), k, Y.shape[1]), np.int32)
        return (scores, chosen, [known[i] for i in range(len(layers))]), inside

    def _searched(self, layers, Y, outer, pairs, groups, inner, kept):
        found = Searched(self, layers, Y, groups, self.names).run(outer, kept)
        for _ in layers:
            self.step("operators", 1)
        inside = Searched(self, layers, Y, groups, ("pearson",), inner).run(pairs)[0] if pairs else None
        return found, inside


def _splits(folds: Sequence[Fold], inner: bool) -> tuple[list[Split], list[Split]]:
    """The folds, and every pair of them if scores inside are wanted."""
    return [Split(np.sort(train), (test,)) for train, test in folds], _pairs(folds) if inner else []


def _pairs(folds: Sequence[Fold]) -> list[Split]:
    """Every pair of folds left out together, each of the two predicted without the other."""
    return [
        Split(np.intersect1d(train_a, train_b), (np.setdiff1d(a, b), np.setdiff1d(b, a)))
        for (train_a, a), (train_b, b) in combinations(folds, 2)
    ]


def mean_present(values: Float[np.ndarray, ...], axis: int) -> Float[np.ndarray, ...]:
    """Mean over an axis that skips NaN; NaN where nothing is left."""
    count = np.isfinite(values).sum(axis)
    total = np.nansum(values, axis, dtype=np.float64)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _inner_means(r: Float[np.ndarray, "layer set neuroid"], k: int) -> Float[np.ndarray, "layer fold neuroid"]:
    """Mean over i of r on fold i when folds i and j are left out, for each fold j."""
    seen_for: list[list[int]] = [[] for _ in range(k)]
    for pair, (a, b) in enumerate(combinations(range(k), 2)):
        seen_for[b].append(2 * pair)  # fold a, predicted without b
        seen_for[a].append(2 * pair + 1)
    return np.stack([mean_present(r[:, sets], 1) for sets in seen_for], axis=1)
