"""The jitted pass of one batch: pooled states of every layer, and surprisal from the same run."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxscore.models.architecture import Body, Params
from jaxscore.models.layout import Layout

ROWS = 4096
"""Rows of the vocabulary whose logits exist at a time."""


@partial(jax.jit, static_argnames="arch")
def every_state(arch: Body, params: Params, layout: Layout) -> Float[Array, "state token feature"]:
    """Every state of every token, in the order of `arch.widths`; for looking at a few texts."""
    with jax.default_matmul_precision("highest"):
        return arch.forward(params, layout, lambda x: x.astype(jnp.float32))[0]


@partial(jax.jit, static_argnames=("arch", "slots", "surprisal"))
def pooled_states(
    arch: Body,
    params: Params,
    layout: Layout,
    pool: tuple[Int[Array, " entry"], Int[Array, " entry"], Float[Array, " entry"]],
    *,
    slots: int,
    surprisal: bool = False,
) -> tuple[Float[Array, "state slot feature"], Float[Array, " token"] | None]:
    """Hidden states of every layer, pooled over tokens inside the scan: sum over entries of weight * state[token].

    Products run at HIGHEST precision.

    Args:
        arch: the architecture (static: one compilation for each architecture and shape).
        params: parameters, those of the blocks stacked.
        layout: the texts.
        pool: (token, slot, weight) of every entry; a slot with one entry of weight 1 takes a single token.
        slots: number of slots.
        surprisal: whether the language-model head is read as well.

    Returns:
        float32 pooled states, in the order of `arch.widths`; and -ln p(next token | text so far) in nats of every
        token, of no meaning at the last one of a text (None without `surprisal`).
    """
    token, slot, weight = pool

    def keep(x):
        entries = x[token].astype(jnp.float32) * weight[:, None]
        return jax.ops.segment_sum(entries, slot, num_segments=slots)

    with jax.default_matmul_precision("highest"):
        states, last = arch.forward(params, layout, keep)
        return states, next_token_loss(arch, params, layout, last) if surprisal else None


def next_token_loss(
    arch: Body, params: Params, layout: Layout, x: Float[Array, "token feature"]
) -> Float[Array, " token"]:
    """-ln softmax(head(x))[next token]: the sum of exponentials runs over chunks of the vocabulary.

    [token, vocabulary] never exists whole.
    """
    head = params.get("head", {})
    matrix = head["tokens"] if arch.head == "untied" else params["embed"]["tokens"]
    bias = head.get("bias", jnp.zeros(len(matrix), jnp.float32))

    size = min(ROWS, len(matrix))
    softcap = getattr(arch, "head_softcap", 0.0)

    def logit(y):
        return softcap * jnp.tanh(y / softcap) if softcap else y

    def chunk(carry, begin):
        top, total = carry
        # the last chunk is moved back to fit: rows that an earlier one had do not count again
        first = jnp.minimum(begin, len(matrix) - size)
        rows, b = (jax.lax.dynamic_slice_in_dim(whole, first, size) for whole in (matrix, bias))
        y = logit(jnp.matmul(x, rows.T, preferred_element_type=jnp.float32) + b)
        y = jnp.where(first + jnp.arange(size) >= begin, y, -jnp.inf)
        new = jnp.maximum(top, y.max(-1))
        return (new, total * jnp.exp(top - new) + jnp.exp(y - new[:, None]).sum(-1)), None

    start = (jnp.full(len(x), -jnp.inf, jnp.float32), jnp.zeros(len(x), jnp.float32))
    (top, total), _ = jax.lax.scan(chunk, start, jnp.arange(0, len(matrix), size))
    following = jnp.roll(layout.tokens, -1)
    own = jnp.einsum("td,td->t", x, matrix[following], preferred_element_type=jnp.float32)
    return top + jnp.log(total) - logit(own + bias[following])
