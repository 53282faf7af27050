"""ModernBERT: pre-norm, bidirectional, gated MLP; layers with windows rotate by another table than those without."""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family, activation
from jaxscore.models.families._draws import truncated
from jaxscore.models.families._rotary import read_rotary


def read(config) -> Architecture:
    """Architecture of a `ModernBertConfig`; a window reaches as far to the left as to the right."""
    slides = [kind == "sliding_attention" for kind in config.layer_types]
    head_width = config.hidden_size // config.num_attention_heads
    return Architecture(
        family="modernbert",
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        hidden=config.intermediate_size,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        activation=activation(config.hidden_activation),
        eps=config.norm_eps,
        norm="pre",
        norm_kind="layer" if config.norm_bias else "layer-scale",
        causal=False,
        final_norm=True,
        first_unnormed=True,
        biases=("qkv", "out") * config.attention_bias + ("up", "down") * config.mlp_bias,
        gated=True,
        windows=tuple((config.local_attention // 2 + 1) * slide for slide in slides),
        position="rotary",
        rotary=tuple(
            read_rotary(config.rope_parameters[kind], head_width, config.max_position_embeddings)
            for kind in ("full_attention", "sliding_attention")
        ),
        rotary_of=tuple(map(int, slides)),
        embedding_norm=True,
        initializer_range=config.initializer_range,
        residual_scale=(2 * config.num_hidden_layers) ** -0.5,
    )


TABLE = {
    "embed/tokens": "embeddings.tok_embeddings",
    "embed/norm": "embeddings.norm",
    "blocks/attention_norm": "layers.{i}.attn_norm",
    "blocks/qkv": "layers.{i}.attn.Wqkv",
    "blocks/out": "layers.{i}.attn.Wo",
    "blocks/mlp_norm": "layers.{i}.mlp_norm",
    "blocks/up": "layers.{i}.mlp.Wi",
    "blocks/down": "layers.{i}.mlp.Wo",
    "final_norm": "final_norm",
}
PLAIN = truncated(lambda arch: arch.initializer_range)
RESIDUAL = truncated(lambda arch: arch.initializer_range * arch.residual_scale)
FAMILIES = {
    "modernbert": Family(
        read=read,
        table=TABLE,
        anchor="embeddings.tok_embeddings.weight",
        understood="""num_hidden_layers hidden_size num_attention_heads intermediate_size vocab_size norm_eps norm_bias
            max_position_embeddings hidden_activation attention_bias mlp_bias layer_types local_attention layer_norm_eps
            rope_parameters global_attn_every_n_layers global_rope_theta local_rope_theta mlp_dropout decoder_bias
            classifier_pooling classifier_bias classifier_activation deterministic_flash_attn sparse_prediction
            sparse_pred_ignore_index reference_compile repad_logits_with_grad""",
        ignored="head. decoder. classifier.",
        absent="layers.0.attn_norm.weight layers.0.attn_norm.bias",
        layer_names=("embeddings", "layers.{i}"),
        module="model.layers.{i}",
        initial={"embed/tokens": PLAIN, "blocks/qkv/kernel": PLAIN, "blocks/up/kernel": PLAIN}
        | {"blocks/out/kernel": RESIDUAL, "blocks/down/kernel": RESIDUAL},
    )
}
