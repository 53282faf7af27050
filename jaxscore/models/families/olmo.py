"""OLMo 1 (norms without weights, clipped queries, keys and values), OLMo 2 and 3 (norms behind attention and MLP)."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families.llama import LAYER, decoder, llama_like


def read(config) -> Architecture:
    """Architecture of an `OlmoConfig`, whose norms have a fixed eps, an `Olmo2Config` or an `Olmo3Config`."""
    if config.model_type == "olmo":
        return decoder(config, norm_kind="layer-plain", eps=1e-5, clip=config.clip_qkv or 0.0)
    return decoder(config, norm="inner", qk_norm="full")


INNER = {
    "blocks/attention_norm": f"{LAYER}post_attention_layernorm",
    "blocks/mlp_norm": f"{LAYER}post_feedforward_layernorm",
}
FAMILIES = {
    "olmo": llama_like("attention_bias clip_qkv", read=read),
    "olmo2": llama_like("attention_bias", INNER, read),
    "olmo3": llama_like("attention_bias sliding_window layer_types", INNER, read),
}
