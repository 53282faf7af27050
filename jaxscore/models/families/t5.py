"""T5, mT5 and UMT5, their encoders: RMSNorm, unscaled queries, relative positions in buckets; 1.1 has a gated MLP.

Relative positions have no end; a text is as long as `n_positions`, where an old configuration still says it, or 2048.
"""

from __future__ import annotations

import numpy as np

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation
from jaxscore.models.families._draws import normal


def read(config) -> Architecture:
    """Architecture of a `T5Config` or of one like it; its initializer_factor scales everything that is drawn."""
    return Architecture(
        family=config.model_type,
        layers=config.num_layers,
        width=config.d_model,
        heads=config.num_heads,
        head_width=config.d_kv,
        hidden=config.d_ff,
        vocabulary=config.vocab_size,
        positions=getattr(config, "n_positions", 2048),
        activation=activation(config.dense_act_fn),
        eps=config.layer_norm_epsilon,
        norm="pre",
        norm_kind="rms",
        causal=False,
        final_norm=True,
        biases=(),
        gated=config.is_gated_act,
        attention_scale=1.0,
        position="buckets",
        buckets=(config.relative_attention_num_buckets, config.relative_attention_max_distance),
        buckets_by_layer=config.model_type == "umt5",
        initializer_range=config.initializer_factor,
    )


def table(arch: Architecture) -> dict:
    """Names of tensors; those of a gated MLP differ, and those of the buckets where each layer has its own."""
    attention, mlp = "encoder.block.{i}.layer.0.", "encoder.block.{i}.layer.1."
    up = ("wi_0", "wi_1") if arch.gated else ("wi",)
    buckets = f"{attention}SelfAttention.relative_attention_bias.weight"
    return {
        "embed/tokens": "shared",
        "blocks/attention_norm": f"{attention}layer_norm",
        "blocks/qkv": tuple(f"{attention}SelfAttention.{part}" for part in "qkv"),
        "blocks/out": f"{attention}SelfAttention.o",
        "blocks/mlp_norm": f"{mlp}layer_norm",
        "blocks/up": tuple(f"{mlp}DenseReluDense.{part}" for part in up),
        "blocks/down": f"{mlp}DenseReluDense.wo",
        "blocks/position_bias": buckets,
        "position_bias": buckets.format(i=0),
        "final_norm": "encoder.final_layer_norm",
    }


def _qkv(arch: Architecture) -> np.ndarray:
    queries = (arch.width * arch.head_width) ** -0.5
    stds = np.repeat([queries, arch.width**-0.5, arch.width**-0.5], arch.qkv_widths)
    return (stds * arch.initializer_range).astype(np.float32)


def _norm(rng, arch: Architecture, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, arch.initializer_range, np.float32)


def _narrow(arch: Architecture) -> float:
    return arch.initializer_range * arch.width**-0.5


UNDERSTOOD = """num_layers num_decoder_layers d_model d_kv d_ff num_heads vocab_size n_positions feed_forward_proj
    dense_act_fn is_gated_act layer_norm_epsilon relative_attention_num_buckets relative_attention_max_distance
    initializer_factor scale_decoder_outputs scalable_attention"""
INITIAL = {
    "blocks/qkv/kernel": normal(_qkv),
    "blocks/out/kernel": normal(lambda arch: arch.initializer_range * (arch.heads * arch.head_width) ** -0.5),
    "blocks/up/kernel": normal(_narrow),
    "blocks/down/kernel": normal(lambda arch: arch.initializer_range * arch.hidden**-0.5),
    "position_bias": normal(_narrow),
    "blocks/position_bias": normal(_narrow),
    "blocks/attention_norm/scale": _norm,
    "blocks/mlp_norm/scale": _norm,
    "final_norm/scale": _norm,
}
FAMILIES = {
    kind: Family(
        read=read,
        table=table,
        anchor="shared.weight",
        understood=UNDERSTOOD,
        ignored="encoder.embed_tokens. decoder. lm_head. qa_outputs. classifier. classification_head.",
        layer_names=("shared", "encoder.block.{i}"),
        initial=INITIAL,
    )
    for kind in ("t5", "mt5", "umt5")
}
