"""RWKV 4: attention as a recurrence over time, with a decay for each channel; and a channel-mixing MLP.

Source: Peng et al. 2023, RWKV: Reinventing RNNs for the Transformer Era.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxscore.models.architecture import Params
from jaxscore.models.block import linear, norm
from jaxscore.models.bodies.common import OwnBody, delayed, over_layers, over_time
from jaxscore.models.layout import Layout

FINAL_EPS = 1e-5
"""Of the final norm: in transformers it does not follow the configuration."""
NEVER = -1e38
"""Logarithm of the weight of what was read before the first token: as good as 0, and finite."""


@dataclass(frozen=True, kw_only=True)
class Rwkv(OwnBody):
    """An RWKV 4; states are what leaves each block, and then the last one after the final norm.

    After every `rescale_every` blocks transformers halves the state, and what later blocks add to it, so that float16
    does not overflow. With the norms' eps that is not quite the same model: `forward` does it too, by powers of 2.

    Attributes:
        inner: channels of the recurrence.
        hidden: width inside the MLP.
        rescale_every: blocks after which states are halved; 0 or less: never.
    """

    inner: int
    hidden: int
    rescale_every: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its path."""
        n, d, inner = self.layers, self.width, self.inner
        shapes = {
            "embed/tokens": (self.vocabulary, d),
            "blocks/mlp/key/kernel": (n, d, self.hidden),
            "blocks/mlp/receptance/kernel": (n, d, d),
            "blocks/mlp/value/kernel": (n, self.hidden, d),
            "blocks/attention/output/kernel": (n, inner, d),
            "blocks/attention/time_decay": (n, inner),
            "blocks/attention/time_first": (n, inner),
        }
        for name in ("key", "value", "receptance"):
            shapes[f"blocks/attention/{name}/kernel"] = (n, d, inner)
            shapes[f"blocks/attention/time_mix_{name}"] = (n, d)
        shapes |= {f"blocks/mlp/time_mix_{name}": (n, d) for name in ("key", "receptance")}
        shapes |= {f"{name}/{part}": (d,) for name in ("embed/norm", "final_norm") for part in ("scale", "bias")}
        return shapes | self.norms("attention_norm", "mlp_norm") | self.head_shapes()

    def forward(self, params: Params, layout: Layout, keep: Callable) -> tuple[Any, Float[Array, "token feature"]]:
        """See `Body`."""
        every, layer = self.rescale_every, np.arange(self.layers)
        shrunk = 0.5 ** (layer // every) if every > 0 else np.ones(self.layers)
        leaving = np.where((layer + 1) % every == 0, 0.5, 1.0) if every > 0 else np.ones(self.layers)
        x = norm(self, params["embed"]["norm"], params["embed"]["tokens"][layout.tokens])
        factors = (jnp.asarray(factor, x.dtype) for factor in (shrunk, leaving))
        x, kept = over_layers(partial(block, self, layout), x, (params["blocks"], *factors), keep)
        last = norm(replace(self, eps=FINAL_EPS), params["final_norm"], x)
        return jnp.concatenate([kept, keep(last)[None]]), last


def block(arch: Rwkv, layout: Layout, this: tuple, x: Float[Array, "token feature"]) -> Float[Array, "token feature"]:
    """(x + shrunk * attention(norm(x)) + shrunk * mlp(norm(...))) * leaving."""
    p, shrunk, leaving = this
    x = x + shrunk * attention(p["attention"], norm(arch, p["attention_norm"], x), layout)
    x = x + shrunk * mlp(p["mlp"], norm(arch, p["mlp_norm"], x), layout)
    return x * leaving


def attention(p: Params, x: Float[Array, "token feature"], layout: Layout) -> Float[Array, "token feature"]:
    """output(sigmoid(receptance) * weighted mean of values)."""
    k, v, r = (_mixed(p, name, x, layout) for name in ("key", "value", "receptance"))
    k, v, r = (part.astype(jnp.float32) for part in (k, v, r))
    y = jax.nn.sigmoid(r) * weighted_mean(p["time_decay"], p["time_first"], k, v, layout)
    return linear(p["output"], y.astype(x.dtype))


def mlp(p: Params, x: Float[Array, "token feature"], layout: Layout) -> Float[Array, "token feature"]:
    """sigmoid(receptance) * value(relu(key) ** 2)."""
    key, receptance = (_mixed(p, name, x, layout) for name in ("key", "receptance"))
    return jax.nn.sigmoid(receptance) * linear(p["value"], jnp.square(jax.nn.relu(key)))


def _mixed(p: Params, name: str, x: Float[Array, "token feature"], layout: Layout) -> Float[Array, "token output"]:
    """Projection of a mixture of each token with the one before it."""
    share = p[f"time_mix_{name}"]
    return linear(p[name], (x * share + delayed(x, layout, 1) * (1 - share)).astype(x.dtype))


def weighted_mean(
    decay: Float[Array, " channel"],
    first: Float[Array, " channel"],
    k: Float[Array, "token channel"],
    v: Float[Array, "token channel"],
    layout: Layout,
) -> Float[Array, "token channel"]:
    """Mean of the values up to each token, weighted by exp(k_s - (t - 1 - s) exp(decay)), and exp(first + k_t) itself.

    Numerator and denominator are kept relative to the largest exponent so far, so that neither overflows.
    """

    def add(state, exponent, value):
        top, numerator, denominator = state
        new = jnp.maximum(top, exponent)
        old, now = jnp.exp(top - new), jnp.exp(exponent - new)
        return new, old * numerator + now * value, old * denominator + now

    def place(state, inputs):
        k, v = inputs
        _, numerator, denominator = add(state, first + k, v)
        return add((state[0] - jnp.exp(decay), *state[1:]), k, v), numerator / denominator

    zeros = jnp.zeros((len(layout.rows), k.shape[-1]), jnp.float32)
    return over_time(place, (zeros + NEVER, zeros, zeros), (k, v), layout)
