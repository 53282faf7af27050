"""GPT-2 and DistilGPT-2: pre-norm, causal, learned positions; Conv1D weights are stored (in, out)."""

from __future__ import annotations

from jaxscore.models.block import Architecture
from jaxscore.models.families import Family

ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
}


def read(config) -> Architecture:
    """Architecture of a `GPT2Config`."""
    return Architecture(
        family="gpt2",
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        hidden=config.n_inner or 4 * config.n_embd,
        vocabulary=config.vocab_size,
        positions=config.n_positions,
        activation=ACTIVATIONS[config.activation_function],
        eps=config.layer_norm_epsilon,
        norm="pre",
        causal=True,
        embedding_width=config.n_embd,
        initializer_range=config.initializer_range,
        residual_scale=(2 * config.n_layer) ** -0.5,
    )


TABLE = {
    "embed/tokens": "wte.weight",
    "embed/positions": "wpe.weight",
    "blocks/attention_norm/scale": "h.{i}.ln_1.weight",
    "blocks/attention_norm/bias": "h.{i}.ln_1.bias",
    "blocks/qkv/kernel": "h.{i}.attn.c_attn.weight",
    "blocks/qkv/bias": "h.{i}.attn.c_attn.bias",
    "blocks/out/kernel": "h.{i}.attn.c_proj.weight",
    "blocks/out/bias": "h.{i}.attn.c_proj.bias",
    "blocks/mlp_norm/scale": "h.{i}.ln_2.weight",
    "blocks/mlp_norm/bias": "h.{i}.ln_2.bias",
    "blocks/up/kernel": "h.{i}.mlp.c_fc.weight",
    "blocks/up/bias": "h.{i}.mlp.c_fc.bias",
    "blocks/down/kernel": "h.{i}.mlp.c_proj.weight",
    "blocks/down/bias": "h.{i}.mlp.c_proj.bias",
    "final_norm/scale": "ln_f.weight",
    "final_norm/bias": "ln_f.bias",
}

FAMILIES = {
    "gpt2": Family(
        read=read,
        table=TABLE,
        anchor="wte.weight",
        understood=frozenset(
            """n_layer n_embd n_head n_inner vocab_size n_positions activation_function layer_norm_epsilon
            initializer_range""".split()
        ),
        heads=("lm_head.", "score.", "multiple_choice_head."),
        layer_names=lambda layers: ["drop", *(f"encoder.h.{i}" for i in range(layers))],
        # buffers of old files: the causal mask
        renamed={},
    )
}
