"""GPT-2 and DistilGPT-2: pre-norm, causal, learned positions; Conv1D weights are stored (in, out)."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation


def read(config) -> Architecture:
    """Architecture of a `GPT2Config`."""
    return Architecture(
        family="gpt2",
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        hidden=config.n_inner or 4 * config.n_embd,
        vocabulary=config.vocab_size,
        positions=config.n_positions,
        activation=activation(config.activation_function),
        eps=config.layer_norm_epsilon,
        norm="pre",
        causal=True,
        final_norm=True,
        head="tied" if config.tie_word_embeddings else "untied",
        initializer_range=config.initializer_range,
        residual_scale=(2 * config.n_layer) ** -0.5,
    )


TABLE = {
    "embed/tokens": "wte.weight",
    "embed/positions": "wpe.weight",
    "blocks/attention_norm": "h.{i}.ln_1",
    "blocks/qkv": "h.{i}.attn.c_attn",
    "blocks/out": "h.{i}.attn.c_proj",
    "blocks/mlp_norm": "h.{i}.ln_2",
    "blocks/up": "h.{i}.mlp.c_fc",
    "blocks/down": "h.{i}.mlp.c_proj",
    "final_norm": "ln_f",
    "head/tokens": "lm_head",
}

FAMILIES = {
    "gpt2": Family(
        read=read,
        table=TABLE,
        anchor="wte.weight",
        transposed=False,
        understood="""n_layer n_embd n_head n_inner vocab_size n_positions activation_function layer_norm_epsilon
            initializer_range""",
        ignored="lm_head. score. multiple_choice_head. .attn.bias .attn.masked_bias",
        layer_names=("drop", "encoder.h.{i}"),
        module="transformer.h.{i}",
    )
}
