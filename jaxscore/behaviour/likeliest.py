"""States of single tokens, and the token that a language-model head likes best after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxscore.contexts.windows import Window
from jaxscore.extract.passes import check_head, extract
from jaxscore.models.states import ROWS
from jaxscore.models.transformer import Transformer

TOKENS = 4096
"""Tokens whose logits for `ROWS` rows of the vocabulary exist at a time."""


def slot_states(
    model: Transformer, windows: Sequence[Window], layer: int, *, step: Callable[[int], None] | None = None
) -> Float[np.ndarray, "slot feature"]:
    """States of a layer at the last token of every slot, in the order of windows and slots, whatever they are called.

    Args:
        model: the Flax module.
        windows: what is read.
        layer: index into `model.arch.widths`.
        step: called with the number of slots done.
    """
    firsts = np.cumsum([0, *(len(window.slots) for window in windows)]).tolist()
    numbered = [
        Window(window.tokens, tuple(replace(slot, stimulus=number) for number, slot in enumerate(window.slots, first)))
        for window, first in zip(windows, firsts, strict=False)
    ]
    return extract(model, numbered, [layer], step=step).states[0][:, : model.arch.widths[layer]]


def likeliest(model: Transformer, states: Float[np.ndarray, "token feature"]) -> Int[np.ndarray, " token"]:
    """Id of the likeliest next token after each; [token, vocabulary] never exists whole. Of equals, the lowest id.

    Args:
        model: a causal model with its head.
        states: of the last hidden layer (`model.arch.layers`), which the head reads.

    Raises:
        ModelError: if the model is not causal or has no head.
    """
    check_head(model.arch)
    params = model.arrays
    head = params.get("head", {})
    matrix = head["tokens"] if model.arch.head == "untied" else params["embed"]["tokens"]
    bias = head.get("bias", jnp.zeros(len(matrix), jnp.float32))
    found = [np.zeros(0, np.int32)]
    for begin in range(0, len(states), TOKENS):
        part = states[begin : begin + TOKENS]
        room = min(TOKENS, 1 << (len(part) - 1).bit_length())  # few shapes, so few compilations
        padded = np.pad(part, [(0, room - len(part)), (0, 0)])
        found.append(np.asarray(_argmax(matrix, bias, padded))[: len(part)])
    return np.concatenate(found)


@partial(jax.jit)
def _argmax(
    matrix: Float[Array, "vocabulary feature"], bias: Float[Array, " vocabulary"], x: Float[Array, "token feature"]
) -> Int[Array, " token"]:
    """argmax(x matrix' + bias) over chunks of the vocabulary. A soft cap on the logits, being monotonous, is left out.

    x holds what the head reads to the bit, so that products are those of the weights' dtype, summed in float32.
    """
    size = min(ROWS, len(matrix))

    def chunk(carry, begin):
        top, best = carry
        # the last chunk is moved back to fit; rows that an earlier one had cannot win again, as they must be larger
        first = jnp.minimum(begin, len(matrix) - size)
        rows, b = (jax.lax.dynamic_slice_in_dim(whole, first, size) for whole in (matrix, bias))
        y = jnp.matmul(x, rows.T.astype(x.dtype)) + b
        own = y.max(-1)
        return (jnp.maximum(top, own), jnp.where(own > top, first + y.argmax(-1).astype(jnp.int32), best)), None

    with jax.default_matmul_precision("highest"):
        start = (jnp.full(len(x), -jnp.inf, jnp.float32), jnp.zeros(len(x), jnp.int32))
        (_, best), _ = jax.lax.scan(chunk, start, jnp.arange(0, len(matrix), size, dtype=jnp.int32))
    return best
