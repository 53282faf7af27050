"""BERT and its descendants: post-norm, bidirectional, learned positions; weights are stored (out, in).

RoBERTa, XLM-RoBERTa and CamemBERT number positions from pad_token_id + 1. ELECTRA projects its embeddings after their
norm. Token type 0 is added to every token. MiniLM and DistilRoBERTa are sizes of BERT and RoBERTa.
"""

from __future__ import annotations

from functools import partial

from jaxscore.models.block import Architecture
from jaxscore.models.families import Family

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
}


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
        activation=ACTIVATIONS[config.hidden_act],
        eps=config.layer_norm_eps,
        norm="post",
        causal=False,
        embedding_width=getattr(config, "embedding_size", config.hidden_size),
        position_offset=first,
        initializer_range=config.initializer_range,
        padding_row=config.pad_token_id,
    )


LAYER = "encoder.layer.{i}."
TABLE = {
    "embed/tokens": "embeddings.word_embeddings.weight",
    "embed/positions": "embeddings.position_embeddings.weight",
    "embed/type": "embeddings.token_type_embeddings.weight[0]",
    "embed/norm/scale": "embeddings.LayerNorm.weight",
    "embed/norm/bias": "embeddings.LayerNorm.bias",
    "blocks/qkv/kernel": tuple(f"{LAYER}attention.self.{part}.weight.T" for part in ("query", "key", "value")),
    "blocks/qkv/bias": tuple(f"{LAYER}attention.self.{part}.bias" for part in ("query", "key", "value")),
    "blocks/out/kernel": f"{LAYER}attention.output.dense.weight.T",
    "blocks/out/bias": f"{LAYER}attention.output.dense.bias",
    "blocks/attention_norm/scale": f"{LAYER}attention.output.LayerNorm.weight",
    "blocks/attention_norm/bias": f"{LAYER}attention.output.LayerNorm.bias",
    "blocks/up/kernel": f"{LAYER}intermediate.dense.weight.T",
    "blocks/up/bias": f"{LAYER}intermediate.dense.bias",
    "blocks/down/kernel": f"{LAYER}output.dense.weight.T",
    "blocks/down/bias": f"{LAYER}output.dense.bias",
    "blocks/mlp_norm/scale": f"{LAYER}output.LayerNorm.weight",
    "blocks/mlp_norm/bias": f"{LAYER}output.LayerNorm.bias",
    "embed/project/kernel": "embeddings_project.weight.T",
    "embed/project/bias": "embeddings_project.bias",
}

HEADS = ("cls.", "pooler.", "lm_head.", "classifier.", "qa_outputs.", "discriminator_predictions.", "generator_")
UNDERSTOOD = frozenset(
    """num_hidden_layers hidden_size num_attention_heads intermediate_size vocab_size max_position_embeddings hidden_act
    layer_norm_eps initializer_range embedding_size type_vocab_size""".split()
)


def bert_like(names: str, *, offset: bool = False) -> Family:
    """A family of the BERT block; `names` is the pattern of its layers' names in the 2021 pipeline."""
    return Family(
        read=partial(read, offset=offset),
        table=TABLE,
        anchor="embeddings.word_embeddings.weight",
        understood=UNDERSTOOD,
        heads=HEADS,
        layer_names=lambda layers: ["embedding", *(names.format(i=i) for i in range(layers))],
        renamed={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
    )


FAMILIES = {
    "bert": bert_like("encoder.layer.{i}.output"),
    "electra": bert_like("encoder.layer.{i}.output"),
    "roberta": bert_like("encoder.layer.{i}", offset=True),
    "xlm-roberta": bert_like("encoder.layer.{i}", offset=True),
    "camembert": bert_like("encoder.layer.{i}", offset=True),
}
