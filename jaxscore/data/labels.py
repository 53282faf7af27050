"""What rows and columns of a person's own data are: presentations, neuroids, and those that cannot be scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Int

from jaxscore.data.assemblies import Dropped, check_assembly, drop_unusable, some
from jaxscore.data.frames import texts
from jaxscore.errors import DataError

IDENTITY = ("stimulus_id", "repetition", "run")
"""Coordinates that together tell presentations apart."""
COORDINATES = (*IDENTITY, "presentation", "neuroid", "sentence", "passage_id", "neuroid_id", "time_bin", "channel")
"""Names that mean something of their own in an assembly."""


def read_labels(path: Path, frame: pd.DataFrame, roles: dict[str, str]) -> dict[str, list[str]]:
    """Return the text of each row for each role, with row numbers for stimulus ids that no column has."""
    labels = {role: texts(path, frame[column]) for role, column in roles.items()}
    return {"stimulus_id": [str(row) for row in range(1, len(frame) + 1)]} | labels


def presentations(
    path: Path, labels: dict[str, list[str]], roles: dict[str, str]
) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " presentation"]]:
    """Return the presentation of each row and the first row of each presentation.

    Raises:
        DataError: rows of one stimulus have different sentences or passages.
    """
    for role in [role for role in ("sentence", "passage_id") if role in labels]:
        pairs = pd.DataFrame({"id": labels["stimulus_id"], "text": labels[role]}).drop_duplicates()
        if (torn := pairs["id"].duplicated()).any():
            stimulus = pairs["id"][torn].iloc[0]
            different = [repr(text) for text in pairs["text"][pairs["id"] == stimulus]]
            message = f"{path}: column {roles[role]!r}: stimulus {stimulus!r} has {len(different)} texts"
            hint = f"{torn.sum()} stimuli are like that: each needs one text, or an id of its own."
            raise DataError(f"{message}: {some(different, 2)}.", hint)
    return number(pd.DataFrame({role: labels[role] for role in IDENTITY if role in labels}))


def drop(assembly: xr.DataArray, name: str, *, holes: bool = False) -> tuple[xr.DataArray, Dropped]:
    """Drop the neuroids that cannot be scored.

    Args:
        assembly: responses [presentation, neuroid].
        name: what to call it in messages.
        holes: whether a neuroid that lacks some responses is kept; so it is where a stimulus has several presentations.
    """
    if not holes and len(np.unique(assembly["stimulus_id"].values)) == assembly.sizes["presentation"]:
        check_assembly(assembly, name)
        return drop_unusable(assembly, name)
    assembly = assembly.where(np.isfinite(assembly))
    # a neuroid's own minimum in place of its holes: its range is what it was
    _, dropped = drop_unusable(assembly.fillna(assembly.min("presentation")), name)
    assembly = assembly.isel(neuroid=~np.isin(assembly["neuroid_id"].values, dropped.missing + dropped.constant))
    return assembly.assign_attrs(holes=int(np.isnan(assembly.values).sum())), dropped


def check_unique(path: Path, ids: Sequence[str]) -> None:
    """Raise DataError if two neuroids have one name."""
    repeated = pd.Index(ids)[pd.Index(ids).duplicated()].unique()
    if len(repeated):
        message = f"{path}: {len(repeated)} neuroid ids stand for more than one neuroid: {some(list(repeated))}."
        raise DataError(message, "Rename subjects, columns or regions, so that their names stay apart when joined.")


def bin_name(time_bin: float) -> str:
    """Return the shortest number that is this time bin."""
    return repr(float(time_bin) + 0.0).removesuffix(".0")


def number(keys: pd.DataFrame) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " key"]]:
    """Return which key each row has, numbered in order of appearance, and the first row of each."""
    codes = keys.groupby(list(keys), sort=False).ngroup().to_numpy()
    return codes, np.flatnonzero(~keys.duplicated().to_numpy())
