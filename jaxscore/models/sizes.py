"""Whether the sizes in a configuration are possible at all, before anything is computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxscore.errors import ModelError
from jaxscore.models.architecture import Body

COUNTS = """num_hidden_layers n_layer n_layers num_layers num_hidden_groups num_attention_heads n_head n_heads num_heads
    num_key_value_heads num_kv_heads hidden_size n_embd d_model vocab_size""".split()
"""Attributes that count something of which a model has one at least."""
KEY_HEADS = ("num_key_value_heads", "num_kv_heads")
"""Attributes that count heads of keys and values, which share the attention heads among them evenly."""


def check_counts(file: Path, given: Mapping[str, Any]) -> None:
    """Refuse counts under 1, heads of keys that do not divide the heads, and more groups of layers than layers.

    Groups need not divide the layers: ALBERT gives layer i of L to group int(i / (L / groups)).

    Args:
        file: the configuration, for messages.
        given: its attributes.

    Raises:
        ModelError: names the attribute.
    """
    counts = {name: given[name] for name in COUNTS if isinstance(given.get(name), int)}
    for name, count in counts.items():
        if count < 1:
            raise ModelError(f"{file}: {name} is {count}, expected 1 or more", f"Correct {name} there.")
    heads = counts.get("num_attention_heads", 0)
    for name in KEY_HEADS:
        if heads % counts.get(name, 1):
            raise ModelError(
                f"{file}: {name} is {counts[name]}, which does not divide num_attention_heads, {heads}",
                f"Correct {name} or num_attention_heads there.",
            )
    groups, layers = counts.get("num_hidden_groups", 1), counts.get("num_hidden_layers", 1)
    if groups > layers:
        raise ModelError(
            f"{file}: num_hidden_groups is {groups}, but num_hidden_layers is {layers}: some group has no layer",
            "Correct num_hidden_groups or num_hidden_layers there.",
        )


def check_heads(file: Path, given: Mapping[str, Any], arch: Body) -> None:
    """Refuse heads that do not divide the width, unless their width is given; raises ModelError."""
    heads = getattr(arch, "heads", 1)
    given_width = any(given.get(name) for name in ("head_dim", "d_kv", "d_head"))
    if getattr(arch, "head_width", arch.width // heads) * heads != arch.width and not given_width:
        raise ModelError(
            f"{file}: {heads} heads do not divide the width {arch.width}",
            "Correct the number of heads there (n_head, num_attention_heads).",
        )
