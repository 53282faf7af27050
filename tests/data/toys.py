"""A small assembly with every type of coordinate."""

from __future__ import annotations

import numpy as np
import xarray as xr


def toy_assembly() -> xr.DataArray:
    """4 presentations, 3 neuroids, one response missing; attributes that name a class and a file."""
    values = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    values[1, 2] = np.nan
    return xr.DataArray(
        values,
        dims=("presentation", "neuroid"),
        coords={
            "stimulus_id": ("presentation", ["e.0", "e.1", "e.2", "e.3"]),
            "sentence": ("presentation", np.array(["A b.", "Où est-il ?", "c", ""], dtype=object)),
            "passage_index": ("presentation", np.array([1, 1, 2, 2], dtype=np.uint8)),
            "neuroid_id": ("neuroid", ["1.0", "1.1", "2.0"]),
            "subject": ("neuroid", ["1", "1", "2"]),
            "filter_strategy": ("neuroid", [np.nan, 1.0, np.nan]),
        },
        name="data",
        attrs={"identifier": "Toy", "class_module": "os", "class_name": "system", "stimulus_set": "s3:toy-set.csv"},
    )
