"""MPT: pre-norm without a single bias, ALiBi with slopes of its own."""

from __future__ import annotations

import math

from jaxscore.errors import ModelError
from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family

UNDERSTOOD_ATTENTION = {"clip_qkv", "softmax_scale", "attn_impl", "attn_pdrop"}


def slopes(heads: int) -> tuple[float, ...]:
    """ALiBi's slopes as MPT takes them: of the next power of 2, every second one first, as many as there are heads."""
    power = 2 ** math.ceil(math.log2(heads))
    series = [2 ** (-8.0 * (i + 1) / power) for i in range(power)]
    return tuple(series if power == heads else (series[1::2] + series[::2])[:heads])


def read(config) -> Architecture:
    """Architecture of an `MptConfig`, whose `attn_config` is a configuration of its own.

    Raises:
        ModelError: for anything in `attn_config` that is neither understood nor at its default.
    """
    attention = config.attn_config
    given, default = attention.to_dict(), type(attention)().to_dict()
    odd = {key for key in given if key not in UNDERSTOOD_ATTENTION and given[key] != default.get(key)}
    if odd:
        listed = ", ".join(f"{key} = {given[key]!r}" for key in sorted(odd))
        raise ModelError(
            f"The configuration has an attn_config that is not understood: {listed}",
            "Scoring it anyway would be scoring a different model.",
        )
    return Architecture(
        family="mpt",
        layers=config.n_layers,
        width=config.d_model,
        heads=config.n_heads,
        hidden=4 * config.d_model,
        vocabulary=config.vocab_size,
        positions=config.max_seq_len,
        activation="gelu",
        eps=config.layer_norm_epsilon,
        norm="pre",
        norm_kind="layer-scale",
        causal=True,
        final_norm=True,
        biases=(),
        clip=attention.clip_qkv or 0.0,
        attention_scale=attention.softmax_scale or 0.0,
        position="alibi",
        alibi=slopes(config.n_heads),
        head="tied" if config.tie_word_embeddings else "untied",
        initializer_range=config.initializer_range,
    )


TABLE = {
    "embed/tokens": "wte",
    "blocks/attention_norm": "blocks.{i}.norm_1",
    "blocks/qkv": "blocks.{i}.attn.Wqkv",
    "blocks/out": "blocks.{i}.attn.out_proj",
    "blocks/mlp_norm": "blocks.{i}.norm_2",
    "blocks/up": "blocks.{i}.ffn.up_proj",
    "blocks/down": "blocks.{i}.ffn.down_proj",
    "final_norm": "norm_f",
    "head/tokens": "lm_head",
}

FAMILIES = {
    "mpt": Family(
        read=read,
        table=TABLE,
        anchor="wte.weight",
        understood="""n_layers d_model n_heads vocab_size max_seq_len layer_norm_epsilon attn_config learned_pos_emb
            emb_pdrop embedding_fraction init_config init_device tokenizer_name verbose""",
        ignored="lm_head. score. classifier. qa_outputs.",
        layer_names=("wte", "blocks.{i}"),
        module="transformer.blocks.{i}",
    )
}
