"""One transformer block for every family: a configuration, stacked layers, a scan that keeps only what is asked for.

Pure functions of (architecture, parameters, layout). `jaxscore.models.transformer` gives them their Flax face.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxscore.models.architecture import Architecture, Params
from jaxscore.models.attention import attend
from jaxscore.models.layout import Layout
from jaxscore.models.positions import bucket, rotate, rotations, sinusoids

ACTIVATIONS = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "relu": jax.nn.relu,
    "relu_squared": lambda x: jnp.square(jax.nn.relu(x)),
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


def norm(arch: Architecture, p: Params, x: Float[Array, "*batch feature"]) -> Float[Array, "*batch feature"]:
    """In float32: LayerNorm, (x - mean) / sqrt(var + eps) scale + bias; RMSNorm, x / sqrt(mean(x^2) + eps) scale."""
    y = x.astype(jnp.float32)
    if not arch.norm_kind.startswith("rms"):
        y = y - y.mean(-1, keepdims=True)
    y = y * jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + arch.eps)
    if "scale" in p:
        y = y * (p["scale"] + 1.0 if arch.norm_kind == "rms-plus-one" else p["scale"])
    return (y + p["bias"] if "bias" in p else y).astype(x.dtype)


def linear(p: Params, x: Float[Array, "*batch i"]) -> Float[Array, "*batch o"]:
    """X @ kernel + bias, accumulated in float32."""
    y = jnp.matmul(x, p["kernel"], preferred_element_type=jnp.float32)
    return (y + p["bias"] if "bias" in p else y).astype(x.dtype)


def attention(
    arch: Architecture, p: Params, x: Float[Array, "token feature"], layout: Layout, where: Params
) -> Float[Array, "token feature"]:
    """Multi-head attention; `where` holds what positions mean to this layer: window, turns, bias, by_distance."""
    fused = linear(p["qkv"], x)
    if arch.clip:
        fused = jnp.clip(fused, -arch.clip, arch.clip)
    parts = jnp.split(fused, np.cumsum(arch.qkv_widths)[:2], axis=-1)
    if arch.qk_norm == "full":
        parts[:2] = norm(arch, p["q_norm"], parts[0]), norm(arch, p["k_norm"], parts[1])
    q, k, v = (layout.spread(part.reshape(len(x), -1, arch.head_width)) for part in parts)
    if arch.qk_norm == "head":
        q, k = norm(arch, p["q_norm"], q), norm(arch, p["k_norm"], k)
    if "turns" in where:
        q, k = (rotate(part, where["turns"], arch.rotary[0].interleaved) for part in (q, k))
    if x.dtype == jnp.float16:  # CPUs have no such product; and float16 overflows in the logits
        q, k, v = (part.astype(jnp.float32) for part in (q, k, v))
    bias = partial(_relative, where["by_distance"]) if "by_distance" in where else where.get("bias")
    mixed = attend(
        q, k, v,
        lengths=layout.lengths, causal=arch.causal, scale=arch.attention_scale, softcap=arch.softcap,
        window=where.get("window"), bias=bias,
    )  # fmt: skip
    return linear(p["out"], layout.gather(mixed.reshape(*mixed.shape[:2], -1).astype(x.dtype)))


def mlp(arch: Architecture, p: Params, x: Float[Array, "token feature"]) -> Float[Array, "token feature"]:
    """down(activation(up(x))), or down(activation(gate(x)) * up(x))."""
    y = linear(p["up"], x)
    activation = ACTIVATIONS[arch.activation]
    if not arch.gated:
        return linear(p["down"], activation(y))
    gate, up = jnp.split(y, 2, axis=-1)
    return linear(p["down"], activation(gate) * up)


def block(
    arch: Architecture, p: Params, x: Float[Array, "token feature"], layout: Layout, where: Params
) -> Float[Array, "token feature"]:
    """One layer: attention and MLP with their norms where `arch.norm` says."""
    mix = partial(attention, arch, p, layout=layout, where=where)
    think = partial(mlp, arch, p)
    names = ("attention_norm", "mlp_norm", "attention_norm_after", "mlp_norm_after")
    before, between, mixed, thought = (partial(norm, arch, p.get(name, {})) for name in names)
    match arch.norm:
        case "pre":
            x = x + mix(jnp.where(where["first"], x, before(x)) if arch.first_unnormed else before(x))
            return x + think(between(x))
        case "post":
            x = before(x + mix(x))
            return between(x + think(x))
        case "sandwich":
            x = x + mixed(mix(before(x)))
            return x + thought(think(between(x)))
        case "inner":
            x = x + before(mix(x))
            return x + between(think(x))
        case "parallel":
            y = before(x)
            return x + mix(y) + think(y)
        case "parallel-two":
            return x + mix(before(x)) + think(between(x))
    raise ValueError(arch.norm)


def embed(arch: Architecture, p: Params, layout: Layout) -> Float[Array, "token feature"]:
    """What enters the first block: token, position and type embeddings, norm and projection where there are any."""
    x = p["tokens"][layout.tokens]
    if arch.embedding_scale != 1.0:
        x = x * jnp.asarray(arch.embedding_scale, x.dtype)  # rounded to the weights' dtype, as Gemma's is
    if "project" in p and arch.project_first:
        x = linear(p["project"], x)
    if arch.position == "learned":
        x = x + p["positions"][layout.positions + arch.position_offset]
    elif arch.position == "sinusoid":
        x = x + sinusoids(layout.positions, x.shape[-1]).astype(x.dtype)
    if arch.token_type:
        x = x + p["type"]
    if arch.embedding_norm:
        x = norm(arch, p.get("norm", {}), x)
    return linear(p["project"], x) if "project" in p and not arch.project_first else x


def _where(arch: Architecture, params: Params, length: int) -> tuple[Params, Params]:
    """What positions mean in attention: (to every layer alike, to each layer: stacked over layers)."""
    alike: Params = {}
    by_layer: Params = {}
    if any(arch.windows):
        by_layer["window"] = jnp.asarray(arch.windows, jnp.int32)
    if arch.rotary:
        turns = np.stack([rotations(rotary, length) for rotary in arch.rotary])
        if len(arch.rotary) == 1:
            alike["turns"] = jnp.asarray(turns[0])
        else:
            by_layer["turns"] = jnp.asarray(turns)[jnp.asarray(arch.rotary_of)]
    if arch.first_unnormed:
        by_layer["first"] = jnp.arange(arch.layers) == 0
    if arch.alibi:
        alike["bias"] = partial(_alibi, arch)
    elif arch.position == "buckets":
        rows = bucket(np.arange(1 - length, length), *arch.buckets)
        if arch.buckets_by_layer:
            by_layer["by_distance"] = params["blocks"]["position_bias"][:, rows]
        else:
            alike["by_distance"] = params["position_bias"][rows]
    return alike, by_layer


def _relative(by_distance: Float[Array, "distance head"], here, there) -> Float[Array, "head query key"]:
    return jnp.moveaxis(by_distance[there - here[:, None] + len(by_distance) // 2], -1, 0)


def _alibi(arch: Architecture, here, there) -> Float[Array, "head query key"]:
    slopes = jnp.asarray(arch.alibi, jnp.float32)[:, None, None]
    if arch.alibi_rounded:
        # to bfloat16; a compiler may leave out a cast there and back
        rounded = partial(jax.lax.reduce_precision, exponent_bits=8, mantissa_bits=7)
        return rounded(rounded(slopes) * rounded(there.astype(jnp.float32))) * arch.attention_scale
    return slopes * (there - here[:, None]).astype(jnp.float32)


def run(
    arch: Architecture, params: Params, layout: Layout, keep: Callable[[Float[Array, "token feature"]], Any]
) -> tuple[Any, Float[Array, "token feature"]]:
    """Run the model, keeping `keep(state)` of every state.

    State 0 is what enters the first block, state i leaves block i; the last one is taken after the final norm (and
    projection) where the family has one, as transformers' `output_hidden_states` does, and the one before it follows.

    Args:
        arch: the architecture.
        params: parameters, those of the blocks stacked.
        layout: where every token stands.
        keep: what is wanted of a state; only that is ever held for all layers.

    Returns:
        What was kept, stacked over `arch.widths` (narrower last states padded with zeros on the right), and the state
        that the language-model head reads.
    """
    alike, by_layer = _where(arch, params, layout.rows.shape[1])
    blocks = params["blocks"]

    def body(x, this):
        p, here = this
        if arch.block_of:
            p = jax.tree.map(lambda stacked: stacked[p], blocks)
        x = block(arch, p, x, layout, alike | here)
        return x, keep(x)

    x = embed(arch, params["embed"], layout)
    first = keep(x)
    layers = jnp.asarray(arch.block_of) if arch.block_of else blocks
    x, kept = jax.lax.scan(body, x, (layers, by_layer))
    states = [first[None], kept]
    if arch.extra_states:
        last = norm(arch, params.get("final_norm", {}), x) if arch.final_norm else x
        if arch.project_last:
            last = linear(params["project_last"], last)
        final = keep(last)
        final = jnp.pad(final, [(0, 0)] * (final.ndim - 1) + [(0, kept.shape[-1] - final.shape[-1])])
        states = [first[None], kept[:-1], final[None], kept[-1:]]
        x = last
    return jnp.concatenate(states), x
