"""What a benchmark measures: features of all layers against responses, part by part (experiment by experiment)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxscore.errors import DataError, GridEdgeWarning
from jaxscore.metrics.comparisons import Comparison, Metric, Step, compare
from jaxscore.regression.missing import patterns
from jaxscore.regression.operators import Diagnosis
from jaxscore.regression.splits import Fold, make_folds

LEAKING = (
    "shuffled", "stratified", "shuffle-split",
    "nn-pereira", "nn-blank", "nn-fedorenko", "bl-linear-shuffle", "bl-tuckute",
)  # fmt: skip
"""Schemes that put stimuli of one passage on both sides."""


@dataclass(frozen=True)
class Rows:
    """Labels of the stimuli that folds are made by; None where the data have none.

    Attributes:
        count: how many stimuli.
        groups: passages, which grouped folds keep whole.
        classes: what the protocol's own scheme keeps whole or stratifies on.
        values: what a scheme splits by value, such as the word.
        runs: that blocks do not reach across.
    """

    count: int
    groups: np.ndarray | None = None
    classes: np.ndarray | None = None
    values: np.ndarray | None = None
    runs: np.ndarray | None = None

    def take(self, rows: Int[np.ndarray, " row"]) -> Rows:
        """The labels of some of them."""
        labels = (self.groups, self.classes, self.values, self.runs)
        return Rows(len(rows), *(None if column is None else column[rows] for column in labels))


@dataclass(frozen=True)
class Protocol:
    """What is computed, on which folds.

    Attributes:
        metric: the comparison.
        scheme: of the folds: a name of `regression.splits`, or "blocks": contiguous ones, with `trim` rows between
            them and what is trained on.
        folds: how many; None: as many as the scheme says.
        seed: of the folds; None: the scheme's.
        trim: rows between training and test blocks, and at both ends of a run; only for "blocks".
    """

    metric: Metric
    scheme: str
    folds: int | None = None
    seed: int | None = None
    trim: int = 0

    def split(self, rows: Rows) -> list[Fold]:
        """The folds, as positions among the rows."""
        if self.scheme == "blocks":
            from jaxscore.regression.blocks import TrimmedBlocks

            return make_folds(TrimmedBlocks(self.folds or 5, self.trim), rows.count, groups=rows.runs)
        named = {"folds": self.folds, "seed": self.seed, "groups": rows.classes}
        return make_folds(self.scheme, rows.count, values=rows.values, **named)

    def beside(self, rows: Rows, folds: int) -> list[Fold] | None:
        """For a scheme that leaks into training, as many folds that keep passages whole, if the data have that many."""
        trained = self.metric.name in ("encoding", "decoding")
        if not trained or self.scheme not in LEAKING or rows.groups is None or len(np.unique(rows.groups)) < 3:
            return None
        count = min(folds, len(np.unique(rows.groups)))
        try:
            return make_folds("grouped", rows.count, folds=count, groups=rows.groups)
        except DataError:  # passages too small to be tested by themselves
            return None


@dataclass
class Measured:
    """Values on held-out stimuli; NaN where a target is not in a part, or its value is not defined.

    A target is what one value belongs to: a neuroid (encoding), a unit of neuroids that are compared together (rdm,
    cka), or a unit and a feature of the model (decoding); see `Comparison.targets`.

    Attributes:
        r: [layer, part, fold, target].
        inner_r: the same for the aggregated targets, without the fold's test stimuli: to choose a layer for the fold.
        grouped_r: None, or as `r` for the aggregated targets, with folds that keep passages whole.
        stimuli: how many per part.
        neuroids: how many per part.
        undefined: how many targets of a part have no value in some fold, per part.
        diagnoses: of each layer, per part.
        notes: what the regression warned of.
    """

    r: Float[np.ndarray, "layer part fold target"]
    inner_r: Float[np.ndarray, "layer part fold aggregated"]
    grouped_r: Float[np.ndarray, "layer part grouped aggregated"] | None = None
    stimuli: dict[str, int] = field(default_factory=dict)
    neuroids: dict[str, int] = field(default_factory=dict)
    undefined: dict[str, int] = field(default_factory=dict)
    diagnoses: dict[str, list[Diagnosis]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def usable(Y: Float[np.ndarray, "stimulus neuroid"]) -> Bool[np.ndarray, " neuroid"]:
    """Whether every response of a neuroid is finite."""
    return np.isfinite(Y).all(0)


def measure(
    X: Sequence[Float[np.ndarray, "stimulus feature"]],
    Y: Float[np.ndarray, "stimulus neuroid"],
    parts: Mapping[str, np.ndarray],
    units: Int[np.ndarray, " neuroid"],
    aggregated: Bool[np.ndarray, " target"],
    protocol: Protocol,
    rows: Rows,
    *,
    own_rows: bool = False,
    chunk: int | None = None,
    step: Step | None = None,
) -> Measured:
    """Compare features and responses in every part by itself.

    Args:
        X: features of each layer.
        Y: responses; a neuroid with NaN in a part is left out of that part.
        parts: rows of each part.
        units: code of the unit that each neuroid is part of, from 0.
        aggregated: the targets that the score is made of; inner and grouped values are computed for them alone.
        protocol: metric and splits.
        rows: labels of the stimuli.
        own_rows: keep neuroids with NaN: each has folds of the rows that it has.
        chunk: neuroids per product.
        step: as for `cross_validate`.
    """
    targets_of = units if protocol.metric.by_unit else np.arange(Y.shape[1])
    # whether a neuroid is in the aggregate: of a unit, any of its targets is
    share = len(aggregated) // (int(targets_of.max()) + 1)
    scored = aggregated.reshape(-1, share).any(1)[targets_of]
    cells = [cell for k, inside in enumerate(parts.values()) for cell in _cells(k, inside, Y, protocol, rows, own_rows)]
    if not cells:
        raise DataError(
            f"None of {Y.shape[1]} neuroids has all its responses, in any part",
            'Score each on the rows that it has: data.missing = "keep".',
        )
    out, notes = _empty(len(X), len(parts), cells, aggregated), []

    def run(cell: _Cell, neuroids: np.ndarray, folds: list[Fold], inner: bool) -> tuple[np.ndarray, Comparison]:
        """The targets and their values, of some neuroids of a cell."""
        groups = None if rows.groups is None else rows.groups[cell.rows]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GridEdgeWarning)
            found = compare(
                [x[cell.rows] for x in X], Y[np.ix_(cell.rows, neuroids)], units[neuroids], folds, protocol.metric,
                inner=scored[neuroids] if inner else None, groups=groups, chunk=chunk, step=step,
            )  # fmt: skip
        notes.extend(str(warning.message) for warning in caught)
        return found.targets if protocol.metric.by_unit else neuroids[found.targets], found

    place = np.cumsum(aggregated) - 1
    out.stimuli = {name: len(inside) for name, inside in parts.items()}
    out.neuroids, out.undefined = (dict.fromkeys(parts, 0) for _ in range(2))
    diagnoses: dict[int, list] = {}
    for cell in cells:
        targets, found = run(cell, cell.neuroids, cell.folds, True)
        kept, count = aggregated[targets], len(cell.folds)
        out.r[:, cell.part, :count, targets] = np.moveaxis(found.r, -1, 0)
        out.inner_r[:, cell.part, :count, place[targets[kept]]] = np.moveaxis(found.inner_r[..., kept], -1, 0)
        own = cell.neuroids[scored[cell.neuroids]]
        if cell.grouped is not None and len(own):
            within, again = run(cell, own, cell.grouped, False)
            kept, count = aggregated[within], len(cell.grouped)
            out.grouped_r[:, cell.part, :count, place[within[kept]]] = np.moveaxis(again.r[..., kept], -1, 0)
        name = list(parts)[cell.part]
        out.neuroids[name] += len(cell.neuroids)
        out.undefined[name] += int(np.isnan(found.r).any((0, 1)).sum())
        if found.diagnoses:
            diagnoses.setdefault(cell.part, []).append(found.diagnoses)
    for k, of_cells in diagnoses.items():
        out.diagnoses[list(parts)[k]] = [Diagnosis.together(own) for own in zip(*of_cells, strict=True)]
    out.notes = list(dict.fromkeys(notes))
    return out


@dataclass(frozen=True)
class _Cell:
    """Neuroids of a part that have the same rows, with their folds and, for a scheme that leaks, those that do not."""

    part: int
    rows: Int[np.ndarray, " row"]
    neuroids: Int[np.ndarray, " neuroid"]
    folds: list[Fold]
    grouped: list[Fold] | None


def _cells(part: int, inside: np.ndarray, Y: np.ndarray, protocol: Protocol, rows: Rows, own_rows: bool) -> list[_Cell]:
    present = np.flatnonzero(np.isfinite(Y[inside]).any(0) if own_rows else usable(Y[inside]))
    cells = []
    for own, members in patterns(Y[np.ix_(inside, present)]) if len(present) else ():
        labels = rows.take(inside[own])
        folds = protocol.split(labels)
        cells.append(_Cell(part, inside[own], present[members], folds, protocol.beside(labels, len(folds))))
    return cells


def _empty(layers: int, parts: int, cells: list[_Cell], aggregated: np.ndarray) -> Measured:
    """NaN for every value: parts, and neuroids with rows of their own, may have fewer folds than others."""

    def blank(folds: int, targets: int) -> np.ndarray:
        return np.full((layers, parts, folds, targets), np.nan, np.float32)

    folds, count = max(len(cell.folds) for cell in cells), int(aggregated.sum())
    grouped = max((len(cell.grouped) for cell in cells if cell.grouped is not None), default=0)
    return Measured(blank(folds, len(aggregated)), blank(folds, count), blank(grouped, count) if grouped else None)


@dataclass(frozen=True)
class Choice:
    """A layer chosen without the test folds.

    Attributes:
        layers: the layer chosen for each fold.
        layer: the one chosen most often (the lower one of a tie).
        r: [part, fold, target] of the chosen layers.
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
