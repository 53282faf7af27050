"""What an HDF5 file declares, looked at before any value of it is read.

A file can ask the HDF5 library to load a plug-in for its compression, to open other files, or to make room for more
than it holds; and a damaged list of dimensions can keep the library busy for ever. Such files are refused here.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

import h5py
import numpy as np

from jaxscore.errors import DataError, JaxscoreError

DEFLATE_LIMIT = 1100  # deflate shrinks its input by a factor of 1032 at the most
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scale-offset", 32000: "lzf"}
MOST_SCALES = 8  # dimension scales that one axis may name; NetCDF writes one
TEXTS = ("coordinates", "_Encoding")  # attributes that say how to read a variable, and what they must be
NUMBERS = ("scale_factor", "add_offset")
SINGLE = (*NUMBERS, "_FillValue")
HEAP = b"GCOL\x01\0\0\0"  # a global heap: signature, version, three bytes of nothing, then its size
HEAP_HEADER = 16
PLACE = struct.Struct("<HH4xQ")  # of one object in it: index (0 where it is free), references, size
HINT = "The file is damaged or was not written as NetCDF4; fetch it again, or write it anew with xarray."


def screen(path: Path) -> None:
    """Look at what a file declares: links, types, shapes, filters and attributes of every variable in its root.

    Args:
        path: HDF5 or NetCDF4 file.

    Raises:
        DataError: the file cannot be opened, a variable holds neither numbers nor text, declares more than the file
            can hold, or needs another file or a plug-in; names file, variable and reason.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file.", "Check the path.")
    try:
        room = DEFLATE_LIMIT * path.stat().st_size
        with h5py.File(path, "r") as file:
            if file.id.get_create_plist().get_sizes() != (8, 8):
                raise DataError(f"{path} counts in other than 8 bytes, which no NetCDF4 does.", HINT)
            _check_heaps(path)
            _check_attributes(file)
            for name in file:
                room -= screen_variable(file, name, room, f"{path}: variable '{name}'")
    except JaxscoreError:
        raise
    except Exception as error:  # a broken file shows itself by any of them
        raise DataError(f"{path} cannot be read as NetCDF4: {reason(error)}.", HINT) from error


def reason(error: Exception) -> str:
    """Return what an error of another library says, on one line and not too long."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    for note in getattr(error, "__notes__", []):  # xarray says there which variable it was at
        text += f" ({note.partition(' with value ')[0]})"
    return text if len(text) <= 300 else text[:300] + " ..."


def screen_variable(file: h5py.Group, name: str, room: int, where: str) -> int:
    """Look at what one variable declares.

    Args:
        file: the open file, or the group that the variable is in.
        name: of the variable.
        room: bytes that it may take in memory.
        where: what to call it in a message.

    Returns:
        Bytes that it takes in memory.

    Raises:
        DataError: it cannot be read safely.
    """
    try:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{where} is a link to another place, which is not followed.", HINT)
        variable = file[name]
        if not isinstance(variable, h5py.Dataset):
            return 0  # a group or a named type: not read
        _check_storage(variable, where)
        size = _declared_bytes(variable, where)
        if size > room:
            raise DataError(f"{where} declares the shape {variable.shape}, more than its file can hold.", HINT)
        _check_attributes(variable)
    except JaxscoreError:
        raise
    except Exception as error:  # a broken file shows itself by any of them
        raise DataError(f"{where} cannot be read: {reason(error)}.", HINT) from error
    return size


def _declared_bytes(variable: h5py.Dataset, where: str) -> int:
    if variable.shape is None:
        raise DataError(f"{where} has no shape and holds nothing.", HINT)
    dtype = variable.dtype
    if h5py.check_string_dtype(dtype) is None and dtype.kind not in "biuf":
        kind = "references" if h5py.check_ref_dtype(dtype) else "a list in each place" if dtype.kind == "O" else dtype
        raise DataError(f"{where} holds {kind}, expected real numbers or text.", HINT)
    return math.prod(variable.shape) * dtype.itemsize  # exact: numpy's product wraps around


def _check_storage(variable: h5py.Dataset, where: str) -> None:
    """Raise where reading would open other files or load code."""
    if variable.external or variable.is_virtual:
        raise DataError(f"{where} keeps its values in other files, which are not opened.", HINT)
    properties = variable.id.get_create_plist()
    used = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    if foreign := [str(each) for each in used if each not in FILTERS]:
        known = ", ".join(FILTERS.values())
        raise DataError(f"{where} is packed by filter {', '.join(foreign)}, expected one of {known}.", HINT)


def _check_attributes(item: h5py.Group) -> None:
    """Read every attribute once; raises where one is broken, or says how to read the values and cannot be followed."""
    for name in item.attrs:
        value = item.attrs[name]
        if name == "DIMENSION_LIST" and any(len(scales) > MOST_SCALES for scales in np.atleast_1d(value)):
            raise ValueError("the list of its dimensions is damaged")
        if name in TEXTS and not isinstance(value, str | bytes):
            raise ValueError(f"its attribute '{name}' is {value!r}, expected text")
        if name in SINGLE and np.size(value) != 1:
            raise ValueError(f"its attribute '{name}' has {np.size(value)} values, expected one")
        if name in NUMBERS and np.asarray(value).dtype.kind not in "iuf":
            raise ValueError(f"its attribute '{name}' is {value!r}, expected a number")


def _check_heaps(path: Path) -> None:
    """Walk through the heaps that hold texts of any length, as their loader does.

    HDF5 (2.0 and before) never comes back from a free place of size zero: it stays where it is and looks again.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(HEAP)
        while start >= 0:
            place = start + HEAP_HEADER
            end = min(start + int.from_bytes(content[start + 8 : place], "little"), len(content))
            while place + PLACE.size <= end:
                index, _, size = PLACE.unpack_from(content, place)
                step = (PLACE.size + -(-size // 8) * 8) % 2**64 if index else size
                if not step:
                    raise DataError(f"{path}: a heap of texts is damaged at byte {place}.", HINT)
                place += step
            start = content.find(HEAP, start + 8)
