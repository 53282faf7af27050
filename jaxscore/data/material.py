"""What a model reads, and the responses that its features are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from jaxtyping import Float

from jaxscore.cards import Card
from jaxscore.data.assemblies import Dropped
from jaxscore.data.benchmark import among, load_assembly
from jaxscore.data.source import Source
from jaxscore.errors import CardError, DataError, did_you_mean
from jaxscore.metrics.measure import Rows

Layers = Sequence[Float[np.ndarray, "stimulus _"]]


@dataclass(frozen=True)
class Material:
    """What is read and what is scored.

    Attributes:
        texts: what is read [stimulus].
        ids: of the stimuli.
        contexts: label of the context of each stimulus; those of one label are read after each other.
        assembly: responses [presentation, neuroid] that are scored, with subject and neuroid_id on neuroid.
        everything: the same with the presentations that are read and not scored.
        parts: rows that are cross-validated together, by name.
        rows: labels that folds are made by.
        align: features [stimulus, feature] of every layer -> rows of the responses.
        dropped: neuroids that were left out.
        notes: what was done to the responses, in sentences.
        repetitions: None, or responses [repetition, stimulus, neuroid] before they were averaged.
    """

    texts: list[str]
    ids: list[str]
    contexts: list[str]
    assembly: xr.DataArray
    everything: xr.DataArray
    parts: dict[str, np.ndarray]
    rows: Rows
    align: Callable[[Layers], Layers]
    dropped: Dropped
    notes: list[str] = field(default_factory=list)
    repetitions: Float[np.ndarray, "repetition stimulus neuroid"] | None = None


def load_material(card: Card, source: Source) -> Material:
    """Read what a card describes.

    Raises:
        DataError: for a file, column or coordinate that does not fit.
        CardError: if the card asks for contexts or folds by a label that the data do not name.
    """
    if card.listening:
        from jaxscore.listening.material import listened

        return listened(card, source)
    loaded = load_assembly(card, source)
    assembly, notes, repetitions = loaded.assembly, loaded.notes, loaded.repetitions
    if card.behaviour.shift:
        assembly = _shifted(card, assembly)
    scored = np.flatnonzero(_scored(card, assembly))
    if not len(scored):
        raise DataError(f"{source.path}: no presentation is left by data.scored and data.unscored", "Check the card.")
    own = assembly if len(scored) == assembly.sizes["presentation"] else assembly.isel(presentation=scored)
    texts = ("sentence", "stimulus_id")
    parts, rows = _parts(card, own), _rows(card, own)
    return Material(
        *(assembly[name].values.astype(str).tolist() for name in texts),
        _contexts(card, assembly).astype(str).tolist(),
        own,
        assembly,
        parts,
        rows,
        (lambda layers: layers) if own is assembly else (lambda layers: [layer[scored] for layer in layers]),
        loaded.dropped,
        notes + _leaks(card, rows, parts),
        None if repetitions is None else repetitions[:, scored],
    )


def _parts(card: Card, assembly: xr.DataArray) -> dict[str, np.ndarray]:
    """Rows that are cross-validated together, by name: one part, or one for each value of the card's `per`."""
    if not card.data.per:
        return {"all": np.arange(assembly.sizes["presentation"])}
    values = _column(card, assembly, card.data.per, "data.per").astype(str)
    return {name: np.flatnonzero(values == name) for name in dict.fromkeys(values.tolist())}


def _contexts(card: Card, assembly: xr.DataArray) -> np.ndarray:
    """The context that each stimulus is read in, as a label [presentation]."""
    group = card.context.group
    if group == "sentence":
        return assembly["stimulus_id"].values
    if group == "text":
        return np.full(assembly.sizes["presentation"], "text")
    if group not in assembly.coords:
        raise CardError(
            f"{card.identifier}: contexts by {group}, but the data name no {group}",
            f"Name it in the card (data.{'group' if group == 'passage' else group}), or use --context sentence.",
        )
    return assembly[group].values


def _rows(card: Card, assembly: xr.DataArray) -> Rows:
    """Labels that folds are made by."""
    passages, runs = (assembly[name].values if name in assembly.coords else None for name in ("passage", "run"))
    splits = card.splits
    classes = passages if splits.by is None else _column(card, assembly, splits.by, "splits.by")
    if splits.by is None and splits.scheme == "leave-one-group-out" and passages is None:
        classes = runs
    values = None if splits.values is None else _column(card, assembly, splits.values, "splits.values")
    return Rows(assembly.sizes["presentation"], passages, classes, values, runs)


def _scored(card: Card, assembly: xr.DataArray) -> np.ndarray:
    """Whether the responses of a presentation are scored."""
    keep = np.ones(assembly.sizes["presentation"], bool)
    for key, wanted in (("scored", True), ("unscored", False)):
        for name, values in getattr(card.data, key).items():
            keep &= among(_column(card, assembly, name, f"data.{key}"), values) == wanted
    return keep


def _shifted(card: Card, assembly: xr.DataArray) -> xr.DataArray:
    """Responses of each word taken from `shift` words before, within its story."""
    from jaxscore.behaviour.reading_times import shift_by_word

    stories = assembly["story"].values if "story" in assembly.coords else np.zeros(assembly.sizes["presentation"])
    return assembly.copy(data=shift_by_word(assembly.values, stories, card.behaviour.shift))


def _leaks(card: Card, rows: Rows, parts: dict[str, np.ndarray]) -> list[str]:
    """Whether what was done to each run lets folds within a run see each other."""
    from jaxscore.data.preprocess import leaks_within
    from jaxscore.result import protocol_of

    if not card.data.preprocess or card.metric == "surprisal":
        return []
    runs = np.zeros(rows.count) if rows.runs is None else rows.runs
    protocol = protocol_of(card)
    if not any(leaks_within(protocol.split(rows.take(own)), runs[own]) for own in parts.values()):
        return []
    done = " and ".join({"detrend": "detrended", "zscore": "z-scored"}[step] for step in card.data.preprocess)
    return [f"Responses are {done} by run, and folds share runs: leave-one-run-out would not (splits.by = 'run')."]


def _column(card: Card, assembly: xr.DataArray, name: str, key: str) -> np.ndarray:
    if name not in assembly.coords or assembly[name].dims != ("presentation",):
        known = [str(c) for c in assembly.coords if assembly[c].dims == ("presentation",)]
        message = f"{card.identifier}: {key}: the data have no coordinate {name!r} of presentation"
        raise CardError(f"{message}. {did_you_mean(name, known)}".strip(), f"They have: {', '.join(known)}.")
    return assembly[name].values
