"""Transformer-XL, which transformers 5 no longer has: its configuration is read with the defaults of transformers 4."""

from __future__ import annotations

import numpy as np

from jaxscore.errors import ModelError
from jaxscore.models.architecture import Body
from jaxscore.models.families import Family

MOST_CLUSTERS = 16


def read(config) -> Body:
    """Body of a `TransfoXLConfig`; relative positions have no end.

    Raises:
        ModelError: for same_length without a memory, where transformers 4 masks every key of every token.
    """
    from jaxscore.models.bodies.transfo_xl import TransfoXL

    if config.same_length and not config.mem_len:
        raise ModelError(
            "The configuration has same_length = True and mem_len = 0, with which no token sees any",
            "Correct one of them there; the published checkpoint has mem_len = 1600.",
        )
    if config.div_val == 1:
        clusters = ((0, config.vocab_size, config.d_embed),)
    else:
        ends = [0, *config.cutoffs, config.vocab_size]
        widths = [config.d_embed // config.div_val**i for i in range(len(ends) - 1)]
        clusters = tuple(zip(ends[:-1], ends[1:], widths, strict=True))
    return TransfoXL(
        family="transfo-xl",
        layers=config.n_layer,
        width=config.d_model,
        vocabulary=config.vocab_size,
        positions=2048,
        eps=config.layer_norm_epsilon,
        initializer_range=config.init_std,
        heads=config.n_head,
        head_width=config.d_head,
        hidden=config.d_inner,
        clusters=clusters,
        projected=config.div_val != 1 or config.d_embed != config.d_model,
        memory=config.mem_len,
        window=config.mem_len if config.same_length else 0,
        clamp=max(config.clamp_len, 0),
        projection_range=config.proj_init_std,
    )


def _norm(rng: np.random.Generator, arch, shape: tuple[int, ...]) -> np.ndarray:
    return 1 + rng.standard_normal(shape) * arch.initializer_range


def _projection(rng: np.random.Generator, arch, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape) * arch.projection_range


ATTENTION, MLP = "layers.{i}.dec_attn.", "layers.{i}.pos_ff."
TABLE = {
    "blocks/attention/heads": f"{ATTENTION}qkv_net",
    "blocks/attention/distance": f"{ATTENTION}r_net",
    "blocks/attention/content_bias": f"{ATTENTION}r_w_bias",
    "blocks/attention/position_bias": f"{ATTENTION}r_r_bias",
    "blocks/attention/out": f"{ATTENTION}o_net",
    "blocks/attention_norm": f"{ATTENTION}layer_norm",
    "blocks/up": f"{MLP}CoreNet.0",
    "blocks/down": f"{MLP}CoreNet.3",
    "blocks/mlp_norm": f"{MLP}layer_norm",
}
for _i in range(MOST_CLUSTERS):
    TABLE |= {f"embed/{_i}/tokens": f"word_emb.emb_layers.{_i}", f"embed/{_i}/kernel": f"word_emb.emb_projs.{_i}"}

PUBLISHED = {
    "vocab_size": 267735, "cutoffs": [20000, 40000, 200000], "d_model": 1024, "d_embed": 1024, "n_head": 16,
    "d_head": 64, "d_inner": 4096, "div_val": 4, "pre_lnorm": False, "n_layer": 18, "mem_len": 1600, "clamp_len": 1000,
    "same_length": True, "proj_share_all_but_first": True, "attn_type": 0, "sample_softmax": -1, "adaptive": True,
    "dropatt": 0.0, "untie_r": True, "init": "normal", "init_range": 0.01, "proj_init_std": 0.01, "init_std": 0.02,
    "layer_norm_epsilon": 1e-5,
}  # fmt: skip
FAMILIES = {
    "transfo-xl": Family(
        read=read,
        table=TABLE,
        anchor="word_emb.emb_layers.0.weight",
        understood="""vocab_size cutoffs d_model d_embed n_head d_head d_inner div_val n_layer mem_len clamp_len
            same_length layer_norm_epsilon init_std proj_init_std init_range dropatt proj_share_all_but_first tie_projs
            sample_softmax tgt_len ext_len tie_weight""",
        ignored="crit. pos_emb.inv_freq",
        layer_names=("drop", "encoder.layers.{i}"),
        module="transformer.layers.{i}",
        published=PUBLISHED,
        initial={
            "blocks/attention_norm/scale": _norm,
            "blocks/mlp_norm/scale": _norm,
            **{f"embed/{i}/kernel": _projection for i in range(MOST_CLUSTERS)},
        },
    )
}
