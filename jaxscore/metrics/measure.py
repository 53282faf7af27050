"""The encoding metric: features of all layers -> responses of all neuroids, part by part (experiment by experiment)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from jaxscore.errors import GridEdgeWarning
from jaxscore.regression.crossval import CrossValidation, cross_validate
from jaxscore.regression.estimators import Solver
from jaxscore.regression.operators import Diagnosis
from jaxscore.regression.splits import make_folds

Step = Callable[[str, int], None]


@dataclass(frozen=True)
class Protocol:
    """Choices of the cross-validated regression.

    Attributes:
        scheme: of the folds.
        folds: how many.
        seed: of the folds.
        solver: the regression.
    """

    scheme: str
    folds: int
    seed: int
    solver: Solver


@dataclass
class Encoding:
    """Correlations on held-out stimuli; NaN where a neuroid is not in a part, or r is not defined.

    Attributes:
        r: [layer, part, fold, neuroid].
        inner_r: the same for the aggregated neuroids, on inner folds only: see `CrossValidation.inner_r`.
        grouped_r: None, or as `r` for the aggregated neuroids with folds grouped by passage.
        stimuli: how many per part.
        neuroids: how many per part.
        undefined: how many neuroids of a part have no r in some fold, per part.
        diagnoses: of each layer, per part.
        notes: what the regression warned of.
    """

    r: Float[np.ndarray, "layer part fold neuroid"]
    inner_r: Float[np.ndarray, "layer part fold aggregated"]
    grouped_r: Float[np.ndarray, "layer part fold aggregated"] | None
    stimuli: dict[str, int] = field(default_factory=dict)
    neuroids: dict[str, int] = field(default_factory=dict)
    undefined: dict[str, int] = field(default_factory=dict)
    diagnoses: dict[str, list[Diagnosis]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def usable(Y: Float[np.ndarray, "stimulus neuroid"]) -> Bool[np.ndarray, " neuroid"]:
    """Whether every response of a neuroid is finite."""
    return np.isfinite(Y).all(0)


def encode(
    X: Sequence[Float[np.ndarray, "stimulus feature"]],
    Y: Float[np.ndarray, "stimulus neuroid"],
    parts: Mapping[str, np.ndarray],
    aggregated: Bool[np.ndarray, " neuroid"],
    protocol: Protocol,
    *,
    groups: np.ndarray | None = None,
    chunk: int | None = None,
    step: Step | None = None,
) -> Encoding:
    """Cross-validate every part by itself.

    Args:
        X: features of each layer.
        Y: responses; a neuroid with NaN in a part is left out of that part.
        parts: rows of each part.
        aggregated: the neuroids that the score is made of; inner folds and grouped folds are computed for them alone.
        protocol: splits and regression.
        groups: passage of each stimulus; with shuffled folds, the grouped score is computed beside.
        chunk: neuroids per product.
        step: as for `cross_validate`.
    """
    layers, neuroids, count = len(X), Y.shape[1], int(aggregated.sum())
    position = np.cumsum(aggregated) - 1
    shape = (layers, len(parts), protocol.folds)
    beside = protocol.scheme == "shuffled" and groups is not None
    out = Encoding(
        np.full((*shape, neuroids), np.nan, np.float32),
        np.full((*shape, count), np.nan, np.float32),
        np.full((*shape, count), np.nan, np.float32) if beside else None,
    )

    def run(rows: np.ndarray, present: np.ndarray, scheme: str, inner: np.ndarray | None) -> CrossValidation:
        own = None if groups is None else groups[rows]
        folds = make_folds(scheme, len(rows), folds=protocol.folds, seed=protocol.seed, groups=own)
        options = {"groups": own, "inner": inner, "chunk": chunk, "step": step}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GridEdgeWarning)
            found = cross_validate([x[rows] for x in X], Y[np.ix_(rows, present)], folds, protocol.solver, **options)
        out.notes.extend(str(warning.message) for warning in caught)
        return found

    for k, (name, rows) in enumerate(parts.items()):
        present = np.flatnonzero(usable(Y[rows]))
        scored = np.flatnonzero(aggregated[present])
        target = position[present[scored]]
        found = run(rows, present, protocol.scheme, scored)
        out.r[:, k, :, present] = np.moveaxis(found.r, -1, 0)
        out.inner_r[:, k, :, target] = np.moveaxis(found.inner_r, -1, 0)
        if beside:
            out.grouped_r[:, k, :, target] = np.moveaxis(run(rows, present[scored], "grouped", None).r, -1, 0)
        out.stimuli[name], out.neuroids[name] = len(rows), len(present)
        out.undefined[name] = int(np.isnan(found.r).any((0, 1)).sum())
        out.diagnoses[name] = found.diagnoses
    return out


@dataclass(frozen=True)
class Choice:
    """A layer chosen without the test folds.

    Attributes:
        layers: the layer chosen for each fold.
        layer: the one chosen most often (the lower one of a tie).
        r: [part, fold, neuroid] of the chosen layers.
    """

    layers: list[int]
    layer: int
    r: Float[np.ndarray, "part fold aggregated"]


def choose_layer(
    inner_scores: Float[np.ndarray, "layer fold"], r: Float[np.ndarray, "layer part fold aggregated"]
) -> Choice:
    """For each fold, take the layer with the highest score on the other folds; score it on that fold.

    Args:
        inner_scores: score of each layer on the folds other than `fold`, predicted without `fold`.
        r: correlations on the held-out folds.
    """
    filled = np.where(np.isnan(inner_scores), -np.inf, inner_scores)
    layers = filled.argmax(0)
    chosen = np.stack([r[layer, :, fold] for fold, layer in enumerate(layers)], axis=1)
    return Choice(layers.tolist(), int(np.bincount(layers).argmax()), chosen)
