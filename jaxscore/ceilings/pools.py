"""Pools of subjects that predict another one: which are drawn, and their neuroids as features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, cycle
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression.operators import Matrix, centred, contrast, expand

if TYPE_CHECKING:
    from jaxscore.metrics.comparisons import Metric

Subject = str | int
Draw = tuple[tuple[Subject, ...], tuple[Subject, ...]]
"""A subset of subjects, and those of them that are held out, each predicted from the rest of the subset."""
Draws = Mapping[int, Sequence[Draw]]
"""The draws of each size k of the subsets."""

SAFE = 1e4
"""Largest bound on the condition number of a summed kernel that is factored: errors in r stay under 1e-9."""


@dataclass(frozen=True)
class Plan:
    """Which subsets of subjects are looked at, and who is held out.

    Attributes:
        subsets: how many random subsets of each size; None: every subset.
        held_out: how many random draws, with replacement, of the held-out subject of a subset; None: every member.
        seed: of the subsets and, in a stream of its own, of the held-out subjects.
        sizes: of the subsets: a step k, from 2 to all subjects; or the sizes themselves.
    """

    subsets: int | None = None
    held_out: int | None = None
    seed: int = 0
    sizes: int | tuple[int, ...] = 1

    def draw(self, subjects: Iterable[Subject]) -> dict[int, list[Draw]]:
        """Draw from the subjects of a part of the data.

        In the 2021 pipeline a random subset is an ordered tuple, and subjects are listed in the order of a Python set,
        so that draws change from one process to the next. Here subjects are sorted, and a subset is a set. Where there
        are fewer distinct subsets than are asked for, they are taken in turn: all nine subjects, drawn there ten times
        in ten orders with five held out of each, are here one subset with whoever was held out in fifty draws.

        Returns:
            {k: [(subset, held out)]}, both sorted, subsets in the order of their first draw.

        Raises:
            DataError: if there are fewer than two subjects, or too few for any of the sizes.
        """
        subjects = sorted(set(subjects))
        if len(subjects) < 2:
            raise DataError(
                f"There is {len(subjects)} subject here ({subjects}): nobody can be predicted from others",
                "These ceilings need 2 subjects or more; with repetitions, use split-half or test-retest.",
            )
        subsets, held = np.random.RandomState(self.seed), np.random.RandomState(self.seed)
        drawn: dict[int, list[Draw]] = {}
        for k in self._sizes(len(subjects)):
            found: dict[tuple, set] = {}
            for subset in self._subsets(subjects, k, subsets):
                found.setdefault(subset, set()).update(self._held(subset, held))
            drawn[k] = [(subset, tuple(sorted(out))) for subset, out in found.items()]
        return drawn

    def _sizes(self, most: int) -> list[int]:
        if isinstance(self.sizes, int):
            if self.sizes < 1:
                raise JaxscoreError(f"the step of sizes is {self.sizes}, expected 1 or more", "The default is 1.")
            return list(range(2, most + 1, self.sizes))
        sizes = sorted({int(k) for k in self.sizes if 2 <= k <= most})
        if not sizes:
            raise DataError(f"sizes are {self.sizes}, expected some from 2 to {most} subjects", "Leave out the sizes.")
        return sizes

    def _subsets(self, subjects: list[Subject], k: int, rng: np.random.RandomState) -> list[tuple[Subject, ...]]:
        if self.subsets is None:
            return list(combinations(subjects, k))
        distinct, found = min(self.subsets, comb(len(subjects), k)), {}
        while len(found) < distinct:
            chosen = sorted(rng.choice(len(subjects), size=k, replace=False).tolist())
            found[tuple(subjects[i] for i in chosen)] = None
        return [subset for _, subset in zip(range(self.subsets), cycle(found), strict=False)]

    def _held(self, subset: tuple[Subject, ...], rng: np.random.RandomState) -> list[Subject]:
        if self.held_out is None:
            return list(subset)
        return [subset[i] for i in rng.choice(len(subset), size=self.held_out).tolist()]


def check_draws(draws: Draws, subjects: set[Subject]) -> None:
    """Raise DataError for draws that these subjects do not allow."""
    for k, drawn in draws.items():
        for subset, held in drawn:
            if not subjects >= set(subset) >= set(held) or len(set(subset)) < 2:
                raise DataError(
                    f"a draw of size {k} holds out {tuple(held)} of the subset {tuple(subset)}; there are "
                    f"{sorted(subjects)}",
                    "A draw is (subset of two subjects or more, held-out members of it); leave them out to draw anew.",
                )


class Sources:
    """Neuroids of each subject as features, and of a pool of subjects: in as few columns as the metric allows.

    What sees no more than inner products (CKA, and regressions that a rotation does not change) stays the same if the
    features X of a pool are replaced by any L with L L' = X X'; and kernels add: X X' = sum_s X_s X_s'. So L is the
    Cholesky factor of the summed kernel of the centred responses. A kernel squares the condition number, and by Weyl

        cond(sum_s K_s) <= sum_s largest(K_s) / sum_s smallest(K_s).

    Where that bound is over SAFE, the subjects' own triangular factors side by side take the place of L.

    Args:
        Y: responses without NaN.
        own: the columns of each subject.
        metric: what the features are for; where it sees more than inner products of centred responses (rdm, decoding)
            they stay what they are.
    """

    def __init__(
        self, Y: Float64[np.ndarray, "stimulus neuroid"], own: Mapping[Subject, Int[np.ndarray, " own"]], metric: Metric
    ) -> None:
        self.Y, self.own = Y, own
        self.rotates = metric.name == "cka" or (metric.name == "encoding" and metric.solver.rotates)
        self._factors: dict[Subject, Matrix] = {}

    def features(self, pool: Iterable[Subject]) -> Float64[np.ndarray, "stimulus column"]:
        """Features of a pool."""
        pool = tuple(pool)
        if not self.rotates or sum(len(self.own[subject]) for subject in pool) <= len(self.Y):
            return np.hstack([self.Y[:, self.own[subject]] for subject in pool])
        largest, smallest = np.sum([self.kernels[subject][1] for subject in pool], 0)
        if largest > SAFE * smallest:
            return np.hstack([self._factor(subject) for subject in pool])
        return expand(np.linalg.cholesky(sum(self.kernels[subject][0] for subject in pool)).T).T

    @cached_property
    def kernels(self) -> dict[Subject, tuple[Matrix, tuple[float, float]]]:
        """Of each subject the kernel of the contrasts of the stimuli, and its largest and smallest eigenvalue."""
        found = {}
        for subject, own in self.own.items():
            M = contrast(centred(self.Y[:, own]))
            kernel = M @ M.T
            values = np.linalg.eigvalsh(kernel)
            found[subject] = kernel, (values[-1], max(values[0], 0.0) if len(own) >= len(M) else 0.0)
        return found

    def _factor(self, subject: Subject) -> Matrix:
        """A subject's centred responses, in no more columns than stimuli."""
        if subject not in self._factors:
            X = centred(self.Y[:, self.own[subject]])
            self._factors[subject] = X if X.shape[1] <= len(X) else np.linalg.qr(X.T, mode="r").T
        return self._factors[subject]
