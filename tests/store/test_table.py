"""The table of results: real ones, many kinds of records, damaged ones, without JAX and without pyarrow."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
import pytest
from moto.server import ThreadedMotoServer
from store.scored import another, score_study

from jaxscore.errors import StoreError
from jaxscore.models.families import families
from jaxscore.store.rows import COLUMNS, step_of
from jaxscore.store.table import read_results, results


@pytest.fixture(scope="module")
def scored(tiny, tmp_path_factory):
    return score_study(tmp_path_factory.mktemp("scored"), tiny)


def _dtypes(table: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in table.dtypes.items()}


def test_every_layer_of_a_real_result(scored):
    out = Path(scored.paths.record).parents[1]
    table = results(out)
    assert _dtypes(table) == COLUMNS
    assert table["layer"].tolist() == scored.layers["layer"].values.tolist() == ["drop", "encoder.h.0", "encoder.h.1"]
    for name in ("score", "unclipped", "error", "low", "high", "r", "ceiling"):
        np.testing.assert_array_equal(table[name], scored.layers[name])
    assert table["layer_index"].tolist() == [0, 1, 2]
    assert table["depth"].tolist() == [0, 0.5, 1]
    assert table.loc[table["chosen"], "layer"].tolist() == [scored.layers.attrs["chosen_layer"]]
    assert set(table["nested_score"]) == {scored.value}
    first = table.iloc[0].drop(["score", "unclipped", "error", "low", "high", "r", "chosen", "nested_r", "grouped"])
    record = scored.record
    expected = {
        "model": "tiny", "source": "local", "folder": record["model"]["folder"], "revision": None, "commit": None,
        "step": None, "untrained": False, "seed": None, "dtype": "float32", "benchmark": "study",
        "layer": "drop", "layer_index": 0, "depth": 0.0,
        "ceiling": None, "nested_score": scored.value, "layers": None, "pooling": "last", "context": "passage",
        "protocol": "chained", "window": 256, "stride": None, "bidirectional": None, "reduction": None,
        "regression": "ridge:10", "rcond": None, "splits": "shuffled", "folds": 3, "bos": "auto", "simulated": True,
        "warnings": len(record["result"]["warnings"]), "seconds": round(sum(record["seconds"].values()), 3),
        "device": "cpu", "jaxscore": record["versions"]["jaxscore"], "created": pd.Timestamp(record["created"]),
        "key": Path(scored.paths.record).name.split(".")[1], "record": str(scored.paths.record),
    }  # fmt: skip
    assert list(first.index) == list(expected)
    found = first.to_dict()
    assert {k: None if pd.isna(v) else v for k, v in found.items()} == expected


def test_grouped_where_a_record_has_it(scored, tmp_path):
    np.testing.assert_array_equal(results(scored.paths.record.parent)["grouped"], scored.layers["grouped"])

    def without(record):
        for row in record["result"]["layers"]:
            del row["grouped"]

    another(scored, tmp_path, without)
    assert results(tmp_path)["grouped"].isna().all()


def test_chosen_is_the_nested_score(scored):
    table = results(scored.paths.record.parent, chosen=True)
    assert len(table) == 1
    chosen = scored.record["result"]["chosen"]
    names = ["score", "unclipped", "error", "low", "high", "r"]
    expected = np.array([chosen[f"chosen_{name}"] for name in names], float)  # one subject has no interval: None, NaN
    np.testing.assert_array_equal(table[names].to_numpy()[0], expected)
    assert np.isfinite(expected).sum() == 4
    assert table["layer"].item() == chosen["chosen_layer"]
    assert table["chosen"].item()
    assert _dtypes(table) == COLUMNS


def test_options_of_real_results(tiny, tmp_path):
    score_study(tmp_path, tiny, layers="0,before_final_norm", pooling="mean", context="sentence", protocol="parts",
                window=64, regression="ols", rcond=1e-3, splits="grouped", folds=6, bos="always",
                reduction="random:8", untrained=True, seed=3, dtype="bfloat16")  # fmt: skip
    table = results(tmp_path / "out")
    assert table["layer"].tolist() == ["drop", "before_final_norm"]
    assert table["layer_index"].tolist() == [0, 3]  # after the three hidden states
    assert table["depth"].tolist() == [0, 1]
    row = table.iloc[0]
    expected = {
        "model": "tiny-untrained", "untrained": True, "seed": 3, "dtype": "bfloat16", "layers": "0,before_final_norm",
        "pooling": "mean", "context": "sentence", "protocol": "parts", "window": 64, "regression": "ols",
        "rcond": 1e-3, "splits": "grouped", "folds": 6, "bos": "always", "reduction": "random:8",
    }  # fmt: skip
    assert row[list(expected)].to_dict() == expected


def test_a_model_without_layers(tmp_path):
    score_study(tmp_path, "sentence-length")
    row = results(tmp_path / "out").iloc[0]
    assert (row["model"], row["source"], row["layer_index"]) == ("sentence-length", "static", 0)
    assert row[["depth", "protocol", "window", "bidirectional", "step", "commit"]].isna().all()


def test_depth_counts_all_states_of_every_family(scored, tmp_path):
    for number, (family, known) in enumerate(families().items()):

        def change(record, family=family, known=known):
            names = known.names(12)
            record["model"] |= {"name": family, "architecture": {"family": family, "layers": 12}}
            for row, name in zip(record["result"]["layers"], (names[0], names[3], names[12]), strict=True):
                row["layer"] = name
            record["result"]["chosen"]["chosen_layer"] = names[0]

        another(scored, tmp_path, change, number)
    table = results(tmp_path)
    assert table["model"].nunique() == len(families())
    assert table.groupby("model")["layer_index"].agg(list).tolist() == [[0, 3, 12]] * len(families())
    assert set(table["depth"]) == {0, 0.25, 1}


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step1000", 1000), ("step0", 0), ("checkpoint-500", 500), ("global_step_1000", 1000), ("iter_0001000", 1000),
        ("global_step1000", 1000), ("stage1-step1000-tokens3B", 1000), ("run7_step-20", 20), ("step_20k", 20_000),
        ("iteration2M", 2_000_000), ("main", None),
        ("step", None), ("step3b", None), ("v1.0", None), ("misstep4", None), ("tiny", None),
        ("0123456789abcdef0123456789abcdef01234567", None), ("step" + "9" * 30, None),
    ],
)  # fmt: skip
def test_steps(name, step):
    assert step_of(name) == step


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"name": "o--pythia@step1000", "source": "o/pythia", "commit": "ab12"}, ("step1000", "ab12", 1000)),
        ({"name": "o--pythia", "source": "o/pythia", "commit": "ab12"}, ("ab12", "ab12", None)),
        ({"name": "o--step-3", "source": "o/step-3", "commit": "ab12"}, ("ab12", "ab12", None)),  # its name, no step
        ({"name": "checkpoint-500", "source": "local", "commit": None}, (None, None, 500)),
        ({"name": "pythia@step20", "source": "local", "commit": None}, ("step20", None, 20)),
        (
            {"name": "o--p@step8-untrained", "source": "o/p", "commit": "ab12", "untrained": True, "seed": 4},
            ("step8", "ab12", None),  # what is freshly drawn has had no training
        ),
    ],
)
def test_where_a_checkpoint_stands(scored, tmp_path, about, expected):
    another(scored, tmp_path, lambda record: record["model"].update(about))
    row = results(tmp_path)[["revision", "commit", "step"]].iloc[0]
    assert tuple(None if pd.isna(value) else value for value in row) == expected


def test_a_benchmark_that_fits_nothing(scored, tmp_path):
    def surprisal(record):
        record["in_force"]["protocol"]["metric"] = "surprisal"
        record["result"]["layers"] = [record["result"]["layers"][0] | {"layer": "surprisal"}]
        record["result"]["chosen"]["chosen_layer"] = "surprisal"

    another(scored, tmp_path, surprisal)
    row = results(tmp_path).iloc[0]
    assert row[["layer_index", "depth", "pooling", "splits", "folds", "regression", "rcond"]].isna().all()
    assert row["protocol"] == "chained"


def test_missing_values_stay_missing(scored, tmp_path):
    def change(record):
        record["result"]["layers"][0] |= {"score": None, "error": None}
        record["result"]["chosen"] |= {"chosen_score": None}
        record["in_force"]["layers"] = "0-2"

    another(scored, tmp_path, change)
    table = results(tmp_path)
    assert table[["score", "error"]].isna().sum().tolist() == [1, 1]
    assert table["nested_score"].isna().all()
    assert table["layers"].tolist() == ["0-2"] * 3
    assert results(tmp_path, chosen=True)["score"].isna().all()


def test_no_results_have_all_columns(tmp_path):
    table = results(tmp_path)
    assert table.empty
    assert _dtypes(table) == COLUMNS


def test_several_places_each_result_once(scored, tmp_path, monkeypatch):
    for number in range(3):
        another(scored, tmp_path / "one", number=number)
    another(scored, tmp_path / "two", number=9)
    monkeypatch.chdir(tmp_path)
    table = results(["one", tmp_path / "one" / "study", "two", Path("one")])
    assert table["key"].unique().tolist() == [f"{number:016x}" for number in (0, 1, 2, 9)]
    assert len(table) == 4 * 3


def test_what_is_no_record_is_ignored(scored, tmp_path):
    path = another(scored, tmp_path)
    for name in (".jobs/a.0123456789abcdef.json", "study/.m.0123456789abcdef.json", "notes.json", "study/m.abc.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{")
    found = read_results(tmp_path)
    assert found.table["record"].unique().tolist() == [str(path)]
    assert found.damaged == ()


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def _edit(path: Path, change) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


DAMAGE = {
    "emptied": lambda path: _cut(path, 0),
    "cut": lambda path: _cut(path, -1),
    "cut early": lambda path: _cut(path, 900),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00{"),
    "nested": lambda path: path.write_text("[" * 100_000),
    "list": lambda path: path.write_text("[]"),
    "other json": lambda path: path.write_text('{"a": 1}'),
    "schema": lambda path: _edit(path, lambda record: record.update(schema=999)),
    "no result": lambda path: _edit(path, lambda record: record.pop("result")),
    "no layers": lambda path: _edit(path, lambda record: record["result"].update(layers=[])),
    "no number": lambda path: _edit(path, lambda record: record["result"]["layers"][1].update(score="high")),
    "no text": lambda path: _edit(path, lambda record: record["model"].update(source=3)),
    "no time": lambda path: _edit(path, lambda record: record.update(created="soon")),
    "no date": lambda path: _edit(path, lambda record: record.update(created=None)),
    "no such date": lambda path: _edit(path, lambda record: record.update(created="now")),
    "no seed": lambda path: _edit(path, lambda record: record["model"].update(seed=2**70)),
    "no float": lambda path: _edit(path, lambda record: record["result"]["layers"][1].update(score=10**400)),
    "unreadable": lambda path: (path.unlink(), path.symlink_to(path)),
    "arrays gone": lambda path: path.with_suffix(".nc").unlink(),
    "figure gone": lambda path: path.with_suffix(".png").unlink(),
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_left_out(scored, tmp_path, damage, check):
    whole, broken = another(scored, tmp_path, number=1), another(scored, tmp_path, number=2)
    DAMAGE[damage](broken)
    found = read_results(tmp_path, check=check)
    assert found.table["record"].unique().tolist() == [str(whole)]
    assert len(found.damaged) == 1
    assert broken.stem in found.damaged[0]
    with pytest.warns(UserWarning, match=broken.stem):
        assert len(results(tmp_path, check=check)) == 3


def test_results_that_come_while_it_reads_are_not_damaged(scored, tmp_path):
    (tmp_path / "study").mkdir()
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(lambda: [another(scored, tmp_path, number=number) for number in range(60)])
        counts = []
        while not writing.done():
            found = read_results(tmp_path)
            assert found.damaged == ()
            counts.append(len(found.table))
    writing.result()
    assert counts == sorted(counts)
    assert len(results(tmp_path)) == 180


@pytest.mark.parametrize("suffix", [".nc", ".png"])
def test_the_full_check_reads_the_files(scored, tmp_path, suffix):
    path = another(scored, tmp_path)
    content = bytearray(path.with_suffix(suffix).read_bytes())
    content[len(content) // 2] ^= 1
    path.with_suffix(suffix).write_bytes(content)
    assert len(results(tmp_path)) == 3
    found = read_results(tmp_path, check=True)
    assert found.table.empty
    assert path.with_suffix(suffix).name in found.damaged[0]


@pytest.mark.parametrize("name", ["absent", "file.json"])
def test_a_place_that_is_no_folder(tmp_path, name):
    (tmp_path / "file.json").touch()
    with pytest.raises(StoreError, match=f"{name} is not a folder of results"):
        results(tmp_path / name)


def test_results_in_a_bucket(scored, tmp_path, monkeypatch):
    another(scored, tmp_path, number=1)
    broken = another(scored, tmp_path, number=2)
    _cut(broken, 500)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    try:
        client = boto3.session.Session().client("s3")
        client.create_bucket(Bucket="scores")
        for path in (tmp_path / "study").iterdir():
            client.put_object(Bucket="scores", Key=f"run/study/{path.name}", Body=path.read_bytes())
        client.close()
        found = read_results("s3://scores/run")
    finally:
        server.stop()
    local = read_results(tmp_path).table.drop(columns="record")
    pd.testing.assert_frame_equal(found.table.drop(columns="record"), local)
    assert found.table["record"].unique().tolist() == ["s3://scores/run/study/tiny.0000000000000001.json"]
    assert [broken.name in problem for problem in found.damaged] == [True]


WITHOUT = """
import sys
sys.modules["pyarrow"] = None
from jaxscore.store.table import results
table = results(sys.argv[1])
print(len(table), dict(table.dtypes.astype(str)) == __import__("jaxscore.store.table", fromlist=["x"]).COLUMNS)
print(table["model"].str.upper().tolist(), table["step"].isna().all())
print("loaded:", *sorted({"jax", "flax", "torch", "xarray", "transformers", "boto3"} & sys.modules.keys()))
"""


def test_without_pyarrow_and_without_jax(scored):
    folder = str(scored.paths.record.parent)
    done = subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT, folder], capture_output=True, text=True)
    assert done.stdout == "3 True\n['TINY', 'TINY', 'TINY'] True\nloaded:\n", done.stdout + done.stderr
