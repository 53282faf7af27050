"""Candidates of banded ridge: weights of the feature spaces, each with an alpha."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import numpy as np
from jaxtyping import Float64, Int

_LOCK = Lock()


class Candidates(Protocol):
    """Weights g of the feature spaces and alphas, by number."""

    def __getitem__(self, candidate: int) -> tuple[Float64[np.ndarray, " space"], float]:
        """Weights and alpha of a candidate."""

    def described(
        self, chosen: Int[np.ndarray, "*any"]
    ) -> tuple[Float64[np.ndarray, "*any"], Float64[np.ndarray, "*any space"]]:
        """Alphas and weights of candidates."""


@dataclass(frozen=True)
class Grid:
    """Every combination of weights and alphas, the alphas running fastest.

    Attributes:
        weights: of the feature spaces.
        alphas: of each weights.
    """

    weights: Float64[np.ndarray, "weights space"]
    alphas: tuple[float, ...]

    def __getitem__(self, candidate: int) -> tuple[Float64[np.ndarray, " space"], float]:
        """See Candidates."""
        k, a = divmod(int(candidate), len(self.alphas))
        return self.weights[k], self.alphas[a]

    def described(
        self, chosen: Int[np.ndarray, "*any"]
    ) -> tuple[Float64[np.ndarray, "*any"], Float64[np.ndarray, "*any space"]]:
        """See Candidates."""
        first, second = np.divmod(chosen, len(self.alphas))
        return np.asarray(self.alphas)[second], self.weights[first]


@dataclass(frozen=True)
class Found:
    """What descents have found, over all training sets that a solver has been given; weights sum to 1.

    Attributes:
        deltas: log(g_b / alpha) of each candidate.
    """

    deltas: list[Float64[np.ndarray, " space"]] = field(default_factory=list)

    def add(self, deltas: Float64[np.ndarray, "candidate space"]) -> int:
        """Append candidates; returns the number of the first."""
        with _LOCK:  # training sets descend in threads
            self.deltas.extend(deltas)
            return len(self.deltas) - len(deltas)

    def __getitem__(self, candidate: int) -> tuple[Float64[np.ndarray, " space"], float]:
        """See Candidates."""
        alpha, weights = self.described(np.asarray(candidate))
        return weights, float(alpha)

    def described(
        self, chosen: Int[np.ndarray, "*any"]
    ) -> tuple[Float64[np.ndarray, "*any"], Float64[np.ndarray, "*any space"]]:
        """See Candidates."""
        numbers, inverse = np.unique(chosen, return_inverse=True)
        ratios = np.exp(np.stack([self.deltas[k] for k in numbers]))[inverse.reshape(chosen.shape)]
        alphas = 1.0 / ratios.sum(-1)
        return alphas, ratios * alphas[..., None]
