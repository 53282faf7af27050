"""GPT-NeoX and Pythia: a quarter of every head rotates; attention and MLP in parallel behind two norms, or serial."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, Take, activation
from jaxscore.models.families._fused import by_group
from jaxscore.models.families._rotary import longest_text, read_rotary


def read(config) -> Architecture:
    """Architecture of a `GPTNeoXConfig`."""
    rope, positions = config.rope_parameters, config.max_position_embeddings
    return Architecture(
        family="gpt_neox",
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        hidden=config.intermediate_size,
        vocabulary=config.vocab_size,
        positions=longest_text(rope, positions),
        activation=activation(config.hidden_act),
        eps=config.layer_norm_eps,
        norm="parallel-two" if config.use_parallel_residual else "pre",
        causal=True,
        final_norm=True,
        biases=(*("qkv", "out") * config.attention_bias, "up", "down"),
        position="rotary",
        rotary=(read_rotary(rope, config.hidden_size // config.num_attention_heads, positions, partial=True),),
        head="tied" if config.tie_word_embeddings else "untied",
        initializer_range=config.initializer_range,
    )


TABLE = {
    "embed/tokens": "embed_in",
    "blocks/attention_norm": "layers.{i}.input_layernorm",
    "blocks/qkv": Take("layers.{i}.attention.query_key_value", by_group),
    "blocks/out": "layers.{i}.attention.dense",
    "blocks/mlp_norm": "layers.{i}.post_attention_layernorm",
    "blocks/up": "layers.{i}.mlp.dense_h_to_4h",
    "blocks/down": "layers.{i}.mlp.dense_4h_to_h",
    "final_norm": "final_layer_norm",
    "head/tokens": "embed_out",
}

FAMILIES = {
    "gpt_neox": Family(
        read=read,
        table=TABLE,
        anchor="embed_in.weight",
        understood="""num_hidden_layers hidden_size num_attention_heads intermediate_size vocab_size hidden_act
            max_position_embeddings layer_norm_eps use_parallel_residual rope_parameters attention_bias is_decoder""",
        ignored="""embed_out. score. classifier. qa_outputs. .attention.bias .attention.masked_bias
            .rotary_emb.inv_freq""",
        layer_names=("emb_dropout", "layers.{i}"),
        module="gpt_neox.layers.{i}",
        renamed={"lm_head.": "embed_out."},
    )
}
