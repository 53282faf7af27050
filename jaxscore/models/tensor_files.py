"""Files of weights, read a tensor at a time: safetensors, and old `.bin` files through the restricted reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ml_dtypes
import numpy as np

from jaxscore.errors import ModelError
from jaxscore.models.bin_files import TensorFile
from jaxscore.models.hub import weight_files

DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I64": np.int64,
    "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
"""The format's names of types."""


class SafeFile:
    """One safetensors file.

    The library checks the header; tensors are then read from the file itself, since pages of its memory map would count
    as memory of this process until the file is closed, and its NumPy reader does not know bfloat16.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise ModelError(f"{path}: damaged weights: {error}", "Download or save the checkpoint again.") from None
        self.path = path
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            self.header = json.loads(file.read(size))
        self.header.pop("__metadata__", None)
        self.begin = 8 + size

    def __enter__(self) -> SafeFile:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is held open."""

    def keys(self) -> list[str]:
        """Names of the tensors."""
        return list(self.header)

    def read(self, name: str, into: np.ndarray | None = None) -> np.ndarray:
        """Read one tensor; into the given array, without a second copy, where it is of its shape and type.

        Raises:
            ModelError: for a type that no weight has.
        """
        about = self.header[name]
        if about["dtype"] not in DTYPES:
            raise ModelError(
                f"{self.path}: {name} is of type {about['dtype']}, expected one of {', '.join(DTYPES)}",
                "Quantised checkpoints are not read: take the float one.",
            )
        dtype = np.dtype(DTYPES[about["dtype"]])
        first, last = about["data_offsets"]
        fits = into is not None and into.flags.c_contiguous
        if fits and (into.dtype, list(into.shape)) == (dtype, about["shape"]) and into.size:
            with self.path.open("rb") as file:
                file.seek(self.begin + first)
                file.readinto(memoryview(into.view(np.uint8).reshape(-1)))
            return into
        flat = np.fromfile(self.path, dtype, (last - first) // dtype.itemsize, offset=self.begin + first)
        return flat.reshape(about["shape"])


class Shards:
    """Several files as one."""

    def __init__(self, files: list[SafeFile | TensorFile]) -> None:
        self.files = files
        self.where = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - not a mapping

    def keys(self) -> list[str]:
        """Names of the tensors of all files."""
        return list(self.where)

    def read(self, name: str, into: np.ndarray | None = None) -> np.ndarray:
        """Read one tensor; where that saves a copy, into the given array."""
        file = self.where[name]
        return file.read(name, into) if isinstance(file, SafeFile) else file.read(name)


@contextmanager
def open_weights(folder: Path) -> Iterator[Shards]:
    """The tensors of a checkpoint folder, as a context.

    Raises:
        ModelError: if there are no weights, or they are damaged or hold anything but tensors.
    """
    with ExitStack() as stack:
        kinds = {".bin": TensorFile, ".safetensors": SafeFile}
        yield Shards([stack.enter_context(kinds[path.suffix](path)) for path in weight_files(folder)])
