"""The one product of operators with voxels, with the correlation fused in, over chunks of voxels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

CHUNK = 2048
"""Voxels per product: the predictions of all layers for one held-out set stay within tens of megabytes."""


@jax.jit
def _correlate(
    operators: Float[Array, "set layer test stimulus"],
    tests: Int[Array, "set test"],
    mask: Float[Array, "set test"],
    Y: Float[Array, "stimulus neuroid"],
) -> Float[Array, "set layer neuroid"]:
    tolerance = 8 * jnp.finfo(Y.dtype).eps

    def one(inputs):
        A, test, real = inputs
        y = Y[test] * real[:, None]
        y = (y - y.sum(0) / real.sum()) * real[:, None]
        predicted = jnp.einsum("lts,sv->ltv", A, Y, precision="highest")
        covariance = (predicted * y).sum(1)
        energy, energy_y = jnp.square(predicted).sum(1), jnp.square(y).sum(0)
        # Y has unit variance, so what is under the round-off of these scales carries no signal
        signal = (energy > jnp.square(tolerance) * jnp.square(A).sum((1, 2))[:, None]) & (
            energy_y > jnp.square(tolerance) * real.sum()
        )
        return jnp.where(signal, covariance / jnp.sqrt(energy * energy_y), jnp.nan)

    return jax.lax.map(one, (operators, tests, mask))


def standardise(Y: Float[np.ndarray, "stimulus neuroid"], dtype: str) -> Float[np.ndarray, "stimulus neuroid"]:
    """Centre and scale each neuroid in float64; one whose variance is round-off of its own dtype becomes NaN."""
    resolution = np.finfo(Y.dtype if Y.dtype.kind == "f" else np.float64).eps
    Z = Y.astype(np.float64)
    largest = np.abs(Z).max(0)
    Z -= Z.mean(0)
    deviation = np.sqrt(np.square(Z).mean(0))
    Z /= np.where(deviation > 8 * resolution * largest, deviation, np.nan)
    return Z.astype(dtype)


def correlate(
    operators: list[list[np.ndarray]],
    tests: list[np.ndarray],
    Y: Float[np.ndarray, "stimulus neuroid"],
    *,
    dtype: str = "float32",
    chunk: int | None = None,
    step: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "layer set neuroid"]:
    """Pearson r between predictions and responses, within each held-out set.

    r = sum(p y) / sqrt(sum(p^2) sum(y^2)), p and y centred within the set. The product runs at HIGHEST precision.

    Args:
        operators: for each layer, one operator [test, stimulus] per held-out set, rows centred within the set.
        tests: indices of the stimuli of each set.
        Y: responses without NaN.
        dtype: of the product, "float32" or "float64".
        chunk: neuroids per product; by default CHUNK.
        step: called with the number of neuroids done, for a progress bar.

    Returns:
        r; NaN where the responses of a neuroid or its predictions vary by no more than round-off.
    """
    longest, stimuli, neuroids = max(map(len, tests)), *Y.shape
    stacked = np.zeros((len(tests), len(operators), longest, stimuli), dtype)
    index, mask = np.zeros((len(tests), longest), np.int32), np.zeros((len(tests), longest), dtype)
    for k, test in enumerate(tests):
        index[k, : len(test)], mask[k, : len(test)] = test, 1.0
        for layer, rows in enumerate(operators):
            stacked[k, layer, : len(test)] = rows[k]
    # equal chunks, so that one compiled program serves them all
    count = -(-neuroids // (chunk or CHUNK))
    size = -(-neuroids // count)
    r = np.empty((len(operators), len(tests), neuroids), dtype)
    with jax.enable_x64(True) if dtype == "float64" else nullcontext():
        stacked, index, mask = (jax.device_put(array) for array in (stacked, index, mask))
        for start in range(0, neuroids, size):
            block = standardise(Y[:, start : start + size], dtype)
            width = block.shape[1]
            block = np.pad(block, ((0, 0), (0, size - width)))
            out = _correlate(stacked, index, mask, block)
            r[..., start : start + width] = np.asarray(out)[..., :width].swapaxes(0, 1)
            if step:
                step(width)
    return r
