"""Attention with sinusoids of relative positions, of XLNet and Transformer-XL, a chunk of queries at a time.

logit(i, j) = scale * ((q_i + b) k_j + (q_i + c) r_(i - j)), r_d a projection of the sinusoid of the clamped distance d.
Source: Dai et al. 2019, Transformer-XL: Attentive Language Models beyond a Fixed-Length Context, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxscore.models.architecture import Params
from jaxscore.models.attention import CHUNK, LOWEST
from jaxscore.models.block import linear
from jaxscore.models.layout import Layout
from jaxscore.models.positions import sinusoids


@dataclass(frozen=True)
class Distances:
    """What a query may look at, and how far away it takes it to be.

    Attributes:
        first: smallest distance (query minus key) that has a key of its own; smaller ones are taken for it.
        last: largest one; larger ones are taken for it.
        causal: whether keys right of a query are masked.
        window: keys at this distance or further are masked; None masks none.
        memory: places left of every text that hold zeros, and so have a key of zeros and a value of zeros.
    """

    first: int
    last: int
    causal: bool
    window: int | None = None
    memory: int = 0

    def table(self, width: int) -> Float[Array, "distance feature"]:
        """Sinusoids of all distances."""
        return sinusoids(jnp.arange(self.first, self.last + 1), width)

    def rows(self, distances: Int[np.ndarray, " any"]) -> Int[np.ndarray, " any"]:
        """Where distances stand in that table."""
        return np.clip(distances, self.first, self.last) - self.first

    def visible(self, here: Int[np.ndarray, " query"], there: Int[np.ndarray, " key"]) -> Bool[np.ndarray, "query key"]:
        """Which places of the text a query sees."""
        distance = here[:, None] - there
        visible = distance >= 0 if self.causal else np.full(distance.shape, True)
        return visible if self.window is None else visible & (np.abs(distance) < self.window)

    def memories(self, here: Int[np.ndarray, " query"]) -> Int[np.ndarray, "query distance"]:
        """How many places of the memory that a query sees lie at each distance of the table."""
        near = here[:, None] + 1
        far = here[:, None] + self.memory
        far = far if self.window is None else np.minimum(far, self.window - 1)
        distance = np.arange(self.first, self.last + 1)
        beyond = np.where(distance == self.last, far, distance)  # the last row stands for all that are clamped
        return np.maximum(np.minimum(far, beyond) - np.maximum(near, distance) + 1, 0)


def attention(
    p: Params, x: Float[Array, "token feature"], distances: Distances, layout: Layout
) -> Float[Array, "token feature"]:
    """Queries, keys, values and the keys of distances projected, attended to, and projected back.

    Args:
        p: `heads` (queries, keys and values side by side), `distance` and `out`; `content_bias` b and
            `position_bias` c, both [head, feature].
        x: what a layer reads.
        distances: what a query may look at.
        layout: where every token stands.
    """
    heads = p["content_bias"].shape
    q, k, v = (layout.spread(part.reshape(-1, *heads)) for part in jnp.split(linear(p["heads"], x), 3, axis=-1))
    r = linear(p["distance"], distances.table(x.shape[-1]).astype(x.dtype)).reshape(-1, *heads)
    q, k, v, r = (part.astype(jnp.float32) for part in (q, k, v, r))
    scale = heads[-1] ** -0.5
    queries = (q + p["content_bias"]) * scale, (q + p["position_bias"]) * scale
    mixed = layout.gather(attend(queries, k, v, r, distances, layout.lengths))
    return linear(p["out"], mixed.reshape(len(x), -1).astype(x.dtype))


def attend(
    queries: tuple[Float[Array, "text place head feature"], Float[Array, "text place head feature"]],
    k: Float[Array, "text place head feature"],
    v: Float[Array, "text place head feature"],
    r: Float[Array, "distance head feature"],
    distances: Distances,
    lengths: Int[Array, " text"],
) -> Float[Array, "text place head feature"]:
    """softmax(logits) v.

    A place of the memory adds exp(logit) to the denominator and nothing to the numerator, so that it is not stored.

    Args:
        queries: those that meet keys, scale * (q + b), and those that meet distances, scale * (q + c).
        k: keys.
        v: values.
        r: keys of the distances in `distances.table`.
        distances: what a query may look at.
        lengths: keys beyond them are masked.
    """
    length = k.shape[1]
    mixed = []
    for begin in range(0, length, CHUNK):
        end = min(begin + CHUNK, length)
        keys = end if distances.causal else length
        here, there = np.arange(begin, end), np.arange(keys)
        to_keys, to_distances = (q[:, begin:end] for q in queries)
        apart = distances.rows(np.arange(end - 1, begin - keys, -1))
        logits = jnp.einsum("tqhd,tkhd->thqk", to_keys, k[:, :keys])
        logits += shifted(jnp.einsum("tqhd,rhd->thqr", to_distances, r[apart]), keys)
        visible = distances.visible(here, there) & (there < lengths[:, None])[:, None, None]
        logits = jnp.where(visible, logits, LOWEST)
        if distances.memory:
            count = distances.memories(here)
            zeros = jnp.einsum("tqhd,rhd->thqr", to_distances, r) + np.log(np.maximum(count, 1), dtype=np.float32)
            together = jax.nn.logsumexp(jnp.where(count > 0, zeros, LOWEST), axis=-1, keepdims=True)
            logits = jnp.concatenate([logits, together], -1)
        weights = jax.nn.softmax(logits, axis=-1)[..., :keys]
        mixed.append(jnp.einsum("thqk,tkhd->tqhd", weights, v[:, :keys]))
    return jnp.concatenate(mixed, 1)


def shifted(x: Float[Array, "*batch query distance"], keys: int) -> Float[Array, "*batch query key"]:
    """From columns of distances, falling, to columns of keys: a row begins one column further left than that above it.

    Row a begins at column n - 1 - a of n + keys - 1; in a row-major array one column wider that is a plain reshape.
    """
    *batch, n, columns = x.shape
    flat = jnp.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, 1)]).reshape(*batch, n * (columns + 1))
    return flat[..., n - 1 : n - 1 + n * columns].reshape(*batch, n, columns)[..., :keys]
