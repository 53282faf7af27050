"""Input that cannot be regressed is refused before anything is computed or compiled."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from jaxscore.errors import DataError
from jaxscore.regression.missing import finite

DTYPES = ("float32", "float64")
"""Of the products with the responses."""


def check_features(X, Y: Float[np.ndarray, "stimulus neuroid"]) -> list[Float[np.ndarray, "stimulus _"]]:
    """Layers as arrays of the same stimuli as Y, of finite numbers; bfloat16 and float16 as float32."""
    X = [np.asarray(x) for x in X]
    if not X:
        raise DataError("No layers: X is empty", "Pass X as [layer, stimulus, feature].")
    if Y.ndim != 2:
        raise DataError(f"Y has shape {Y.shape}, expected [stimulus, neuroid]", "One neuroid: Y[:, None].")
    for i, x in enumerate(X):
        if x.ndim != 2 or len(x) != len(Y):
            raise DataError(
                f"layer {i} of X has shape {x.shape}, Y has shape {Y.shape}: they must have the same stimuli as rows",
                "X is [layer, stimulus, feature], Y is [stimulus, neuroid]; one layer: X[None].",
            )
        if not x.shape[1]:
            raise DataError(f"layer {i} of X has shape {x.shape}: no features")
        if x.dtype.kind not in "fiub" and x.dtype.name != "bfloat16":
            raise DataError(f"layer {i} of X holds {x.dtype}, expected real numbers")
        if x.dtype.kind not in "iub" and x.dtype.itemsize < 4:
            X[i] = x = x.astype(np.float32)
        if x.dtype.kind not in "iub" and not finite(x):
            raise DataError(
                f"layer {i} of X has {np.count_nonzero(~np.isfinite(x))} values that are NaN or infinite",
                "Activations overflow in float16: extract them in float32 or bfloat16.",
            )
    return X


def check_responses(Y: Float[np.ndarray, "stimulus neuroid"]) -> Float[np.ndarray, "stimulus neuroid"]:
    """Responses that are numbers or NaN, no neuroid NaN alone; bfloat16 and float16 as float32."""
    if Y.dtype.name in ("bfloat16", "float16"):
        Y = Y.astype(np.float32)
    if Y.dtype.kind not in "fiub" or not Y.size:
        raise DataError(f"Y holds {Y.dtype} of shape {Y.shape}, expected real numbers [stimulus, neuroid]")
    if Y.dtype.kind != "f" or finite(Y):
        return Y
    if np.isinf(Y).any():
        raise DataError(
            f"Y has {np.count_nonzero(np.isinf(Y))} infinite values", "Drop these responses, or make them NaN."
        )
    empty = np.isnan(Y).all(0)
    if empty.any():
        raise DataError(
            f"{empty.sum()} of {Y.shape[1]} neuroids have no response at all (the first is {np.flatnonzero(empty)[0]})",
            "Drop them: Y[:, ~np.isnan(Y).all(0)].",
        )
    return Y


def check_inner(inner: Int[np.ndarray, " inner"] | None, neuroids: int) -> Int[np.ndarray, " inner"]:
    """Indices of neuroids, none if there are none."""
    inner = np.zeros(0, int) if inner is None else np.asarray(inner)
    if (
        inner.ndim != 1
        or inner.dtype.kind not in "iu"
        or (inner.size and not 0 <= inner.min() <= inner.max() < neuroids)
    ):
        raise DataError(
            f"inner is {inner.dtype} of shape {inner.shape}, from {inner.min(initial=0)} to {inner.max(initial=0)}",
            f"Expected indices from 0 to {neuroids - 1} of the {neuroids} neuroids; a mask: numpy.flatnonzero(mask).",
        )
    return inner
