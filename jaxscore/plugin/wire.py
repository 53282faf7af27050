"""What goes between brain-score's environment and jaxscore's: a line of JSON each way, arrays beside it as files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxscore import __version__, errors
from jaxscore.errors import DataError, JaxscoreError

SURPRISAL = ""
"""Stands for surprisal among the arrays of a digest, whose other names are those of layers."""


def write_arrays(folder: Path, side: str, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Write arrays as files of a private folder.

    Args:
        folder: shared by both sides.
        side: "asked" or "answered", so that neither writes over the other's.
        arrays: real numbers; what is contiguous in either order is written without a copy.

    Returns:
        The file name of each array.
    """
    names = {}
    for i, (name, values) in enumerate(arrays.items()):
        if values.dtype.kind not in "biuf":
            raise DataError(f"{name} is of type {values.dtype}, expected real numbers", "Convert it: .astype(float).")
        names[name] = f"{side}-{i}.npy"
        np.save(folder / names[name], values, allow_pickle=False)
    return names


def read_arrays(folder: Path, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Read the arrays that the other side wrote, and remove their files."""
    arrays = {}
    for name, file in names.items():
        path = folder / Path(file).name
        arrays[name] = np.load(path, allow_pickle=False)
        path.unlink()
    return arrays


def pack_error(error: Exception) -> dict[str, str]:
    """An error as it travels."""
    if isinstance(error, JaxscoreError):
        return {"kind": type(error).__name__, "error": error.message, "hint": error.hint}
    hint = "This is a defect of jaxscore: its traceback stands above."
    if isinstance(error, ImportError):
        hint = f"Install jaxscore with all that it needs: {sys.executable} -m pip install jaxscore=={__version__}"
    return {"kind": "JaxscoreError", "error": f"{type(error).__name__}: {error}", "hint": hint}


def unpack_error(packed: Mapping[str, str]) -> JaxscoreError:
    """The error that the other side raised, of the same class."""
    kind = getattr(errors, packed["kind"], None)
    known = isinstance(kind, type) and issubclass(kind, JaxscoreError)
    return (kind if known else JaxscoreError)(packed["error"], packed["hint"])
