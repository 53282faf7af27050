"""Rotations from transformers' `rope_parameters`."""

from __future__ import annotations

import math
from typing import Any

from jaxscore.errors import ModelError
from jaxscore.models.architecture import Rotary

IGNORED = {"rope_type", "type", "rope_theta"}


def read_rotary(
    parameters: dict[str, Any], head_width: int, positions: int, *, interleaved: bool = False, partial: bool = False
) -> Rotary:
    """Rotation of one kind of layer.

    Args:
        parameters: transformers' `rope_parameters`, of one layer type.
        head_width: features of a head.
        positions: the configuration's `max_position_embeddings`.
        interleaved: see `Rotary`.
        partial: whether the family heeds `partial_rotary_factor`, the share of a head that rotates.

    Raises:
        ModelError: for a kind, or a number of one, that is not understood.
    """
    given = {key: value for key, value in parameters.items() if key not in IGNORED and value is not None}
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    share = given.pop("partial_rotary_factor", 1.0) if partial or parameters.get("partial_rotary_factor") == 1 else 1.0
    original = given.pop("original_max_position_embeddings", None) or positions
    if kind == "dynamic":  # differs from "default" only for texts longer than the maximum, which are not read
        kind = "default"
        given.pop("factor", None)
    scaling = _numbers(kind, given, original, positions)
    if scaling is None or given:
        raise ModelError(
            f"The configuration has rope_parameters that are not understood: {kind}, {given}",
            "Known kinds: default, linear, dynamic, llama3, yarn, longrope. "
            "Scoring it anyway would be scoring a different model.",
        )
    theta = float(parameters.get("rope_theta", 10000.0))
    return Rotary(int(head_width * share), theta, interleaved, kind, tuple(sorted(scaling.items())))


def _numbers(kind: str, given: dict[str, Any], original: int, positions: int) -> dict[str, Any] | None:
    """The numbers of a kind, taken out of `given`; None for an unknown kind."""
    match kind:
        case "default":
            return {}
        case "linear":
            return {"factor": float(given.pop("factor"))}
        case "llama3":
            return {
                "factor": float(given.pop("factor")),
                "low": float(given.pop("low_freq_factor")),
                "high": float(given.pop("high_freq_factor")),
                "original": original,
            }
        case "yarn":
            return _yarn(given, original, positions)
        case "longrope":
            given.pop("long_factor", None)  # for texts beyond the original maximum, which are not read
            factor = float(given.pop("factor", positions / original))
            gain = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
            return {
                "short_factor": tuple(map(float, given.pop("short_factor"))),
                "attention_factor": float(given.pop("attention_factor", gain)),
            }
    return None


def _yarn(given: dict[str, Any], original: int, positions: int) -> dict[str, Any]:
    factor = float(given.pop("factor", positions / original))

    def gain(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    over, under = given.pop("mscale", None), given.pop("mscale_all_dim", None)
    default = gain(over) / gain(under) if over and under else gain(1.0)
    return {
        "factor": factor,
        "original": original,
        "fast": float(given.pop("beta_fast", 32.0)),
        "slow": float(given.pop("beta_slow", 1.0)),
        "truncate": bool(given.pop("truncate", True)),
        "attention_factor": float(given.pop("attention_factor", default)),
    }


def read_rotaries(config: Any, head_width: int, **options: bool) -> dict[str, Any]:
    """The architecture's `rotary` and `rotary_of`, of a configuration whose layer types may rotate differently."""
    rope, positions = config.rope_parameters, config.max_position_embeddings
    kinds = sorted(set(getattr(config, "layer_types", None) or ()) & rope.keys())
    if not kinds:
        return {"rotary": (read_rotary(rope, head_width, positions, **options),)}
    rotary = tuple(read_rotary(rope[kind], head_width, positions, **options) for kind in kinds)
    return {"rotary": rotary, "rotary_of": tuple(map(kinds.index, config.layer_types))}


def longest_text(parameters: dict[str, Any], positions: int) -> int:
    """Longest text that is read: with longrope the original maximum, beyond which every frequency would change."""
    nested = [longest_text(value, positions) for value in parameters.values() if isinstance(value, dict)]
    if parameters.get("rope_type") == "longrope":
        return parameters.get("original_max_position_embeddings") or positions
    return min(nested, default=positions)
