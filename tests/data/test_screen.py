"""What a file may not ask for: other files, plug-ins, more room than it can fill, an endless loop."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from jaxscore.data.screen import HEAP, screen
from jaxscore.errors import DataError


def _refused(path) -> str:
    with pytest.raises(DataError) as caught:
        screen(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.message


def _external(file, folder):
    (folder / "secret.bin").write_bytes(np.arange(6.0).tobytes())
    file.create_dataset("data", (2, 3), "f8", external=[(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)])


def _virtual(file, folder):
    layout = h5py.VirtualLayout((2, 3), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "data", shape=(2, 3))
    file.create_virtual_dataset("data", layout)


def _plug_in(file, folder):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((2, 3))
    properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((2, 3)), dcpl=properties)


def _link(file, folder):
    file["data"] = h5py.ExternalLink(str(folder / "other.h5"), "/data")


def _soft_link(file, folder):
    file["data"] = h5py.SoftLink("/data")


def _references(file, folder):
    file.create_dataset("data", (2,), h5py.ref_dtype)


def _compound(file, folder):
    file["data"] = np.zeros(2, dtype=[("a", "f8"), ("b", "i4")])


def _lists(file, folder):
    file.create_dataset("data", (2,), h5py.vlen_dtype(np.float64))


def _nothing(file, folder):
    file["data"] = h5py.Empty("f8")


def _enormous(file, folder):
    file.create_dataset("data", (10**9, 10**9), "f8", chunks=(1000, 1000), compression="gzip")


def _wrapping(file, folder):
    file.create_dataset("data", (2**32, 2**32), "f8", chunks=(1000, 1000))  # 2**64 values: none, in 64 bits


def _enormous_text(file, folder):
    file.create_dataset("data", (10**12,), h5py.string_dtype(), chunks=(1000,))


def _many(file, folder):
    for i in range(100):
        file.create_dataset(f"data{i}", (10**6,), "f8", chunks=(1000,))


CASES = {
    _external: "keeps its values in other files",
    _virtual: "keeps its values in other files",
    _plug_in: "packed by filter 32015",
    _link: "is a link to another place",
    _soft_link: "is a link to another place",
    _references: "holds references",
    _compound: "expected real numbers or text",
    _lists: "holds a list in each place",
    _nothing: "has no shape",
    _enormous: r"declares the shape \(1000000000, 1000000000\)",
    _wrapping: "more than its file can hold",
    _enormous_text: "more than its file can hold",
    _many: "more than its file can hold",
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__[1:])
def test_refused(make, tmp_path):
    path = tmp_path / "bad.nc"
    with h5py.File(path, "w") as file:
        make(file, tmp_path)
    message = _refused(path)
    assert re.search(CASES[make], message)
    assert "variable 'data" in message


def test_damaged_heap(tmp_path):
    """A free place of size zero among the texts keeps HDF5 2.0 busy for ever."""
    path = tmp_path / "bad.nc"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((2, 3))
        file["stimulus_id"] = np.array(["a", "b"], dtype=object)
    screen(path)
    content = bytearray(path.read_bytes())
    place = content.index(HEAP) + 16
    content[place : place + 16] = bytes(16)
    path.write_bytes(content)
    assert f"damaged at byte {place}" in _refused(path)


def test_damaged_list_of_dimensions(tmp_path):
    path = tmp_path / "bad.nc"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((2, 3))
        file["data"].attrs["DIMENSION_LIST"] = np.zeros((2, 100), dtype="i8")
    assert "variable 'data' cannot be read: the list of its dimensions is damaged" in _refused(path)


def test_what_is_usual_passes(tmp_path):
    path = tmp_path / "good.nc"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "data",
            (1000, 1000),
            "f8",
            data=np.zeros((1000, 1000)),
            chunks=(1000, 1000),
            compression="gzip",
            shuffle=True,
        )
        file["stimulus_id"] = np.array(["a", "b"], dtype=object)
        file["code"] = np.array([b"a", b"b"])
        file["flag"] = np.array([True, False])
        file.create_group("more")["deeper"] = np.zeros(2, dtype=[("a", "f8")])
    assert path.stat().st_size < 20_000
    screen(path)
