"""A person's own data by their card, from the file to the score: subjects, runs, repetitions, time bins, arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import sentences, toml

import jaxscore
from jaxscore.cards import load_benchmark
from jaxscore.ceilings.asked import ceiling_of
from jaxscore.data.material import load_material
from jaxscore.data.source import open_source
from jaxscore.errors import DataError

STIMULI = 30


@pytest.fixture
def card(tmp_path):
    """Write a card with the given tables and return its path."""

    def write(**tables) -> str:
        content = {
            "identifier": "own", "title": "Own data", "follows": "nobody",
            "data": {"source": "own.csv", "stimulus_id": "item"} | tables.pop("data", {}),
            "splits": {"scheme": "contiguous", "folds": 3} | tables.pop("splits", {}),
            "regression": {"solver": "ridge", "alpha": 1.0},
            "ceiling": {"kind": "none", "source": "raw"} | tables.pop("ceiling", {}),
        }  # fmt: skip
        (tmp_path / "own.toml").write_text(toml(content | tables), encoding="utf-8")
        return str(tmp_path / "own.toml")

    return write


def responses(seed: int = 0, columns: int = 3) -> np.ndarray:
    """Responses [stimulus, column] that follow the number of characters of `sentences`."""
    length = np.array([len(text) for text in sentences(STIMULI)], float)
    noise = np.random.default_rng(seed).normal(0, 3, (STIMULI, columns))
    return length[:, None] * np.linspace(1, 2, columns) + noise


def frame(seed: int = 0) -> pd.DataFrame:
    table = pd.DataFrame({"item": [f"s{i}" for i in range(STIMULI)], "sentence": sentences(STIMULI)})
    return table.assign(**dict(zip("abc", responses(seed).T, strict=True)))


def material(path: str):
    found = load_benchmark(path)
    return load_material(found, open_source(found))


def score(path: str, **options) -> jaxscore.Score:
    return jaxscore.score("sentence-length", path, out=None, **options)


def test_long_table_of_several_subjects(tmp_path, card):
    wide = {subject: frame(seed) for seed, subject in enumerate(["p1", "p2", "p3"])}
    long = pd.concat(
        own.melt(["item", "sentence"], var_name="roi", value_name="bold").assign(who=subject)
        for subject, own in wide.items()
    )
    long.sample(frac=1, random_state=0, ignore_index=True).sort_values("item", kind="stable").to_csv(
        tmp_path / "own.csv", index=False
    )
    path = card(
        data={"value": "bold", "neuroid": ["who", "roi"], "subject": "who"},
        aggregation={"by": "roi", "error": "bootstrap"},
    )
    found = score(path)
    assert sorted(found.arrays["subject"].values.tolist()) == ["p1", "p2", "p3"]
    assert found.arrays["each_roi"].values.tolist() == ["a", "b", "c"]
    assert (found.arrays["roi_score"] > 0.5).all()
    assert found.layers["low"].item() <= found.layers["score"].item() <= found.layers["high"].item()
    order = np.argsort([f"s{i}" for i in range(STIMULI)])
    own = material(path).assembly
    np.testing.assert_array_equal(
        own.sel(neuroid=own["neuroid_id"] == "p2.b").values[:, 0], wide["p2"]["b"].values[order]
    )


def test_runs_are_cleaned_one_by_one_and_left_out(tmp_path, card):
    table = frame().assign(run=np.repeat(["r1", "r2", "r3"], 10))
    drift = np.tile(np.linspace(0, 500, 10), 3)
    table[list("abc")] += drift[:, None] + 1000 * np.repeat([1, 2, 3], 10)[:, None]
    table.to_csv(tmp_path / "own.csv", index=False)
    data = {"run": "run", "preprocess": ["detrend", "zscore"]}
    path = card(data=data, splits={"scheme": "leave-one-group-out", "by": "run"})
    values = material(path).assembly.values.reshape(3, 10, 3)
    np.testing.assert_allclose(values.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(values.std(1), 1)
    found = score(path)
    assert found.layers["score"].item() > 0.5
    assert found.record["result"]["warnings"] == []
    within = score(card(data=data, splits={"folds": 4}))
    assert "leave-one-run-out" in " ".join(within.record["result"]["warnings"])


def test_repetitions_are_averaged_and_give_ceilings(tmp_path, card):
    table = pd.concat([frame(seed).assign(rep=seed) for seed in range(4)])
    table.to_csv(tmp_path / "own.csv", index=False)
    data = {"repetition": "rep", "responses": ["a", "b", "c"]}
    path = card(data=data, ceiling={"kind": "neuroid", "coordinate": "noise_ceiling", "source": "repetitions"})
    own = material(path)
    np.testing.assert_allclose(own.assembly.values, np.mean([responses(seed) for seed in range(4)], axis=0))
    np.testing.assert_array_equal(own.repetitions, [responses(seed) for seed in range(4)])
    found = score(path)
    assert 0.5 < found.layers["r"].item() < found.layers["score"].item()
    assert "means of 4 repetitions" in " ".join(found.record["result"]["warnings"])
    halves, _ = ceiling_of(path, method="split-half")
    signal = np.var([len(text) for text in sentences(STIMULI)]) * np.linspace(1, 2, 3) ** 2
    np.testing.assert_allclose(halves["ceiling"].values, np.sqrt(signal / (signal + 9 / 4)), atol=0.05)
    assert (halves["ceiling"] < 1).all()


def test_time_bins_have_scores_of_their_own(tmp_path, card):
    noise = np.random.default_rng(5).normal(0, 50, STIMULI)
    bins = [frame().assign(ms=0.0, a=noise), frame().assign(ms=100.0)]
    pd.concat(bins).to_csv(tmp_path / "own.csv", index=False)
    path = card(data={"time_bin": "ms", "responses": ["a"]}, aggregation={"by": "time_bin"})
    found = score(path)
    early, late = found.arrays["time_bin_score"].values[0]
    assert found.arrays["each_time_bin"].values.tolist() == [0.0, 100.0]
    assert early < 0.4 < 0.5 < late


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5"])
def test_arrays_beside_a_table_of_stimuli(tmp_path, card, suffix):
    frame().drop(columns=list("abc")).to_csv(tmp_path / "stimuli.csv", index=False)
    pd.DataFrame({"neuroid_id": list("xyz"), "person": ["p", "q", "q"]}).to_csv(tmp_path / "voxels.csv", index=False)
    _save(tmp_path / f"own.{suffix}", responses())
    data = {"source": f"own.{suffix}", "stimuli": "stimuli.csv", "neuroids": "voxels.csv", "subject": "person"}
    path = card(data=data)
    own = material(path).assembly
    np.testing.assert_array_equal(own.values, responses())
    assert own["subject"].values.tolist() == ["p", "q", "q"]
    assert score(path).layers["score"].item() > 0.5
    before = open_source(load_benchmark(path)).sha256
    pd.DataFrame({"neuroid_id": list("xyz"), "person": ["p", "p", "q"]}).to_csv(tmp_path / "voxels.csv", index=False)
    assert open_source(load_benchmark(path)).sha256 != before  # what is read beside the array names the result too


def _save(path: Path, values: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, bold=values)
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file["bold"] = values


def test_scored_and_unscored_rows_are_read_alike(tmp_path, card):
    frame().assign(kind=np.tile(["x", "y", "z"], 10)).to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(DataError, match=r"no column 'kindd'.*\n.*'kind'"):
        material(card(data={"scored": {"kindd": ["x"]}, "responses": ["a"]}))
    own = material(card(data={"scored": {"kind": ["x", "z"]}, "responses": ["a"]}))
    assert (len(own.texts), own.assembly.sizes["presentation"]) == (STIMULI, 20)
    path = card(
        data={
            "responses": ["a"],
            "labels": {"first": "stimulus_id:0"},
            "unscored": {"first": ["s3", "s4"]},
        }
    )
    own = material(path)
    assert len(own.texts) == STIMULI
    assert own.assembly.sizes["presentation"] == STIMULI - 2
    (kept,) = own.align([np.arange(STIMULI)])
    assert kept.tolist() == [0, 1, 2, *range(5, STIMULI)]
    with pytest.raises(DataError, match="no part 1 between dots"):
        material(card(data={"responses": ["a"], "labels": {"first": "stimulus_id:1"}}))


def test_an_array_needs_its_stimuli(tmp_path, card):
    np.save(tmp_path / "own.npy", responses())
    with pytest.raises(DataError, match=r"nothing says which stimulus a row is"):
        material(card(data={"source": "own.npy"}))
