"""ALBERT: BERT's block, shared by the layers of a group; narrow embeddings are projected after their norm."""

from __future__ import annotations

from jaxscore.errors import ModelError
from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation
from jaxscore.models.families.bert import TABLE as BERT


def read(config) -> Architecture:
    """Architecture of an `AlbertConfig`; ModelError where embeddings are as wide as states and yet projected."""
    layers, groups = config.num_hidden_layers, config.num_hidden_groups
    if config.embedding_size == config.hidden_size:
        raise ModelError(
            f"embedding_size and hidden_size are both {config.hidden_size}; ALBERT is supported with others only",
            "No published ALBERT is like that: check the configuration.",
        )
    return Architecture(
        family="albert",
        layers=layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        hidden=config.intermediate_size,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        activation=activation(config.hidden_act),
        eps=config.layer_norm_eps,
        norm="post",
        causal=False,
        embedding_width=config.embedding_size,
        embedding_norm=True,
        token_type=True,
        block_of=tuple(int(i / (layers / groups)) for i in range(layers)),
        initializer_range=config.initializer_range,
        padding_row=config.pad_token_id,
    )


GROUP = "encoder.albert_layer_groups.{i}.albert_layers.0."
TABLE = {path: name for path, name in BERT.items() if path.startswith("embed/")} | {
    "embed/project": "encoder.embedding_hidden_mapping_in",
    "blocks/qkv": tuple(f"{GROUP}attention.{part}" for part in ("query", "key", "value")),
    "blocks/out": f"{GROUP}attention.dense",
    "blocks/attention_norm": f"{GROUP}attention.LayerNorm",
    "blocks/up": f"{GROUP}ffn",
    "blocks/down": f"{GROUP}ffn_output",
    "blocks/mlp_norm": f"{GROUP}full_layer_layer_norm",
}
UNDERSTOOD = """num_hidden_layers num_hidden_groups hidden_size embedding_size num_attention_heads intermediate_size
    vocab_size max_position_embeddings hidden_act layer_norm_eps type_vocab_size classifier_dropout_prob
    down_scale_factor gap_size net_structure_type num_memory_blocks"""
FAMILIES = {
    "albert": Family(
        read=read,
        table=TABLE,
        anchor="embeddings.word_embeddings.weight",
        understood=UNDERSTOOD,
        ignored="predictions. sop_classifier. pooler. classifier. qa_outputs. .position_ids .token_type_ids",
        layer_names=("embeddings", "encoder.albert_layer_groups.{i}"),
    )
}
