"""The one product of operators with voxels, scores fused in, over chunks of voxels: all layers at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Float, Int

from jaxscore.regression.hardware import Hardware
from jaxscore.regression.operators import Operator
from jaxscore.regression.scores import score, standardise

Scores = dict[str, Float[np.ndarray, "layer set neuroid"]]


def columns(names: tuple[str, ...]) -> tuple[str, ...]:
    """What `score` returns for these names: r2 comes as its two sums."""
    return tuple(part for name in names for part in (("residual", "total") if name == "r2" else (name,)))


def evaluate(
    operators: Sequence[Sequence[Operator]],
    trains: Sequence[Int[np.ndarray, " train"]],
    tests: Sequence[Int[np.ndarray, " test"]],
    Y: Float[np.ndarray, "stimulus neuroid"],
    names: tuple[str, ...],
    *,
    dtype: str,
    hardware: Hardware,
    predictions: list[Float[np.ndarray, "layer test neuroid"]] | None = None,
    step: Callable[[int], None] | None = None,
) -> Scores:
    """Score the predictions of fixed operators within each held-out set.

    Args:
        operators: for each layer, one for each held-out set.
        trains: training stimuli of each set.
        tests: stimuli of each set.
        Y: responses without NaN.
        names: of `scores.SCORES`.
        dtype: of the product: "float32" or "float64".
        hardware: where it runs.
        predictions: filled with the predictions of each set, in the units of the responses, if given.
        step: called with the number of neuroids done, for a progress bar.
    """
    run = _on_host if hardware.mesh is None else _on_mesh
    shape = (len(operators), len(tests), Y.shape[1])
    out = {name: np.empty(shape, dtype) for name in columns(names)}
    with hardware.precision(dtype):
        run(operators, trains, tests, Y, names, dtype, hardware, out, predictions, step or (lambda amount: None))
    return out


def _on_host(operators, trains, tests, Y, names, dtype, hardware, out, predictions, step) -> None:
    layers, wants_means = len(operators), "r2" in names or predictions is not None
    stacks = [np.concatenate([rows[k].rows for rows in operators]).astype(dtype) for k in range(len(tests))]
    means = [np.stack([rows[k].mean for rows in operators]).astype(dtype) for k in range(len(tests))]
    scales = [np.array([rows[k].norm for rows in operators], dtype) for k in range(len(tests))]

    def chunk(span: slice) -> None:
        Z, average, spread = standardise(Y[:, span], dtype)
        deviation = spread.astype(dtype)
        # one room for all sets: fresh pages would cost more than the scores
        room = np.empty((max(map(len, stacks)), Z.shape[1]), dtype)
        for k, (A, train, test) in enumerate(zip(stacks, trains, tests, strict=True)):
            known = Z[train]
            P = np.matmul(A, known, out=room[: len(A)]).reshape(layers, len(test), -1)
            both = (means[k] @ known, known.mean(0)) if wants_means else None
            if predictions is not None:
                predictions[k][..., span] = (P + both[0][:, None]) * spread + average
            found = score(np, names, P, Z[test], scale=scales[k][:, None], deviation=deviation, means=both)
            for name, values in found.items():
                out[name][:, k, span] = values
        step(Z.shape[1])

    rows = layers * max(map(len, tests)) + 3 * len(Y)
    hardware.map(chunk, hardware.chunks(Y.shape[1], rows * np.dtype(dtype).itemsize))


def _on_mesh(operators, trains, tests, Y, names, dtype, hardware, out, predictions, step) -> None:
    layers, sets, longest, stimuli = len(operators), len(tests), max(map(len, tests)), len(Y)
    lanes = dict(hardware.mesh.shape)
    padded = -(-layers // lanes["layer"]) * lanes["layer"]
    A, means = np.zeros((sets, padded, longest, stimuli), dtype), np.zeros((sets, padded, stimuli), dtype)
    scale, trained = np.ones((sets, padded), dtype), np.zeros((sets, stimuli), dtype)
    index, mask = np.zeros((sets, longest), np.int32), np.zeros((sets, longest), dtype)
    for k, (train, test) in enumerate(zip(trains, tests, strict=True)):
        index[k, : len(test)], mask[k, : len(test)], trained[k, train] = test, 1.0, 1.0 / len(train)
        for layer, found in enumerate(operators):
            A[k, layer, : len(test)][:, train] = found[k].rows
            means[k, layer, train], scale[k, layer] = found[k].mean, found[k].norm

    def place(array, *axes):
        return jax.device_put(array, NamedSharding(hardware.mesh, PartitionSpec(*axes)))

    fixed = (place(A, None, "layer"), place(means, None, "layer"), place(scale, None, "layer"))
    fixed += tuple(place(array) for array in (trained, index, mask))
    # equal chunks that the devices can share, so that one compiled program serves them all
    spans = hardware.chunks(Y.shape[1], (padded * longest + 3 * stimuli) * A.itemsize)
    width = -(-(spans[0].stop - spans[0].start) // lanes["voxel"]) * lanes["voxel"]
    for span in spans:
        Z, average, spread = standardise(Y[:, span], dtype)
        here = Z.shape[1]
        Z, deviation = np.pad(Z, ((0, 0), (0, width - here))), np.pad(spread.astype(dtype), (0, width - here))
        keep = predictions is not None
        found = _evaluate(*fixed, place(Z, None, "voxel"), place(deviation, "voxel"), names=names, keep=keep)
        if keep:
            predicted = np.asarray(found.pop("prediction"))
            for k, test in enumerate(tests):
                predictions[k][..., span] = predicted[k, :layers, : len(test), :here] * spread + average
        for name, values in found.items():
            out[name][..., span] = np.asarray(values)[:, :layers, :here].swapaxes(0, 1)
        step(here)


@partial(jax.jit, static_argnames=("names", "keep"))
def _evaluate(A, means, scale, trained, index, mask, Y, deviation, *, names, keep):
    def one(inputs):
        A, means, scale, trained, test, real = inputs
        P = jnp.einsum("lts,sv->ltv", A, Y, precision="highest")
        both = None
        if "r2" in names or keep:
            both = (jnp.matmul(means, Y, precision="highest"), jnp.matmul(trained, Y, precision="highest"))
        found = score(jnp, names, P, Y[test], scale=scale[:, None], deviation=deviation, mask=real, means=both)
        return found | ({"prediction": P + both[0][:, None]} if keep else {})

    return jax.lax.map(one, (A, means, scale, trained, index, mask))
