"""OpenAI GPT: post-norm without a final norm, causal, learned positions; Conv1D weights are stored (in, out)."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation


def read(config) -> Architecture:
    """Architecture of an `OpenAIGPTConfig`; its "gelu" is the tanh form."""
    return Architecture(
        family="openai-gpt",
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        hidden=4 * config.n_embd,
        vocabulary=config.vocab_size,
        positions=config.n_positions,
        activation="gelu_tanh" if config.afn == "gelu" else activation(config.afn),
        eps=config.layer_norm_epsilon,
        norm="post",
        causal=True,
        head="tied",
        initializer_range=config.initializer_range,
    )


TABLE = {
    "embed/tokens": "tokens_embed",
    "embed/positions": "positions_embed.weight",
    "blocks/qkv": "h.{i}.attn.c_attn",
    "blocks/out": "h.{i}.attn.c_proj",
    "blocks/attention_norm": "h.{i}.ln_1",
    "blocks/up": "h.{i}.mlp.c_fc",
    "blocks/down": "h.{i}.mlp.c_proj",
    "blocks/mlp_norm": "h.{i}.ln_2",
}

FAMILIES = {
    "openai-gpt": Family(
        read=read,
        table=TABLE,
        anchor="positions_embed.weight",
        transposed=False,
        understood="n_layer n_embd n_head vocab_size n_positions afn layer_norm_epsilon",
        ignored="score. multiple_choice_head. .attn.bias .position_ids",
        renamed={"lm_head.weight": "tokens_embed.weight"},  # tied; some files have only the one, some both
        layer_names=("drop", "encoder.h.{i}.ln_2"),
        module="transformer.h.{i}",
    )
}
