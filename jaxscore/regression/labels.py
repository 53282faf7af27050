"""xarray in and out: the names and coordinates of the axes travel around the arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscore.errors import DataError

if TYPE_CHECKING:
    import xarray as xr

    from jaxscore.regression.crossval import CrossValidation


LAYER, STIMULUS, NEUROID = ("layer",), ("stimulus", "presentation"), ("neuroid", "voxel")
"""Names by which a dimension is known wherever it stands."""


@dataclass(frozen=True)
class Labels:
    """Names of axes.

    Attributes:
        layer: coordinates along the layers, by name.
        neuroid: coordinates along the neuroids, by name.
        names: what the layer and the neuroid dimension are called.
    """

    layer: dict[str, Any] = field(default_factory=dict)
    neuroid: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, str] = ("layer", "neuroid")

    @classmethod
    def take(cls, X: Any, Y: Any) -> tuple[Any, np.ndarray, Labels]:
        """Arrays [layer, stimulus, feature] and [stimulus, neuroid], and what their axes are called.

        Raises:
            DataError: if X and Y are labelled and their stimuli differ, in kind or in order.
        """
        layer, neuroid, names = {}, {}, ["layer", "neuroid"]
        if _labelled(Y):
            if Y.ndim != 2:
                raise DataError(f"Y has dimensions {Y.dims}, expected two: stimulus (presentation) and neuroid")
            Y = Y.transpose(*sorted(Y.dims, key=lambda d: d in NEUROID or (_labelled(X) and d not in X.dims)))
            names[1] = str(Y.dims[1])
            neuroid = _along(Y, Y.dims[1])
        if _labelled(X):
            if X.ndim == 2:
                X = X.expand_dims("layer")
            if X.ndim != 3:
                raise DataError(f"X has dimensions {X.dims}, expected three: layer, stimulus (presentation), feature")
            stimulus = [d for d in X.dims if d in (Y.dims[:1] if _labelled(Y) else STIMULUS)] or [X.dims[1]]
            others = [d for d in X.dims if d != stimulus[0]]
            X = X.transpose(*sorted(others, key=lambda d: d not in LAYER)[:1], stimulus[0], ...)
            names[0] = str(X.dims[0])
            layer = _along(X, X.dims[0])
            if _labelled(Y):
                _same_stimuli(X, Y)
            X = X.values
        return X, np.asarray(Y), cls(layer, neuroid, tuple(names))

    def dataset(self, found: CrossValidation) -> xr.Dataset:
        """Results as an xarray Dataset."""
        import xarray as xr

        layer, neuroid = self.names
        axes = (layer, "fold", neuroid)
        data = {name.replace("-", "_"): (axes, values) for name, values in found.scores.items()}
        if found.alphas is not None:
            data["alpha"] = (axes, found.alphas)
        if found.weights is not None:
            data["weight"] = ((*axes, "space"), found.weights)
        if found.pooled_r2 is not None:
            data["pooled_r2"] = ((layer, neuroid), found.pooled_r2)
        coordinates = {name: (layer, values) for name, values in self.layer.items()}
        coordinates |= {name: (neuroid, values) for name, values in self.neuroid.items()}
        about = {
            "path": (layer, ["+".join(diagnosis.paths) for diagnosis in found.diagnoses]),
            "condition": (layer, [diagnosis.condition for diagnosis in found.diagnoses]),
        }
        coordinates = about | coordinates
        return xr.Dataset(data, coordinates)


def _labelled(array: Any) -> bool:
    return hasattr(array, "dims") and hasattr(array, "coords")


def _along(array: xr.DataArray, dimension: Any) -> dict[str, Any]:
    """Plain coordinates along one dimension; the levels of a MultiIndex each by itself."""
    return {
        str(name): coordinate.values
        for name, coordinate in array.coords.items()
        if coordinate.dims == (dimension,) and not isinstance(coordinate.values.flat[0], tuple)
    }


def _same_stimuli(X: xr.DataArray, Y: xr.DataArray) -> None:
    """Rows that are named on both sides must be the same, in the same order."""
    mine, theirs = _along(X, X.dims[1]), _along(Y, Y.dims[0])
    for name in mine.keys() & theirs.keys():
        if len(mine[name]) != len(theirs[name]):
            continue
        a, b = mine[name], theirs[name]
        holes = (a != a) & (b != b)
        if differ := np.flatnonzero((a != b) & ~holes).tolist():
            here, there = (values[differ[0] : differ[0] + 1].tolist()[0] for values in (a, b))
            raise DataError(
                f"{name} differs between X and Y: {here!r} and {there!r} in row {differ[0]}",
                f"Put them in the same order, for instance Y.sel({Y.dims[0]}=X.{X.dims[1]}).",
            )
