"""BLOOM: pre-norm, ALiBi in place of positions, a norm behind the embedding; queries, keys and values fused by head."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, Take
from jaxscore.models.families._alibi import alibi_slopes
from jaxscore.models.families._fused import by_group


def read(config) -> Architecture:
    """Architecture of a `BloomConfig`; nothing limits a text, so the length of training does."""
    return Architecture(
        family="bloom",
        layers=config.n_layer,
        width=config.hidden_size,
        heads=config.n_head,
        hidden=4 * config.hidden_size,
        vocabulary=config.vocab_size,
        positions=getattr(config, "seq_length", 2048),
        activation="gelu_tanh",
        eps=config.layer_norm_epsilon,
        norm="pre",
        causal=True,
        final_norm=True,
        position="alibi",
        alibi=alibi_slopes(config.n_head),
        embedding_norm=True,
        head="tied" if config.tie_word_embeddings else "untied",
        initializer_range=config.initializer_range,
    )


TABLE = {
    "embed/tokens": "word_embeddings",
    "embed/norm": "word_embeddings_layernorm",
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
    "bloom": Family(
        read=read,
        table=TABLE,
        anchor="word_embeddings.weight",
        understood="""n_layer hidden_size n_head vocab_size layer_norm_epsilon seq_length n_embed slow_but_exact
            attention_softmax_in_fp32 bias_dropout_fusion masked_softmax_fusion offset_alibi skip_bias_add
            skip_bias_add_qkv""",
        ignored="lm_head. score. classifier. qa_outputs.",
        layer_names=("word_embeddings_layernorm", "h.{i}"),
        module="transformer.h.{i}",
    )
}
