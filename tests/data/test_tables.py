"""Tables of a person's own responses."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from jaxscore.data.tables import read_table
from jaxscore.errors import DataError

TUCKUTE = Path(__file__).resolve().parents[2] / "../shared/data/tuckute2024/bold_response_LH.csv"
BASIC = "item,sentence,v1,v2\na,One here.,1,2.5\nb,Two here.,3,1e-2\nc,Three here.,2,4\n"


@pytest.fixture
def table(tmp_path):
    """Write a table and return its path."""

    def write(text: str, name: str = "study.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_real_responses():
    if not TUCKUTE.is_file():
        pytest.skip("needs ../shared/data/tuckute2024")
    assembly, dropped = read_table(
        TUCKUTE, sentence="sentence", responses=["lang_LH_*"], stimulus_id="item_id", subject="mean of 5"
    )
    assert assembly.dims == ("presentation", "neuroid")
    assert assembly.shape == (1000, 6)
    assert assembly.dtype == np.float64
    assert dropped.missing == dropped.constant == []
    regions = ["AntTemp", "IFG", "IFGorb", "MFG", "PostTemp", "netw"]
    assert assembly["neuroid_id"].values.tolist() == [f"lang_LH_{region}" for region in regions]
    assert set(assembly["subject"].values) == {"mean of 5"}
    with TUCKUTE.open(newline="", encoding="utf-8") as file:  # every value, by another reader
        rows = list(csv.DictReader(file))
    assert assembly["stimulus_id"].values.tolist() == [row["item_id"] for row in rows]
    assert assembly["sentence"].values.tolist() == [row["sentence"] for row in rows]
    expected = [[float(row[f"lang_LH_{region}"]) for region in regions] for row in rows]
    np.testing.assert_allclose(assembly.values, expected, rtol=1e-15, atol=0)


def test_defaults(table):
    assembly, dropped = read_table(table(BASIC), sentence="sentence")
    assert assembly["stimulus_id"].values.tolist() == ["1", "2", "3"]
    assert assembly["neuroid_id"].values.tolist() == ["v1", "v2"]
    np.testing.assert_array_equal(assembly.values, [[1, 2.5], [3, 0.01], [2, 4]])
    assert "passage_id" not in assembly.coords
    assert dropped.missing == dropped.constant == []


@pytest.mark.parametrize("name", ["study.tsv", "study.txt", "study.csv"])
def test_tabs_and_byte_order_mark(table, name):
    path = table(BASIC.replace(",", "\t"), name, encoding="utf-8-sig")
    assembly, _ = read_table(path, sentence="sentence", stimulus_id="item")
    assert assembly["stimulus_id"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(assembly.sel(neuroid=0), [1, 3, 2])


def test_commas_with_byte_order_mark(table):
    assembly, _ = read_table(table(BASIC, encoding="utf-8-sig"), sentence="sentence", stimulus_id="item")
    assert assembly["stimulus_id"].values.tolist() == ["a", "b", "c"]


def test_text_stays_as_written(table):
    """Words that pandas takes for missing values, numbers with leading zeros and quoted commas are text."""
    text = 'id,word,run,v\n007,null,01,1\n008,"NA, she said",01,2\n009,1.50,02,4\n'
    assembly, _ = read_table(table(text), sentence="word", stimulus_id="id", group="run")
    assert assembly["stimulus_id"].values.tolist() == ["007", "008", "009"]
    assert assembly["sentence"].values.tolist() == ["null", "NA, she said", "1.50"]
    assert assembly["passage_id"].values.tolist() == ["01", "01", "02"]
    assert assembly["neuroid_id"].values.tolist() == ["v"]


def test_columns_in_file_order_each_once(table):
    text = "s,b_1,a[1],b_2,note\nx,1,2,3,k\ny,2,1,5,l\n"
    assembly, _ = read_table(table(text), sentence="s", responses=["b_2", "a[1]", "b_*"])
    assert assembly["neuroid_id"].values.tolist() == ["b_1", "a[1]", "b_2"]


def test_row_index_is_no_response(table):
    assembly, _ = read_table(table(",s,v,flag\n0,x,1,True\n1,y,2,False\n"), sentence="s")
    assert assembly["neuroid_id"].values.tolist() == ["v"]


def test_unusable_columns_are_dropped_and_named(table):
    text = "s,good,hole,same,none,far,zero\nx,1,1,3.1,,inf,0\ny,2,NA,3.1,,1,0\nz,4,2,3.1,,2,0\n"
    assembly, dropped = read_table(table(text), sentence="s")
    assert assembly["neuroid_id"].values.tolist() == ["good"]
    assert dropped.missing == ["hole", "none", "far"]
    assert dropped.constant == ["same", "zero"]


def _message(path: Path, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path, **{"sentence": "sentence"} | options)
    assert str(path) in caught.value.message
    return str(caught.value)


def test_missing_columns(table):
    path = table(BASIC)
    assert "no column 'sentense'" in (message := _message(path, sentence="sentense"))
    assert "item, sentence, v1, v2" in message
    assert "Did you mean 'sentence'?" in message
    assert "'w*'" in _message(path, responses=["v1", "w*"])
    assert "'stimulus'" in _message(path, stimulus_id="stimulus")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sentence,v\na,1\n,2\n  ,3\nb,4\n", "empty in 2 rows: 2, 3"),
        ("sentence,v\na,1\nb,oops\nc,3\n", "column 'v', row 2: 'oops' is not a number"),
        ('sentence,v\na,"0,5"\nb,"0,7"\n', "column 'v', row 1: '0,5' is not a number"),
        ("sentence,v\na,1\nb,1\n", "1 are constant"),
        ("sentence,v\na,\nb,1\n", "1 have missing values"),
        ("sentence,v\n", "no rows"),
        ("", "not a CSV or TSV table"),
        ("sentence,v\nFirst, this.,1\nb,1\n", "not a CSV or TSV table"),
        ("sentence,v\nb,1\nFirst, this.,1\n", "not a CSV or TSV table"),
    ],
)
def test_malformed(table, text, expected):
    assert expected in _message(table(text), responses=["v"])


def test_other_malformed_files(table, tmp_path):
    assert "is not a CSV" in _message(table("sentence,v\ncaf\xe9,1\n", encoding="latin-1"))
    assert "cannot be read" in _message(tmp_path / "absent.csv")
    assert "no numeric column" in _message(table("sentence,v\na,b\n"))


def test_duplicate_ids_and_empty_groups(table):
    path = table("id,sentence,g,v\na,x,1,1\na,y,,2\nb,z,2,3\n")
    assert "1 stimulus ids occur more than once: a" in _message(path, stimulus_id="id")
    assert "column 'g' is empty in 1 rows: 2" in _message(path, group="g")
