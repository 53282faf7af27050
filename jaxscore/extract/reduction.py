"""Fewer features where layers are too wide: some of them, random projections, or principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Float32

from jaxscore.errors import DataError, JaxscoreError, did_you_mean

KINDS = ("random", "subsample", "pca")
EXAMPLES = "Type random:512 (Gaussian projection), subsample:512 (some features) or pca:100 (fitted in training)."


@dataclass(frozen=True)
class Reduction:
    """How layers are made narrower.

    Attributes:
        kind: "random" (Gaussian projection), "subsample" (some of the features) or "pca" (principal components, which
            the regression fits in training).
        size: features that are left.
    """

    kind: str
    size: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "KIND:SIZE", for example "random:512".

        Raises:
            JaxscoreError: for an unknown kind, or a size that is not a whole number of 1 or more.
        """
        kind, _, size = text.partition(":")
        if kind not in KINDS:
            raise JaxscoreError(f"Unknown reduction {text!r}. {did_you_mean(kind, KINDS)}".strip(), EXAMPLES)
        if not (size.isascii() and size.isdecimal() and int(size) >= 1):
            raise JaxscoreError(f"{text!r} asks for {size!r} features, expected a whole number of 1 or more", EXAMPLES)
        return cls(kind, int(size))


def reduce_features(
    states: Float[np.ndarray, "layer stimulus feature"], how: str, seed: int
) -> Float32[np.ndarray, "layer stimulus reduced"]:
    """Reduce every layer in the same way, one layer at a time.

    "random:K" multiplies by a matrix [feature, K] of draws from N(0, 1 / K), which keeps inner products in expectation
    (Johnson and Lindenstrauss 1984); it is scikit-learn's GaussianRandomProjection(K, random_state=seed).
    "subsample:K" takes K features without replacement, in their order. Neither looks at the features, so that nothing
    of held-out stimuli is known in training.

    Args:
        states: features.
        how: "random:K" or "subsample:K".
        seed: of the draw; with it, layers of one width are reduced alike in every call.

    Raises:
        JaxscoreError: if `how` is none of these; principal components are fitted in training, by the regression.
        DataError: if there are fewer than K features.
    """
    asked, (layers, stimuli, width) = Reduction.parse(how), states.shape
    if asked.kind == "pca":
        raise JaxscoreError(
            f"{how!r} looks at the features: it is fitted in training", f"Use OLS(components={asked.size})."
        )
    if asked.size > width:
        raise DataError(
            f"{how!r} asks for {asked.size} features, the layers have {width}", f"Ask for {width} or fewer."
        )
    reduced = np.empty((layers, stimuli, asked.size), np.float32)
    if asked.kind == "random":
        matrix = _projection(width, asked.size, seed)
        for layer in range(layers):
            np.matmul(states[layer].astype(np.float32, copy=False), matrix, out=reduced[layer])
        return reduced
    # the stream of RandomState never changes, that of a Generator may from one version of NumPy to the next
    kept = np.sort(np.random.RandomState(seed).permutation(width)[: asked.size])
    for layer in range(layers):
        reduced[layer] = states[layer][:, kept]
    return reduced


def _projection(width: int, size: int, seed: int) -> Float32[np.ndarray, "feature reduced"]:
    from sklearn.random_projection import GaussianRandomProjection

    shape = np.zeros((1, width), np.float32)  # all that it looks at
    return GaussianRandomProjection(size, random_state=seed).fit(shape).components_.T


def reduced(
    layers: Sequence[Float[np.ndarray, "stimulus feature"]], how: str | None, seed: int
) -> list[Float[np.ndarray, "stimulus reduced"]]:
    """Each layer narrowed by `how`; as they are for None, and for "pca:K", which the regression fits in training."""
    if how is None or Reduction.parse(how).kind == "pca":
        return list(layers)
    return [reduce_features(layer[None], how, seed)[0] for layer in layers]
