"""RWKV 4: hidden states are what leaves each block, then the normed last one; the embedding is not among them."""

from __future__ import annotations

from jaxscore.models.architecture import Body
from jaxscore.models.families import Family, Take
from jaxscore.models.families._time_draws import RWKV


def read(config) -> Body:
    """Body of an `RwkvConfig`."""
    from jaxscore.models.bodies.rwkv import Rwkv

    return Rwkv(
        family="rwkv",
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        positions=config.context_length,
        eps=config.layer_norm_epsilon,
        head="tied" if config.tie_word_embeddings else "untied",
        inner=config.attention_hidden_size,
        hidden=config.intermediate_size,
        rescale_every=config.rescale_every,
    )


def _flat(name: str) -> Take:
    return Take(name, lambda arch, tensor: tensor.reshape(-1))


LAYER = "blocks.{i}."
MIXING = {"attention": ("attention", ("key", "value", "receptance")), "mlp": ("feed_forward", ("key", "receptance"))}
TABLE = {
    "embed/tokens": "embeddings",
    "embed/norm": "blocks.0.pre_ln",
    "blocks/attention_norm": f"{LAYER}ln1",
    "blocks/mlp_norm": f"{LAYER}ln2",
    "final_norm": "ln_out",
    "head/tokens": "head",
}
for _part, (_module, _mixed) in MIXING.items():
    TABLE |= {f"blocks/{_part}/{name}": f"{LAYER}{_module}.{name}" for name in (*_mixed, "output", "value")}
    TABLE |= {f"blocks/{_part}/time_mix_{name}": _flat(f"{LAYER}{_module}.time_mix_{name}") for name in _mixed}
TABLE |= {f"blocks/attention/time_{name}": f"{LAYER}attention.time_{name}" for name in ("decay", "first")}

FAMILIES = {
    "rwkv": Family(
        read=read,
        table=TABLE,
        anchor="blocks.0.attention.time_decay",
        understood="""num_hidden_layers hidden_size vocab_size context_length layer_norm_epsilon attention_hidden_size
            intermediate_size rescale_every""",
        ignored="head.",
        layer_names=("blocks.{i}", "ln_out"),
        module="rwkv.blocks.{i}",
        keeps_input=False,
        initial=RWKV,
    )
}
