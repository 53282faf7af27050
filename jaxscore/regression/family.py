"""Errors of hundreds of candidates from the few that they are mixtures of.

A squared error |C y|^2 is a quadratic form y' Q y, and those of many weights and alphas vary smoothly: to the accuracy
of float32 they are mixtures of about half as many, so that half of the products with the voxels can be left out. A
product costs n (n + 1) / 2 multiplications for each form and voxel, on the products y_i y_j.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32, Float64

from jaxscore.regression.operators import Matrix

LOST = 1e-5
"""Of the norm of each form, what the mixtures may lose: their errors are then off by 2e-7 in the median."""
ROWS = 8
"""Rows of y y' whose products are in the cache together."""
SKETCH = 8
"""Signed sums of the entries of forms, for each form, that tell how alike the forms are."""


class Family:
    """Errors |C y|^2 of many C in float32; see `Criterion`.

    Args:
        count: how many.
        maps: gives all C [row, train], float64, each time it is called.
    """

    def __init__(self, count: int, maps: Callable[[], Iterator[Matrix]]) -> None:
        self.count, self.maps = count, maps

    @cached_property
    def mixtures(self) -> tuple[Float32[np.ndarray, "candidate part"], Float32[np.ndarray, "part pair"]]:
        """Parts, and how much of each is in every candidate."""
        forms = None
        for k, C in enumerate(self.maps()):
            if forms is None:
                upper = np.triu(np.ones((C.shape[1], C.shape[1]), bool))
                forms = np.empty((self.count, upper.sum()), np.float32)
            Q = C.T @ C
            Q += np.triu(Q, 1)  # each y_i y_j (i < j) stands for itself and for y_j y_i
            forms[k] = Q[upper]
        gram = _gram(forms)
        size = np.sqrt(np.diag(gram))
        size[size == 0] = 1.0
        values, V = np.linalg.eigh(gram / size / size[:, None])
        # squared norm of what each form loses without the directions up to this one
        lost = np.cumsum(np.square(V) * np.maximum(values, 0.0), axis=1).max(0)
        V = V[:, lost > LOST**2]
        return (V * size[:, None]).astype(np.float32), (V / size[:, None]).T.astype(np.float32) @ forms

    def __call__(self, Y: Float[np.ndarray, "train neuroid"]) -> Float[np.ndarray, "candidate neuroid"]:
        """See Criterion."""
        mix, parts = self.mixtures
        Y = Y - Y.mean(0)  # no C sees the mean, but what the mixtures lose would
        total, first = np.zeros((len(parts), Y.shape[1]), np.float32), 0
        for start in range(0, len(Y), ROWS):
            pairs = np.concatenate([Y[i] * Y[i:] for i in range(start, min(start + ROWS, len(Y)))])
            total += parts[:, first : first + len(pairs)] @ pairs
            first += len(pairs)
        return mix @ total

    def total(self, kernel: Float64[np.ndarray, "train train"]) -> Float64[np.ndarray, " candidate"]:
        """See Criterion."""
        return np.array([np.einsum("rs,rs->", C @ kernel, C) for C in self.maps()])


def _gram(forms: Float32[np.ndarray, "candidate pair"]) -> Float64[np.ndarray, "candidate candidate"]:
    """Inner products of forms in float64, from signed sums of their entries where these are fewer."""
    count, pairs = forms.shape
    width = SKETCH * count
    if width >= pairs:
        return forms.astype(np.float64) @ forms.T.astype(np.float64)
    signs = np.random.default_rng(0).choice(np.array([-1.0, 1.0], np.float32), pairs)
    sums = np.zeros((count, width))
    for start in range(0, pairs, width):
        part = forms[:, start : start + width]
        sums[:, : part.shape[1]] += part * signs[start : start + width]
    return sums @ sums.T
