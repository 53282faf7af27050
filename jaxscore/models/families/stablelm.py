"""StableLM and StarCoder 2: Llama's layout with LayerNorm; StableLM rotates a part of every head."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families.llama import LAYER, decoder, llama_like


def read(config) -> Architecture:
    """Architecture of a `StableLmConfig` or a `Starcoder2Config`."""
    if config.model_type == "stablelm":
        return decoder(
            config,
            partial=True,
            norm="parallel" if config.use_parallel_residual else "pre",
            norm_kind="layer",
            eps=config.layer_norm_eps,
            biases=("qkv",) * config.use_qkv_bias,
        )
    biases = ("qkv", "out", "up", "down") * config.use_bias
    return decoder(config, norm_kind="layer", eps=config.norm_epsilon, gated=False, biases=biases)


PLAIN = {"blocks/up": f"{LAYER}mlp.c_fc", "blocks/down": f"{LAYER}mlp.c_proj"}
FAMILIES = {
    "stablelm": llama_like("layer_norm_eps use_qkv_bias use_parallel_residual partial_rotary_factor", read=read),
    "starcoder2": llama_like("norm_epsilon use_bias sliding_window residual_dropout", PLAIN, read),
}
