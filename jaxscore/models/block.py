"""One transformer block for every family: a configuration, stacked layers, a scan with pooling inside its body.

Pure functions of (architecture, parameters, tokens). `jaxscore.models.transformer` gives them their Flax face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Params = dict[str, Any]

ACTIVATIONS = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}


@dataclass(frozen=True)
class Architecture:
    """What the scanned block must know about a model; hashable, so that it is a static argument of the jitted pass.

    Attributes:
        family: `model_type` of the checkpoint's config.json.
        layers: number of blocks; there are `layers + 1` hidden states, numbered from the input of the first block.
        width: features of a hidden state.
        heads: attention heads, each `width / heads` wide.
        hidden: width inside the MLP.
        vocabulary: rows of the token embedding.
        positions: longest text in tokens, special tokens included.
        activation: of the MLP.
        eps: of every LayerNorm.
        norm: "pre" (GPT-2: norm, sub-layer, add) or "post" (BERT: sub-layer, add, norm).
        causal: whether a token sees only what stands left of it.
        embedding_width: width of the token embedding; differs from `width` where it is projected (ELECTRA).
        position_offset: row of the position table that belongs to the first token (RoBERTa: pad_token_id + 1).
        initializer_range: standard deviation of freshly drawn weights.
        residual_scale: factor on that deviation for the two matrices that write to the residual stream.
        padding_row: row of the token embedding that is zero in a freshly drawn model.
    """

    family: str
    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int
    positions: int
    activation: str
    eps: float
    norm: Literal["pre", "post"]
    causal: bool
    embedding_width: int
    position_offset: int = 0
    initializer_range: float = 0.02
    residual_scale: float = 1.0
    padding_row: int | None = None

    @property
    def embedding_norm(self) -> bool:
        """Whether a LayerNorm follows the embeddings (post-norm families)."""
        return self.norm == "post"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its path; those under `blocks/` are stacked over layers."""
        d, e, f, n = self.width, self.embedding_width, self.hidden, self.layers
        shapes = {
            "embed/tokens": (self.vocabulary, e),
            "embed/positions": (self.positions + self.position_offset, e),
            "blocks/qkv/kernel": (n, d, 3 * d),
            "blocks/qkv/bias": (n, 3 * d),
            "blocks/out/kernel": (n, d, d),
            "blocks/out/bias": (n, d),
            "blocks/up/kernel": (n, d, f),
            "blocks/up/bias": (n, f),
            "blocks/down/kernel": (n, f, d),
            "blocks/down/bias": (n, d),
        }
        norms = {"blocks/attention_norm": (n, d), "blocks/mlp_norm": (n, d)}
        if self.norm == "pre":
            norms["final_norm"] = (d,)
        if self.embedding_norm:
            norms["embed/norm"] = (e,)
            shapes["embed/type"] = (e,)
        if e != d:
            shapes["embed/project/kernel"] = (e, d)
            shapes["embed/project/bias"] = (d,)
        for path, shape in norms.items():
            shapes[f"{path}/scale"] = shapes[f"{path}/bias"] = shape
        return shapes


def layer_norm(p: Params, x: Float[Array, "*batch feature"], eps: float) -> Float[Array, "*batch feature"]:
    """LayerNorm, computed in float32: (x - mean) / sqrt(var + eps) * scale + bias."""
    y = x.astype(jnp.float32)
    y = y - y.mean(-1, keepdims=True)
    y = y * jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + eps)
    return (y * p["scale"] + p["bias"]).astype(x.dtype)


def linear(p: Params, x: Float[Array, "*batch i"]) -> Float[Array, "*batch o"]:
    """X @ kernel + bias, accumulated in float32."""
    y = jnp.matmul(x, p["kernel"], preferred_element_type=jnp.float32)
    return (y + p["bias"]).astype(x.dtype)


def attention(
    arch: Architecture, p: Params, x: Float[Array, "text token feature"], lengths: Int[Array, " text"]
) -> Float[Array, "text token feature"]:
    """Multi-head attention. Texts are padded on the right, so a causal model needs no mask for the padding."""
    text, token, width = x.shape
    q, k, v = jnp.split(linear(p["qkv"], x).reshape(text, token, 3 * arch.heads, width // arch.heads), 3, axis=2)
    if x.dtype == jnp.float16:  # CPUs have no such product; and float16 overflows in the logits
        q, k, v = (part.astype(jnp.float32) for part in (q, k, v))
    mixed = jax.nn.dot_product_attention(
        q, k, v, is_causal=arch.causal, key_value_seq_lengths=None if arch.causal else lengths
    )
    return linear(p["out"], mixed.reshape(text, token, width).astype(x.dtype))


def block(arch: Architecture, p: Params, x: Float[Array, "text token feature"], lengths: Int[Array, " text"]):
    """One layer: attention and MLP with their norms before (pre) or after (post) the residual sum."""

    def mlp(y):
        return linear(p["down"], ACTIVATIONS[arch.activation](linear(p["up"], y)))

    if arch.norm == "pre":
        x = x + attention(arch, p, layer_norm(p["attention_norm"], x, arch.eps), lengths)
        return x + mlp(layer_norm(p["mlp_norm"], x, arch.eps))
    x = layer_norm(p["attention_norm"], x + attention(arch, p, x, lengths), arch.eps)
    return layer_norm(p["mlp_norm"], x + mlp(x), arch.eps)


def embed(arch: Architecture, p: Params, tokens: Int[Array, "text token"]) -> Float[Array, "text token feature"]:
    """What enters the first block: token, position and type embeddings, norm and projection where there are any."""
    first = arch.position_offset
    x = p["tokens"][tokens] + p["positions"][first : first + tokens.shape[1]]
    if arch.embedding_norm:
        x = layer_norm(p["norm"], x + p["type"], arch.eps)
    return linear(p["project"], x) if "project" in p else x


@partial(jax.jit, static_argnums=0)
def pooled_states(
    arch: Architecture,
    params: Params,
    tokens: Int[Array, "text token"],
    lengths: Int[Array, " text"],
    pool: Float[Array, "text slot token"],
) -> Float[Array, "layer text slot feature"]:
    """Hidden states of every layer, pooled over tokens inside the scan: sum_t pool[text, slot, t] h[text, t].

    Layer 0 is what enters the first block, layer i leaves block i; the last one is taken after the final norm where the
    family has one, as transformers' `output_hidden_states` does. Products run at HIGHEST precision.

    Args:
        arch: the architecture (static: one compilation for each architecture and shape).
        params: parameters, those of the blocks stacked over layers.
        tokens: token ids, padded on the right with any valid id.
        lengths: number of real tokens of each text, at least 1.
        pool: weights of the tokens of each slot; a one-hot row takes a single token.

    Returns:
        float32 pooled states; `layer` has `arch.layers + 1` entries.
    """

    def gather(x):
        return jnp.einsum("pst,ptd->psd", pool, x.astype(jnp.float32))

    def body(x, p):
        x = block(arch, p, x, lengths)
        return x, gather(x)

    with jax.default_matmul_precision("highest"):
        x = embed(arch, params["embed"], tokens)
        first = gather(x)
        x, states = jax.lax.scan(body, x, params["blocks"])
        if "final_norm" in params:
            states = states.at[-1].set(gather(layer_norm(params["final_norm"], x, arch.eps)))
        return jnp.concatenate([first[None], states])
