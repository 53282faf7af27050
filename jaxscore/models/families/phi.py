"""Phi 1 and 2: LayerNorm, attention and MLP in parallel behind one norm, partial rotation, biases everywhere."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation
from jaxscore.models.families._rotary import longest_text, read_rotary


def read(config) -> Architecture:
    """Architecture of a `PhiConfig`."""
    rope, positions = config.rope_parameters, config.max_position_embeddings
    return Architecture(
        family="phi",
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        hidden=config.intermediate_size,
        vocabulary=config.vocab_size,
        positions=longest_text(rope, positions),
        activation=activation(config.hidden_act),
        eps=config.layer_norm_eps,
        norm="parallel",
        causal=True,
        final_norm=True,
        qk_norm="head" if config.qk_layernorm else None,
        position="rotary",
        rotary=(read_rotary(rope, config.hidden_size // config.num_attention_heads, positions, partial=True),),
        head="tied" if config.tie_word_embeddings else "untied",
        head_bias=True,
        initializer_range=config.initializer_range,
        padding_row=config.pad_token_id,
    )


LAYER = "layers.{i}."
TABLE = {
    "embed/tokens": "embed_tokens",
    "blocks/attention_norm": f"{LAYER}input_layernorm",
    "blocks/qkv": tuple(f"{LAYER}self_attn.{part}_proj" for part in "qkv"),
    "blocks/q_norm": f"{LAYER}self_attn.q_layernorm",
    "blocks/k_norm": f"{LAYER}self_attn.k_layernorm",
    "blocks/out": f"{LAYER}self_attn.dense",
    "blocks/up": f"{LAYER}mlp.fc1",
    "blocks/down": f"{LAYER}mlp.fc2",
    "final_norm": "final_layernorm",
    "head/tokens": "lm_head",
    "head/bias": "lm_head.bias",
}

FAMILIES = {
    "phi": Family(
        read=read,
        table=TABLE,
        anchor="embed_tokens.weight",
        understood="""num_hidden_layers hidden_size num_attention_heads num_key_value_heads intermediate_size vocab_size
            max_position_embeddings hidden_act layer_norm_eps rope_parameters qk_layernorm""",
        ignored="lm_head. score. .rotary_emb.inv_freq",
        layer_names=("embed_tokens", "layers.{i}"),
        module="model.layers.{i}",
    )
}
