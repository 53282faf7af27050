"""Responses from NumPy, HDF5 and NIfTI files beside tables of their rows and columns."""

from __future__ import annotations

import csv
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from jaxscore.data.arrays import read_array
from jaxscore.errors import DataError

VALUES = np.random.default_rng(0).normal(size=(5, 3))
BINS = np.random.default_rng(1).normal(size=(5, 3, 4))


class Opened:
    """Loading this by pickle would make a file."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a table of five stimuli and one of three neuroids."""
    monkeypatch.chdir(tmp_path)
    rows = [["item", "text", "day", "rep", "story"]]
    rows += [[f"i{k}", f"Text, {k}.", f"{k // 2}", "1", "s"] for k in range(5)]
    columns = [
        ["neuroid_id", "who", "roi", "depth"],
        ["A1", "s1", "IFG", 1],
        ["A2", "s1", "", 2.5],
        ["B1", "s2", "PTL", ""],
    ]
    for name, content in {"stimuli.csv": rows, "neuroids.tsv": columns}.items():
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="\t" if name.endswith("tsv") else ",").writerows(content)
    return tmp_path


def _save(path: Path, **arrays: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    elif path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file.create_dataset(name.replace("__", "/"), data=values, compression="gzip")
    return path


def _read(path: Path, **options):
    return read_array(path, **{"stimuli": path.parent / "stimuli.csv", "sentence": "text"} | options)


def _message(path: Path, *, names: Path | None = None, **options) -> str:
    with pytest.raises(DataError) as caught:
        _read(path, **options)
    assert str(names or path) in caught.value.message
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5", "a.hdf5", "A.NPZ"])
def test_rows_and_columns(folder, name):
    path = _save(folder / name.lower(), responses=VALUES).rename(folder / name)
    assembly, dropped = _read(
        path, stimulus_id="item", group="story", run="day", neuroids=folder / "neuroids.tsv", subject="who"
    )
    assert assembly.dims == ("presentation", "neuroid")
    np.testing.assert_array_equal(assembly.values, VALUES)
    assert dropped.missing == dropped.constant == []
    expected = {
        "stimulus_id": [f"i{k}" for k in range(5)],
        "sentence": [f"Text, {k}." for k in range(5)],
        "run": list("00112"),
        "passage_id": ["s"] * 5,
        "neuroid_id": ["A1", "A2", "B1"],
        "subject": ["s1", "s1", "s2"],
        "roi": ["IFG", "", "PTL"],
    }
    assert {key: assembly[key].values.tolist() for key in expected} == expected
    np.testing.assert_array_equal(assembly["depth"].values, [1, 2.5, np.nan])
    assert set(assembly.coords) == {*expected, "depth"}


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])
@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("<f8", "f8"), (">f4", "f4"), ("f2", "f4"), ("i2", "f4"), ("u1", "f4"), ("i4", "f8"), (">i8", "f8")],
)
def test_numbers_are_kept_exactly(folder, name, dtype, kept):
    values = (VALUES * 50).astype(dtype) if dtype != "u1" else np.arange(15, dtype="u1").reshape(5, 3)
    assembly, _ = _read(_save(folder / name, x=np.asfortranarray(values)))
    assert assembly.dtype == kept
    np.testing.assert_array_equal(assembly.values, values.astype(float))
    assert assembly["neuroid_id"].values.tolist() == ["0", "1", "2"]
    assert set(assembly["subject"].values) == {"subject"}


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_time_bins(folder, name):
    path = _save(folder / name, x=BINS, ms=np.array([-100, 0, 50, 100]), other__deep=VALUES)
    names = {"a.npz": "other__deep", "a.h5": "other/deep"}
    np.testing.assert_array_equal(_read(path, variable=names[name])[0].values, VALUES)
    assembly, _ = _read(path, variable="x", time_bin="ms", neuroids=folder / "neuroids.tsv", subject="who")
    assert assembly.shape == (5, 12)
    for at, index in {-100: 0, 0: 1, 50: 2, 100: 3}.items():
        one = assembly.isel(neuroid=assembly["time_bin"].values == at)
        np.testing.assert_array_equal(one.values, BINS[:, :, index])
        assert one["neuroid_id"].values.tolist() == [f"{channel}@{at}" for channel in ("A1", "A2", "B1")]
        assert one["channel"].values.tolist() == ["A1", "A2", "B1"]
        assert one["roi"].values.tolist() == ["IFG", "", "PTL"]
    numbered, _ = _read(path, variable="x")
    assert sorted(set(numbered["time_bin"].values)) == [0, 1, 2, 3]
    assert "has no variable 'mss'" in (message := _message(path, variable="x", time_bin="mss"))
    assert "Did you mean 'ms'?" in message
    assert "2 arrays of numbers" in _message(path)
    wrong = _save(folder / f"wrong{path.suffix}", x=BINS, ms=np.array([0.0, 1, np.nan]))
    assert "variable 'ms' has 3 values, 2 of them finite; 'x' has 4 time bins" in _message(wrong, time_bin="ms")


def test_time_bins_in_a_table(folder):
    (folder / "bins.csv").write_text("neuroid_id,ms,channel\na,0,e\nb,50,e\nc,50,f\n")
    path = _save(folder / "a.npy", x=VALUES)
    assembly, _ = _read(path, neuroids=folder / "bins.csv", time_bin="ms")
    assert assembly["time_bin"].values.tolist() == [0, 50, 50]
    assert assembly["channel"].values.tolist() == ["e", "e", "f"]
    assert "time_bin = 'ms' is a column of no table" in _message(path, time_bin="ms")


def test_repetitions_keep_holes(folder):
    (folder / "two.csv").write_text("item,text,rep\na,A,1\nb,B,1\na,A,2\nb,B,2\nc,C,1\n")
    values = VALUES.copy()
    values[0, 0], values[:, 1], values[1:, 2] = np.inf, 3, np.nan
    path = _save(folder / "a.npy", x=values)
    options = {"stimuli": folder / "two.csv", "stimulus_id": "item"}
    assembly, dropped = _read(path, repetition="rep", **options)
    assert dropped.constant == ["1", "2"]  # a single value varies as little as one that repeats
    np.testing.assert_array_equal(assembly.values[:, 0], [np.nan, *values[1:, 0]])
    assert assembly.attrs["holes"] == 1
    assert assembly["repetition"].values.tolist() == list("11221")
    message = _message(path, names=folder / "two.csv", **options)
    assert "rows 1 and 3 are both stimulus 'a'" in message
    once, dropped = _read(_save(folder / "b.npy", x=np.column_stack([VALUES, values])))
    assert dropped.missing == ["3", "5"]
    assert dropped.constant == ["4"]
    assert once.shape == (5, 3)


def test_sizes_that_differ(folder):
    path = _save(folder / "a.npy", x=VALUES[:4])
    assert f"{path} has 4 rows, {folder / 'stimuli.csv'} has 5 rows" in _message(path)
    wide = _save(folder / "b.npy", x=np.hstack([VALUES, VALUES]))
    message = _message(wide, neuroids=folder / "neuroids.tsv")
    assert f"{wide} has 6 columns, {folder / 'neuroids.tsv'} has 3 rows" in message


def test_tables_that_do_not_fit(folder):
    path = _save(folder / "a.npy", x=VALUES)
    table = folder / "broken.csv"
    for text, expected in {
        "neuroid_id\na\nb\na\n": "1 neuroid ids stand for more than one neuroid: a",
        "neuroid_id,who\na,\nb,x\nc,x\n": "column 'who' is empty in 1 rows: 1",
        "name,sentence\na,b\nc,d\ne,f\n": "columns sentence have names that mean something else",
        "name,ms\na,1\nc,\ne,2\n": "column 'ms', row 2: is empty",
    }.items():
        table.write_text(text)
        time_bin = "ms" if "ms" in text else None
        assert expected in _message(path, names=table, neuroids=table, subject="who", time_bin=time_bin)
    assert "no column 'sentence'" in _message(path, names=folder / "stimuli.csv", sentence="sentence")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (VALUES[0], "(3,)"),
        (VALUES[None, None], "(1, 1, 5, 3)"),
        (VALUES[:0], "(0, 3)"),
        (VALUES + 1j, "complex128"),
        (VALUES > 0, "bool"),
        (VALUES.astype("S5"), "S5"),
    ],
)
def test_no_numbers(folder, name, values, expected):
    path = folder / name
    if name == "a.h5":
        with h5py.File(path, "w") as file:
            file["x"] = values
    else:
        _save(path, x=values)
    variable = "array" if name == "a.npy" else "x"
    message = _message(path, variable=variable)
    assert f"variable {variable!r} has shape" in message
    assert expected in message
    assert expected in _message(path)


def test_nothing_is_unpickled(folder):
    for name in ("a.npy", "a.npz"):
        values = np.empty((5, 3), object)
        values[:] = Opened()
        path = folder / name
        np.save(path, values, allow_pickle=True) if name == "a.npy" else np.savez(path, x=values)
        assert "cannot be read" in _message(path)
    assert not (folder / "unpickled").exists()


def test_one_broken_member_is_named(folder):
    path = folder / "a.npz"
    np.savez(path, x=VALUES, y=VALUES)
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content if name == "x.npy" else content[:-8])
    assert "variable 'y' cannot be read" in _message(path)


def test_hdf5_stays_in_its_file(folder):
    with h5py.File(folder / "other.h5", "w") as file:
        file["secret"] = VALUES
    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink("other.h5", "secret")
        layout = h5py.VirtualLayout((5, 3), "f8")
        layout[:] = h5py.VirtualSource("other.h5", "secret", (5, 3))
        file.create_virtual_dataset("virtual", layout)
    assert "has no variable 'link'" in _message(path, variable="link")
    assert "variable 'virtual' keeps its values in other files" in _message(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**6, 10**7), "f8", chunks=(100, 100), compression="gzip")
    assert "variable 'x' declares the shape (1000000, 10000000)" in _message(path)


def test_other_files(folder):
    assert "is no array" in _message(folder / "a.mat")
    assert "No such file" in _message(folder / "absent.npy")
    assert "cannot be read" in _message(folder / "absent.h5")
    for name in ("a.npy", "a.npz", "a.h5"):
        (folder / name).write_bytes(b"")
        assert "cannot be read" in _message(folder / name)
    _save(folder / "b.npy", x=VALUES)
    assert "mask is" in _message(folder / "b.npy", mask=folder / "b.npy")


@pytest.fixture
def nifti(folder):
    """Write a NIfTI file and return its path."""
    nibabel = pytest.importorskip("nibabel")

    def write(name: str, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
        affine = np.array([[2.0, 0, 0, -10], [0, 3, 0, 5], [0, 0, 4, 1], [0, 0, 0, 1]]) if affine is None else affine
        nibabel.save(nibabel.Nifti1Image(values, affine), folder / name)
        return folder / name

    return write


MASK = np.zeros((2, 3, 4), np.uint8)
MASK[0, 1, 2] = MASK[1, 0, 0] = MASK[1, 2, 3] = 1
VOLUMES = np.random.default_rng(2).normal(size=(2, 3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti(nifti, folder, ending):
    path, mask = nifti(f"bold{ending}", VOLUMES), nifti(f"mask{ending}", MASK)
    assembly, _ = _read(path, mask=mask, stimulus_id="item", run="day")
    np.testing.assert_array_equal(assembly.values, np.stack([VOLUMES[0, 1, 2], VOLUMES[1, 0, 0], VOLUMES[1, 2, 3]], 1))
    assert assembly.dtype == np.float32
    expected = {
        "neuroid_id": ["0.1.2", "1.0.0", "1.2.3"],
        "x": [0, 1, 1],
        "y": [1, 0, 2],
        "z": [2, 0, 3],
        "x_mm": [-10, -8, -8],
        "y_mm": [8, 5, 11],
        "z_mm": [9, 1, 13],
        "run": list("00112"),
    }
    assert {name: assembly[name].values.tolist() for name in expected} == expected
    labelled, _ = _read(path, mask=mask, neuroids=folder / "neuroids.tsv", subject="who")
    assert labelled["neuroid_id"].values.tolist() == ["A1", "A2", "B1"]
    assert labelled["z"].values.tolist() == [2, 0, 3]


def test_nifti_scaled_integers(nifti, folder):
    import nibabel

    image = nibabel.Nifti1Image((VOLUMES * 1000).astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 7)
    nibabel.save(image, folder / "scaled.nii")
    mask = nifti("mask.nii", MASK.astype(np.float64), np.eye(4))
    assembly, _ = _read(folder / "scaled.nii", mask=mask)
    expected = nibabel.load(folder / "scaled.nii").get_fdata()[MASK > 0].T
    np.testing.assert_allclose(assembly.values, expected, rtol=1e-6)


def test_nifti_that_does_not_fit(nifti, folder):
    path, mask = nifti("bold.nii", VOLUMES), nifti("mask.nii", MASK)
    assert "mask is missing" in _message(path)
    assert f"its mask {path} (2, 3, 4, 5)" in _message(path, mask=path)
    assert f"{mask} has shape (2, 3, 4)" in _message(mask, mask=mask)
    assert "(2, 3, 3)" in _message(path, mask=nifti("small.nii", MASK[..., :3]))
    assert "affines that differ" in _message(path, mask=nifti("moved.nii", MASK, np.eye(4)))
    empty = nifti("empty.nii", 0 * MASK)
    assert "no voxel is in the mask" in _message(path, names=empty, mask=empty)
    short = folder / "short.nii"
    short.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read" in _message(short, mask=mask)
    colours = np.zeros((2, 3, 4, 5), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    assert "cannot be read" in _message(nifti("colours.nii", colours), mask=mask)


def test_nifti_without_nibabel(nifti, monkeypatch):
    path, mask = nifti("bold.nii", VOLUMES), nifti("mask.nii", MASK)
    monkeypatch.setitem(sys.modules, "nibabel", None)
    message = _message(path, mask=mask)
    assert "nibabel is not installed" in message
    assert "pip install 'jaxscore[nifti]'" in message
