"""What a subject asks of a model for a text in parts, and what it gets: NumPy alone, whoever computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Digest:
    """What a model made of the parts of one text.

    Attributes:
        contexts: the text that was read up to and with each part.
        states: of each layer that was asked for, by the name it was asked by [part, neuroid], float32.
        surprisal: bits of each part [part]; None if it was not asked for.
        next_words: the likeliest continuation of the text up to and with each part; None if it was not asked for.
    """

    contexts: list[str]
    states: dict[str, np.ndarray] = field(default_factory=dict)
    surprisal: np.ndarray | None = None
    next_words: list[str] | None = None


class Reader(Protocol):
    """Whoever reads: a model in this process, or one in another environment.

    Attributes:
        name: of the model.
    """

    name: str

    def check(self, layers: Sequence[str]) -> None:
        """Raise JaxscoreError for layers that the model does not have; says which it has."""

    def digest(
        self, parts: Sequence[str], layers: Sequence[str], *, surprisal: bool = False, next_words: bool = False
    ) -> Digest:
        """Read one text in parts, each in the context of those before it; nothing is kept between calls."""
