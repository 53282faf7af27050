"""BERT and its descendants: post-norm, bidirectional, learned positions; weights are stored (out, in).

RoBERTa, XLM-RoBERTa and CamemBERT number positions from pad_token_id + 1. ELECTRA projects its embeddings after their
norm. Token type 0 is added to every token. MiniLM and DistilRoBERTa are sizes of BERT and RoBERTa.
"""

from __future__ import annotations

from functools import partial

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation


def read(config, *, offset: bool = False) -> Architecture:
    """Architecture of a `BertConfig` or one that descends from it; `offset`: positions start at pad_token_id + 1."""
    first = config.pad_token_id + 1 if offset else 0
    return Architecture(
        family=config.model_type,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        hidden=config.intermediate_size,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings - first,
        activation=activation(config.hidden_act),
        eps=config.layer_norm_eps,
        norm="post",
        causal=False,
        embedding_width=getattr(config, "embedding_size", config.hidden_size),
        embedding_norm=True,
        token_type=True,
        position_offset=first,
        initializer_range=config.initializer_range,
        padding_row=config.pad_token_id,
    )


LAYER = "encoder.layer.{i}."
TABLE = {
    "embed/tokens": "embeddings.word_embeddings",
    "embed/positions": "embeddings.position_embeddings.weight",
    "embed/type": "embeddings.token_type_embeddings.weight[0]",
    "embed/norm": "embeddings.LayerNorm",
    "embed/project": "embeddings_project",
    "blocks/qkv": tuple(f"{LAYER}attention.self.{part}" for part in ("query", "key", "value")),
    "blocks/out": f"{LAYER}attention.output.dense",
    "blocks/attention_norm": f"{LAYER}attention.output.LayerNorm",
    "blocks/up": f"{LAYER}intermediate.dense",
    "blocks/down": f"{LAYER}output.dense",
    "blocks/mlp_norm": f"{LAYER}output.LayerNorm",
}


def bert_like(names: tuple[str, str], prefix: str = "bert", *, offset: bool = False) -> Family:
    """A family of the BERT block: names of its layers in the 2021 pipeline, and the prefix of its modules' names."""
    return Family(
        read=partial(read, offset=offset),
        table=TABLE,
        anchor="embeddings.word_embeddings.weight",
        understood="""num_hidden_layers hidden_size num_attention_heads intermediate_size vocab_size
            max_position_embeddings hidden_act layer_norm_eps embedding_size type_vocab_size""",
        ignored="""cls. pooler. lm_head. classifier. qa_outputs. discriminator_predictions. generator_ .position_ids
            .token_type_ids""",
        layer_names=names,
        module=f"{prefix}.encoder.layer.{{i}}",
        renamed={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
    )


FAMILIES = {
    "bert": bert_like(("embedding", "encoder.layer.{i}.output")),
    "electra": bert_like(("embedding", "encoder.layer.{i}.output"), "electra"),
    "roberta": bert_like(("embedding", "encoder.layer.{i}"), "roberta", offset=True),
    "xlm-roberta": bert_like(("embedding", "encoder.layer.{i}"), "roberta", offset=True),
    "camembert": bert_like(("embedding", "encoder.layer.{i}"), "roberta", offset=True),
}
