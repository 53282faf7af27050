"""Regressions chosen inside each training set: one search a layer and split, all of them side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from jaxscore.regression.hardware import Hardware
from jaxscore.regression.operators import Diagnosis, Operator, Split
from jaxscore.regression.pls import response_kernel
from jaxscore.regression.products import Scores, columns
from jaxscore.regression.scores import score, standardise
from jaxscore.regression.search import choose_for_all, choose_for_each

if TYPE_CHECKING:
    from jaxscore.regression.job import Job


class Searched:
    """Cross-validation with a choice inside each training set.

    Args:
        job: solver, dtype, hardware.
        layers: coordinates of each layer.
        Y: responses without NaN.
        groups: of the rows.
        names: of scores.
        scored: the neuroids that are predicted; all take part in a choice for all of them together.
    """

    def __init__(
        self,
        job: Job,
        layers: Sequence[Any],
        Y: np.ndarray,
        groups: np.ndarray | None,
        names: tuple[str, ...],
        scored: Int[np.ndarray, " scored"] | None = None,
    ) -> None:
        self.job, self.layers, self.groups, self.names = job, layers, groups, names
        self.Z, self.mean, self.deviation = standardise(Y, job.dtype)
        self.kernel = response_kernel(Y) if job.solver.needs_kernel else None
        if scored is not None:
            self.Z, self.mean, self.deviation = self.Z[:, scored], self.mean[scored], self.deviation[scored]
        width = max(1, self.Z.itemsize * 3 * len(Y))
        self.spans = job.hardware.chunks(self.Z.shape[1], width)

    def run(
        self, splits: list[Split], kept: list[np.ndarray] | None = None
    ) -> tuple[Scores, Int[np.ndarray, "layer split neuroid"], list[Diagnosis]]:
        """Scores of each held-out set, the candidates chosen for each training set, and how each layer was made."""
        self.keep = kept is not None
        first = np.cumsum([0] + [len(split.tests) for split in splits])
        tasks = [(layer, s) for s in range(len(splits)) for layer in range(len(self.layers))]
        shape = (len(self.layers), int(first[-1]), self.Z.shape[1])
        scores = {name: np.full(shape, np.nan, self.job.dtype) for name in columns(self.names)}
        chosen = np.zeros((shape[0], len(splits), shape[2]), np.int32)
        known: list[list[Diagnosis]] = [[] for _ in self.layers]

        def one(task: tuple[int, int]) -> None:
            layer, s = task
            with self.job.hardware.precision(self.job.dtype):
                diagnosis, found = self._one(self.layers[layer], splits[s])
            known[layer].append(diagnosis)
            for span, candidates, sets in found:
                chosen[layer, s, span] = candidates
                for k, values in enumerate(sets):
                    if kept is not None:
                        kept[first[s] + k][layer, :, span] = values.pop("prediction")
                    for name, value in values.items():
                        scores[name][layer, first[s] + k, span] = value

        self.job.hardware.map(one, tasks)
        self.job.step("voxels", shape[2])
        chosen[..., np.isnan(self.deviation)] = -1  # nothing varies, so nothing can be chosen
        return scores, chosen, [Diagnosis.together(own) for own in known]

    def _one(self, x: Any, split: Split) -> tuple[Diagnosis, list[tuple[slice, np.ndarray, list[Scores]]]]:
        solver, hardware, dtype = self.job.solver, self.job.hardware, self.job.dtype
        held = np.setdiff1d(np.arange(len(self.Z)), split.train)
        held = np.union1d(held, np.concatenate(split.tests))  # some may be trained on as well
        kernel = None if self.kernel is None else self.kernel[np.ix_(split.train, split.train)]
        search = solver.search(x, split.train, held, groups=self.groups, path=self.job.path, kernel=kernel)
        known = Portions(self.Z, split.train, self.spans, hardware)
        if solver.per_neuroid:
            choices = choose_for_each(search, known, dtype, hardware.xp)[0]
        else:
            one = choose_for_all(search, kernel, dtype, hardware.xp)
            choices = [np.full(Y.shape[1], one) for Y in known]
        operators = {
            int(c): [Operator.of(block[np.searchsorted(held, test)]) for test in split.tests]
            for c in np.unique(np.concatenate(choices))
            for block in [search.operator(int(c))]
        }
        found = []
        for span, Y, candidates in zip(self.spans, known, choices, strict=True):
            sets = [self._score(k, test, span, Y, candidates, operators) for k, test in enumerate(split.tests)]
            found.append((span, candidates[: span.stop - span.start], sets))
        return Diagnosis({search.path: 1}, search.condition, (search.rank, search.rank)), found

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
        if self.keep:
            width = span.stop - span.start
            found["prediction"] = np.asarray(P + mean)[:, :width] * self.deviation[span] + self.mean[span]
        return {name: np.asarray(value)[..., : span.stop - span.start] for name, value in found.items()}


@dataclass(frozen=True)
class Portions:
    """Responses to training stimuli, where the products run, one span of neuroids at a time."""

    Z: Float[np.ndarray, "stimulus neuroid"]
    train: Int[np.ndarray, " train"]
    spans: list[slice]
    hardware: Hardware

    def __iter__(self) -> Iterator[Float[np.ndarray, "train neuroid"]]:
        for span in self.spans:
            yield self.hardware.place(self.Z[self.train, span])
