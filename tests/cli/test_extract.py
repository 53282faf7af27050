"""`jaxscore extract`: what is read from a file, what is written to one, and what is refused before any work."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from rich.cells import cell_len

from jaxscore import Reading, activations, surprisal
from jaxscore.cli.extract import read_stimuli
from jaxscore.errors import DataError

BLOCKS = "\nThe otter mends. \nIt, again.\n\n  \nOne stone\r\n\n"
TABLE = 'item,story,sentence\nx,A,"One, two."\ny,B,NA\nz,A,"She said ""no""."\n'


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "story.txt"
    path.write_bytes(BLOCKS.encode())
    return path


def test_help_loads_no_jax_and_fits_a_terminal():
    code = "import atexit, sys; atexit.register(lambda: print('jax' in sys.modules))"
    code += "; from jaxscore.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "extract", "--help"], capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert (done.stderr, lines[-1]) == ("", "False")
    assert max(map(cell_len, lines)) <= 80
    assert "a blank line begins a new context" in " ".join(done.stdout.split()).replace(
        "blank line begins", "blank line begins"
    )


def test_lines_and_blocks(text):
    assert read_stimuli(text, "sentence", None, None) == (
        ["The otter mends. ", "It, again.", "One stone"],
        ["1", "1", "2"],
        None,
    )


def test_columns(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\ufeff" + TABLE, encoding="utf-8")
    sentences = ["One, two.", "NA", 'She said "no".']
    assert read_stimuli(path, "sentence", None, None) == (sentences, None, None)
    assert read_stimuli(path, "sentence", "story", "item") == (sentences, ["A", "B", "A"], ["x", "y", "z"])
    tabs = tmp_path / "table.tsv"
    tabs.write_text("sentence\tstory\nOne, two.\tA\n", encoding="utf-8")
    assert read_stimuli(tabs, "sentence", "story", None) == (["One, two."], ["A"], None)


@pytest.mark.parametrize(
    ("name", "content", "asked", "words"),
    [
        ("absent.txt", None, {}, "absent.txt cannot be read: No such file"),
        ("text.md", "a", {}, "ends in .md, expected .txt, .csv or .tsv"),
        ("text.txt", b"\xff\xfea", {}, "text.txt is not text in UTF-8"),
        ("text.txt", "a", {"group": "story"}, "no columns for --group"),
        ("table.csv", "sentnce\na\n", {}, "no column 'sentence'; its columns: sentnce. Did you mean 'sentnce'"),
        ("table.csv", "", {}, "no column 'sentence'; its columns: none"),
        ("table.csv", TABLE, {"group": "topic"}, "no column 'topic'"),
        ("table.csv", "sentence\nOne, two\n", {}, "row 1 has 2 fields, the header has 1"),
        ("table.csv", 'sentence\n"One\n', {}, "unexpected end of data"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, asked, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words):
        read_stimuli(path, "sentence", asked.get("group"), None)


def test_netcdf(cli, tiny, text, tmp_path):
    ran = cli("extract", tiny, text, "--out", "deep/story.nc", "--surprisal", "--layers", "1-2", "--bos", "always")
    assert (ran.code, ran.err) == (0, "")
    summary, path = ran.out.splitlines()
    assert path == "deep/story.nc"
    with xr.open_dataset(path, engine="h5netcdf") as file:
        found = file.load()
    texts, contexts, _ = read_stimuli(text, "sentence", None, None)
    expected = activations(tiny, texts, contexts, layers="1-2", surprisal=True, reading=Reading(bos="always"))
    xr.testing.assert_identical(found, expected)
    tokens = found.sizes["token"]
    assert summary.startswith(f"tiny: 2 layers x 3 stimuli x 16 features in 2 contexts, surprisal of {tokens} tokens, ")
    assert summary.endswith(" s")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["story.nc"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_table_of_surprisals(cli, tiny, tmp_path, suffix):
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8")
    out = f"bits{suffix}"
    ran = cli(
        "extract", tiny, "table.csv", "--group", "story", "--id", "item", "--unit", "word", "--protocol", "joined",
        "--surprisal", "--out", out, "--quiet",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("tiny: 6 words in 2 contexts, surprisal of ")
    table = pd.read_csv(
        out, sep="\t" if suffix == ".tsv" else ",", keep_default_na=False, na_values={"surprisal": [""]}
    )
    assert list(table.columns) == ["stimulus_id", "context", "stimulus", "word", "surprisal"]
    assert table["stimulus"].tolist() == ["One,", "two.", "NA", "She", "said", '"no".']
    assert table["stimulus_id"].tolist() == list("xxyzzz")
    expected = surprisal(
        tiny, ["One, two.", "NA", 'She said "no".'], list("ABA"), reading=Reading("joined", unit="word")
    )
    np.testing.assert_allclose(table["surprisal"], expected["surprisal"], rtol=1e-12)
    assert table["surprisal"].isna().tolist() == [True, False, True, False, False, False]


def test_an_existing_file_is_kept(cli, tiny, text, tmp_path):
    (tmp_path / "story.nc").write_text("mine")
    ran = cli("extract", tiny, text, "--out", "story.nc")
    assert (ran.code, ran.out) == (2, "")
    assert "story.nc is there already" in ran.err
    assert "--overwrite" in ran.err
    assert (tmp_path / "story.nc").read_text() == "mine"
    assert cli("extract", tiny, text, "--out", "story.nc", "--overwrite").code == 0
    with xr.open_dataset("story.nc", engine="h5netcdf") as file:
        assert dict(file.sizes) == {"layer": 3, "presentation": 3, "feature": 16}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--out a.txt", ["a.txt ends in .txt, expected .nc", "--out a.nc"]),
        ("--out a", ["a ends in nothing", "--out a.nc"]),
        ("--out a.csv", ["room for surprisal, not for activations", "--out a.nc"]),
        ("--out a.csv --surprisal --layers 1", ["room for surprisal, not for activations", "without layers"]),
        ("--out a.nc --unit letter", ["'letter' is unknown", "stimulus, word"]),
        ("--out a.nc --window 0", ["window 0"]),
        ("--out a.nc --bidirectional full", ["causal"]),
        ("--out a.nc --layers encoder.h.9", ["No layer 'encoder.h.9'"]),
        ("--out a.nc --pooling lsat", ["Did you mean 'last'?"]),
        ("--out a.nc --dtype float8", ["Unknown dtype 'float8'"]),
        ("--out /proc/nothing/a.nc", ["/proc/nothing"]),
    ],
)
def test_refused_before_any_work(cli, tiny, text, tmp_path, arguments, words):
    before = set(tmp_path.iterdir())
    ran = cli("extract", tiny, text, *arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("jaxscore: ")
    assert [word for word in words if word not in ran.err] == []
    assert set(tmp_path.iterdir()) == before
