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
GROUPS = {"num_key_value_heads": "num_attention_heads", "num_kv_heads": "num_attention_heads",
          "num_hidden_groups": "num_hidden_layers"}  # fmt: skip
"""Attributes that count groups of what another attribute counts."""


def check_counts(file: Path, given: Mapping[str, Any]) -> None:
    """Refuse counts under 1, and groups that do not divide what they group.

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
    for name, whole in GROUPS.items():
        if name in counts and whole in counts and counts[whole] % counts[name]:
            raise ModelError(
                f"{file}: {name} is {counts[name]}, which does not divide {whole}, {counts[whole]}",
                f"Correct {name} or {whole} there.",
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
