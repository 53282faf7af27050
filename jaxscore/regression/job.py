"""Cross-validation of neuroids that share their stimuli: operators, products, choices made inside training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int

from jaxscore.errors import DataError
from jaxscore.regression.estimators import Solver
from jaxscore.regression.hardware import Hardware
from jaxscore.regression.operators import Diagnosis, Operator, Split, fold_operators
from jaxscore.regression.primal import evaluate_primal, primal, wanted
from jaxscore.regression.products import Scores, columns, evaluate
from jaxscore.regression.scores import score, standardise
from jaxscore.regression.search import Search, choose_for_all, choose_for_each
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
        outer = [Split(np.sort(train), (test,)) for train, test in folds]
        pairs = _pairs(folds) if len(inner) else []
        run = self._searched if self.solver.fixed() is None else self._fixed
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
                found = evaluate(operators, trains, tests, responses, names, predictions=place, **common)
                for name, values in found.items():
                    scores[name][short] = values
                for values, new in zip(kept or [], place or [], strict=True):
                    values[short] = new
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
        inside = Searched(self, layers, Y[:, inner], groups, ("pearson",)).run(pairs)[0] if pairs else None
        return found, inside


class Searched:
    """Cross-validation with a choice inside each training set.

    Args:
        job: solver, dtype, hardware.
        layers: coordinates of each layer.
        Y: responses without NaN.
        groups: of the rows.
        names: of scores.
    """

    def __init__(self, job: Job, layers: Sequence[Any], Y: np.ndarray, groups: np.ndarray | None, names) -> None:
        self.job, self.layers, self.groups, self.names = job, layers, groups, names
        self.Z, self.mean, self.deviation = standardise(Y, job.dtype)
        self.kernel = response_kernel(self.Z, self.deviation) if job.solver.needs_kernel else None
        width = max(1, self.Z.itemsize * 3 * len(Y))
        self.spans = job.hardware.chunks(Y.shape[1], width)

    def run(
        self, splits: list[Split], kept: list[np.ndarray] | None = None
    ) -> tuple[Scores, Int[np.ndarray, "layer split neuroid"], list[Diagnosis]]:
        """Scores of each held-out set, the candidates chosen for each training set, and how each layer was made."""
        first = np.cumsum([0] + [len(split.tests) for split in splits])
        tasks = [(layer, s) for s in range(len(splits)) for layer in range(len(self.layers))]
        shape = (len(self.layers), int(first[-1]), self.Z.shape[1])
        scores = {name: np.full(shape, np.nan, self.job.dtype) for name in columns(self.names)}
        chosen = np.zeros((shape[0], len(splits), shape[2]), np.int32)
        known: list[list[Search]] = [[] for _ in self.layers]

        def one(task: tuple[int, int]) -> None:
            layer, s = task
            with self.job.hardware.precision(self.job.dtype):
                search, found = self._one(self.layers[layer], splits[s])
            known[layer].append(search)
            for span, candidates, sets in found:
                chosen[layer, s, span] = candidates
                for k, values in enumerate(sets):
                    if kept is not None:
                        kept[first[s] + k][layer, :, span] = values.pop("prediction")
                    for name, value in values.items():
                        scores[name][layer, first[s] + k, span] = value

        self.job.hardware.map(one, tasks)
        self.job.step("voxels", shape[2])
        return scores, chosen, [_diagnosis(searches) for searches in known]

    def _one(self, x: Any, split: Split):
        solver, hardware, dtype = self.job.solver, self.job.hardware, self.job.dtype
        xp = hardware.xp
        held = np.setdiff1d(np.arange(len(self.Z)), split.train)
        kernel = None if self.kernel is None else self.kernel[np.ix_(split.train, split.train)]
        search = solver.search(x, split.train, held, groups=self.groups, path=self.job.path, kernel=kernel)
        portions = [hardware.place(self.Z[split.train, span]) for span in self.spans]
        if solver.per_neuroid:
            choices = choose_for_each(search, portions, dtype, xp)[0]
        else:
            choices = [np.full(Y.shape[1], choose_for_all(search, kernel, dtype, xp)) for Y in portions]
        operators = {
            int(c): [Operator.of(block[np.searchsorted(held, test)]) for test in split.tests]
            for c in np.unique(np.concatenate(choices))
            for block in [search.operator(int(c))]
        }
        found = []
        for span, Y, candidates in zip(self.spans, portions, choices, strict=True):
            sets = [self._score(k, test, span, Y, candidates, operators) for k, test in enumerate(split.tests)]
            found.append((span, candidates[: span.stop - span.start], sets))
        return search, found

    def _score(self, k: int, test: np.ndarray, span: slice, Y, candidates: np.ndarray, operators) -> Scores:
        """Predict each neuroid by its own candidate."""
        hardware, dtype = self.job.hardware, self.job.dtype
        xp = hardware.xp
        P, mean = xp.zeros((len(test), Y.shape[1]), dtype), xp.zeros(Y.shape[1], dtype)
        scale = np.zeros(Y.shape[1], dtype)
        for c in np.unique(candidates):
            operator = operators[int(c)][k]
            mine = candidates == c
            scale[mine] = operator.norm
            A = np.concatenate([operator.rows, operator.mean[None]]).astype(dtype)
            if xp is np:
                predicted = A @ (Y if mine.all() else Y[:, mine])
                P[:, mine], mean[mine] = predicted[:-1], predicted[-1]
            else:
                predicted = xp.matmul(A, Y, precision="highest")
                P, mean = xp.where(mine, predicted[:-1], P), xp.where(mine, predicted[-1], mean)
        answers = hardware.place(self.Z[test, span])
        deviation = hardware.place(self.deviation[span].astype(dtype))
        means = (mean, Y.mean(0))
        found = score(xp, self.names, P, answers, scale=scale, deviation=deviation, means=means)
        if self.job.predictions:
            width = span.stop - span.start
            found["prediction"] = np.asarray(P + mean)[:, :width] * self.deviation[span] + self.mean[span]
        return {name: np.asarray(value)[..., : span.stop - span.start] for name, value in found.items()}


def response_kernel(
    Z: Float[np.ndarray, "stimulus neuroid"], deviation: Float[np.ndarray, " neuroid"], chunk: int = 4096
) -> Float64[np.ndarray, "stimulus stimulus"]:
    """Y Y' of centred responses in their own units, in float64; neuroids without variance count as 0."""
    kernel = np.zeros((len(Z), len(Z)))
    for start in range(0, Z.shape[1], chunk):
        block = np.nan_to_num(Z[:, start : start + chunk] * deviation[start : start + chunk].astype(np.float64))
        kernel += block @ block.T
    return kernel


def _diagnosis(searches: list[Search]) -> Diagnosis:
    ranks = [search.rank for search in searches]
    return Diagnosis(dict(Counter(search.path for search in searches)), np.nan, (min(ranks), max(ranks)))


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
