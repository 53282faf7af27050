"""From a recording to what is read and scored: words one by one, volumes as rows, blocks that lie apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from conftest import toml

import jaxscore
from jaxscore.cards import load_benchmark
from jaxscore.ceilings.asked import ceiling_of
from jaxscore.data.material import load_material
from jaxscore.data.source import open_source
from jaxscore.errors import CardError, DataError, JaxscoreError
from jaxscore.listening.recording import READERS, Recording
from jaxscore.regression.blocks import TrimmedBlocks
from jaxscore.result import protocol_of

TR, VOLUMES, TRIM = 2.0, {"one": 30, "two": 24}, 2
RUNS = np.repeat(list(VOLUMES), list(VOLUMES.values()))
BLOCKS = TrimmedBlocks(3, TRIM).blocks(len(RUNS), RUNS)
SUBJECTS = ["s1", "s1", "s2", "s2", "s3", "s3"]


def read(folder: Path, *, dropped: str = "") -> Recording:
    """Two runs, each with a clock of its own, and three words in every volume but the first ones of a run.

    The responses of all follow a wave; movement of s1 is in its responses.
    """
    rng = np.random.default_rng(int((folder / "seed.txt").read_text()))
    starts = {
        run: np.concatenate([2 * k + np.array([4.1, 4.6, 5.2]) for k in range(n - 2)]) for run, n in VOLUMES.items()
    }
    onsets = np.concatenate(list(starts.values()))
    movement = rng.normal(size=(len(RUNS), 1))
    wave = np.sin(np.arange(len(RUNS)) / 2)[:, None]
    values = 100 + wave + 0.5 * rng.normal(size=(len(RUNS), 6))
    values[:, :2] += 5 * movement
    coords = {
        "run": ("presentation", RUNS),
        "subject": ("neuroid", SUBJECTS),
        "roi": ("neuroid", ["x", "y"] * 3),
        "neuroid_id": ("neuroid", [f"{subject}.{roi}" for subject, roi in zip(SUBJECTS, "xyxyxy", strict=True)]),
    }
    return Recording(
        words=tuple(f"word{i}" for i in range(len(onsets))),
        onsets=onsets,
        offsets=onsets + 0.3,
        word_runs=np.repeat(list(starts), [len(own) for own in starts.values()]),
        times=np.concatenate([TR * np.arange(count) for count in VOLUMES.values()]),
        tr=TR,
        responses=xr.DataArray(values, dims=("presentation", "neuroid"), coords=coords),
        nuisance={"s1": movement},
        shared=np.zeros((len(RUNS), 0)),
        dropped=tuple(filter(None, [dropped])),
    )


@pytest.fixture
def card(tmp_path, monkeypatch):
    """Write the card of a study with the reader above, with changes to its tables, and return its path."""
    monkeypatch.setitem(READERS, "toy", f"{__name__}:read")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/seed.txt").write_text("1")

    def write(listening: dict | None = None, splits: dict | None = None, **tables) -> str:
        rules = {"reader": "toy", "downsample": "mean", "delays": [0, 1, 3], "cutoff": 60.0}
        content = {
            "identifier": "toy", "title": "A toy", "follows": "nobody",
            "data": {"source": "study"},
            "context": {"group": "text", "protocol": "joined"},
            "listening": rules | (listening or {}),
            "splits": splits or {"scheme": "blocks", "folds": 3, "trim": TRIM},
            "regression": {"solver": "ridge", "alpha": 1.0},
            "ceiling": {"kind": "none", "source": "raw"},
        }  # fmt: skip
        (tmp_path / "toy.toml").write_text(toml(content | tables), encoding="utf-8")
        return str(tmp_path / "toy.toml")

    return write


def material(path: str):
    found = load_benchmark(path)
    return load_material(found, open_source(found))


def test_words_are_read_one_by_one_in_the_context_of_their_run(card):
    found = material(card())
    counts = {run: 3 * (count - 2) for run, count in VOLUMES.items()}
    assert found.texts == [f"word{i}" for i in range(sum(counts.values()))]
    assert found.contexts == [run for run, count in counts.items() for _ in range(count)]
    assert len(set(found.ids)) == len(found.ids)
    assert found.assembly.sizes == {"presentation": 54, "neuroid": 6}
    assert found.assembly["subject"].values.tolist() == SUBJECTS
    assert len(set(found.assembly["stimulus_id"].values.tolist())) == 54
    np.testing.assert_array_equal(found.parts["all"], np.arange(54))
    np.testing.assert_array_equal(found.rows.runs, RUNS)
    assert found.notes == ["4 of 54 volumes have no word in reach: their features are 0."]


def test_features_come_to_volumes_in_every_delay(card):
    """Means over the words of a volume, z-scored in each run, then delayed within it; layers may differ in width."""
    rng = np.random.default_rng(2)
    found = material(card())
    layers = [rng.normal(size=(len(found.texts), width)).astype(np.float32) for width in (1, 4)]
    aligned = found.align(layers)
    assert [layer.shape for layer in aligned] == [(54, 3), (54, 12)]
    for layer, rows in zip(layers, aligned, strict=True):
        first = 0
        for run, count in VOLUMES.items():
            words = layer[first : first + 3 * (count - 2)].reshape(count - 2, 3, -1)
            first += 3 * (count - 2)
            means = np.concatenate([np.zeros((2, layer.shape[1])), words.mean(1)])
            scaled = (means - means.mean(0)) / means.std(0)
            for place, delay in enumerate((0, 1, 3)):
                late = np.zeros_like(scaled)
                late[delay:] = scaled[: count - delay]
                own = rows[run == RUNS].reshape(count, 3, -1)[:, place]
                np.testing.assert_allclose(own, late, rtol=0, atol=1e-5)


def test_a_convolution_needs_no_delays(card):
    found = material(card({"downsample": "boxcar", "delays": []}))
    (rows,) = found.align([np.ones((len(found.texts), 1))])
    assert rows.shape == (54, 1)
    np.testing.assert_allclose([rows[run == RUNS].std() for run in VOLUMES], 1)


def test_rows_outside_blocks_are_in_no_fold_and_folds_lie_apart(card):
    path = card()
    found = material(path)
    folds = protocol_of(load_benchmark(path)).split(found.rows)
    outside = np.flatnonzero(BLOCKS < 0)
    assert outside.tolist() == [0, 1, 28, 29, 30, 31, 52, 53]
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == np.flatnonzero(BLOCKS >= 0).tolist()
    for train, test in folds:
        assert not np.isin(outside, np.concatenate([train, test])).any()
        near = np.abs(train[:, None] - test) <= TRIM
        assert not (near & (RUNS[train][:, None] == RUNS[test])).any()
    np.testing.assert_array_equal(found.assembly.values[outside], 0)


def test_responses_lose_movement_and_drift_block_by_block(card):
    values = material(card()).assembly.values
    movement = read(Path("study")).nuisance["s1"][:, 0]
    for block in range(3):
        own = values[block == BLOCKS]
        np.testing.assert_allclose(own.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(own.std(0), 1)
        np.testing.assert_allclose(movement[block == BLOCKS] @ own[:, :2], 0, atol=1e-9)
    assert np.abs(movement @ values[:, 2:]).max() > 1


def test_responses_stay_as_they_are_without_nuisance(card):
    np.testing.assert_array_equal(material(card({"nuisance": False})).assembly.values, read(Path("study")).responses)


def test_options_reach_the_reader_and_subjects_left_out_are_noted(card):
    found = material(card({"options": {"dropped": "s9"}}))
    assert "left out" in found.notes[-1]
    assert "s9" in found.notes[-1]
    with pytest.raises(JaxscoreError, match="Did you mean 'dropped'"):
        material(card({"options": {"droped": "s9"}}))


@pytest.mark.parametrize("splits", [{"scheme": "shuffled", "folds": 3}, {"scheme": "contiguous"}, {"scheme": "bl-rdm"}])
def test_a_card_with_other_splits_is_refused(card, splits):
    with pytest.raises(CardError, match=r"toy\.toml: .*blocks"):
        material(card(splits=splits))


def test_a_score_on_other_splits_is_refused(card):
    with pytest.raises(JaxscoreError, match=r"toy is tested on blocks.*--splits shuffled"):
        jaxscore.score("sentence-length", card(), splits="shuffled", out=None)


def test_a_ceiling_on_other_splits_is_refused(card):
    with pytest.raises(JaxscoreError, match=r"toy is tested on blocks.*--splits grouped"):
        ceiling_of(card(), splits="grouped", method="holdout")


def test_blocks_that_are_too_short_are_refused(card):
    with pytest.raises(DataError, match="cannot be trimmed by 2 rows"):
        material(card(splits={"scheme": "blocks", "folds": 40, "trim": 2}))
    with pytest.raises(DataError, match="regressors and drifts"):
        material(card({"cutoff": 8.0}))


def test_subjects_who_hear_the_same_predict_each_other(card):
    """The wave that is common to all is found in every block."""
    ceiling = {"kind": "computed", "method": "holdout", "source": "each from all others"}
    found, _ = ceiling_of(card(ceiling=ceiling))
    assert sorted(set(found["target_subject"].values.tolist())) == ["s1", "s2", "s3"]
    assert (found["ceiling"] > 0.6).all()
    assert found.attrs["whole"] < 1
