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
        ("", "not a CSV or TSV table: it is empty"),
        ("\n\r\n", "not a CSV or TSV table: it is empty"),
        ("sentence,v\nFirst, this.,1\nb,1\n", "not a CSV or TSV table: row 1 has 3 fields, the header 2"),
        ("sentence,v\nb,1\n\nFirst, this.,1\n", "not a CSV or TSV table: row 2 has 3 fields, the header 2"),
        ("sentence,v\nb,1\nc,2\nd", "not a CSV or TSV table: row 3 has 1 fields, the header 2"),
        ('sentence,v\n"b" x,1\nc,2\n', "not a CSV or TSV table: line 2: "),
        ('sentence,v\nb,1\n"c,2\n', "not a CSV or TSV table: line 3: unexpected end of data"),
    ],
)
def test_malformed(table, text, expected):
    assert expected in _message(table(text), responses=["v"])


def test_other_malformed_files(table, tmp_path):
    assert "is not a CSV" in _message(table("sentence,v\ncaf\xe9,1\n", encoding="latin-1"))
    assert "cannot be read" in _message(tmp_path / "absent.csv")
    assert "no numeric column" in _message(table("sentence,v\na,b\n"))


def test_duplicate_ids_and_empty_groups(table):
    path = table("id,sentence,g,v\na,x,1,1\na,x,,2\nb,z,2,3\n")
    message = _message(path, stimulus_id="id")
    assert "rows 1 and 2 both give stimulus 'a'" in message
    assert "more than once: a" in message
    assert "column 'g' is empty in 1 rows: 2" in _message(path, group="g")


def test_header_as_written(table):
    assert "1 columns repeat a name: v" in _message(table("sentence,v,v\na,1,2\nb,2,1\n"))
    assert "character 12 is NUL" in _message(table("sentence,v\n\0,1\n"))
    text = '"one\ttab",sentence\n1,a\n2,b\n'  # a tab within quotes does not make a table of tabs
    assembly, _ = read_table(table(text), sentence="sentence")
    assert assembly["neuroid_id"].values.tolist() == ["one\ttab"]


WIDE = """item,text,who,day,rep,L,R
a,One.,s1,1,1,1,10
b,Two.,s1,1,1,2,20
a,One.,s2,1,1,3,
b,Two.,s1,2,2,4,40
a,One.,s1,2,2,5,50
c,Three.,s2,1,1,6,60
"""


def test_wide_with_subjects_runs_and_repetitions(table):
    assembly, dropped = read_table(
        table(WIDE),
        sentence="text",
        stimulus_id="item",
        subject="who",
        run="day",
        repetition="rep",
        responses=["L", "R"],
    )
    nan = np.nan
    expected = [[1, 10, 3, nan], [2, 20, nan, nan], [4, 40, nan, nan], [5, 50, nan, nan], [nan, nan, 6, 60]]
    keep = [0, 1, 2]  # the fourth has a single value
    np.testing.assert_array_equal(assembly.values, np.array(expected)[:, keep])
    assert assembly["neuroid_id"].values.tolist() == ["s1.L", "s1.R", "s2.L"]
    assert assembly["subject"].values.tolist() == ["s1", "s1", "s2"]
    assert dropped.constant == ["s2.R"]
    assert assembly.attrs["holes"] == 5
    for name, values in {"stimulus_id": "abbac", "run": "11221", "repetition": "11221"}.items():
        assert assembly[name].dims == ("presentation",)
        assert assembly[name].values.tolist() == list(values), name
    assert assembly["sentence"].values.tolist() == ["One.", "Two.", "Two.", "One.", "Three."]


def test_run_alone_tells_presentations_apart(table):
    text = "id,sentence,run,v\na,x,1,1\na,x,2,2\nb,y,1,\n"
    assembly, _ = read_table(table(text), sentence="sentence", stimulus_id="id", run="run")
    assert assembly["run"].values.tolist() == ["1", "2", "1"]
    np.testing.assert_array_equal(assembly.values[:, 0], [1, 2, np.nan])


def test_one_subject_by_column(table):
    text = "sentence,subject,v\nx,ann,1\ny,ann,2\n"
    assembly, _ = read_table(table(text), sentence="sentence")
    assert assembly["neuroid_id"].values.tolist() == ["v"]
    assert assembly["subject"].values.tolist() == ["ann"]


def test_time_bins(table):
    text = "id,sentence,ms,e1,e2\na,x,-0.0,1,2\na,x,100,3,4\nb,y,100,7,8\nb,y,0,5,6\n"
    assembly, _ = read_table(table(text), sentence="sentence", stimulus_id="id", time_bin="ms")
    assert assembly["neuroid_id"].values.tolist() == ["e1@0", "e2@0", "e1@100", "e2@100"]
    assert assembly["channel"].values.tolist() == ["e1", "e2"] * 2
    assert assembly["time_bin"].values.tolist() == [0, 0, 100, 100]
    np.testing.assert_array_equal(assembly.values, [[1, 2, 3, 4], [5, 6, 7, 8]])
    assert assembly.attrs["holes"] == 0
    both = "id,sentence,subject,ms,v\n" + "".join(
        f"{i},{i},{s},{t},{i}{s}{t}\n" for i in (1, 2) for s in (3, 4) for t in (0.5, 1)
    )
    assembly, _ = read_table(table(both), sentence="sentence", stimulus_id="id", time_bin="ms")
    assert assembly["neuroid_id"].values.tolist() == ["3.v@0.5", "3.v@1", "4.v@0.5", "4.v@1"]
    assert assembly["channel"].values.tolist() == ["3.v", "3.v", "4.v", "4.v"]


@pytest.mark.parametrize(
    ("value", "expected"), [("", "is empty"), ("soon", "'soon' is not a number"), ("inf", "'inf'")]
)
def test_broken_time_bins(table, value, expected):
    path = table(f"sentence,t,v\nx,1,1\ny,{value},2\n")
    assert f"column 't', row 2: {expected}" in _message(path, time_bin="t", stimulus_id="sentence")


def _participants(rng) -> tuple[list[dict[str, str]], dict]:
    """Rows in the column layout of Tuckute et al. 2024's participant table, over the real sentences."""
    with TUCKUTE.open(newline="", encoding="utf-8") as file:
        stimuli = list(csv.DictReader(file))
    rows, truth = [], {}
    for subject in ("848", "853", "865", "875", "876"):
        for roi in ("lang_LH_netw", "lang_LH_IFG"):
            for item in stimuli:
                value = float(item[roi]) + rng.normal()
                if rng.random() < 0.01:  # this participant lacks this sentence
                    continue
                truth[item["item_id"], f"{subject}.{roi}"] = value
                row = {"item_id": item["item_id"], "sentence": item["sentence"], "cond": "B", "target_UID": subject}
                rows.append(row | {"roi": roi, "response_target": repr(value)})
    return rows, truth


def test_long_participant_table(table, tmp_path):
    if not TUCKUTE.is_file():
        pytest.skip("needs ../shared/data/tuckute2024")
    rng = np.random.default_rng(0)
    rows, truth = _participants(rng)
    rng.shuffle(rows)
    path = tmp_path / "participants.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assembly, dropped = read_table(
        path, sentence="sentence", stimulus_id="item_id", subject="target_UID", value="response_target", neuroid=["roi"]
    )
    assert assembly.shape == (1000, 10)
    assert dropped.missing == dropped.constant == []
    assert assembly.attrs["holes"] == 10_000 - len(rows) == np.isnan(assembly.values).sum() > 0
    assert set(assembly["roi"].values) == {"lang_LH_netw", "lang_LH_IFG"}
    assert [f"{s}.{r}" for s, r in zip(assembly["subject"].values, assembly["roi"].values, strict=True)] == assembly[
        "neuroid_id"
    ].values.tolist()
    texts = {row["item_id"]: row["sentence"] for row in rows}
    assert [texts[i] for i in assembly["stimulus_id"].values] == assembly["sentence"].values.tolist()
    expected = [
        [truth.get((i, n), np.nan) for n in assembly["neuroid_id"].values] for i in assembly["stimulus_id"].values
    ]
    np.testing.assert_array_equal(assembly.values, expected)


def test_long_by_subject_alone(table):
    """Reading times: one value of each reader for each word."""
    text = "word,reader,rt\nthe,r1,300\ncat,r1,350\nthe,r2,280\ncat,r2,NA\nsat,r2,400\n"
    options = {"sentence": "word", "stimulus_id": "word", "value": "rt"}
    assembly, _ = read_table(table(text), subject="reader", neuroid=["reader"], **options)
    assert assembly["neuroid_id"].values.tolist() == ["r1", "r2"]
    np.testing.assert_array_equal(assembly.values, [[300, 280], [350, np.nan], [np.nan, 400]])


def test_long_table_that_does_not_fit(table):
    path = table("id,sentence,roi,hem,v\n1,a,x.y,z,1\n2,b,x.y,z,2\n1,a,x,y.z,3\n2,b,x,y.z,4\n")
    options = {"stimulus_id": "id", "value": "v"}
    assert "1 neuroid ids stand for more than one neuroid: x.y.z" in _message(path, neuroid=["roi", "hem"], **options)
    message = _message(path, neuroid=["hem"], value="v")
    assert "several rows for a stimulus" in message
    assert 'stimulus_id = "item"' in message
    assert "do not go together" in _message(path, value="v")
    assert "do not go together" in _message(path, neuroid=["roi"])
    assert "do not go together" in _message(path, responses=["v"], neuroid=["roi"], **options)
    assert "no column 'region'" in _message(path, neuroid=["region"], **options)
    assert "no column 'vv'" in _message(path, neuroid=["roi"], stimulus_id="id", value="vv")
    torn = table("id,sentence,roi,v\n1,a,x,1\n1,b,y,2\n2,c,x,3\n")
    message = _message(torn, neuroid=["roi"], **options)
    assert "column 'sentence': stimulus '1' has 2 texts: 'a', 'b'" in message
    twice = table("id,sentence,roi,v\n1,a,x,1\n2,b,x,2\n1,a,x,3\n")
    assert "rows 1 and 3 both give stimulus '1' for subject 'subject', roi 'x'" in _message(
        twice, neuroid=["roi"], **options
    )
