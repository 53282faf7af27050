"""Assemblies of today's platform from a digest: the names, order and dtypes of its coordinates, in plain xarray.

Both dimensions carry a MultiIndex of their coordinates, as there, so that `assembly.sel(layer=...)` works; to write one
to NetCDF, `assembly.reset_index(["presentation", "neuroid"])` first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from jaxscore.subjects.digest import Digest

Coordinates = dict[str, tuple[str, np.ndarray]]
"""Name -> dimension and values; text as objects."""


def coordinates(
    digest: Digest, parts: Sequence[str], recordings: Sequence[tuple[str, str, str]] = ()
) -> tuple[Coordinates, Coordinates]:
    """Coordinates of the presentations and, where something is recorded, of the neuroids.

    Args:
        digest: what the model made of the parts.
        parts: the parts of the text as they came.
        recordings: region, recording type and layer of each, in the order of `values_of`.

    Returns:
        Of the presentations: stimulus, context, part_number. Of the neuroids: layer, region, recording_type,
        neuron_number_in_layer and neuroid_id, "layer--number".
    """
    presentation: Coordinates = {
        "stimulus": ("presentation", _text(parts)),
        "context": ("presentation", _text(digest.contexts)),
        "part_number": ("presentation", np.arange(len(parts))),
    }
    widths = [digest.states[layer].shape[1] for *_, layer in recordings]
    columns = {"layer": 2, "region": 0, "recording_type": 1}
    neuroid: Coordinates = {
        name: ("neuroid", np.repeat(_text([recording[place] for recording in recordings]), widths))
        for name, place in columns.items()
    }
    numbers = np.concatenate([np.arange(width) for width in widths]) if widths else np.zeros(0, int)
    names = [f"{layer}--{number}" for layer, number in zip(neuroid["layer"][1], numbers, strict=True)]
    neuroid["neuron_number_in_layer"] = "neuroid", numbers
    neuroid["neuroid_id"] = "neuroid", _text(names)
    return presentation, neuroid


def in_order(digest: Digest, recordings: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Recordings in the order of the digest's layers, those of one layer as they were started; each once.

    Today's platform records with hooks, which fire in the order of the network.
    """
    place = {layer: number for number, layer in enumerate(digest.states)}
    return sorted(dict.fromkeys(recordings), key=lambda recording: place[recording[2]])


def data_array(
    values: np.ndarray, coords: Mapping[str, tuple], dims: Sequence[str], kind: str = "neural"
) -> xr.DataArray:
    """An assembly in plain xarray; a plugin puts the classes of its platform here.

    Args:
        values: of the dimensions `dims`.
        coords: name -> dimension and values.
        dims: "presentation" and, for neural ones, "neuroid".
        kind: "neural" or "behavior": which class a platform has for it.
    """
    indexes = {dim: [name for name, (own, _) in coords.items() if own == dim] for dim in dims}
    return xr.DataArray(values, dict(coords), list(dims)).set_index(indexes)


def _text(values: Sequence[str]) -> np.ndarray:
    """Text as objects [text], as xarray has it in a MultiIndex."""
    found = np.empty(len(values), object)
    found[:] = [str(value) for value in values]
    return found
