"""`jaxscore table`: printed, written, chosen, checked, and what it says of what is damaged or not there."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from store.scored import another, score_study

from jaxscore.store.rows import COLUMNS
from jaxscore.store.table import results


@pytest.fixture(scope="module")
def scored(tiny, tmp_path_factory):
    return score_study(tmp_path_factory.mktemp("scored"), tiny)


@pytest.fixture
def folder(scored, tmp_path):
    """Three results in jaxscore-results, where the command looks by default."""
    for number in range(3):
        another(scored, tmp_path / "jaxscore-results", number=number)
    return tmp_path / "jaxscore-results"


def _read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), parse_dates=["created"], dtype={"key": "string"}).astype(COLUMNS)


def test_csv_is_printed(cli, folder, scored):
    ran = cli("table")
    assert (ran.code, ran.err) == (0, "")
    found = _read(ran.out)
    pd.testing.assert_frame_equal(found, results("jaxscore-results"), check_exact=True)
    assert found["score"].tolist() == scored.layers["score"].values.tolist() * 3


def test_one_row_a_result(cli, folder, scored):
    found = _read(cli("table", folder, "--chosen").out)
    assert found["score"].tolist() == [scored.value] * 3


def test_json_has_a_line_a_row(cli, folder, scored):
    ran = cli("table", folder, "--json")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0
    assert len(rows) == 9
    assert list(rows[0]) == list(COLUMNS)
    assert [row["score"] for row in rows[:3]] == scored.layers["score"].values.tolist()
    assert rows[0]["step"] is None
    assert rows[0]["low"] is None
    assert (rows[0]["folds"], rows[0]["simulated"]) == (3, True)
    assert pd.Timestamp(rows[0]["created"]) == pd.Timestamp(scored.record["created"])


@pytest.mark.parametrize("name", ["made/results.csv", "results.CSV", "results.parquet"])
def test_files(cli, folder, tmp_path, name):
    ran = cli("table", "jaxscore-results", "--out", name)
    assert (ran.code, ran.out, ran.err) == (0, f"9 rows\n{name}\n", "")
    path = tmp_path / name
    found = pd.read_parquet(path) if path.suffix == ".parquet" else _read(path.read_text())
    pd.testing.assert_frame_equal(found, results("jaxscore-results"), check_exact=True)
    assert [each.name for each in path.parent.iterdir() if each.name.endswith(".part")] == []


@pytest.mark.parametrize("name", ["results.csv", "results.parquet"])
def test_a_file_is_replaced_only_if_asked(cli, folder, tmp_path, name):
    (tmp_path / name).write_text("mine")
    ran = cli("table", "--out", name)
    assert ran.code == 2
    assert f"{name} is there already, nothing was written" in ran.err
    assert "--overwrite" in ran.err
    assert (tmp_path / name).read_text() == "mine"
    assert cli("table", "--out", name, "--overwrite").code == 0
    assert (tmp_path / name).read_bytes() != b"mine"


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--chosen"], ["--out", "results.csv"]])
def test_damaged_records_are_named(cli, folder, arguments):
    broken = folder / "study" / f"tiny.{1:016x}.json"
    broken.write_bytes(broken.read_bytes()[:-9])
    ran = cli("table", *arguments)
    assert ran.code == 1
    assert ran.err.startswith(f"left out: jaxscore-results/study/{broken.name} is not a whole record")
    assert ran.err.count("left out") == 1
    assert "Traceback" not in ran.err
    out = Path("results.csv").read_text() if "--out" in arguments else ran.out
    assert f"{0:016x}" in out
    assert f"{1:016x}" not in out


def test_changed_files_are_found_if_asked(cli, folder):
    changed = folder / "study" / f"tiny.{1:016x}.nc"
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    assert cli("table").code == 0
    ran = cli("table", "--check")
    assert ran.code == 1
    assert changed.name in ran.err
    assert len(_read(ran.out)) == 6


def test_no_results(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = cli("table", "empty")
    assert ran.code == 1
    assert ran.out == ",".join(COLUMNS) + "\n"
    assert ran.err == "There are no results in empty.\n"
    assert cli("table", "empty", "--json").out == ""
    assert cli("table", "empty", "--out", "none.parquet").code == 1
    assert pd.read_parquet("none.parquet").dtypes.astype(str).to_dict() == COLUMNS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["jaxscore-results is not a folder of results", "--out"]),
        (["absent"], ["absent is not a folder of results"]),
        (["--out", "results.xlsx"], ["ends in .xlsx, expected .csv or .parquet", "--out results.csv"]),
        (["--out", "results"], ["ends in nothing, expected .csv", "--out results.csv"]),
        (["--out", "results.csv", "--json"], ["--json prints, --out writes a file"]),
        (["ftp://host/results"], ["s3://"]),
    ],
)
def test_errors(cli, arguments, words):
    ran = cli("table", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert [word for word in words if word not in " ".join(ran.err.split())] == []
    assert "Traceback" not in ran.err


def test_parquet_needs_pyarrow(cli, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    ran = cli("table", "--out", "results.parquet")
    assert ran.code == 2
    assert "needs pyarrow, which is not installed" in ran.err
    assert "pip install 'jaxscore[parquet]'" in ran.err
    assert not (tmp_path / "results.parquet").exists()
    assert cli("table", "--out", "results.csv").code == 0
