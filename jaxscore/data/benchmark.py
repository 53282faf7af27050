"""From a card and its file to responses that can be scored: selected, labelled, checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from jaxscore.data.assemblies import Dropped, check_assembly, drop_unusable, read_assembly
from jaxscore.data.tables import read_table
from jaxscore.errors import CardError, DataError

if TYPE_CHECKING:
    from jaxscore.cards import Card

TABLES = (".csv", ".tsv")
ASSEMBLIES = (".nc", ".nc4", ".h5", ".hdf5")


def load_assembly(card: Card, path: Path) -> tuple[xr.DataArray, Dropped]:
    """Read the responses that a card describes.

    Args:
        card: says what is read and how passages are named.
        path: the file.

    Returns:
        Responses [presentation, neuroid] with coordinates stimulus_id, sentence, passage (and story) on presentation,
        neuroid_id and subject on neuroid; and what was dropped for missing or constant values (for a card with
        `per`, a neuroid missing in one part only is kept: see `parts`).

    Raises:
        DataError: for a file, column or coordinate that does not fit.
    """
    if path.suffix.lower() in TABLES:
        data = card.data
        assembly, dropped = read_table(
            path,
            sentence=data.sentence,
            responses=data.responses,
            stimulus_id=data.stimulus_id,
            group=data.group,
            subject=data.subject,
        )
        labels = {"passage": ["passage_id"] if data.group else [], "story": []}
    elif path.suffix.lower() in ASSEMBLIES:
        assembly = _select(card, read_assembly(path), path)
        check_assembly(assembly, str(path))
        dropped = Dropped([], [])
        if not card.data.per:
            assembly, dropped = drop_unusable(assembly, str(path))
        labels = {"passage": card.data.passage, "story": card.data.story}
    else:
        raise DataError(
            f"{path} ends in {path.suffix or 'nothing'}, expected a table ({', '.join(TABLES)}) "
            f"or an assembly ({', '.join(ASSEMBLIES)})",
            "Rename the file, or convert it.",
        )
    for label, coordinates in labels.items():
        if coordinates:
            columns = [_coordinate(assembly, name, path).astype(str) for name in coordinates]
            assembly = assembly.assign_coords(
                {label: ("presentation", np.array([".".join(v) for v in zip(*columns, strict=True)]))}
            )
    for name in ("subject", "neuroid_id"):
        if name not in assembly.coords:
            default = np.full(assembly.sizes["neuroid"], card.data.subject) if name == "subject" else _numbers(assembly)
            assembly = assembly.assign_coords({name: ("neuroid", default)})
    sentence = _coordinate(assembly, card.data.sentence, path)
    return assembly.assign_coords(sentence=("presentation", sentence.astype(str))), dropped


def parts(card: Card, assembly: xr.DataArray) -> dict[str, np.ndarray]:
    """Rows that are cross-validated together, by name: one part, or one for each value of the card's `per`."""
    if not card.data.per:
        return {"all": np.arange(assembly.sizes["presentation"])}
    values = _coordinate(assembly, card.data.per, card.source()).astype(str)
    return {name: np.flatnonzero(values == name) for name in dict.fromkeys(values.tolist())}


def contexts(card: Card, assembly: xr.DataArray) -> np.ndarray:
    """The context that each stimulus is read in, as a label [presentation].

    Raises:
        CardError: if the card's data do not name passages or stories.
    """
    group = card.context.group
    if group == "sentence":
        return assembly["stimulus_id"].values.astype(str)
    if group not in assembly.coords:
        raise CardError(
            f"{card.identifier}: contexts by {group}, but the data name no {group}",
            f"Name it in the card (data.{'group' if group == 'passage' else group}), or use --context sentence.",
        )
    return assembly[group].values


def _select(card: Card, assembly: xr.DataArray, path: Path) -> xr.DataArray:
    keep = np.ones(assembly.sizes["neuroid"], bool)
    for name, wanted in card.data.select.items():
        if name not in assembly.coords:
            continue  # an assembly that is already selected, as today's platform publishes it
        values = assembly[name].values
        texts = np.array(["" if v is None or v != v else _text(v) for v in values.tolist()])
        keep &= np.isin(texts, [_text(w) for w in wanted])
    if not keep.any():
        raise DataError(
            f"{path}: no neuroid is left by the card's select {dict(card.data.select)}", "Check data.select."
        )
    return assembly if keep.all() else assembly.isel(neuroid=keep)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _coordinate(assembly: xr.DataArray, name: str, path: Path | str) -> np.ndarray:
    if name not in assembly.coords or assembly[name].dims != ("presentation",):
        there = [str(c) for c, v in assembly.coords.items() if v.dims == ("presentation",)]
        raise DataError(f"{path} has no coordinate {name!r} of its presentations", f"It has: {', '.join(there)}.")
    return assembly[name].values


def _numbers(assembly: xr.DataArray) -> np.ndarray:
    return np.array([str(i) for i in range(assembly.sizes["neuroid"])])
