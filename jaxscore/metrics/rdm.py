"""Representational similarity: are the stimuli that a layer holds apart the ones that the brain holds apart?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import squareform

from jaxscore.errors import DataError

Features = Float[np.ndarray, "layer stimulus feature"] | Sequence[Float[np.ndarray, "stimulus _"]]
"""Features of every layer; as a list, layers may differ in width."""

CONSTANT = 4
"""Values are equal if they differ by no more than this many round-off units of their own type, times the largest."""
TIE = 64 * np.finfo(np.float64).eps
"""Correlations closer than this are equal: the round-off of a float64 Gram matrix stays well within it."""


def rdm_similarity(
    X: Features, Y: Float[np.ndarray, "stimulus neuroid"], sets: Sequence[Int[np.ndarray, " test"]] | None = None
) -> Float[np.ndarray, "layer set"]:
    """Spearman correlation between the dissimilarities of the stimuli in a layer and in the responses.

    RDM[i, j] = 1 - corr(x_i, x_j) over features (or neuroids), its upper triangle ranked with ties at their mean rank,
    as in Kriegeskorte, Mur and Bandettini 2008. All in float64, whatever the type of the input. Correlations that are
    equal in exact arithmetic count as ties: repeated stimuli, or the 1 and -1 that two neuroids give.

    Args:
        X: features of every layer, of any float type (bfloat16 as well).
        Y: responses; no NaN.
        sets: indices of the stimuli that each value is computed on, by protocol the test parts; by default one set of
            all stimuli.

    Returns:
        Similarities in [-1, 1]. NaN where a stimulus of the set has no variance over the features or over the neuroids
        (so with a single feature or neuroid), or where all dissimilarities are equal.

    Raises:
        DataError: if rows do not match, values are not finite, or a set has fewer than 3 stimuli.
    """
    layers, responses, sets = checked(X, Y, sets, least=3)
    out = np.empty((len(layers), len(sets)))
    for s, rows in enumerate(sets):
        target = profile(responses[rows])
        out[:, s] = [profile(x[rows]) @ target for x in layers]
    return out


def profile(x: Float[np.ndarray, "stimulus feature"]) -> Float[np.ndarray, " pair"]:
    """What stimuli look like to these features: the dot product of two profiles is their RDM similarity, or NaN."""
    return _unit_ranks(dissimilarities(x))


def dissimilarities(x: Float[np.ndarray, "stimulus feature"]) -> Float[np.ndarray, " pair"]:
    """Upper triangle of 1 - corrcoef over stimuli, row by row; NaN for pairs with a stimulus without variance."""
    z = x.astype(np.float64)
    flat = is_constant(z, x.dtype, 1)
    z -= z.mean(1, keepdims=True)
    z /= np.where(flat, np.nan, np.linalg.norm(z, axis=1))[:, None]
    return squareform(1 - z @ z.T, checks=False)


def _unit_ranks(values: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " pair"]:
    """Ranks, centred and of unit length, so that a dot product is Spearman's r; NaN where it is not defined."""
    order = np.argsort(values)  # NaN last
    ordered = values[order]
    if np.isnan(ordered[-1]):
        return np.full(len(values), np.nan)
    # bins of width TIE that start anew after each gap: no edge cuts a tie, and no crowd of values becomes one
    gap = np.concatenate([[True], np.diff(ordered) > TIE])
    bins = (ordered - ordered[gap][np.cumsum(gap) - 1]) // TIE
    level = np.cumsum(gap[1:] | (np.diff(bins) > 0), dtype=np.intp)
    level = np.concatenate([[0], level])
    if level[-1] == 0:
        return np.full(len(values), np.nan)
    count = np.bincount(level)
    ranks = np.empty(len(values))
    ranks[order] = (np.cumsum(count) - (count + len(values)) / 2)[level]
    return ranks / np.linalg.norm(ranks)


def is_constant(values: Float[np.ndarray, "stimulus feature"], dtype: np.dtype, axis: int) -> np.ndarray:
    """Whether float64 values that came as `dtype` vary along an axis by no more than round-off of that type.

    The range is compared, not the standard deviation: one outlying feature among thousands is a signal.
    """
    low, high = values.min(axis), values.max(axis)
    resolution = float(np.spacing(np.ones((), dtype)))
    return high - low <= CONSTANT * resolution * np.maximum(np.abs(low), np.abs(high))


def checked(
    X: Features, Y: np.ndarray, sets: Sequence[np.ndarray] | None, *, least: int
) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Layers, responses and sets as arrays that a similarity can be computed on.

    Args:
        X: features.
        Y: responses.
        sets: indices, (training, test) pairs of which the test part is taken, or None for one set of all stimuli.
        least: how many stimuli a set needs.

    Raises:
        DataError: naming the layer, the shapes or the set, and what is wrong with it.
    """
    Y = np.asarray(Y)
    named = {"Y": _numbers("Y", Y)} | {f"layer {i} of X": np.asarray(x) for i, x in enumerate(X)}
    layout = "X is [layer, stimulus, feature], Y is [stimulus, neuroid]."
    if len(named) == 1:
        raise DataError("No layers: X is empty", layout)
    for name, values in named.items():
        if values.ndim != 2 or len(values) != len(Y) or values.shape[1] == 0:
            raise DataError(
                f"{name} has shape {values.shape}, Y has shape {Y.shape}: both must have the same stimuli as rows",
                layout,
            )
        named[name] = values = _numbers(name, values)
        if count := np.count_nonzero(~np.isfinite(values)):
            hint = (
                "Drop such neuroids or stimuli" if name == "Y" else "float16 overflows: extract in float32 or bfloat16"
            )
            raise DataError(f"{name} has {count} values that are NaN or infinite", f"{hint}.")
    sets = [np.arange(len(Y))] if sets is None else sets
    # (training, test) pairs, as folds are: their test parts
    sets = [np.asarray(rows[1] if isinstance(rows, tuple) and len(rows) == 2 else rows) for rows in sets]
    _check_sets(sets, len(Y), least)
    responses, *layers = named.values()
    return layers, responses, sets


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Real numbers of a float type: integers and booleans as float64."""
    if not np.can_cast(values.dtype, np.float64, "same_kind"):
        raise DataError(f"{name} is of type {values.dtype}, expected real numbers", "Pass float16, bfloat16 or wider.")
    return values.astype(np.float64) if values.dtype.kind in "iub" else values


def _check_sets(sets: list[np.ndarray], stimuli: int, least: int) -> None:
    hint = "A set holds indices of rows, each once; np.flatnonzero(mask) makes them from a mask."
    if not sets:
        raise DataError("No sets: the list is empty", "Pass None for one set of all stimuli.")
    for s, rows in enumerate(sets):
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise DataError(
                f"set {s} is of type {rows.dtype} and shape {rows.shape}, expected a list of integers", hint
            )
        if len(rows) < least:
            raise DataError(f"set {s} has {len(rows)} stimuli, expected at least {least}", "Use larger test parts.")
        if rows.min() < 0 or rows.max() >= stimuli:
            raise DataError(f"set {s} has indices {rows.min()} to {rows.max()}, there are {stimuli} stimuli", hint)
        if repeats := len(rows) - len(np.unique(rows)):
            raise DataError(f"set {s} repeats {repeats} of its {len(rows)} indices", hint)
