"""Gemma 1, 2 and 3 (text): scaled embeddings, norms whose scales are stored as differences from 1.

Gemma 2 and 3 norm the outputs of attention and MLP as well, and many of their layers see a window only; Gemma 2 caps
its logits, Gemma 3 norms queries and keys and rotates the two kinds of layers differently.
"""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families.llama import LAYER, decoder, llama_like


def read(config) -> Architecture:
    """Architecture of a `GemmaConfig`, a `Gemma2Config` or a `Gemma3TextConfig`."""
    choices = {"norm_kind": "rms-plus-one", "embedding_scale": config.hidden_size**0.5}
    if config.model_type == "gemma":
        return decoder(config, **choices)
    choices |= {"norm": "sandwich", "attention_scale": config.query_pre_attn_scalar**-0.5}
    choices |= {"head_softcap": config.final_logit_softcapping or 0.0}
    if config.model_type == "gemma2":
        return decoder(config, **choices, softcap=config.attn_logit_softcapping or 0.0)
    return decoder(config, **choices, qk_norm="head")


SANDWICH = {
    "blocks/attention_norm_after": f"{LAYER}post_attention_layernorm",
    "blocks/mlp_norm": f"{LAYER}pre_feedforward_layernorm",
    "blocks/mlp_norm_after": f"{LAYER}post_feedforward_layernorm",
}
UNDERSTOOD = """attention_bias hidden_activation query_pre_attn_scalar sliding_window layer_types cache_implementation
    final_logit_softcapping """
FAMILIES = {
    "gemma": llama_like("attention_bias hidden_activation", read=read),
    "gemma2": llama_like(UNDERSTOOD + "attn_logit_softcapping sliding_window_size", SANDWICH, read),
    "gemma3_text": llama_like(UNDERSTOOD + "sliding_window_pattern _sliding_window_pattern", SANDWICH, read),
}
