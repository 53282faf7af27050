"""Transformer-XL: post-norm blocks with relative positions, a table of tokens in clusters, and a memory of zeros.

transformers 4 gives the first segment of a text a memory of `mem_len` zeros and lets every token look at it: keys and
values there are zeros, but their distances are not, so that they draw attention away from the text. With
`same_length` a token sees `mem_len` places in all, itself included. `forward` reads a text as such a first segment.
Source: Dai et al. 2019, Transformer-XL: Attentive Language Models beyond a Fixed-Length Context.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxscore.models.architecture import Params
from jaxscore.models.block import linear, norm
from jaxscore.models.bodies.common import OwnBody, over_layers
from jaxscore.models.bodies.relative import Distances, attention
from jaxscore.models.layout import Layout


@dataclass(frozen=True, kw_only=True)
class TransfoXL(OwnBody):
    """A Transformer-XL; state 0 is the token embedding alone.

    Attributes:
        heads: attention heads.
        head_width: features of a head.
        hidden: width inside the MLP.
        clusters: (first token, one past the last, width of its rows) of each part of the vocabulary.
        projected: whether rows are projected to the model's width.
        memory: places of zeros before a text.
        window: places that a token sees, itself and the memory's included; 0: all.
        clamp: largest distance that is told from larger ones; 0: none.
        projection_range: standard deviation of freshly drawn projections of tokens.
    """

    heads: int
    head_width: int
    hidden: int
    clusters: tuple[tuple[int, int, int], ...]
    projected: bool
    memory: int
    window: int
    clamp: int
    projection_range: float

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its path."""
        n, d, inner = self.layers, self.width, self.heads * self.head_width
        shapes = {
            "blocks/attention/heads/kernel": (n, d, 3 * inner),
            "blocks/attention/distance/kernel": (n, d, inner),
            "blocks/attention/content_bias": (n, self.heads, self.head_width),
            "blocks/attention/position_bias": (n, self.heads, self.head_width),
            "blocks/attention/out/kernel": (n, inner, d),
            "blocks/up/kernel": (n, d, self.hidden),
            "blocks/up/bias": (n, self.hidden),
            "blocks/down/kernel": (n, self.hidden, d),
            "blocks/down/bias": (n, d),
        }
        for i, (begin, end, width) in enumerate(self.clusters):
            shapes[f"embed/{i}/tokens"] = (end - begin, width)
            if self.projected:
                shapes[f"embed/{i}/kernel"] = (width, d)
        return shapes | self.norms("attention_norm", "mlp_norm")

    def forward(self, params: Params, layout: Layout, keep: Callable) -> tuple[Any, Float[Array, "token feature"]]:
        """See `Body`."""
        furthest = layout.rows.shape[1] - 1 + self.memory
        furthest = min(furthest, self.window - 1) if self.window else furthest
        furthest = min(furthest, self.clamp) if self.clamp else furthest
        distances = Distances(0, furthest, True, self.window or None, self.memory)
        x = embed(self, params["embed"], layout)
        first = keep(x)
        x, kept = over_layers(partial(block, self, layout, distances), x, params["blocks"], keep)
        return jnp.concatenate([first[None], kept]), x


def embed(arch: TransfoXL, p: Params, layout: Layout) -> Float[Array, "token feature"]:
    """Each token's row in the table of its cluster, projected, times sqrt(width)."""
    x = 0.0
    for i, (begin, end, _) in enumerate(arch.clusters):
        row = p[str(i)]["tokens"][jnp.clip(layout.tokens - begin, 0, end - begin - 1)]
        row = linear(p[str(i)], row) if arch.projected else row
        x = jnp.where((layout.tokens >= begin)[:, None], row, x)
    return x * jnp.asarray(arch.width**0.5, x.dtype)


def block(
    arch: TransfoXL, layout: Layout, distances: Distances, p: Params, x: Float[Array, "token feature"]
) -> Float[Array, "token feature"]:
    """norm(x + attention(x)), then norm(y + mlp(y))."""
    x = norm(arch, p["attention_norm"], x + attention(p["attention"], x, distances, layout))
    return norm(arch, p["mlp_norm"], x + linear(p["down"], jax.nn.relu(linear(p["up"], x))))
