"""GPT-Neo: pre-norm, causal, learned positions; every other layer sees a window only; queries are not scaled."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation


def read(config) -> Architecture:
    """Architecture of a `GPTNeoConfig`."""
    return Architecture(
        family="gpt_neo",
        layers=config.num_layers,
        width=config.hidden_size,
        heads=config.num_heads,
        hidden=config.intermediate_size or 4 * config.hidden_size,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        activation=activation(config.activation_function),
        eps=config.layer_norm_epsilon,
        norm="pre",
        causal=True,
        final_norm=True,
        biases=("out", "up", "down"),
        attention_scale=1.0,
        windows=tuple(config.window_size * (kind == "local") for kind in config.attention_layers),
        head="tied" if config.tie_word_embeddings else "untied",
        initializer_range=config.initializer_range,
    )


TABLE = {
    "embed/tokens": "wte",
    "embed/positions": "wpe.weight",
    "blocks/attention_norm": "h.{i}.ln_1",
    "blocks/qkv": tuple(f"h.{{i}}.attn.attention.{part}_proj" for part in "qkv"),
    "blocks/out": "h.{i}.attn.attention.out_proj",
    "blocks/mlp_norm": "h.{i}.ln_2",
    "blocks/up": "h.{i}.mlp.c_fc",
    "blocks/down": "h.{i}.mlp.c_proj",
    "final_norm": "ln_f",
    "head/tokens": "lm_head",
}

FAMILIES = {
    "gpt_neo": Family(
        read=read,
        table=TABLE,
        anchor="wte.weight",
        understood="""num_layers hidden_size num_heads intermediate_size vocab_size max_position_embeddings
            activation_function layer_norm_epsilon attention_types attention_layers window_size""",
        ignored="lm_head. score. classifier. qa_outputs. .attention.bias .attention.masked_bias",
        layer_names=("drop", "h.{i}"),
        module="transformer.h.{i}",
    )
}
