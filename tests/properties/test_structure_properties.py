"""Whatever an HDF5 file is made of: it is read as an assembly or refused with its name and a reason."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from data.refusals import outcome, refusal
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jaxscore.data.nested import siblings
from jaxscore.data.scores import read_ceiling

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
VARIABLES = ["data", "stimulus_id", "neuroid_id", "sentence", "image_id", "subject_id"]
SIZES = {"presentation": 2, "neuroid": 3, "subject": 3}
ATTRIBUTES = [
    "coordinates",
    "_FillValue",
    "scale_factor",
    "add_offset",
    "dtype",
    "units",
    "calendar",
    "_Encoding",
    "raw",
]
ODD_TYPES = ["f8", "i4", "u8", "f2", "?", "S3", "text", "c16", "ref", "list", [("a", "f8")], "datetime", "enum"]


@st.composite
def structures(draw) -> list[tuple]:
    """Variables for an HDF5 file: name, type, shape, dimensions, attributes; about half of each as they should be."""
    names = draw(st.lists(st.sampled_from(VARIABLES), unique=True, max_size=5))
    names = list(dict.fromkeys(["data", "stimulus_id", *names])) if draw(st.integers(0, 3)) else names
    value = st.one_of(TEXT, st.floats(), st.integers(-5, 300), st.just(np.ones(3)), st.just("data stimulus_id nothing"))
    odd = st.integers(0, 9).map(lambda number: number == 9)
    size = st.one_of(st.sampled_from([0, 1, 2, 4]), st.sampled_from([2**20, 2**40]))
    made = []
    for name in names:
        dims = ["presentation", "neuroid"] if name == "data" else ["neuroid" if "neuroid" in name else "presentation"]
        if draw(odd):
            dims = draw(st.lists(st.sampled_from([*SIZES, ""]), max_size=4, unique=True))
        shape = tuple(draw(size) if draw(odd) else SIZES.get(dim, 2) for dim in dims)
        kind = draw(st.sampled_from(ODD_TYPES)) if draw(odd) else "f8" if name == "data" else "text"
        made.append((name, kind, shape, dims, draw(st.dictionaries(st.sampled_from(ATTRIBUTES), value, max_size=1))))
    return made


def _type(kind):
    special = {
        "text": h5py.string_dtype(), "ref": h5py.ref_dtype, "list": h5py.vlen_dtype(np.int32),
        "datetime": h5py.opaque_dtype(np.dtype("M8[s]")), "enum": h5py.enum_dtype({"A": 0, "B": 1}),
    }  # fmt: skip
    return special[kind] if isinstance(kind, str) and kind in special else np.dtype(kind)


def build(path: Path, structure: list[tuple]) -> None:
    """Write such a file; large variables are declared and never filled."""
    with h5py.File(path, "w") as file:
        for name, kind, shape, dims, attributes in structure:
            full = int(np.prod(shape, dtype=float)) <= 10**4
            chunks = None if full else tuple(min(size, 100) or 1 for size in shape)
            item = file.create_dataset(name, shape, _type(kind), chunks=chunks)
            if full and kind == "text":
                item[...] = np.arange(item.size).astype(str).astype(object).reshape(shape)
            elif full and kind in ("f8", "i4"):
                item[...] = np.random.default_rng(1).integers(0, 9, shape)
            for axis, dim in enumerate(dims):
                if dim and dim not in file:
                    file.create_dataset(dim, (SIZES[dim],), "f4").make_scale(
                        "This is a netCDF dimension but not a netCDF variable."
                    )
                if dim and file[dim].is_scale and file[dim] != item:
                    item.dims[axis].attach_scale(file[dim])
            for attribute, value in attributes.items():
                item.attrs[attribute] = value


# the same files in every run: HDF5 itself, not we, would have to answer for what a new one finds
@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(structures())
@example([("data", "f8", (2, 3), [], {}), ("stimulus_id", "text", (2,), [], {})])
@example([("data", "f8", (2**40, 2**40), [], {})])
@example([("data", "ref", (2, 3), [], {})])
def test_any_structure(tmp_path, structure):
    path = tmp_path / "structure.nc"
    build(path, structure)
    outcome(path)
    refusal(path, lambda: read_ceiling(path, siblings(path)))
