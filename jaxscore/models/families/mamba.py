"""Mamba: hidden states are what leaves each block, then the normed last one; the embedding is not among them."""

from __future__ import annotations

from jaxscore.models.architecture import Body
from jaxscore.models.families import Family, Take, activation
from jaxscore.models.families._time_draws import MAMBA


def read(config) -> Body:
    """Body of a `MambaConfig`; nothing bounds a text but what it was trained on."""
    from jaxscore.models.bodies.mamba import Mamba

    return Mamba(
        family="mamba",
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        positions=2048,
        eps=config.layer_norm_epsilon,
        head="tied" if config.tie_word_embeddings else "untied",
        initializer_range=config.initializer_range,
        inner=config.intermediate_size,
        state=config.state_size,
        rank=config.time_step_rank,
        kernel=config.conv_kernel,
        activation=activation(config.hidden_act),
        conv_bias=config.use_conv_bias,
        bias=config.use_bias,
        step_range=(config.time_step_min, config.time_step_max, config.time_step_floor),
        step_scale=config.time_step_scale,
        step_random=config.time_step_init_scheme == "random",
        rescaled=config.rescale_prenorm_residual,
    )


LAYER = "layers.{i}."
MIXER = f"{LAYER}mixer."
TABLE = {
    "embed/tokens": "embeddings",
    "blocks/norm": f"{LAYER}norm",
    "blocks/in": f"{MIXER}in_proj",
    "blocks/conv/taps": Take(f"{MIXER}conv1d.weight", lambda arch, tensor: tensor[:, 0].T),
    "blocks/conv/bias": f"{MIXER}conv1d.bias",
    "blocks/select": f"{MIXER}x_proj",
    "blocks/step": f"{MIXER}dt_proj",
    "blocks/log_decay": Take(f"{MIXER}A_log", lambda arch, tensor: tensor.T),
    "blocks/skip": f"{MIXER}D",
    "blocks/out": f"{MIXER}out_proj",
    "final_norm": "norm_f",
    "head/tokens": "lm_head",
}
FAMILIES = {
    "mamba": Family(
        read=read,
        table=TABLE,
        anchor="layers.0.mixer.A_log",
        understood="""num_hidden_layers hidden_size vocab_size layer_norm_epsilon intermediate_size expand state_size
            time_step_rank conv_kernel hidden_act use_conv_bias use_bias residual_in_fp32 use_mambapy
            use_associative_scan time_step_min time_step_max time_step_floor time_step_scale time_step_init_scheme
            rescale_prenorm_residual d_model d_inner n_layer ssm_cfg rms_norm fused_add_norm pad_vocab_size_multiple""",
        ignored="lm_head.",
        layer_names=("layers.{i}", "norm_f"),
        module="backbone.layers.{i}",
        keeps_input=False,
        renamed={"embedding.weight": "embeddings.weight"},
        initial=MAMBA,
    )
}
