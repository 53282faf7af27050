"""Families of checkpoints: for each, a reader of its configuration and a table of its tensor names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jaxscore.models.block import Architecture

Source = str | tuple[str, ...]
"""A tensor's name in the checkpoint, `{i}` standing for the layer; several names are joined along the output axis."""


@dataclass(frozen=True)
class Family:
    """How one `model_type` maps to the block.

    Attributes:
        read: builds the architecture from the transformers configuration.
        table: parameter path -> name in the checkpoint. A `.T` at the end transposes (out, in) to (in, out); a `[0]`
            takes the first row.
        anchor: a name that every checkpoint of the family has; what stands before it is the prefix of all names.
        understood: configuration attributes that `read` uses, or that change nothing in a hidden state. Any other
            attribute away from its default is refused.
        heads: first parts of names of tensors that do not reach the hidden states (prediction heads, poolers).
        layer_names: names of the `layers + 1` hidden states in the 2021 pipeline.
        renamed: older spellings in tensor names.
    """

    read: Callable[[Any], Architecture]
    table: dict[str, Source]
    anchor: str
    understood: frozenset[str]
    heads: tuple[str, ...]
    layer_names: Callable[[int], list[str]]
    renamed: dict[str, str] = field(default_factory=dict)


MODULES = {
    "gpt2": "gpt2",
    "bert": "bert",
    "roberta": "bert",
    "xlm-roberta": "bert",
    "camembert": "bert",
    "electra": "bert",
}
"""`model_type` -> module of this package that defines it in its FAMILIES."""

HARMLESS = frozenset(
    """_name_or_path _num_labels n_special predict_special_tokens directionality pooler_fc_size
    pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type architectures
    transformers_version torch_dtype dtype bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id
    decoder_start_token_id id2label label2id problem_type num_labels use_cache task_specific_params
    return_dict output_attentions output_hidden_states model_type attn_pdrop embd_pdrop resid_pdrop
    attention_dropout hidden_dropout_prob attention_probs_dropout_prob classifier_dropout
    gradient_checkpointing finetuning_task tie_word_embeddings tokenizer_class prefix is_encoder_decoder
    name_or_path n_ctx chunk_size_feed_forward summary_type summary_use_proj summary_activation
    summary_proj_to_labels summary_first_dropout summary_last_dropout output_past cross_attention_hidden_size""".split()
)
"""Attributes that change nothing in a hidden state read without dropout, whatever the family."""


def family_of(model_type: str) -> Family:
    """Return the family of a `model_type`.

    Raises:
        KeyError: if no family of that name is known.
    """
    from importlib import import_module

    return import_module(f"{__name__}.{MODULES[model_type]}").FAMILIES[model_type]
