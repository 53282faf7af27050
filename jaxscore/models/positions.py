"""How positions enter attention: rotations, slopes, relative buckets; and the table of sines."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxscore.models.architecture import Rotary


def sinusoids(positions: Int[Array, " token"], width: int) -> Float[Array, "token feature"]:
    """CTRL's table: sines of all frequencies, then cosines (not interleaved); frequency i is 10000 ** (-2i / width)."""
    rates = np.power(10000.0, -2.0 * np.arange(width // 2, dtype=np.float32) / width).astype(np.float32)
    angles = positions[:, None].astype(jnp.float32) * rates
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def frequencies(rotary: Rotary) -> tuple[Float[np.ndarray, " pair"], float]:
    """Angle per position of each rotated pair, and the factor on sines and cosines (1 except for yarn and longrope)."""
    exponents = np.arange(0, rotary.width, 2, dtype=np.float32) / np.float32(rotary.width)
    rates = (1.0 / np.power(np.float32(rotary.theta), exponents)).astype(np.float32)
    given = dict(rotary.scaling)
    match rotary.kind:
        case "default":
            return rates, 1.0
        case "none":
            return 0 * rates, 1.0
        case "linear":
            return rates / np.float32(given["factor"]), 1.0
        case "llama3":
            return _llama3(rates, given), 1.0
        case "yarn":
            return _yarn(rates, rotary, given), given["attention_factor"]
        case "longrope":
            return rates / np.asarray(given["short_factor"], np.float32), given["attention_factor"]
    raise ValueError(rotary.kind)


def _llama3(rates: Float[np.ndarray, " pair"], given: dict) -> Float[np.ndarray, " pair"]:
    """Long waves are slowed by `factor`, short ones not, those between in proportion."""
    turns = given["original"] * rates / np.float32(2 * math.pi)
    share = np.clip((turns - given["low"]) / (given["high"] - given["low"]), 0.0, 1.0).astype(np.float32)
    return (1 - share) * rates / np.float32(given["factor"]) + share * rates


def _yarn(rates: Float[np.ndarray, " pair"], rotary: Rotary, given: dict) -> Float[np.ndarray, " pair"]:
    """Pairs that turn more than `fast` times over the original length keep their rate, slow ones are interpolated."""

    def pair(turns: float) -> float:
        return rotary.width * math.log(given["original"] / (turns * 2 * math.pi)) / (2 * math.log(rotary.theta))

    first, last = pair(given["fast"]), pair(given["slow"])
    if given["truncate"]:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rotary.width - 1)
    ramp = (np.arange(len(rates), dtype=np.float32) - first) / (last - first or 0.001)
    slowed = np.clip(ramp, 0, 1).astype(np.float32)
    return rates / np.float32(given["factor"]) * slowed + rates * (1 - slowed)


def rotations(rotary: Rotary, length: int) -> Float[np.ndarray, "two place pair"]:
    """Cosines and sines of every place of a text."""
    rates, gain = frequencies(rotary)
    angles = np.arange(length, dtype=np.float32)[:, None] * rates
    return (np.stack([np.cos(angles), np.sin(angles)]) * np.float32(gain)).astype(np.float32)


def rotate(
    x: Float[Array, "text place head feature"], turns: Float[Array, "two place pair"], interleaved: bool
) -> Float[Array, "text place head feature"]:
    """Rotate the leading features of every head by the angles of its place."""
    pairs = turns.shape[-1]
    cos, sin = turns[:, :, None, :]
    x, rest = x[..., : 2 * pairs].astype(jnp.float32), x[..., 2 * pairs :]
    a, b = (x[..., ::2], x[..., 1::2]) if interleaved else (x[..., :pairs], x[..., pairs:])
    a, b = a * cos - b * sin, b * cos + a * sin
    turned = jnp.stack([a, b], -1).reshape(x.shape) if interleaved else jnp.concatenate([a, b], -1)
    return jnp.concatenate([turned.astype(rest.dtype), rest], -1)


def bucket(distances: Int[np.ndarray, "*any"], number: int, largest: int) -> Int[np.ndarray, "*any"]:
    """T5's bucket of each distance (key minus query) of an encoder: half for either side, exact, then logarithmic."""
    half = number // 2
    exact = half // 2
    size = np.abs(distances)
    scale = np.float32(math.log(largest / exact))
    far = exact + (np.log(np.maximum(size, 1).astype(np.float32) / exact) / scale * (half - exact)).astype(np.int32)
    return (distances > 0) * half + np.where(size < exact, size, np.minimum(far, half - 1))
