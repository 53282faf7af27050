"""Families of checkpoints: for each, a reader of its configuration and a table of its tensor names.

Every module here whose name has no underscore in front defines FAMILIES, `model_type` -> Family; they are found by
themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

from jaxscore.errors import ModelError, did_you_mean
from jaxscore.models.architecture import Body


@dataclass(frozen=True)
class Take:
    """Tensors that become one after `via`, a function of (architecture, tensor [..., output]) that permutes outputs."""

    names: str | tuple[str, ...]
    via: Callable[[Any, np.ndarray], np.ndarray]


Source = str | tuple[str, ...] | Take
"""A tensor's name in the checkpoint, `{i}` standing for the layer; several names are joined along the output axis."""

Draw = Callable[[np.random.Generator, Any, tuple[int, ...]], np.ndarray]
"""(generator, architecture, shape) -> freshly drawn values."""


@dataclass(frozen=True)
class Family:
    """How one `model_type` maps to a body.

    Attributes:
        read: builds the architecture from the transformers configuration.
        table: parameter path -> name in the checkpoint. A path may stand without its last part: `kernel`, `scale` and
            `tokens` are then looked for under the name + ".weight", `bias` under the name + ".bias". A `[0]` at the
            end of a name takes the tensor's first row. Where names depend on the configuration: a function of the
            architecture that gives the table.
        anchor: a name that every checkpoint of the family has; what stands before it is the prefix of all names.
        understood: configuration attributes that `read` uses, or that change nothing in a hidden state; one string.
            Any other attribute away from its default is refused.
        ignored: beginnings (or, with a dot in front, ends) of names of tensors that do not reach the hidden states:
            prediction heads, poolers, buffers; one string.
        absent: names of tensors that may be missing, the block having no use for them; one string.
        layer_names: (name of hidden state 0, pattern of the others) in the 2021 pipeline; for bodies that keep no input
            of the first block (pattern of all but the last, name of the last).
        module: where today's platform hooks block {i}; "" where no module is a block.
        keeps_input: whether hidden state 0 is what enters the first block (not so in Mamba and RWKV).
        transposed: whether kernels are stored (out, in).
        renamed: older spellings in tensor names.
        initial: path -> how it is drawn, where the family's own initialisation is not N(0, initializer_range).
        published: defaults of the configuration, for a `model_type` that transformers does not have (any more).
    """

    read: Callable[[Any], Body]
    table: dict[str, Source] | Callable[[Any], dict[str, Source]]
    anchor: str
    understood: str
    layer_names: tuple[str, str]
    module: str = ""
    keeps_input: bool = True
    ignored: str = ""
    absent: str = ""
    transposed: bool = True
    renamed: dict[str, str] = field(default_factory=dict)
    initial: dict[str, Draw] = field(default_factory=dict)
    published: dict[str, Any] | None = None

    def of(self, arch: Body) -> Family:
        """The family with the table of one architecture, where names depend on it."""
        return replace(self, table=self.table(arch)) if callable(self.table) else self

    def names(self, layers: int) -> list[str]:
        """Names of the `layers + 1` hidden states in the 2021 pipeline."""
        one, other = self.layer_names
        pattern = other if self.keeps_input else one
        blocks = [pattern.format(i=i) for i in range(layers)]
        return [one, *blocks] if self.keeps_input else [*blocks, other]

    def aliases(self, arch: Body) -> dict[str, int]:
        """Other names of states: transformers' `hidden_states[i]`, and the module that today's platform hooks.

        A hook on the last block sees its output before the final norm or projection; `hidden_states` has it after.
        """
        found = {f"hidden_states[{i}]": i for i in range(arch.layers + 1)}
        found |= {name: arch.layers + 1 + i for i, name in enumerate(arch.extra_states)}
        if self.module:
            outputs = [i + self.keeps_input for i in range(arch.layers)]
            if self.keeps_input and arch.extra_states:
                outputs[-1] = found[arch.extra_states[0]]
            found |= {self.module.format(i=i): state for i, state in enumerate(outputs)}
        return found


HARMLESS = frozenset(
    """_name_or_path _num_labels n_special predict_special_tokens directionality pooler_fc_size
    pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type architectures
    transformers_version torch_dtype dtype bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id
    decoder_start_token_id id2label label2id problem_type num_labels use_cache task_specific_params
    return_dict output_attentions output_hidden_states model_type attn_pdrop embd_pdrop resid_pdrop
    attention_dropout hidden_dropout hidden_dropout_prob attention_probs_dropout_prob classifier_dropout dropout
    dropout_rate resid_dropout embed_dropout embedding_dropout activation_dropout layerdrop
    gradient_checkpointing finetuning_task tie_word_embeddings tokenizer_class prefix is_encoder_decoder
    name_or_path n_ctx chunk_size_feed_forward summary_type summary_use_proj summary_activation
    summary_proj_to_labels summary_first_dropout summary_last_dropout output_past cross_attention_hidden_size
    initializer_range pretraining_tp auto_map unk_token_id forced_bos_token_id forced_eos_token_id
    _attn_implementation_autoset from_tf torchscript use_bfloat16""".split()
)
"""Attributes that change nothing in a hidden state read without dropout, whatever the family."""

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu_squared",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
"""The activation of the block that each of transformers' names means."""


def activation(name: str) -> str:
    """The block's name of an activation.

    Raises:
        ModelError: if there is none.
    """
    if name not in ACTIVATIONS:
        raise ModelError(
            f"The configuration asks for the activation {name!r}, which is not supported. "
            f"{did_you_mean(str(name), ACTIVATIONS)}".strip(),
            f"Supported: {', '.join(ACTIVATIONS)}.",
        )
    return ACTIVATIONS[name]


@cache
def families() -> dict[str, Family]:
    """Every family by its `model_type`."""
    found: dict[str, Family] = {}
    for module in iter_modules(__path__):
        if not module.name.startswith("_"):
            found |= import_module(f"{__name__}.{module.name}").FAMILIES
    return found
