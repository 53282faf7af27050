"""XLNet: projections are stored (width, head, feature), with the output's width first in that of the output too."""

from __future__ import annotations

import numpy as np

from jaxscore.models.architecture import Body
from jaxscore.models.families import Family, Take, activation


def read(config) -> Body:
    """Body of an `XLNetConfig`; relative positions have no end."""
    from jaxscore.models.bodies.xlnet import XLNet

    return XLNet(
        family="xlnet",
        layers=config.n_layer,
        width=config.d_model,
        vocabulary=config.vocab_size,
        positions=2048,
        eps=config.layer_norm_eps,
        causal=config.attn_type == "uni",
        initializer_range=config.initializer_range,
        heads=config.n_head,
        hidden=config.d_inner,
        activation=activation(config.ff_activation),
        clamp=max(config.clamp_len, 0),
    )


def _joined(arch, tensor: np.ndarray) -> np.ndarray:
    """[feature, head, width], as it comes transposed, -> [width, head x feature]."""
    return tensor.T.reshape(arch.width, -1)


LAYER = "layer.{i}."
ATTENTION = f"{LAYER}rel_attn."
TABLE = {
    "embed/tokens": "word_embedding",
    "blocks/attention/heads/kernel": Take(tuple(f"{ATTENTION}{part}" for part in "qkv"), _joined),
    "blocks/attention/distance/kernel": Take(f"{ATTENTION}r", _joined),
    "blocks/attention/content_bias": f"{ATTENTION}r_w_bias",
    "blocks/attention/position_bias": f"{ATTENTION}r_r_bias",
    "blocks/attention/out/kernel": Take(f"{ATTENTION}o", lambda arch, tensor: _joined(arch, tensor).T),
    "blocks/attention_norm": f"{ATTENTION}layer_norm",
    "blocks/up": f"{LAYER}ff.layer_1",
    "blocks/down": f"{LAYER}ff.layer_2",
    "blocks/mlp_norm": f"{LAYER}ff.layer_norm",
}
FAMILIES = {
    "xlnet": Family(
        read=read,
        table=TABLE,
        anchor="word_embedding.weight",
        understood="""n_layer d_model n_head d_head d_inner vocab_size ff_activation attn_type layer_norm_eps clamp_len
            mem_len reuse_len use_mems_eval use_mems_train start_n_top end_n_top""",
        ignored="mask_emb .rel_attn.r_s_bias .rel_attn.seg_embed lm_loss. sequence_summary. logits_proj. classifier. "
        "qa_outputs. start_logits. end_logits. answer_class.",
        layer_names=("drop", "encoder.layer.{i}"),
        module="transformer.layer.{i}",
    )
}
