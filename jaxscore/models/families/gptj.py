"""GPT-J: attention and MLP in parallel behind one norm; the first features of a head rotate, pairs being neighbours."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture, Rotary
from jaxscore.models.families import Family, activation


def read(config) -> Architecture:
    """Architecture of a `GPTJConfig`."""
    return Architecture(
        family="gptj",
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        hidden=config.n_inner or 4 * config.n_embd,
        vocabulary=config.vocab_size,
        positions=config.n_positions,
        activation=activation(config.activation_function),
        eps=config.layer_norm_epsilon,
        norm="parallel",
        causal=True,
        final_norm=True,
        biases=("up", "down"),
        position="rotary",
        rotary=(Rotary(config.rotary_dim, interleaved=True),),
        head="tied" if config.tie_word_embeddings else "untied",
        head_bias=True,
        initializer_range=config.initializer_range,
    )


TABLE = {
    "embed/tokens": "wte",
    "blocks/attention_norm": "h.{i}.ln_1",
    "blocks/qkv": tuple(f"h.{{i}}.attn.{part}_proj" for part in "qkv"),
    "blocks/out": "h.{i}.attn.out_proj",
    "blocks/up": "h.{i}.mlp.fc_in",
    "blocks/down": "h.{i}.mlp.fc_out",
    "final_norm": "ln_f",
    "head/tokens": "lm_head",
    "head/bias": "lm_head.bias",
}

FAMILIES = {
    "gptj": Family(
        read=read,
        table=TABLE,
        anchor="wte.weight",
        understood="""n_layer n_embd n_head n_inner vocab_size n_positions activation_function layer_norm_epsilon
            rotary_dim""",
        ignored="lm_head. score. qa_outputs. .attn.bias .attn.masked_bias",
        layer_names=("drop", "h.{i}"),
        module="transformer.h.{i}",
    )
}
