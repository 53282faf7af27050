"""Mamba: a gated short convolution and a selective scan over time in place of attention and MLP.

Source: Gu and Dao 2023, Mamba: Linear-Time Sequence Modeling with Selective State Spaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxscore.models.architecture import Params
from jaxscore.models.block import ACTIVATIONS, linear, norm
from jaxscore.models.bodies.common import OwnBody, delayed, over_layers, over_time
from jaxscore.models.layout import Layout


@dataclass(frozen=True, kw_only=True)
class Mamba(OwnBody):
    """A Mamba; states are what leaves each block, and then the last one after the final norm.

    Attributes:
        inner: channels inside a block.
        state: numbers that each channel remembers.
        rank: width from which the time steps are projected.
        kernel: tokens that the convolution sees.
        activation: of the convolution; the gate is always silu.
        conv_bias: whether the convolution has a bias.
        bias: whether the projections into and out of a block have one.
        step_range: (smallest, largest, floor) of freshly drawn time steps.
        step_scale: of the freshly drawn projection of time steps; `step_random`: uniform and not constant.
        rescaled: whether freshly drawn output projections are divided by sqrt(layers).
    """

    inner: int
    state: int
    rank: int
    kernel: int
    activation: str
    conv_bias: bool
    bias: bool
    step_range: tuple[float, float, float]
    step_scale: float
    step_random: bool
    rescaled: bool

    norm_kind: ClassVar[str] = "rms"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its path."""
        n, d, inner = self.layers, self.width, self.inner
        shapes = {
            "embed/tokens": (self.vocabulary, d),
            "blocks/in/kernel": (n, d, 2 * inner),
            "blocks/conv/taps": (n, self.kernel, inner),
            "blocks/select/kernel": (n, inner, self.rank + 2 * self.state),
            "blocks/step/kernel": (n, self.rank, inner),
            "blocks/step/bias": (n, inner),
            "blocks/log_decay": (n, self.state, inner),
            "blocks/skip": (n, inner),
            "blocks/out/kernel": (n, inner, d),
            "final_norm/scale": (d,),
        }
        if self.conv_bias:
            shapes["blocks/conv/bias"] = (n, inner)
        if self.bias:
            shapes |= {"blocks/in/bias": (n, 2 * inner), "blocks/out/bias": (n, d)}
        return shapes | self.norms("norm") | self.head_shapes()

    def forward(self, params: Params, layout: Layout, keep: Callable) -> tuple[Any, Float[Array, "token feature"]]:
        """See `Body`; what blocks add is summed in float32, whatever the weights are kept in."""
        x = params["embed"]["tokens"][layout.tokens].astype(jnp.float32)
        x, kept = over_layers(partial(block, self, layout), x, params["blocks"], keep)
        last = norm(self, params["final_norm"], x)
        return jnp.concatenate([kept, keep(last)[None]]), last


def block(arch: Mamba, layout: Layout, p: Params, x: Float[Array, "token feature"]) -> Float[Array, "token feature"]:
    """X + out(scan(activation(conv(u))) * silu(gate)), u and gate from norm(x)."""
    y = norm(arch, p["norm"], x).astype(p["in"]["kernel"].dtype)
    u, gate = jnp.split(linear(p["in"], y), 2, axis=-1)
    u = ACTIVATIONS[arch.activation](convolution(p["conv"], u, layout))
    mixed = selective_scan(arch, p, u, layout) * jax.nn.silu(gate.astype(jnp.float32))
    return x + linear(p["out"], mixed.astype(y.dtype))


def convolution(p: Params, u: Float[Array, "token channel"], layout: Layout) -> Float[Array, "token channel"]:
    """Each channel's weighted sum of its last tokens."""
    taps = p["taps"]
    mixed = sum(delayed(u, layout, len(taps) - 1 - i) * tap for i, tap in enumerate(taps))
    return (mixed + p.get("bias", 0.0)).astype(u.dtype)


def selective_scan(
    arch: Mamba, p: Params, u: Float[Array, "token channel"], layout: Layout
) -> Float[Array, "token channel"]:
    """S_t = exp(d_t A) s_(t-1) + d_t b_t u_t and y_t = c_t s_t + D u_t, in float32; d, b and c are read off u.

    A scan over places holds one state [text, state, channel] at a time; an associative scan would hold one for
    every place.
    """
    chosen = linear(p["select"], u)
    step, b, c = jnp.split(chosen, (arch.rank, arch.rank + arch.state), axis=-1)
    d = jax.nn.softplus(linear(p["step"], step).astype(jnp.float32))
    u, b, c = (part.astype(jnp.float32) for part in (u, b, c))
    a = -jnp.exp(p["log_decay"])

    def place(s, now):
        d, du, b, c = now
        s = jnp.exp(d[:, None] * a) * s + b[:, :, None] * du[:, None]
        return s, (s * c[:, :, None]).sum(1)

    start = jnp.zeros((len(layout.rows), arch.state, arch.inner), jnp.float32)
    return over_time(place, start, (d, d * u, b, c), layout) + p["skip"] * u
