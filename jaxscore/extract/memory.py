"""How much a pass needs in memory, and how many tokens a batch may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np

from jaxscore.models.architecture import Body
from jaxscore.models.attention import CHUNK

CPU_TOKENS = 4096
"""Tokens of a batch on a CPU, where more of them gain nothing."""
MOST_TOKENS = 65536
"""Tokens of a batch on an accelerator, where more of them gain nothing."""
SHARE = 0.6
"""Share of the free memory of a device that a batch may take."""


def token_bytes(arch: Body, dtype: str, length: int) -> float:
    """Bytes that one token of a batch needs while its layer runs; an estimate from above.

    Args:
        arch: the architecture.
        dtype: of the weights, and so of the states between layers.
        length: longest text of the batch in tokens.
    """
    size = np.dtype("float32" if dtype == "float32" else "float16").itemsize
    hidden, heads = getattr(arch, "hidden", 4 * arch.width), getattr(arch, "heads", 1)
    gated = getattr(arch, "gated", False)
    # states, norms, queries, keys, values and their table; the MLP; float32 results before they are rounded
    linear = (10 * arch.width + (2 + gated) * hidden) * size + 4 * max(3 * arch.width, hidden * (1 + gated))
    logits = 3 * 4 * heads * CHUNK  # of one chunk of queries against all keys, for each key
    return linear + logits * (1.0 if length > CHUNK else length / CHUNK)


def free_memory(device: jax.Device) -> int | None:
    """Bytes that are free on an accelerator; None where it does not say."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    return stats["bytes_limit"] - stats["bytes_in_use"] if stats and "bytes_limit" in stats else None


def least_free(devices: Iterable[jax.Device]) -> int | None:
    """Bytes that are free on the fullest of the devices; None where one does not say."""
    found = [free_memory(device) for device in devices]
    return None if None in found else min(found)


def slot_bytes(arch: Body) -> float:
    """Bytes that one pooled presentation needs: its states at every layer, and a copy while they are put together."""
    return 2 * 4.0 * len(arch.widths) * max(arch.widths)


def batch_tokens(
    arch: Body, dtype: str, length: int, free: int | None, *, accelerator: bool, slots: float = 0.0
) -> int:
    """Tokens that a batch may hold: at least the longest text, on an accelerator as many as fit its free memory.

    Args:
        arch: the architecture.
        dtype: of the weights.
        length: longest text in tokens.
        free: bytes that are free beside the weights; None where the device does not say.
        accelerator: whether the device is one.
        slots: pooled presentations for each token.
    """
    if not accelerator:
        return max(CPU_TOKENS, length)
    each = token_bytes(arch, dtype, length) + slots * slot_bytes(arch)
    fitting = MOST_TOKENS if free is None else max(1, int(SHARE * free / each))
    # a power of two: what is free differs a little from checkpoint to checkpoint, and shapes should not
    return max(length, min(MOST_TOKENS, 1 << fitting.bit_length() - 1))


def sharing(weights: Callable[[int], int], batch: float, free: int | None, numbers: Sequence[int]) -> int:
    """How many devices share one copy of the weights: as few as hold their share and the smallest batch.

    Args:
        weights: bytes of the weights on each of so many devices.
        batch: bytes of the longest text.
        free: bytes that are free on each device; None where it does not say.
        numbers: that can be chosen from, ascending; the last one where none is enough.
    """
    if free is None:
        return numbers[0]
    return next((number for number in numbers if weights(number) + batch <= free), numbers[-1])
