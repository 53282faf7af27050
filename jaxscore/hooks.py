"""A person's own functions: on the stimuli before they are read, and on the activations of each layer."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jaxscore.errors import DataError, JaxscoreError

Array = Float[np.ndarray, "stimulus feature"]


@dataclass(frozen=True)
class Hooks:
    """Functions that `jaxscore.score` calls.

    Attributes:
        on_stimuli: from the texts of all stimuli to those that are read in their place, as many.
        on_activations: from a layer's name and its activations to features, one row for each stimulus.
    """

    on_stimuli: Callable[[list[str]], list[str]] | None = None
    on_activations: Callable[[str, Array], Array] | None = None

    def stimuli(self, texts: list[str]) -> list[str]:
        """The texts that are read.

        Raises:
            DataError: if the function gives another number of texts, or something else.
        """
        if self.on_stimuli is None:
            return texts
        changed = list(self.on_stimuli(list(texts)))
        if len(changed) != len(texts) or not all(isinstance(text, str) for text in changed):
            raise DataError(
                f"on_stimuli gave {len(changed)} values for {len(texts)} stimuli, or values that are no texts",
                "Return one text for each stimulus, in their order.",
            )
        return changed

    def activations(self, names: Sequence[str], states: Sequence[Array]) -> list[Array]:
        """The features of each layer.

        Raises:
            DataError: if the function gives anything but a finite matrix with one row for each stimulus.
        """
        if self.on_activations is None:
            return list(states)
        changed = []
        for name, layer in zip(names, states, strict=True):
            features = np.asarray(self.on_activations(name, layer.copy()), np.float32)
            if features.ndim != 2 or len(features) != len(layer) or not np.isfinite(features).all():
                raise DataError(
                    f"on_activations gave an array {features.shape} for layer {name} {layer.shape}, or NaN",
                    "Return finite features [stimulus, feature], one row for each stimulus, in their order.",
                )
            changed.append(features)
        return changed

    def about(self) -> dict[str, str]:
        """Name of each function and sha256 of its source text: part of what names a result.

        Raises:
            JaxscoreError: if a function has no source text, as one typed into a prompt.
        """
        return {
            name: f"{function.__qualname__} {_sha256(function)}"
            for name, function in vars(self).items()
            if function is not None
        }


def _sha256(function: Callable) -> str:
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (OSError, TypeError):
        raise JaxscoreError(
            f"{function!r} has no source text, so that its result could not be told from another's",
            "Write it with def in a file.",
        ) from None
