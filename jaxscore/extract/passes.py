"""The pass: windows through the model, pooled inside the scan, gathered once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Float

from jaxscore.contexts.windows import Window
from jaxscore.extract.batches import Batch, plan
from jaxscore.models.block import pooled_states
from jaxscore.models.transformer import Transformer

POOLINGS = ("last", "mean", "sum")
TOKENS = {"cpu": 4096}
"""Tokens per batch by platform; accelerators take ACCELERATOR_TOKENS."""
ACCELERATOR_TOKENS = 65536
COMPILE_FLOPS = 5e10
"""What compiling one more shape costs, expressed as model FLOPs that the same time would do."""


def fill(windows: Sequence[Window], batch: Batch, pooling: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Padded (tokens [text, token], lengths [text], pooling weights [text, slot, token]) of one batch."""
    tokens = np.zeros((batch.rows, batch.length), np.int32)
    lengths = np.ones(batch.rows, np.int32)
    pool = np.zeros((batch.rows, batch.slots, batch.length), np.float32)
    for row, index in enumerate(batch.windows):
        window = windows[index]
        lengths[row] = len(window.tokens)
        tokens[row, : lengths[row]] = window.tokens
        for k, slot in enumerate(window.slots):
            if pooling == "last":
                pool[row, k, slot.last] = 1.0
            else:
                count = slot.last + 1 - slot.first
                pool[row, k, slot.first : slot.last + 1] = 1.0 / count if pooling == "mean" else 1.0
    return tokens, lengths, pool


def extract(
    model: Transformer,
    windows: Sequence[Window],
    layers: Sequence[int],
    *,
    pooling: str = "last",
    batch_size: int | None = None,
    step: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "layer stimulus feature"]:
    """Hidden states of every stimulus at the chosen layers.

    Args:
        model: the Flax module.
        windows: every stimulus in exactly one slot of one window.
        layers: indices of hidden states, 0 being the input of the first block.
        pooling: "last": the last token of the last word; "mean" or "sum": over the tokens of the stimulus.
        batch_size: texts in a batch; by default chosen for the device.
        step: called with the number of stimuli done, for a progress bar.

    Returns:
        float32 states, stimuli in the order of their indices.
    """
    arch = model.arch
    params = model.arrays
    matrices = sum(leaf.size for leaf in jax.tree.leaves(params["blocks"]))
    platform = jax.default_backend()
    batches = plan(
        [len(window.tokens) for window in windows],
        [len(window.slots) for window in windows],
        tokens=TOKENS.get(platform, ACCELERATOR_TOKENS),
        compile_cost=COMPILE_FLOPS / (2 * matrices),
        limit=arch.positions,
        batch_size=batch_size,
    )
    stimuli = sum(len(window.slots) for window in windows)
    states = np.empty((len(layers), stimuli, arch.width), np.float32)
    index = np.asarray(layers)

    def collect(batch: Batch, result: jax.Array) -> None:
        host = np.asarray(result)
        for row, number in enumerate(batch.windows):
            slots = windows[number].slots
            states[:, [slot.stimulus for slot in slots]] = host[index, row, : len(slots)]
        if step:
            step(sum(len(windows[number].slots) for number in batch.windows))

    waiting: tuple[Batch, jax.Array] | None = None
    for batch in batches:
        result = pooled_states(arch, params, *fill(windows, batch, pooling))
        if waiting:  # the device computes this batch while the last one is gathered
            collect(*waiting)
        waiting = (batch, result)
    if waiting:
        collect(*waiting)
    return states
