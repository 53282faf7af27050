"""From a card and its files to responses with labels: read, selected, cleaned, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from jaxscore.cards import Card
from jaxscore.data.assemblies import DIMS, Dropped, check_assembly, drop_unusable, read_assembly, some
from jaxscore.data.source import Source
from jaxscore.errors import DataError, did_you_mean

TABLES = (".csv", ".tsv")
ARRAYS = (".npy", ".npz", ".nii", ".nii.gz")
ASSEMBLIES = (".nc", ".nc4", ".h5", ".hdf5")
OF_ATLASES = ("atlas", "atlas_selection_lower", "filter_strategy")
"""Coordinates that files of a single atlas, as today's platform publishes them, may lack: all neuroids are of one."""


@dataclass(frozen=True)
class Loaded:
    """Responses that can be scored.

    Attributes:
        assembly: [presentation, neuroid] with coordinates stimulus_id, sentence, passage and story (where the card
            names them) and run on presentation, neuroid_id and subject on neuroid.
        dropped: neuroids without responses, or with constant ones (for a card with `per` or `missing = "keep"`, a
            neuroid that lacks some responses is kept).
        notes: what was done, in sentences.
        repetitions: None, or responses [repetition, stimulus, neuroid] before they were averaged; NaN where a stimulus
            has fewer repetitions than others.
    """

    assembly: xr.DataArray
    dropped: Dropped
    notes: list[str]
    repetitions: Float[np.ndarray, "repetition stimulus neuroid"] | None = None


def load_assembly(card: Card, source: Source) -> Loaded:
    """Read the responses that a card describes.

    Args:
        card: says what is read, how rows are named, and what is done to them.
        source: its files.

    Raises:
        DataError: for a file, column or coordinate that does not fit.
    """
    assembly, dropped = _read(card, source)
    assembly = _select(card, _labelled(card, assembly, source), source)
    assembly = _with_neuroids(card, assembly, source)
    if card.data.preprocess:
        from jaxscore.data.preprocess import preprocess

        assembly = preprocess(assembly, card.data.preprocess)
    assembly, notes, repetitions = _averaged(card, assembly)
    check_assembly(assembly, str(source.path))
    if not card.data.per and card.data.missing == "drop":
        kept, more = drop_unusable(assembly, str(source.path))
        dropped = Dropped(dropped.missing + more.missing, dropped.constant + more.constant)
        if repetitions is not None:
            repetitions = repetitions[..., np.isin(assembly["neuroid_id"].values, kept["neuroid_id"].values)]
        assembly = kept
    return Loaded(assembly, dropped, notes, repetitions)


def _read(card: Card, source: Source) -> tuple[xr.DataArray, Dropped]:
    """Responses as they are in the file, with the text of each stimulus as `sentence`."""
    data, path = card.data, source.path
    suffix = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    roles = {
        name: getattr(data, name)
        for name in ("sentence", "stimulus_id", "group", "subject", "run", "repetition", "time_bin")
    }
    roles["keep"] = _columns(card)
    if suffix in TABLES:
        from jaxscore.data.tables import read_table

        return read_table(path, responses=data.responses, value=data.value, neuroid=data.neuroid, **roles)
    if suffix in ARRAYS or "stimuli" in source.beside:
        from jaxscore.data.arrays import read_array

        if "stimuli" not in source.beside:
            raise DataError(
                f"{path} is an array: nothing says which stimulus a row is",
                'Name a table with a row for each row of it: data.stimuli = "stimuli.csv".',
            )
        return read_array(path, variable=data.variable, **source.beside, **roles)
    if suffix in ASSEMBLIES:
        return _with_texts(card, read_assembly(path), source), Dropped([], [])
    raise DataError(
        f"{path} ends in {suffix or 'nothing'}, expected a table ({', '.join(TABLES)}), an array ({', '.join(ARRAYS)}) "
        f"or an assembly ({', '.join(ASSEMBLIES)})",
        "Rename the file, or convert it.",
    )


def _columns(card: Card) -> list[str]:
    """Further columns of a table that the card names: they become coordinates of presentation."""
    data, splits = card.data, card.splits
    sources = [rule.rpartition(":")[0] for rule in data.labels.values()]
    named = [*data.passage, *data.story, *data.scored, *data.unscored, *sources, data.per, splits.by, splits.values]
    if card.behaviour.controls:
        named.append("word_within_sentence_id")
    made = {"passage", "story", "sentence", "stimulus_id", "run", "repetition", "passage_id", *data.labels}
    return [name for name in dict.fromkeys(named) if name and name not in made]


def _with_texts(card: Card, assembly: xr.DataArray, source: Source) -> xr.DataArray:
    """An assembly with `sentence`, from its own coordinates or from its nested stimulus set, and the card's names."""
    from jaxscore.data.nested import STIMULUS_SET, nested_keys, read_nested
    from jaxscore.data.stimulus_sets import attach_stimuli

    data = card.data
    needed = {data.sentence, *data.passage, *data.story} - {*assembly.coords, *data.labels}
    if needed and STIMULUS_SET in nested_keys(assembly.attrs, source.path):
        frame = read_nested(source.path, STIMULUS_SET, fetch=source.sibling)
        assembly = attach_stimuli(assembly, frame, f"the stimulus set of {source.path}")
    named = {"run": data.run, "repetition": data.repetition}
    named = {name: _coordinate(assembly, own, source).astype(str) for name, own in named.items() if own}
    sentence = _coordinate(assembly, data.sentence, source).astype(str)
    coords = {name: ("presentation", values) for name, values in {**named, "sentence": sentence}.items()}
    if data.time_bin:
        coords["time_bin"] = ("neuroid", _coordinate(assembly, data.time_bin, source, "neuroid"))
    return assembly.assign_coords(coords)


def _labelled(card: Card, assembly: xr.DataArray, source: Source) -> xr.DataArray:
    """With `passage` and `story`, and the coordinates that the card makes of parts of others."""
    for label, rule in card.data.labels.items():
        name, _, place = rule.rpartition(":")
        pieces = [value.split(".") for value in _coordinate(assembly, name, source).astype(str)]
        if short := [".".join(piece) for piece in pieces if len(piece) <= int(place)]:
            raise DataError(
                f"{source.path}: {len(short)} values of '{name}' have no part {place} between dots: {some(short)}",
                f"Check data.labels.{label}.",
            )
        assembly = assembly.assign_coords({label: ("presentation", np.array([piece[int(place)] for piece in pieces]))})
    own = {"passage": card.data.passage, "story": card.data.story}
    if card.data.group and "passage_id" in assembly.coords:  # a person's own table
        own["passage"] = ["passage_id"]
    for label, names in own.items():
        if names:
            assembly = assembly.assign_coords({label: ("presentation", _joined(assembly, names, source))})
    return assembly


def _select(card: Card, assembly: xr.DataArray, source: Source) -> xr.DataArray:
    """What is left of the presentations and neuroids that the card keeps."""
    keep = {dim: np.ones(assembly.sizes[dim], bool) for dim in DIMS}
    for name, wanted in card.data.select.items():
        if name in assembly.coords:
            keep[assembly[name].dims[0]] &= among(assembly[name].values, wanted)
        elif name not in OF_ATLASES:
            near = did_you_mean(name, map(str, assembly.coords))
            raise DataError(
                f"{source.path}: data.select: there is no coordinate {name!r}. {near}".strip(),
                f"There are: {', '.join(map(str, assembly.coords))}.",
            )
    for dim, mask in keep.items():
        if not mask.any():
            raise DataError(
                f"{source.path}: no {dim} is left by the card's select {dict(card.data.select)}", "Check data.select."
            )
    return assembly.isel({dim: mask for dim, mask in keep.items() if not mask.all()})


def _with_neuroids(card: Card, assembly: xr.DataArray, source: Source) -> xr.DataArray:
    """With `subject` and `neuroid_id` on neuroid."""
    data, count = card.data, assembly.sizes["neuroid"]
    named = next((name for name in (data.subject, "subject") if name in assembly.coords), None)
    subjects = np.full(count, data.subject)
    near = did_you_mean(data.subject, [str(c) for c in assembly.coords if assembly[c].dims == ("neuroid",)])
    if data.subject not in assembly.coords and near:
        raise DataError(f"{source.path}: data.subject: there is no coordinate {data.subject!r}. {near}", "Correct it.")
    if named:
        subjects = _coordinate(assembly, named, source, "neuroid").astype(str)
    ids = np.arange(count).astype(str)
    if data.neuroid_id:
        ids = _joined(assembly, data.neuroid_id, source, "neuroid")
    elif "neuroid_id" in assembly.coords:
        ids = assembly["neuroid_id"].values.astype(str)
    return assembly.assign_coords(subject=("neuroid", subjects), neuroid_id=("neuroid", ids))


def _averaged(card: Card, assembly: xr.DataArray) -> tuple[xr.DataArray, list[str], np.ndarray | None]:
    """Responses averaged over repetitions, with what is known from them; what was done; the repetitions themselves."""
    ids, stimulus = np.unique(assembly["stimulus_id"].values.astype(str), return_inverse=True)
    if not card.data.repetition or len(ids) == assembly.sizes["presentation"]:
        return assembly, [], None
    from jaxscore.data.repetitions import average_repetitions

    found = average_repetitions(assembly)
    mean = found.assembly.assign_coords(
        explainable_variance=("neuroid", found.explainable_variance), noise_ceiling=("neuroid", found.noise_ceiling)
    )
    order = np.searchsorted(ids, mean["stimulus_id"].values.astype(str))
    place = np.argsort(order)[stimulus]
    which = pd.Series(stimulus).groupby(stimulus).cumcount().to_numpy()
    repetitions = np.full((which.max() + 1, len(ids), assembly.sizes["neuroid"]), np.nan)
    repetitions[which, place] = assembly.values
    counts = found.repetitions
    spread = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    return mean, [f"Responses are means of {spread} repetitions."], repetitions


def _joined(assembly: xr.DataArray, names: list[str], source: Source, dim: str = "presentation") -> np.ndarray:
    """Values of several coordinates with dots between them."""
    columns = [_coordinate(assembly, name, source, dim).astype(str) for name in names]
    return np.array([".".join(values) for values in zip(*columns, strict=True)])


def _coordinate(assembly: xr.DataArray, name: str, source: Source, dim: str = "presentation") -> np.ndarray:
    if name not in assembly.coords or assembly[name].dims != (dim,):
        there = ", ".join(str(c) for c in assembly.coords if assembly[c].dims == (dim,))
        raise DataError(f"{source.path}: no coordinate {name!r} of {dim}", f"It has: {there}.")
    return assembly[name].values


def among(values: np.ndarray, wanted: list[str | int | float]) -> np.ndarray:
    """Which values are wanted, as text, so that 90 and 90.0 are one; "" is a missing value."""
    texts = np.array(["" if value is None or value != value else _text(value) for value in values.tolist()])
    return np.isin(texts, [_text(value) for value in wanted])


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
