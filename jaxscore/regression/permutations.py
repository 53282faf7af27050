"""Permutation nulls of the mean over folds of r.

    cheap  held-out responses permuted within each test fold, predictions fixed
    exact  all responses permuted, then regressed and predicted anew

    p = (1 + number of permutations whose r reaches the observed r) / (1 + permutations), one-sided
    family-wise p: the same with the largest r over the neuroids of a layer (Westfall and Young, 1993)

With several folds a response is trained on for the other folds, which makes the r of two folds vary together where
there is no relation, and a null that keeps each fold apart is too narrow: the sum over folds is y' A y for some A, of
variance tr(A A') + tr(A A) <= 2 tr(A A'), and tr(A A') is what such a null has. The cheap null is therefore widened by
sqrt(2) where there are several folds, so that no more neuroids without a relation come under a p than should. Left
narrow, about 0.12 of them come under 0.05. Clear cases agree with the exact null either way.
Permutations of blocks of neighbours are valid where stimuli further apart than a block are exchangeable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxscore.regression.estimators import Solver
from jaxscore.regression.nulls import fixed_null, refitted_null, tolerance
from jaxscore.regression.resampling import Problem, block_permutations, check_count
from jaxscore.regression.splits import Fold

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class PermutationTest:
    """What `permutation_test` found.

    Attributes:
        r: mean over folds of r on held-out stimuli [layer, neuroid]; NaN where it is not defined.
        p: one-sided p-value [layer, neuroid]; NaN where r is.
        p_familywise: the same, corrected for the number of neuroids [layer, neuroid].
        null_maximum: largest mean r over the neuroids [layer, permutation]; NaN where no neuroid has one.
    """

    r: Float[np.ndarray, "layer neuroid"]
    p: Float[np.ndarray, "layer neuroid"]
    p_familywise: Float[np.ndarray, "layer neuroid"]
    null_maximum: Float[np.ndarray, "layer permutation"]


def permutation_test(
    X: Float[np.ndarray, "layer stimulus feature"] | Sequence[Float[np.ndarray, "stimulus _"]] | xr.DataArray,
    Y: Float[np.ndarray, "stimulus neuroid"] | xr.DataArray,
    folds: Sequence[Fold] | str | int | object = 5,
    solver: Solver | str | None = None,
    *,
    permutations: int = 1000,
    block: int = 1,
    exact: bool = False,
    widen: bool = True,
    groups: Sequence | None = None,
    seed: int = 0,
    threads: int | None = None,
    chunk: int | None = None,
    **options: Any,
) -> PermutationTest:
    """Test whether features predict responses better than chance.

    Permutations are the same for all layers and neuroids, so that their correlation is kept; where a
    neuroid's responses are missing, those that are present take the order that they have among all.

    Args:
        X: features of every layer.
        Y: responses.
        folds: as for `cross_validate`.
        solver: as for `cross_validate`.
        permutations: how many.
        block: stimuli per block; neighbours in file order stay together. Longer than the responses' autocorrelation.
        exact: permute before the regression, at the cost of a regression for each permutation; without it weak
            relations over several folds are found less often.
        widen: widen the cheap null of several folds by sqrt(2), so that it does not find too much.
        groups: of the stimuli, for grouped folds.
        seed: of the permutations.
        threads: of the host.
        chunk: neuroids per product of `cross_validate`.
        options: further arguments of `cross_validate`.

    Raises:
        JaxscoreError: for no permutations, or stimuli (cheap: of a test fold) that do not make two blocks.
        DataError: as for `cross_validate`.
    """
    check_count("permutations", permutations)
    problem = Problem.of(X, Y, folds, solver, groups, threads, chunk, options)
    rng = np.random.default_rng(seed)
    if exact:
        table = block_permutations(rng, len(problem.Y), block, permutations)
        r, reached, largest = refitted_null(problem, table)
    else:
        sizes = [len(test) for _, test in problem.folds]
        tables = [block_permutations(rng, size, block, permutations) for size in sizes]
        starts = np.cumsum([0, *sizes[:-1]])
        table = np.concatenate([own + start for own, start in zip(tables, starts, strict=True)], axis=1)
        several = widen and len(problem.folds) > 1
        r, reached, largest = fixed_null(problem, table, 2.0**0.5 if several else 1.0)
    familywise = np.array([_reaching(null, observed, problem.dtype) for null, observed in zip(largest, r, strict=True)])
    p, familywise = ((1 + count) / (1 + permutations) for count in (reached, familywise))
    undefined = np.isnan(r)
    p[undefined], familywise[undefined], largest[np.isneginf(largest)] = np.nan, np.nan, np.nan
    return PermutationTest(r, p, familywise, largest)


def _reaching(null: Float[np.ndarray, " permutation"], observed: Float[np.ndarray, " neuroid"], dtype: np.dtype):
    """How many values of a null reach each observed one."""
    return len(null) - np.searchsorted(np.sort(null), observed - tolerance(dtype))
