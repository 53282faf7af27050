"""Scores and ceilings on disk: one number with its error, and where the file has them the values of single neuroids."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from jaxscore.data.assemblies import some
from jaxscore.data.nested import FetchSibling, nested_keys, read_nested
from jaxscore.data.netcdf import check_numbers, read_array
from jaxscore.errors import DataError

AGGREGATION = "aggregation"
HINT = "Expected one number, or center, error_low and error_high along a dimension 'aggregation'."


@dataclass(frozen=True)
class StoredCeiling:
    """A ceiling as one of the two pipelines stored it.

    Attributes:
        whole: the ceiling of the benchmark.
        error_low: how far the lower end of its 95% interval lies below it; None where the file has none.
        error_high: how far the upper end lies above it.
        neuroids: ceilings [neuroid] with the coordinates of the neuroids, NaN where there was no extrapolation; None
            where the file has none.
    """

    whole: float
    error_low: float | None = None
    error_high: float | None = None
    neuroids: xr.DataArray | None = None

    def of(self, coordinates: Mapping[Hashable, Any]) -> Float[np.ndarray, " neuroid"]:
        """Return the ceiling of each neuroid that the coordinates describe, NaN for those that have none.

        Matched by neuroid_id and, as a voxel may lie in several atlases, by atlas where both sides name it.

        Args:
            coordinates: arrays [neuroid] by name, among them neuroid_id; `assembly.coords` will do.

        Raises:
            DataError: no values of neuroids here, no ids on one side, ids that are not unique here, or none in common.
        """
        if self.neuroids is None:
            raise DataError("The ceiling has no values of single neuroids.", "Use its whole value, or fetch its 'raw'.")
        by = ["neuroid_id"] + ["atlas"] * ("atlas" in self.neuroids.coords and "atlas" in coordinates)
        known, wanted = _labels(self.neuroids.coords, by, "the ceiling"), _labels(coordinates, by, "the assembly")
        if (repeated := known[known.duplicated()].unique()).size:
            message = f"The ceiling has {repeated.size} neuroids more than once: {some(repeated)}."
            raise DataError(message, f"Expected one value for each {' and '.join(by)}.")
        where = known.get_indexer(wanted)
        if (where < 0).all():
            message = f"None of {wanted.size} neuroids has a ceiling; they are {some(wanted)}"
            raise DataError(f"{message}, the ceiling's {some(known)}.", "Give the ceiling of the same assembly.")
        return np.where(where < 0, np.nan, self.neuroids.values[where]).astype(np.float64)


def read_score(path: str | Path) -> float:
    """Read a ceiling or score: a file whose one variable has no dimension.

    Raises:
        DataError: the file holds no such variable, or its value is not a finite number.
    """
    value = _read(path)
    if value.ndim:
        message = f"{path}: variable '{value.name}' is {dict(value.sizes)}, expected one number."
        raise DataError(message, "Give the file of a single score, or use read_ceiling.")
    return _finite(value.item(), f"{path}: variable '{value.name}'")


def read_ceiling(path: str | Path, fetch: FetchSibling | None = None) -> StoredCeiling:
    """Read a ceiling of either pipeline.

    Today's files are one number with its errors as attributes. Those of 2021 have center, error_low and error_high (or
    error) along a dimension, and name the values of single neuroids as the nested file `raw`. A file that has neuroids
    itself, as `raw` does, is read too: its whole is their median.

    Args:
        path: NetCDF file.
        fetch: from the key of a nested file to its path, to read the values of single neuroids as well (for local
            files `jaxscore.data.nested.siblings(path)`); without it no other file is touched.

    Raises:
        DataError: the file or the nested one does not hold such values; names file, variable and reason.
    """
    array = _read(path)
    where = f"{path}: variable '{array.name}'"
    parts = _parts(array, where)
    center = parts.pop("center")
    neuroids = None
    if center.dims == ("neuroid",):
        neuroids = center
        parts = {name: part.median() for name, part in parts.items()}
        center = center.median()
    elif center.ndim:
        raise DataError(f"{where} has the dimensions ({', '.join(map(str, array.dims))}).", HINT)
    elif fetch is not None and "raw" in nested_keys(array.attrs, path):
        raw = read_nested(path, "raw", fetch=fetch)
        if not isinstance(raw, xr.DataArray):
            raise DataError(f"{path}: attribute 'raw' names a table, expected an array.", "Expected s3:<name>.nc.")
        if "neuroid" in raw.dims:  # rdm and cka have subjects instead, a single extrapolation has neither
            neuroids = _neuroid_values(raw, f"{path}: attribute 'raw'")
    low, high = (_error(parts, array.attrs, name, where) for name in ("error_low", "error_high"))
    return StoredCeiling(_finite(center.item(), where), low, high, neuroids)


def _read(path: str | Path) -> xr.DataArray:
    array = read_array(path)
    check_numbers(array, f"{path}: variable '{array.name}'")
    return array


def _parts(array: xr.DataArray, where: str) -> dict[str, xr.DataArray]:
    """Return center and errors, each without the dimension of aggregation; the array itself where it has none."""
    if AGGREGATION not in array.dims:
        return {"center": array}
    # an xarray of 2021 stored the labels as aggregation_
    labels = next((array[name] for name in (AGGREGATION, f"{AGGREGATION}_") if name in array.coords), None)
    if labels is None or labels.dims != (AGGREGATION,) or "center" not in labels.values.tolist():
        raise DataError(f"{where} has a dimension 'aggregation' without a label 'center'.", HINT)
    return {str(label): array.isel({AGGREGATION: i}, drop=True) for i, label in enumerate(labels.values.tolist())}


def _neuroid_values(raw: xr.DataArray, where: str) -> xr.DataArray:
    check_numbers(raw, where)
    center = _parts(raw, where)["center"]
    if center.dims != ("neuroid",):
        raise DataError(f"{where} has the dimensions ({', '.join(map(str, raw.dims))}), expected (neuroid).", HINT)
    return center


def _error(parts: Mapping[str, xr.DataArray], attributes: Mapping[str, Any], name: str, where: str) -> float | None:
    """Return an error from the labels of aggregation (either its own or both in one), else from the attributes."""
    part = parts.get(name, parts.get("error"))
    value = attributes.get(name) if part is None else part.item()
    if value is None:
        return None
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "iuf":
        raise DataError(f"{where}: {name} is {value!r}, expected a number.", HINT)
    return float(number.item())


def _finite(value: float, where: str) -> float:
    if not np.isfinite(value):
        raise DataError(f"{where} is {value}.", "A ceiling must be a finite number.")
    return float(value)


def _labels(coordinates: Mapping[Hashable, Any], by: list[str], what: str) -> pd.Index:
    """Return what neuroids are matched by, one text for each."""
    if absent := [name for name in by if name not in coordinates or np.ndim(coordinates[name]) != 1]:
        raise DataError(f"Neuroids cannot be matched: {what} has no {', '.join(absent)} on neuroid.", "Name them.")
    columns = [np.asarray(coordinates[name]).astype(str) for name in by]
    return pd.Index([" in ".join(values) for values in zip(*columns, strict=True)], dtype=object)
