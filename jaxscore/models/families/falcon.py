"""Falcon: 7B (multi-query, parallel behind one norm), 40B (grouped, behind two) and RW (serial, ALiBi in bfloat16)."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, Take, activation
from jaxscore.models.families._alibi import alibi_slopes
from jaxscore.models.families._fused import by_group
from jaxscore.models.families._rotary import longest_text, read_rotary


def read(config) -> Architecture:
    """Architecture of a `FalconConfig`."""
    heads, new = config.num_attention_heads, config.new_decoder_architecture
    rope, positions = config.rope_parameters, config.max_position_embeddings
    parallel = "parallel-two" if new and config.num_ln_in_parallel_attn != 1 else "parallel"
    return Architecture(
        family="falcon",
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=heads,
        kv_heads=config.num_kv_heads if new else 1 if config.multi_query else heads,
        hidden=config.ffn_hidden_size,
        vocabulary=config.vocab_size,
        positions=positions if config.alibi else longest_text(rope, positions),
        activation=activation(config.activation),
        eps=config.layer_norm_epsilon,
        norm=parallel if new or config.parallel_attn else "pre",
        causal=True,
        final_norm=True,
        biases=("qkv", "out", "up", "down") * config.bias,
        position="alibi" if config.alibi else "rotary",
        alibi=alibi_slopes(heads) if config.alibi else (),
        alibi_rounded=config.alibi,
        rotary=() if config.alibi else (read_rotary(rope, config.hidden_size // heads, positions),),
        head="tied" if config.tie_word_embeddings else "untied",
        initializer_range=config.initializer_range,
    )


TABLE = {
    "embed/tokens": "word_embeddings",
    "blocks/attention_norm": "h.{i}.input_layernorm",
    "blocks/qkv": Take("h.{i}.self_attention.query_key_value", by_group),
    "blocks/out": "h.{i}.self_attention.dense",
    "blocks/mlp_norm": "h.{i}.post_attention_layernorm",
    "blocks/up": "h.{i}.mlp.dense_h_to_4h",
    "blocks/down": "h.{i}.mlp.dense_4h_to_h",
    "final_norm": "ln_f",
    "head/tokens": "lm_head",
}

FAMILIES = {
    "falcon": Family(
        read=read,
        table=TABLE,
        anchor="word_embeddings.weight",
        understood="""num_hidden_layers hidden_size num_attention_heads num_kv_heads ffn_hidden_size vocab_size
            max_position_embeddings activation layer_norm_epsilon num_ln_in_parallel_attn alibi
            new_decoder_architecture multi_query parallel_attn bias rope_parameters n_embed""",
        ignored="lm_head. score. classifier. qa_outputs. .rotary_emb.inv_freq",
        layer_names=("word_embeddings", "h.{i}"),
        module="transformer.h.{i}",
        renamed={"ln_attn": "input_layernorm", "ln_mlp": "post_attention_layernorm"},
    )
}
