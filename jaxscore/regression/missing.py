"""Neuroids grouped by which of their responses are missing, so that each group is regressed exactly on what it has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int


def finite(values: Float[np.ndarray, ...]) -> bool:
    """Whether all values are finite: a sum is, unless one is not, or the sum itself overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def patterns(
    Y: Float[np.ndarray, "stimulus neuroid"],
) -> Iterator[tuple[Int[np.ndarray, " present"], Int[np.ndarray, " neuroid"]]]:
    """For each pattern of NaN: the stimuli that are present, and the neuroids that share it."""
    complete = np.ones(0, bool) if finite(Y) else ~np.isnan(Y)
    if complete.all():
        yield np.arange(len(Y)), np.arange(Y.shape[1])
        return
    _, group = np.unique(np.packbits(complete, axis=0), axis=1, return_inverse=True)
    for k in range(group.max() + 1):
        neuroids = np.flatnonzero(group == k)
        yield np.flatnonzero(complete[:, neuroids[0]]), neuroids
