"""Results on disk: whole or not there, found again, described, and readable by plain xarray."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import jaxscore
from jaxscore.store.places import Folder, open_place
from jaxscore.store.records import Paths, examine, find_result, paths_of, result_paths


@pytest.fixture
def once(tiny, study):
    """The study, scored once; returns a function that scores it again, with other options where given."""
    card = study.write()

    def again(**options):
        return jaxscore.score(str(tiny), card, **options)

    return again


def _same(a: jaxscore.Score, b: jaxscore.Score) -> None:
    assert a.value == pytest.approx(b.value, abs=1e-6, nan_ok=True)
    for name in a.layers.data_vars:
        np.testing.assert_allclose(a.layers[name], b.layers[name], atol=1e-6)
    np.testing.assert_allclose(a.arrays["r"], b.arrays["r"], atol=1e-6)


def _three(paths: Paths) -> list[Path]:
    return [paths.record, paths.arrays, paths.figure]


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_second_run_reads_the_first(once):
    first = once()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in _three(first.paths)}
    second = once()
    assert (first.resumed, second.resumed) == (False, True)
    assert second.paths == first.paths
    assert second.record == first.record
    assert second.value == first.value
    assert second.layers.identical(first.layers)
    assert str(second) == str(first)
    np.testing.assert_array_equal(second.arrays["r"], first.arrays["r"])
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before


def test_second_run_says_so(cli, tiny, study):
    first, second = (cli("run", tiny, "-b", study.write()) for _ in range(2))
    assert second.out == first.out
    assert "Already scored" not in first.err
    assert "Already scored: nothing was computed (--overwrite computes it again)." in " ".join(second.err.split())


def test_overwrite_computes_again(once):
    first = once()
    second = once(overwrite=True)
    assert not second.resumed
    assert second.paths == first.paths
    assert second.record["created"] > first.record["created"]
    assert once().record["created"] == second.record["created"]
    _same(first, second)


OTHERS = [
    {"layers": "0,2"},
    {"pooling": "mean"},
    {"context": "sentence"},
    {"regression": "ridge:3"},
    {"regression": "ols"},
    {"regression": "ols", "rcond": 1e-3},
    {"splits": "grouped"},
    {"folds": 4},
    {"bos": "always"},
    {"untrained": True},
    {"untrained": True, "seed": 1},
    {"dtype": "bfloat16"},
]


def test_another_option_is_another_result(once):
    first = once()
    found = [once(**options) for options in OTHERS]
    assert not any(result.resumed for result in found)
    assert len({result.paths.record for result in (first, *found)}) == 1 + len(OTHERS)
    assert once().record == first.record


@pytest.mark.parametrize("options", [{"batch_size": 2}, {"offline": True}, {"folds": 3}, {"regression": "ridge:10"}])
def test_what_changes_no_number_is_the_same_result(once, options):
    once()
    assert once(**options).resumed


def test_changed_data_are_another_result(once, study):
    first = once()
    study.table.loc[0, "a"] += 0.5
    study.write()
    second = once()
    assert not second.resumed
    assert second.paths != first.paths
    assert second.record["benchmark"]["data"]["sha256"] != first.record["benchmark"]["data"]["sha256"]


def test_what_is_shown_only_does_not_recompute(once, study):
    once()
    study.card |= {"title": "Another title", "citation": "Somebody 2026"}
    study.write()
    assert once().resumed


@pytest.mark.parametrize("suffix", [".json", ".nc", ".png"])
@pytest.mark.parametrize("damage", ["removed", "emptied", "cut", "flipped"])
def test_damage_is_found_and_redone(once, suffix, damage):
    first = once()
    path = first.paths.record.with_suffix(suffix)
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"emptied": b"", "cut": content[:middle], "flipped": flipped}[damage])
    # a record may be changed in a way that still reads; its files are then what it says
    reads = find_result(first.paths) is not None
    expected = {".json": damage != "removed" and not reads, ".nc": True, ".png": True}[suffix]
    problem = examine(first.paths).problem
    assert problem.startswith(f"{path} is ") if expected else problem is None
    second = once()
    if (suffix, damage) == (".json", "flipped"):
        assert second.resumed == reads
    else:
        assert not second.resumed
    _same(first, second)
    assert once().resumed


def test_files_of_two_results_do_not_pass_for_one(once):
    first, second = once(), once(regression="ols")
    first.paths.arrays.write_bytes(second.paths.arrays.read_bytes())
    assert find_result(first.paths) is None
    assert not once().resumed


def test_a_record_of_another_schema_is_no_result(once):
    first = once()
    record = json.loads(first.paths.record.read_text())
    for schema in (0, record["schema"] + 1, None, "1"):
        first.paths.record.write_text(json.dumps(record | {"schema": schema}))
        assert find_result(first.paths) is None
    for text in ("null", "[]", "3", "{}", '{"schema": 1, "files": null}'):
        first.paths.record.write_text(text)
        assert find_result(first.paths) is None


def test_record(once, study, tiny):
    found = once(layers="1-2", regression="ridge:2")
    record = json.loads(found.paths.record.read_text(encoding="utf-8"))
    assert record == found.record
    assert record["model"] | {"name": "tiny", "source": "local", "commit": None} == record["model"]
    assert record["model"]["architecture"]["family"] == "gpt2"
    assert (record["model"]["dtype"], record["model"]["untrained"], record["model"]["start_tokens"]) == (
        "float32",
        False,
        [],
    )
    assert re.fullmatch(r"[0-9a-f]{64}", record["model"]["fingerprint"])
    data = study.folder / "study.csv"
    assert record["benchmark"]["data"]["sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert Path(record["benchmark"]["data"]["url"]) == data
    protocol = record["in_force"]["protocol"]
    assert record["in_force"]["layers"] == "1-2"
    assert protocol["regression"]["solver"] == "ridge"
    assert protocol["regression"]["alpha"] == 2.0
    splits = {"scheme": "shuffled", "folds": 3, "seed": 1, "by": None, "values": None, "trim": 0}
    assert protocol["splits"] == splits
    assert protocol["context"] == {
        "group": "passage", "protocol": "chained", "window": None, "stride": None, "bidirectional": "prefix",
    }  # fmt: skip
    assert record["model"]["reading"]["window"] == 256  # the model's own
    assert record["versions"]["jaxscore"] == jaxscore.__version__ == version("jaxscore")
    assert all(record["versions"][name] == version(name) for name in ("jax", "numpy", "scikit-learn", "transformers"))
    assert record["device"]["platform"] == "cpu"
    assert record["device"]["count"] >= 1
    assert all(seconds >= 0 for seconds in record["seconds"].values())
    assert {"download", "read data", "regression"} <= record["seconds"].keys()
    assert record["created"].endswith("+00:00")
    rows = record["result"]["layers"]
    assert [row["layer"] for row in rows] == ["encoder.h.0", "encoder.h.1"]
    assert [row["score"] for row in rows] == pytest.approx(found.layers["score"].values.tolist(), nan_ok=True)
    assert record["result"]["counts"]["stimuli"] == {"all": 30}
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (found.paths.arrays, found.paths.figure)
    }
    assert record["files"] == files


def test_record_tells_what_was_asked_beside_what_was_in_force(once):
    asked = once(layers="-1", regression="ridge").record["asked"]
    assert (asked["model"], asked["benchmark"]) == ("tiny", "study")
    assert (asked["layers"], asked["regression"], asked.get("folds")) == ("-1", "ridge", None)


def test_seed_of_an_untrained_draw_is_recorded(once):
    record = once(untrained=True, seed=7).record
    assert (record["model"]["seed"], record["model"]["untrained"]) == (7, True)
    assert record["model"]["name"] == "tiny-untrained"


def test_arrays_open_in_plain_xarray(once, study):
    study.card["ceiling"] = {"kind": "neuroid", "source": "mine", "values": {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.8}}
    study.write()
    found = once()
    with xr.open_dataset(found.paths.arrays) as arrays:
        assert arrays["r"].dims == ("layer", "part", "fold", "neuroid")
        assert arrays["r"].dtype == np.float32
        assert dict(arrays["r"].sizes) == {"layer": 3, "part": 1, "fold": 3, "neuroid": 4}
        assert arrays["layer"].values.tolist() == ["drop", "encoder.h.0", "encoder.h.1"]
        assert arrays["part"].values.tolist() == ["all"]
        assert arrays["neuroid_id"].values.tolist() == list("abcd")
        assert set(arrays["neuroid_subject"].values.tolist()) == {"subject"}
        assert arrays["neuroid_ceiling"].values.tolist() == [0.5, 0.6, 0.7, 0.8]
        np.testing.assert_allclose(arrays["median_r"], found.layers["r"])
        # the score from the arrays alone: mean over folds, over the ceiling, median over neuroids
        by_hand = (arrays["r"].mean("fold").isel(part=0) / arrays["neuroid_ceiling"]).median("neuroid")
        np.testing.assert_allclose(arrays["score"], by_hand, atol=1e-6)
        assert arrays.attrs["benchmark"] == "study"


def test_picture(once):
    import matplotlib.image

    picture = matplotlib.image.imread(once().paths.figure)
    assert picture.ndim == 3
    assert min(picture.shape[:2]) >= 300


def test_nothing_is_written_without_out(once, tmp_path):
    before = _files(tmp_path)
    found = once(out=None)
    assert found.paths is None
    assert not found.resumed
    assert _files(tmp_path) == before


def test_only_three_files_are_left(once, tmp_path):
    found = once()
    assert _files(tmp_path / "jaxscore-results") == sorted(path.name for path in _three(found.paths))


def test_reopen_by_any_of_the_three(once):
    from jaxscore.scoring import reopen

    found = once()
    for path in _three(found.paths):
        assert reopen(path).record == found.record
    found.paths.figure.unlink()
    with pytest.raises(jaxscore.errors.StoreError, match="not a whole result"):
        reopen(found.paths.record)


@pytest.mark.parametrize("where", ["results", "/results", "a/b", "s3://bucket", "s3://bucket/a/b"])
@pytest.mark.parametrize("name", ["org--model@v1.0", "a/b c", "../up", "ünï", "x.json"])
def test_names_of_files(name, where):
    paths = result_paths(open_place(where), "bench", name, "0123456789abcdef")
    assert str(paths.record).startswith(f"{where}/bench/")
    names = [str(path).removeprefix(f"{where}/bench/") for path in _three(paths)]
    assert not any("/" in name for name in names)
    assert [name.rpartition("0123456789abcdef")[2] for name in names] == [".json", ".nc", ".png"]
    assert paths_of(paths.figure) == paths_of(paths.arrays) == paths_of(str(paths.record)) == paths


def test_a_result_in_the_current_folder(tmp_path):
    paths = paths_of("tiny.0123456789abcdef.json")
    assert paths == Paths(Folder(tmp_path.parent), f"{tmp_path.name}/tiny.0123456789abcdef")
