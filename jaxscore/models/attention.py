"""Attention over the padded table of texts, a chunk of queries at a time: a causal chunk reads no key to its right."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

CHUNK = 128
"""Queries of a chunk: its logits stay in the cache of a core, and what is masked away for good is not computed."""
LOWEST = float(jnp.finfo(jnp.float32).min) / 2
"""Of a masked logit: finite, so that no row of a softmax can be NaN."""

Bias = Callable[[Int[Array, " query"], Int[Array, " key"]], Float[Array, "head query key"]]


def attend(
    q: Float[Array, "text query head feature"],
    k: Float[Array, "text key kv_head feature"],
    v: Float[Array, "text key kv_head feature"],
    *,
    lengths: Int[Array, " text"],
    causal: bool,
    scale: float,
    softcap: float = 0.0,
    window: Int[Array, ""] | None = None,
    bias: Bias | None = None,
) -> Float[Array, "text query head feature"]:
    """softmax(mask(cap(scale q k'))) v with grouped heads; logits and weights in float32.

    Args:
        q: queries.
        k: keys; heads of queries share them in groups of neighbours.
        v: values.
        lengths: keys beyond them are masked; a causal model needs no such mask, padding being on the right.
        causal: whether keys right of a query are masked.
        scale: factor on the logits.
        softcap: c in c * tanh(logits / c); 0: none.
        window: keys at this distance from the query or further are masked; 0 masks none.
        bias: added to the logits, from the places of queries and keys.
    """
    text, length, heads, width = q.shape
    groups = k.shape[2]
    q = q.reshape(text, length, groups, heads // groups, width)
    mixed = []
    for first in range(0, length, CHUNK):
        last = min(first + CHUNK, length)
        end = last if causal else length
        logits = jnp.einsum("tqghd,tkgd->tghqk", q[:, first:last], k[:, :end], preferred_element_type=jnp.float32)
        logits = logits * scale
        if softcap:
            logits = softcap * jnp.tanh(logits / softcap)
        here, there = jnp.arange(first, last), jnp.arange(end)
        if bias is not None:
            added = bias(here, there)
            logits = logits + added.reshape(groups, heads // groups, *added.shape[1:])
        visible = seen(here, there, causal, window)
        mask = visible if causal else visible & (there < lengths[:, None])[:, None, None, None]
        logits = jnp.where(mask, logits, LOWEST)
        weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
        mixed.append(jnp.einsum("tghqk,tkgd->tqghd", weights, v[:, :end], preferred_element_type=jnp.float32))
    return jnp.concatenate(mixed, 1).reshape(text, length, heads, v.shape[-1])


def seen(
    here: Int[Array, " query"], there: Int[Array, " key"], causal: bool, window: Int[Array, ""] | None
) -> Bool[Array, "query key"]:
    """Which keys a query may look at, by their places alone."""
    distance = here[:, None] - there
    visible = distance >= 0 if causal else jnp.full(distance.shape, True)
    return visible if window is None else visible & ((window == 0) | (jnp.abs(distance) < window))
