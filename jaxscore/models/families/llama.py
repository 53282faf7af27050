"""Llama 1 to 3, TinyLlama, Mistral, Qwen 2 and 3, Phi-3, SmolLM 3: RMSNorm, rotations, grouped heads, gated MLP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation
from jaxscore.models.families._rotary import longest_text, read_rotaries


def decoder(config, *, partial: bool = False, **choices: Any) -> Architecture:
    """Architecture of a `LlamaConfig` or of one like it.

    Args:
        config: the configuration.
        partial: see `read_rotary`.
        choices: what the family does in its own way.
    """
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention, mlp = getattr(config, "attention_bias", False), getattr(config, "mlp_bias", False)
    window = getattr(config, "sliding_window", None) or 0
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    shared = {
        "family": config.model_type,
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_width": width,
        "hidden": config.intermediate_size,
        "vocabulary": config.vocab_size,
        "positions": longest_text(config.rope_parameters, config.max_position_embeddings),
        "activation": activation(getattr(config, "hidden_activation", None) or config.hidden_act),
        "norm": "pre",
        "norm_kind": "rms",
        "causal": True,
        "final_norm": True,
        "gated": True,
        "biases": ("qkv", "out") * attention + ("up", "down") * mlp,
        "windows": tuple({"full_attention": 0, "sliding_attention": window}[kind] for kind in kinds),
        "position": "rotary",
        "head": "tied" if config.tie_word_embeddings else "untied",
        "initializer_range": config.initializer_range,
        "padding_row": config.pad_token_id,
    }
    shared |= {"eps": config.rms_norm_eps} if "eps" not in choices else {}
    return Architecture(**shared | read_rotaries(config, width, partial=partial) | choices)


def read(config) -> Architecture:
    """Architecture of the families here."""
    match config.model_type:
        case "qwen2":
            return decoder(config, biases=("qkv",))
        case "qwen3":
            return decoder(config, qk_norm="head")
        case "phi3":
            return decoder(config, partial=True)
        case "smollm3":
            arch = decoder(config)
            still = replace(arch.rotary[0], kind="none")
            which = tuple(int(not rotates) for rotates in config.no_rope_layers[: arch.layers])
            return replace(arch, rotary=(*arch.rotary, still), rotary_of=which)
    return decoder(config)


LAYER = "layers.{i}."
TABLE = {
    "embed/tokens": "embed_tokens",
    "blocks/attention_norm": f"{LAYER}input_layernorm",
    "blocks/qkv": tuple(f"{LAYER}self_attn.{part}_proj" for part in "qkv"),
    "blocks/q_norm": f"{LAYER}self_attn.q_norm",
    "blocks/k_norm": f"{LAYER}self_attn.k_norm",
    "blocks/out": f"{LAYER}self_attn.o_proj",
    "blocks/mlp_norm": f"{LAYER}post_attention_layernorm",
    "blocks/up": (f"{LAYER}mlp.gate_proj", f"{LAYER}mlp.up_proj"),
    "blocks/down": f"{LAYER}mlp.down_proj",
    "final_norm": "norm",
    "head/tokens": "lm_head",
}
UNDERSTOOD = """num_hidden_layers hidden_size num_attention_heads num_key_value_heads head_dim intermediate_size
    vocab_size max_position_embeddings hidden_act rms_norm_eps rope_parameters """
BY_LAYER = "sliding_window use_sliding_window max_window_layers layer_types "


def llama_like(understood: str = "", table: dict | None = None, read=read) -> Family:
    """A family whose tensors are named as Llama's; `understood` are further attributes, `table` are other rows."""
    return Family(
        read=read,
        table=TABLE | (table or {}),
        anchor="embed_tokens.weight",
        understood=UNDERSTOOD + understood,
        ignored="lm_head. score. qa_outputs. .rotary_emb.inv_freq",
        layer_names=("embed_tokens", "layers.{i}"),
        module="model.layers.{i}",
    )


FUSED = {"blocks/qkv": f"{LAYER}self_attn.qkv_proj", "blocks/up": f"{LAYER}mlp.gate_up_proj"}
FAMILIES = {
    "llama": llama_like("attention_bias mlp_bias max_sequence_length"),
    "mistral": llama_like("sliding_window"),
    "qwen2": llama_like(BY_LAYER),
    "qwen3": llama_like(BY_LAYER + "attention_bias"),
    "smollm3": llama_like(BY_LAYER + "attention_bias mlp_bias no_rope_layers no_rope_layer_interval"),
    "phi3": llama_like("sliding_window original_max_position_embeddings partial_rotary_factor", FUSED),
}
