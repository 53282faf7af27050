"""Arrays of numbers from NumPy, HDF5 and NIfTI files. Nothing is unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from jaxscore.data.assemblies import some
from jaxscore.data.netcdf import naming
from jaxscore.data.screen import DEFLATE_LIMIT, screen_variable
from jaxscore.errors import DataError, did_you_mean

NUMPY = (".npy", ".npz")
HDF5 = (".h5", ".hdf5")
NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Values:
    """What an array file holds.

    Attributes:
        responses: [row, column] or [row, column, time bin].
        time_bins: of an array with three axes.
        columns: coordinates of the columns that the file itself tells.
    """

    responses: Float[np.ndarray, ...]
    time_bins: Float[np.ndarray, " bin"] | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_values(path: Path, *, variable: str | None, time_bins: str | None, mask: Path | None) -> Values:
    """Read the responses of a .npy, .npz, .h5, .hdf5, .nii or .nii.gz file.

    Args:
        path: the file.
        variable: name of the array in it; without one, there must be a single array of two or three axes.
        time_bins: name of the array with the time bins of a third axis; they are numbered from 0 without one.
        mask: NIfTI file with a volume of the same grid; voxels other than 0 are in it.

    Raises:
        DataError: names file, variable and reason.
    """
    kind = next((end for end in (*NUMPY, *HDF5, *NIFTI) if path.name.lower().endswith(end)), None)
    if kind is None:
        raise DataError(f"{path} is no array.", f"Expected {', '.join((*NUMPY, *HDF5, *NIFTI))}.")
    if (mask is None) == (kind in NIFTI):
        message = f"{path}: mask is {str(mask) if mask else 'missing'}."
        raise DataError(message, "NIfTI files need a mask, a volume of the same grid; other files have none.")
    if mask:
        return _nifti(path, mask)
    with _reading(path), _arrays(path, kind) as arrays:
        name = _choose(path, arrays, variable)
        responses = _numbers(path, name, arrays[name], (2, 3))
        if responses.ndim == 2:
            return Values(responses)
        count = responses.shape[2]
        if time_bins is None:
            return Values(responses, np.arange(count, dtype=np.float64))
        bins = _numbers(path, _choose(path, arrays, time_bins), arrays[time_bins], (1,)).astype(np.float64)
    if len(bins) != count or not np.isfinite(bins).all():
        reason = f"has {len(bins)} values, {np.isfinite(bins).sum()} of them finite"
        raise DataError(f"{path}: variable {time_bins!r} {reason}; {name!r} has {count} time bins.", "Give one each.")
    return Values(responses, bins)


def _reading(path: Path, variable: str = "") -> AbstractContextManager[None]:
    """Whatever the libraries raise on a broken file, as DataError."""
    what = f"{path}: variable {variable!r}" if variable else str(path)
    return naming(f"{what} cannot be read", "Check the path and the file; write it anew.")


@contextmanager
def _arrays(path: Path, kind: str) -> Iterator[Mapping[str, Any]]:
    """The arrays of a NumPy or HDF5 file by name; those of HDF5 are read when they are indexed."""
    if kind in HDF5:
        import h5py

        names: list[str] = []
        with h5py.File(path, "r") as file:  # visits what the file itself holds: no link to another one is followed
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            yield {name: file[name] for name in names}
        return
    if kind == ".npy":
        yield {"array": np.lib.format.open_memmap(path, mode="r")}
        return
    # numpy leaves a broken archive open that it has opened itself
    with path.open("rb") as file, zipfile.ZipFile(file), np.load(file, allow_pickle=False) as loaded:
        found = {}
        for name in loaded.files:
            with _reading(path, name):
                found[name] = loaded[name]
        yield found


def _choose(path: Path, arrays: Mapping[str, Any], variable: str | None) -> str:
    known = some([f"{name} {tuple(item.shape or ())} {item.dtype}" for name, item in arrays.items()], 10) or "none"
    if variable is not None:
        if variable not in arrays:
            guess = did_you_mean(variable, arrays)
            raise DataError(f"{path} has no variable {variable!r}; its arrays: {known}.", guess or "Name one of them.")
        return variable
    fit = [name for name, item in arrays.items() if len(item.shape or ()) in (2, 3) and item.dtype.kind in "fiu"]
    if len(fit) != 1:
        message = f"{path} has {len(fit)} arrays of numbers with two or three axes; its arrays: {known}."
        raise DataError(message, "Name the one with the responses: variable = ...")
    return fit[0]


def _numbers(path: Path, name: str, item: Any, axes: tuple[int, ...]) -> Float[np.ndarray, ...]:
    """Return an array in memory, in float32 where that holds its numbers exactly, else in float64."""
    shape = tuple(item.shape or ())
    if len(shape) not in axes or 0 in shape or item.dtype.kind not in "fiu":
        message = f"{path}: variable {name!r} has shape {shape} and type {item.dtype}."
        raise DataError(message, f"Expected real numbers with {' or '.join(map(str, axes))} axes, none of them empty.")
    if not isinstance(item, np.ndarray):
        room = DEFLATE_LIMIT * path.stat().st_size
        screen_variable(item.file, name, room, f"{path}: variable {name!r}")
    with _reading(path, name), np.errstate(over="ignore"):
        exact = np.can_cast(item.dtype, np.float32)
        return np.array(item[()], dtype=np.float32 if exact else np.float64)


def _nifti(path: Path, mask: Path) -> Values:
    """Return [volume, voxel in the mask], voxels in the order of their indices x, y, z (z fastest)."""
    image, outline = _volumes(path), _volumes(mask)
    if len(image.shape) != 4 or 0 in image.shape or tuple(outline.shape) != tuple(image.shape[:3]):
        message = f"{path} has shape {tuple(image.shape)}, its mask {mask} {tuple(outline.shape)}."
        raise DataError(message, "Expected [x, y, z, volume] and a mask [x, y, z].")
    if not np.allclose(image.affine, outline.affine, atol=1e-3):
        message = f"{path} and its mask {mask} have one shape, and affines that differ."
        raise DataError(message, "Resample the mask to the grid of the data.")
    with _reading(mask):
        inside: Bool[np.ndarray, "x y z"] = np.nan_to_num(np.asarray(outline.dataobj)) != 0
    if not inside.any():
        raise DataError(f"{mask}: no voxel is in the mask.", "Voxels other than 0 are in it.")
    with _reading(path):
        exact = np.can_cast(image.get_data_dtype(), np.float32)
        responses = image.get_fdata(caching="unchanged", dtype=np.float32 if exact else np.float64)[inside].T
    index = np.argwhere(inside)
    place = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    columns = {"neuroid_id": np.array([".".join(map(str, voxel)) for voxel in index.tolist()])}
    columns |= dict(zip("xyz", index.T, strict=True))
    columns |= dict(zip(("x_mm", "y_mm", "z_mm"), place.T, strict=True))
    return Values(np.ascontiguousarray(responses), columns=columns)


def _volumes(path: Path) -> Any:
    """A NIfTI image whose values are not read yet."""
    try:
        import nibabel
    except ImportError:
        raise DataError(f"{path} is NIfTI, and nibabel is not installed.", "pip install 'jaxscore[nifti]'") from None
    with _reading(path):
        image = nibabel.load(path)
        if image.get_data_dtype().kind not in "fiu" or not np.isfinite(image.affine).all():
            raise ValueError(f"it holds {image.get_data_dtype()}, and its affine is {image.affine.tolist()}")
        return image
