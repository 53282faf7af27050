"""Delayed copies of features (a finite impulse response), without more columns than their inner products need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxscore.errors import DataError, JaxscoreError


def delayed(
    X: Float[np.ndarray, "row feature"],
    delays: Sequence[int] | None,
    runs: Sequence | None = None,
    *,
    rotate: bool = True,
) -> Float[np.ndarray, "row delayed"]:
    """Features of the rows t - delay side by side, 0 where there is no such row in the run.

    Inner products of delayed rows are sums of inner products of rows, so any coordinates with the inner products of
    the features will do: where there are more features than rows, as many as rows are delayed, not all of them.

    Args:
        X: features.
        delays: in rows, each 0 or more; None leaves X as it is.
        runs: the run of each row; rows of a run follow each other.
        rotate: allow other coordinates than the features themselves.

    Raises:
        JaxscoreError: if a delay is negative, or there is none.
        DataError: if a run is not one block of rows.
    """
    if delays is None:
        return X
    asked = np.atleast_1d(delays).tolist()
    delays = [int(delay) for delay in asked]
    if not delays or min(delays) < 0 or len(set(delays)) < len(delays) or delays != asked:
        raise JaxscoreError(f"delays are {asked}, expected different numbers of rows, 0 or more", "delays=(1, 2, 3, 4)")
    runs = np.zeros(len(X), int) if runs is None else np.asarray(runs)
    if len(runs) != len(X):
        raise DataError(f"{len(runs)} runs for {len(X)} rows", "Give the run of each row.")
    starts = np.flatnonzero(np.r_[True, runs[1:] != runs[:-1]])
    if len(starts) != len(np.unique(runs)):
        raise DataError("The rows of a run are not together", "Sort the rows by run, in the order of time.")
    if rotate and X.shape[1] > len(X):
        X = np.linalg.qr(np.asarray(X, np.float64).T, mode="r").T
    first = np.repeat(starts, np.diff(np.r_[starts, len(X)]))
    out = np.zeros((len(X), len(delays), X.shape[1]), X.dtype)
    for k, delay in enumerate(delays):
        source = np.arange(len(X)) - delay
        inside = source >= first
        out[inside, k] = X[source[inside]]
    return out.reshape(len(X), -1)
