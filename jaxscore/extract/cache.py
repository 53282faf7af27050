"""Activations on disk, one HDF5 file per content: the same model, texts and context are extracted once."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxscore.data.fetch import atomic_path, default_cache

DATASET = "activations"
NOTES = "notes"


def activations_path(key: str) -> Path:
    """Where the activations of this content lie."""
    return default_cache() / "activations" / f"{key}.h5"


def read_activations(
    path: Path, layers: list[int]
) -> tuple[Float[np.ndarray, "layer stimulus feature"], dict[str, Any]] | None:
    """The layers of a cached file and its notes; None if it is not there or damaged (chunks carry checksums)."""
    import h5py

    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r") as file:
            return np.stack([file[DATASET][layer] for layer in layers]), json.loads(file.attrs[NOTES])
    except (OSError, KeyError, IndexError, ValueError, TypeError):
        return None


def write_activations(
    path: Path,
    states: Float[np.ndarray, "layer stimulus feature"],
    notes: dict[str, Any],
    about: dict[str, str],
) -> None:
    """Write all layers, atomically; `about` becomes the file's attributes, `notes` are given back on reading.

    Raises:
        OSError: if the disk refuses.
    """
    import h5py

    memory = io.BytesIO()  # see store.records: the HDF5 library and a full disk
    with h5py.File(memory, "w") as file:
        file.create_dataset(DATASET, data=states, chunks=(1, *states.shape[1:]), fletcher32=True)
        file.attrs.update(about | {NOTES: json.dumps(notes)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(memory.getbuffer())
