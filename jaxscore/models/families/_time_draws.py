"""How Mamba and RWKV draw fresh parameters: some are spread over channels by formula, some are orthogonal matrices."""

from __future__ import annotations

import numpy as np

from jaxscore.models.families import Draw


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float) -> np.ndarray:
    return rng.uniform(-bound, bound, shape)


def _step_kernel(rng, arch, shape):
    bound = arch.rank**-0.5 * arch.step_scale
    return _uniform(rng, shape, bound) if arch.step_random else np.full(shape, bound)


def _step_bias(rng, arch, shape):
    """The inverse of softplus of time steps that are log-uniform between the smallest and the largest."""
    low, high, floor = arch.step_range
    step = np.maximum(np.exp(rng.uniform(np.log(low), np.log(high), shape)), floor)
    return step + np.log(-np.expm1(-step))


def _out_kernel(rng, arch, shape):
    return _uniform(rng, shape, (arch.inner * (arch.layers if arch.rescaled else 1)) ** -0.5)


MAMBA: dict[str, Draw] = {
    "blocks/conv/taps": lambda rng, arch, shape: _uniform(rng, shape, arch.kernel**-0.5),
    "blocks/step/kernel": _step_kernel,
    "blocks/step/bias": _step_bias,
    "blocks/log_decay": lambda rng, arch, shape: np.broadcast_to(np.log(1 + np.arange(shape[1]))[:, None], shape),
    "blocks/skip": lambda rng, arch, shape: np.ones(shape),
    "blocks/out/kernel": _out_kernel,
}


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """Matrices with orthogonal rows or columns, whichever are fewer, uniform among all such; times `gain`."""
    *stack, rows, columns = shape
    drawn = rng.standard_normal((*stack, max(rows, columns), min(rows, columns)), np.float32)
    q, r = np.linalg.qr(drawn)
    q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :] * np.float32(gain)
    return q if rows >= columns else np.swapaxes(q, -1, -2)


def _kernel(rng, arch, shape):
    """Orthogonal; stretched where there are more outputs than inputs."""
    return orthogonal(rng, shape, max(1.0, shape[-1] / shape[-2]) ** 0.5)


def _token_table(rng, arch, shape):
    return orthogonal(rng, shape, 1e-4 * max(shape) ** 0.5)


def _head(rng, arch, shape):
    return orthogonal(rng, shape, 0.5 * max(1.0, shape[0] / shape[1]) ** 0.5)


def _depth(layers: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each layer [layer, 1]: from 0 for the first to 1 for the last, and from 1 to 1 / layers."""
    layer = np.arange(layers)[:, None]
    return layer / max(layers - 1, 1), 1 - layer / layers


def _time_decay(rng, arch, shape):
    return -5 + 8 * (np.arange(shape[1]) / (shape[1] - 1)) ** (0.7 + 1.3 * _depth(arch.layers)[0])


def _time_mix(power: float, more: float = 0.0) -> Draw:
    """Channel i of d gets (i / d) ** (power * a) + more * b, b growing and a falling from layer to layer."""

    def draw(rng, arch, shape):
        growing, falling = _depth(arch.layers)
        return (np.arange(shape[1]) / shape[1]) ** (power * falling) + more * growing

    return draw


RWKV: dict[str, Draw] = {
    "embed/tokens": _token_table,
    "head/tokens": _head,
    "blocks/attention/time_decay": _time_decay,
    "blocks/attention/time_first": lambda rng, arch, shape: np.ones(shape),
    "blocks/attention/time_mix_key": _time_mix(1.0),
    "blocks/attention/time_mix_value": _time_mix(1.0, 0.3),
    "blocks/attention/time_mix_receptance": _time_mix(0.5),
    "blocks/mlp/time_mix_key": _time_mix(1.0),
    "blocks/mlp/time_mix_receptance": _time_mix(1.0),
}
RWKV |= {
    f"blocks/{part}/kernel": _kernel
    for part in (
        "attention/key", "attention/value", "attention/receptance", "attention/output", "mlp/key", "mlp/receptance",
        "mlp/value",
    )
}  # fmt: skip
