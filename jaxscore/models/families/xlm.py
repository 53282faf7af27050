"""XLM: BERT's block with learned (or stored sinusoidal) positions; the CLM models are causal.

Language embeddings are left out: transformers adds none without its argument `langs`, and texts come without one.
"""

from __future__ import annotations

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Family
from jaxscore.models.families._draws import position_table, token_table


def read(config) -> Architecture:
    """Architecture of an `XLMConfig`."""
    return Architecture(
        family="xlm",
        layers=config.n_layers,
        width=config.emb_dim,
        heads=config.n_heads,
        hidden=4 * config.emb_dim,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        activation="gelu" if config.gelu_activation else "relu",
        eps=config.layer_norm_eps,
        norm="post",
        causal=config.causal,
        embedding_norm=True,
        head="tied" if config.causal else None,
        head_bias=True,
        initializer_range=config.init_std,
        embedding_range=config.embed_init_std or config.init_std,
        sinusoid_start=config.sinusoidal_embeddings,
        padding_row=config.pad_token_id,
    )


TABLE = {
    "embed/tokens": "embeddings",
    "embed/positions": "position_embeddings.weight",
    "embed/norm": "layer_norm_emb",
    "blocks/qkv": tuple(f"attentions.{{i}}.{part}_lin" for part in "qkv"),
    "blocks/out": "attentions.{i}.out_lin",
    "blocks/attention_norm": "layer_norm1.{i}",
    "blocks/up": "ffns.{i}.lin1",
    "blocks/down": "ffns.{i}.lin2",
    "blocks/mlp_norm": "layer_norm2.{i}",
    "head/bias": "pred_layer.proj.bias",
}
UNDERSTOOD = """n_layers emb_dim n_heads vocab_size n_words max_position_embeddings gelu_activation layer_norm_eps
    causal sinusoidal_embeddings init_std embed_init_std n_langs use_lang_emb lang_id id2lang lang2id unk_index
    mask_index mask_token_id bos_index eos_index pad_index start_n_top end_n_top max_vocab min_count same_enc_dec
    share_inout_emb"""
FAMILIES = {
    "xlm": Family(
        read=read,
        table=TABLE,
        anchor="embeddings.weight",
        understood=UNDERSTOOD,
        ignored="lang_embeddings. pred_layer. sequence_summary. qa_outputs. classifier. logits_proj. .position_ids",
        layer_names=("dropout", "encoder.layer_norm2.{i}"),
        module="transformer.layer_norm2.{i}",
        initial={"embed/tokens": token_table, "embed/positions": position_table},
    )
}
