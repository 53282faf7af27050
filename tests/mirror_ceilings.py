"""Simulated ceilings in the layouts of both pipelines, the published values in their middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from jaxscore.data.nested import write_nested
from jaxscore.data.netcdf import write_array

WHOLE = {
    "Pereira2018-encoding": 0.318567,
    "Pereira2018-rdm": 0.2,  # not published as a number, nor is the next one of rdm
    "Fedorenko2016v3-encoding": 0.168649,
    "Fedorenko2016v3nonlang-encoding": 0.116164,
    "Blank2014fROI-encoding": 0.200405,
    "Blank2014fROI-rdm": 0.1,
    "Futrell2018-encoding": 0.76,
}
"""Ceilings of the 2021 pipeline, by key."""
PLATFORM = {
    "Pereira2018.243sentences-linear": 0.35378928,
    "Pereira2018.384sentences-linear": 0.36343748,
    "Pereira2018.243sentences-ridge": 0.1337,
    "Pereira2018.384sentences-ridge": 0.1352,
}
"""Ceilings of today's platform that are stored, by identifier."""
PARTS = ("center", "error_low", "error_high")


def write_2021(folder: Path, name: str, units: xr.DataArray, dim: str, seed: int) -> None:
    """Write `<name>-ceiling.nc` with all that it nests: the whole, each unit, and what these are from.

    Args:
        folder: of the bucket.
        name: a key of WHOLE.
        units: any array whose coordinates on `dim` the units have; the whole is the median of those in the language
            atlas, where there are atlases.
        dim: "neuroid", or "subject" for rdm.
        seed: of what is simulated.
    """
    rng, count = np.random.default_rng([seed, 6, len(name)]), units.sizes[dim]
    own = rng.normal(0, 0.08, count)
    own[count // 2] = np.nan  # as for the one that could not be extrapolated
    whole = units["atlas"].values == "language" if "atlas" in units.coords else slice(None)
    own += WHOLE[name] - np.nanmedian(own[whole])
    labels = {str(key): (dim, c.values) for key, c in units.coords.items() if c.dims == (dim,)}
    levels = [2, 3, 4]
    subsets = own * (1 - np.exp(-np.array(levels) / 2))[:, None]
    raw = _parts(np.stack([own, np.full(count, 0.05), np.full(count, 0.06)], 1), (dim,), labels)
    raw.attrs = {"raw": xr.DataArray(subsets, {"num_subjects": levels, **labels}, ("num_subjects", dim))}
    found = _parts(np.array([WHOLE[name], 0.05, 0.06]), (), {})
    parameters = np.column_stack([rng.normal(WHOLE[name], 0.02, 100), rng.normal(2, 0.2, 100)])
    found.attrs = {
        "raw": raw,
        "endpoint_x": xr.DataArray(41),
        "bootstrapped_params": xr.DataArray(parameters, {"param": ["v0", "tau0"]}, ("bootstrap", "param")),
    }
    write_nested(folder, f"{name}-ceiling", found)


def write_platform(folder: Path, identifier: str, units: xr.DataArray, seed: int) -> None:
    """Write `ceiling_`, `ceiling_raw_` and `ceiling_raw_raw_` of an identifier: whole, neuroids, subsets and splits."""
    rng = np.random.default_rng([seed, 7, int(1e8 * PLATFORM[identifier])])
    own = rng.normal(0, 0.05, units.sizes["neuroid"])
    own += PLATFORM[identifier] - np.median(own)
    labels = {str(key): ("neuroid", c.values) for key, c in units.coords.items() if c.dims == ("neuroid",)}
    whole = xr.DataArray(PLATFORM[identifier], attrs={"error_low": 0.01, "error_high": 0.01, "endpoint_x": 41})
    splits = np.stack([own * level for level in (0.6, 0.8, 0.9)])
    found = {
        "": whole,
        "raw_": xr.DataArray(own, labels, ("neuroid",)),
        "raw_raw_": xr.DataArray(splits, {"num_subjects": [2, 3, 4], **labels}, ("num_subjects", "neuroid")),
    }
    for prefix, array in found.items():
        write_array(array, folder / f"ceiling_{prefix}{identifier.replace('.', '_')}.nc")


def _parts(values: np.ndarray, dims: tuple[str, ...], labels: dict) -> xr.DataArray:
    return xr.DataArray(values, {"aggregation": list(PARTS), **labels}, (*dims, "aggregation"))
