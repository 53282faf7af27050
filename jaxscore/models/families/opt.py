"""OPT: pre-norm, causal, learned positions of which two rows come before the first token's.

The 350m is post-norm without a final norm; its embeddings are projected into the blocks and out of them again. A norm
that elementwise_affine turns off has no parameters. Texts are unpadded, so that positions count from the first token.
"""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation


def read(config) -> Architecture:
    """Architecture of an `OPTConfig`."""
    before = config.do_layer_norm_before
    return Architecture(
        family="opt",
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        hidden=config.ffn_dim,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        position_offset=2,
        activation=activation(config.activation_function),
        eps=1e-5,
        norm="pre" if before else "post",
        norm_kind="layer" if config.layer_norm_elementwise_affine else "layer-plain",
        causal=True,
        final_norm=before and not config._remove_final_layer_norm,
        biases=("qkv", "out", "up", "down") if config.enable_bias else (),
        embedding_width=config.word_embed_proj_dim,
        project_first=True,
        project_bias=False,
        project_last=config.word_embed_proj_dim != config.hidden_size,
        head="tied" if config.tie_word_embeddings else "untied",
        initializer_range=config.init_std,
        padding_row=config.pad_token_id,
    )


LAYER = "decoder.layers.{i}."
TABLE = {
    "embed/tokens": "decoder.embed_tokens",
    "embed/positions": "decoder.embed_positions.weight",
    "embed/project": "decoder.project_in",
    "blocks/attention_norm": f"{LAYER}self_attn_layer_norm",
    "blocks/qkv": tuple(f"{LAYER}self_attn.{part}_proj" for part in "qkv"),
    "blocks/out": f"{LAYER}self_attn.out_proj",
    "blocks/mlp_norm": f"{LAYER}final_layer_norm",
    "blocks/up": f"{LAYER}fc1",
    "blocks/down": f"{LAYER}fc2",
    "final_norm": "decoder.final_layer_norm",
    "project_last": "decoder.project_out",
    "head/tokens": "lm_head",
}
UNDERSTOOD = """num_hidden_layers hidden_size num_attention_heads ffn_dim vocab_size max_position_embeddings
    activation_function do_layer_norm_before _remove_final_layer_norm word_embed_proj_dim enable_bias
    layer_norm_elementwise_affine init_std learned_embeddings scale_embeddings"""
FAMILIES = {
    "opt": Family(
        read=read,
        table=TABLE,
        anchor="decoder.embed_tokens.weight",
        understood=UNDERSTOOD,
        ignored="lm_head. score. qa_outputs. decoder.version",
        layer_names=("embed_tokens", "layers.{i}"),
        module="model.decoder.layers.{i}",
    )
}
