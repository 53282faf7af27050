"""A warning where chosen alphas sit on the edge of the grid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxscore.errors import GridEdgeWarning


def warn_at_edges(alphas: Float[np.ndarray, ...], grid: Sequence[float], *, stacklevel: int = 3) -> None:
    """Say how many of the chosen alphas are the smallest or the largest of the grid.

    Args:
        alphas: chosen ones, of any shape.
        grid: what they were chosen from; a grid of one has no edges.
        stacklevel: of `warnings.warn`: 3 points at the line that called the caller.

    Warns:
        GridEdgeWarning: if there are any.
    """
    grid = np.unique(np.asarray(grid, float))
    if len(grid) < 2:
        return
    low, high = int((alphas == grid[0]).sum()), int((alphas == grid[-1]).sum())
    if low + high:
        warnings.warn(
            f"{low + high} of {alphas.size} chosen alphas sit on the edge of the grid: {low} at {grid[0]:g}, {high} at "
            f"{grid[-1]:g}; a better alpha may lie beyond it",
            GridEdgeWarning,
            stacklevel=stacklevel,
        )
