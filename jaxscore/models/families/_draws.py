"""Ways to draw fresh parameters other than N(0, initializer_range)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from jaxscore.models.architecture import Architecture
from jaxscore.models.families import Draw


def normal(std: Callable[[Architecture], float | np.ndarray]) -> Draw:
    """N(0, std), where the standard deviation follows from the architecture: one number, or one for each output."""
    return lambda rng, arch, shape: rng.standard_normal(shape, np.float32) * std(arch)


def truncated(std: Callable[[Architecture], float]) -> Draw:
    """N(0, std), drawn again beyond two standard deviations."""

    def draw(rng: np.random.Generator, arch: Architecture, shape: tuple[int, ...]) -> np.ndarray:
        return ndtri(rng.uniform(ndtr(-2), ndtr(2), shape)) * std(arch)

    return draw


def token_table(rng: np.random.Generator, arch: Architecture, shape: tuple[int, ...]) -> np.ndarray:
    """N(0, embedding_range), zero in the padding token's row."""
    table = rng.standard_normal(shape, np.float32) * arch.embedding_range
    if arch.padding_row is not None:
        table[arch.padding_row] = 0.0
    return table


def position_table(rng: np.random.Generator, arch: Architecture, shape: tuple[int, ...]) -> np.ndarray:
    """N(0, embedding_range); or sines and cosines in turn, of position * 10000 ** (-2 (column // 2) / width)."""
    if not arch.sinusoid_start:
        return rng.standard_normal(shape, np.float32) * arch.embedding_range
    position, column = np.ogrid[: shape[0], : shape[1]]
    angles = position * 10000.0 ** (-2 * (column // 2) / shape[1])
    return np.where(column % 2, np.cos(angles), np.sin(angles))
