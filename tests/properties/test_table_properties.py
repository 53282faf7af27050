"""A person's own file gives the right assembly, or an error that names it: any text, any order, any bytes."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jaxscore.data.arrays import read_array
from jaxscore.data.tables import read_table
from jaxscore.errors import DataError

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)
AWKWARD = st.sampled_from(
    ['"', '""', "a,b", "a\tb", "a\nb", "a\r\nb", " a", "a ", "NA", "null", "nan", "007", "1e5", "#", "\ufeff"]
)
WORDS = AWKWARD | TEXT
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
CELLS = st.none() | NUMBERS


@st.composite
def layouts(draw) -> dict:
    return {
        "separator": draw(st.sampled_from([",", "\t"])),
        "ending": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "bom": draw(st.booleans()),
        "quote": draw(st.booleans()),
        "last": draw(st.booleans()),
        "missing": draw(st.sampled_from(["", "NA", "nan", "NaN", "None"])),
    }


def _write(path: Path, rows: list[list], layout: dict) -> None:
    """Write a table by hand: what is quoted must be, or all of it is."""

    def cell(value) -> str:
        if value is None:
            return layout["missing"]
        text = value if isinstance(value, str) else repr(value)
        quoted = layout["quote"] or any(sign in text for sign in ',"\t\r\n')
        return '"' + text.replace('"', '""') + '"' if quoted else text

    text = layout["ending"].join(layout["separator"].join(map(cell, row)) for row in rows)
    text += layout["ending"] if layout["last"] else ""
    path.write_bytes((b"\xef\xbb\xbf" if layout["bom"] else b"") + text.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tables")


@given(data=st.data(), layout=layouts())
@settings(max_examples=40, deadline=None)
def test_wide_tables(folder, data, layout):
    """Text stays as it is, numbers are the same to the last bit, columns with a hole or without variance are named."""
    rows = data.draw(st.integers(1, 6))
    ids = data.draw(st.lists(WORDS, min_size=rows, max_size=rows, unique=True))
    sentences = data.draw(st.lists(WORDS, min_size=rows, max_size=rows))
    runs = data.draw(st.lists(WORDS, min_size=rows, max_size=rows))
    taken = ["id", "text", "day", "subject"]
    columns = data.draw(st.lists(WORDS.filter(lambda name: name not in taken), min_size=1, max_size=4, unique=True))
    cells = {name: data.draw(st.lists(CELLS, min_size=rows, max_size=rows)) for name in columns}
    body = [[ids[i], sentences[i], runs[i], *(cells[name][i] for name in columns)] for i in range(rows)]
    path = folder / "wide.csv"
    _write(path, [["id", "text", "day", *columns], *body], layout)
    values = {name: np.array([math.nan if v is None else v for v in cells[name]], float) for name in columns}
    missing = [name for name in columns if None in cells[name]]
    constant = [
        name for name in columns if name not in missing and np.ptp(values[name] / 2) <= 5e-13 * abs(values[name]).max()
    ]
    kept = [name for name in columns if name not in missing + constant]
    options = {"sentence": "text", "stimulus_id": "id", "run": "day", "responses": columns}
    if not kept:
        with pytest.raises(DataError, match="no neuroid is left"):
            read_table(path, **options)
        return
    assembly, dropped = read_table(path, **options)
    assert assembly["stimulus_id"].values.tolist() == ids
    assert assembly["sentence"].values.tolist() == sentences
    assert assembly["run"].values.tolist() == runs
    assert assembly["neuroid_id"].values.tolist() == kept
    assert (dropped.missing, dropped.constant) == (missing, constant)
    np.testing.assert_array_equal(assembly.values, np.stack([values[name] for name in kept], axis=1))


@given(data=st.data(), layout=layouts())
@settings(max_examples=40, deadline=None)
def test_long_tables(folder, data, layout):
    """Every row lands in its place, whatever the order, and what no row tells is NaN."""
    ids = data.draw(st.lists(WORDS, min_size=2, max_size=4, unique=True))
    sentences = {name: data.draw(WORDS) for name in ids}
    subjects = data.draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    regions = data.draw(st.lists(WORDS, min_size=1, max_size=2, unique=True))
    turns = data.draw(st.sampled_from([["1"], ["1", "2"]]))
    everything = [(i, t, s, r) for i in ids for t in turns for s in subjects for r in regions]
    chosen = data.draw(st.permutations(everything))[: data.draw(st.integers(2, len(everything)))]
    rows = {key: data.draw(CELLS) for key in chosen}
    several = len({s for *_, s, _ in rows}) > 1
    named = {(s, r): f"{s}.{r}" if several else r for *_, s, r in rows}
    assume(len(set(named.values())) == len(named))
    path = folder / "long.tsv"
    table = [[i, sentences[i], t, s, r, value] for (i, t, s, r), value in rows.items()]
    _write(path, [["item", "text", "turn", "who", "roi", "y"], *table], layout | {"separator": "\t"})
    options = {"sentence": "text", "stimulus_id": "item", "repetition": "turn", "subject": "who", "value": "y"}
    try:
        assembly, dropped = read_table(path, **options, neuroid=["roi"])
    except DataError as error:
        assert "no neuroid is left" in error.message  # noqa: PT017
        assert str(path) in error.message  # noqa: PT017
        assembly = None
    else:
        order = list(dict.fromkeys((i, t) for i, t, *_ in rows))
        assert list(zip(assembly["stimulus_id"].values, assembly["repetition"].values, strict=True)) == order
        assert assembly["sentence"].values.tolist() == [sentences[i] for i, _ in order]
    for (s, r), name in named.items():
        own = [value for key, value in rows.items() if key[2:] == (s, r) and value is not None]
        varies = len(own) > 1 and max(own) / 2 - min(own) / 2 > 5e-13 * max(map(abs, own))
        if assembly is None or name in dropped.missing + dropped.constant:
            assert not varies
            assert assembly is None or (name in dropped.missing) == (not own)
            continue
        found = assembly.isel(neuroid=assembly["neuroid_id"].values.tolist().index(name))
        expected = [rows.get((*presentation, s, r)) for presentation in order]
        np.testing.assert_array_equal(found.values, [math.nan if v is None else float(v) for v in expected])
        assert (found["subject"].item(), found["roi"].item()) == (s, r)


@st.composite
def damage(draw, content: bytes) -> bytes:
    """Bytes cut out, put in, written over, or cut off."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        end = min(len(content), at + draw(st.integers(0, 12)))
        put = draw(st.binary(max_size=8) | st.sampled_from([b",", b'"', b"\n", b"\r", b"\t", b"\0", b"\xff"]))
        content = content[:at] + put + content[draw(st.sampled_from([at, end, end, len(content)])) :]
    return content


TABLE = (
    b'item,text,turn,who,y\r\n1,"One, two.",1,s,0.5\r\n2,Three.,1,s,1\r\n1,"One, two.",1,t,2\r\n2,Three.,1,t,7e1\r\n'
)


@given(content=st.one_of(damage(TABLE), st.binary(max_size=200)))
@settings(max_examples=100, deadline=None)
def test_damaged_tables(folder, content):
    path = folder / "damaged.csv"
    path.write_bytes(content)
    options = {"stimulus_id": "item", "subject": "who", "run": "turn"}
    for shape in ({"value": "y", "neuroid": ["who"]}, {"responses": ["y"]}, {}):
        try:
            assembly, _ = read_table(path, sentence="text", **options, **shape)
        except DataError as error:
            assert str(path) in error.message  # noqa: PT017
            assert error.hint  # noqa: PT017
            continue
        assert assembly.dtype == np.float64
        assert assembly.dims == ("presentation", "neuroid")
        assert assembly.size
        pairs = list(zip(assembly["stimulus_id"].values, assembly["run"].values, strict=True))
        assert len(set(pairs)) == len(pairs)
        for name in ("stimulus_id", "sentence", "run"):
            assert all(value.strip() and value in content.decode("utf-8") for value in assembly[name].values), name


def _array_file(path: Path) -> bytes:
    values = np.arange(15, dtype=np.float32).reshape(5, 3) % 7
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez_compressed(path, x=values)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=values, compression="gzip")
    else:
        import nibabel

        nibabel.save(nibabel.Nifti1Image(values.T.reshape(3, 1, 1, 5), np.eye(4)), path)
    return path.read_bytes()


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5", ".nii", ".nii.gz"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_damaged_arrays(folder, ending, data):
    if ".nii" in ending and importlib.util.find_spec("nibabel") is None:
        pytest.skip("needs nibabel")
    path, whole, stimuli = folder / f"damaged{ending}", folder / f"whole{ending}", folder / "stimuli.csv"
    content = _array_file(whole)
    path.write_bytes(data.draw(st.one_of(damage(content), st.binary(max_size=200))))
    stimuli.write_text("text\na\nb\nc\nd\ne\n")
    mask = None
    if ".nii" in ending:
        import nibabel

        mask = folder / "mask.nii"
        nibabel.save(nibabel.Nifti1Image(np.ones((3, 1, 1), np.uint8), np.eye(4)), mask)
    try:
        assembly, _ = read_array(path, stimuli=stimuli, sentence="text", mask=mask)
    except DataError as error:
        assert str(path) in error.message  # noqa: PT017
        assert error.hint  # noqa: PT017
        return
    assert assembly.sizes["presentation"] == 5
    assert assembly["sentence"].values.tolist() == list("abcde")
    assert np.isfinite(assembly.values).all()
