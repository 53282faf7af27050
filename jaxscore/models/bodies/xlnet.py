"""XLNet, its content stream: post-norm blocks with relative positions, and no absolute ones.

A text is one segment, so that the segment term, the same for every key, drops out of the softmax.
Source: Yang et al. 2019, XLNet: Generalized Autoregressive Pretraining for Language Understanding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxscore.models.architecture import Params
from jaxscore.models.block import ACTIVATIONS, linear, norm
from jaxscore.models.bodies.common import OwnBody, over_layers
from jaxscore.models.bodies.relative import Distances, attention
from jaxscore.models.layout import Layout


@dataclass(frozen=True, kw_only=True)
class XLNet(OwnBody):
    """An XLNet; state 0 is the token embedding alone.

    Attributes:
        heads: attention heads.
        hidden: width inside the MLP.
        activation: of the MLP.
        clamp: largest distance that is told from larger ones; 0: none.
    """

    heads: int
    hidden: int
    activation: str
    clamp: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its path."""
        n, d, heads = self.layers, self.width, (self.layers, self.heads, self.width // self.heads)
        return {
            "embed/tokens": (self.vocabulary, d),
            "blocks/attention/heads/kernel": (n, d, 3 * d),
            "blocks/attention/distance/kernel": (n, d, d),
            "blocks/attention/content_bias": heads,
            "blocks/attention/position_bias": heads,
            "blocks/attention/out/kernel": (n, d, d),
            "blocks/up/kernel": (n, d, self.hidden),
            "blocks/up/bias": (n, self.hidden),
            "blocks/down/kernel": (n, self.hidden, d),
            "blocks/down/bias": (n, d),
        } | self.norms("attention_norm", "mlp_norm")

    def forward(self, params: Params, layout: Layout, keep: Callable) -> tuple[Any, Float[Array, "token feature"]]:
        """See `Body`."""
        furthest = layout.rows.shape[1] - 1
        furthest = min(furthest, self.clamp) if self.clamp else furthest
        distances = Distances(0 if self.causal else -furthest, furthest, self.causal)
        x = params["embed"]["tokens"][layout.tokens]
        first = keep(x)
        x, kept = over_layers(partial(block, self, layout, distances), x, params["blocks"], keep)
        return jnp.concatenate([first[None], kept]), x


def block(
    arch: XLNet, layout: Layout, distances: Distances, p: Params, x: Float[Array, "token feature"]
) -> Float[Array, "token feature"]:
    """norm(x + attention(x)), then norm(y + mlp(y))."""
    x = norm(arch, p["attention_norm"], x + attention(p["attention"], x, distances, layout))
    return norm(arch, p["mlp_norm"], x + linear(p["down"], ACTIVATIONS[arch.activation](linear(p["up"], x))))
