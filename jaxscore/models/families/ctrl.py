"""CTRL: pre-norm, causal; embeddings times sqrt(width), sines then cosines added; the head has a bias.

A text begins with a control code only if its own first token is one: nothing is put before it, and no token types are
added, as transformers does unless told otherwise.
"""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family


def read(config) -> Architecture:
    """Architecture of a `CTRLConfig`; the eps of its blocks is fixed, and that of the last norm has to be the same."""
    return Architecture(
        family="ctrl",
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        hidden=config.dff,
        vocabulary=config.vocab_size,
        positions=config.n_positions,
        activation="relu",
        eps=1e-6,
        norm="pre",
        causal=True,
        final_norm=True,
        position="sinusoid",
        embedding_scale=config.n_embd**0.5,
        head="tied" if config.tie_word_embeddings else "untied",
        head_bias=True,
        initializer_range=config.initializer_range,
    )


TABLE = {
    "embed/tokens": "w",
    "blocks/attention_norm": "h.{i}.layernorm1",
    "blocks/qkv": tuple(f"h.{{i}}.multi_head_attention.W{part}" for part in "qkv"),
    "blocks/out": "h.{i}.multi_head_attention.dense",
    "blocks/mlp_norm": "h.{i}.layernorm2",
    "blocks/up": "h.{i}.ffn.0",
    "blocks/down": "h.{i}.ffn.2",
    "final_norm": "layernorm",
    "head/tokens": "lm_head",
    "head/bias": "lm_head.bias",
}

FAMILIES = {
    "ctrl": Family(
        read=read,
        table=TABLE,
        anchor="w.weight",
        understood="n_layer n_embd n_head dff vocab_size n_positions",
        ignored="lm_head. classifier. .pos_encoding",
        layer_names=("w", "h.{i}"),
        module="transformer.h.{i}",
    )
}
