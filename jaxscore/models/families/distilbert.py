"""DistilBERT: BERT's block under other names, without token types; its eps is fixed."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation
from jaxscore.models.families._draws import position_table


def read(config) -> Architecture:
    """Architecture of a `DistilBertConfig`; sinusoidal positions too are a table in the checkpoint."""
    return Architecture(
        family="distilbert",
        layers=config.n_layers,
        width=config.dim,
        heads=config.n_heads,
        hidden=config.hidden_dim,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        activation=activation(config.activation),
        eps=1e-12,
        norm="post",
        causal=False,
        embedding_norm=True,
        initializer_range=config.initializer_range,
        sinusoid_start=config.sinusoidal_pos_embds,
        padding_row=config.pad_token_id,
    )


LAYER = "transformer.layer.{i}."
TABLE = {
    "embed/tokens": "embeddings.word_embeddings",
    "embed/positions": "embeddings.position_embeddings.weight",
    "embed/norm": "embeddings.LayerNorm",
    "blocks/qkv": tuple(f"{LAYER}attention.{part}_lin" for part in "qkv"),
    "blocks/out": f"{LAYER}attention.out_lin",
    "blocks/attention_norm": f"{LAYER}sa_layer_norm",
    "blocks/up": f"{LAYER}ffn.lin1",
    "blocks/down": f"{LAYER}ffn.lin2",
    "blocks/mlp_norm": f"{LAYER}output_layer_norm",
}

FAMILIES = {
    "distilbert": Family(
        read=read,
        table=TABLE,
        anchor="embeddings.word_embeddings.weight",
        understood="""n_layers dim n_heads hidden_dim vocab_size max_position_embeddings activation sinusoidal_pos_embds
            qa_dropout seq_classif_dropout tie_weights_""",
        ignored="vocab_ pre_classifier. classifier. qa_outputs. .position_ids",
        layer_names=("embeddings", "transformer.layer.{i}"),
        module="distilbert.transformer.layer.{i}",
        initial={"embed/positions": position_table},
    )
}
