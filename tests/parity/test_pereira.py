"""The seed's benchmark on a small cut: `jaxscore.score` equals torch, scikit-learn and the protocol loop by loop."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from parity.reference_protocol import Assembly, experiment_folds, nested_layer_choice, pereira_score
from parity.reference_regression import ridge_fold_r
from parity.reference_torch import context_windows, load_folder, save_gpt2, sentence_states, token_states
from sklearn.model_selection import GroupKFold, KFold

import jaxscore
from jaxscore.data.assemblies import write_assembly

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
STIMULI = SHARED / "pereira2018_stimuli/Pereira2018_stimulus_set_20220209.csv"
TINY = {"n_layer": 3, "n_embd": 24, "n_head": 3}
CEILING = 0.318567
SCALE = 1.4826
BOS = 50256
pytestmark = pytest.mark.skipif(
    not (STIMULI.is_file() and (SHARED / "tokenizer_gpt2").is_dir()),
    reason="needs ../shared/data/pereira2018_stimuli and tokenizer_gpt2",
)


@dataclass
class Cut:
    """The benchmark as numpy arrays, and the file that holds the same.

    Attributes:
        file: the assembly with the published names, voxels that are not selected included.
        columns: labels of the presentations [presentation].
        assembly: what is selected, for the reference.
        passage: [presentation].
    """

    file: Path
    columns: dict[str, np.ndarray]
    assembly: Assembly
    passage: np.ndarray

    def contexts(self, labels: np.ndarray) -> list[np.ndarray]:
        """Rows of each context, contexts by first appearance."""
        return [np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def cut(tmp_path_factory) -> Cut:
    """Sixteen passages of one experiment and eighteen of the other, whole stories and scattered ones."""
    with STIMULI.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    stories = {
        name: list(dict.fromkeys(row["story"] for row in rows if row["experiment"] == name))
        for name in ("243sentences", "384sentences")
    }
    kept = {*stories["243sentences"][3:9], *stories["384sentences"][4:8]}
    rows = [row for row in rows if row["story"] in kept]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0] if name}
    columns["passage_index"] = columns["passage_index"].astype(int)
    columns["stimulus_num"] = columns.pop("sentence_num").astype(int)
    columns["stimulus"] = columns["sentence"]
    return write_cut(columns, tmp_path_factory.mktemp("pereira") / "Pereira2018.nc")


def write_cut(columns: dict[str, np.ndarray], file: Path) -> Cut:
    """Responses that the sentences' length and passage partly explain; voxels come and go with the experiments."""
    rng = np.random.default_rng(0)
    neuroids = 60
    experiment = columns["experiment"]
    subject = rng.permutation(np.resize(["018", "199", "288", "P01"], neuroids))
    atlas = rng.choice(["language", "auditory"], neuroids, p=[0.8, 0.2])
    lower = np.where(rng.random(neuroids) < 0.1, 80, 90)
    strategy = rng.choice(np.array(["", "HminusE", "FIXminusH", "other"]), neuroids, p=[0.5, 0.2, 0.2, 0.1])
    length = np.array([len(sentence.split()) for sentence in columns["sentence"]], float)
    rank = np.array([len(sentence) % 7 for sentence in columns["sentence"]], float)
    causes = np.column_stack([length - length.mean(), rank - rank.mean()])
    responses = (0.2 * causes @ rng.standard_normal((2, neuroids))) + rng.standard_normal((len(length), neuroids))
    responses = responses.astype(np.float32)
    only = rng.choice(["both", "243sentences", "384sentences", "none"], neuroids, p=[0.5, 0.2, 0.2, 0.1])
    for name in ("243sentences", "384sentences"):
        responses[np.ix_(experiment == name, ~np.isin(only, [name, "both"]))] = np.nan
    responses[:, subject == "P01"] = np.nan  # a subject without a voxel: no median, 0 in the deviation
    responses[5, np.flatnonzero(only == "both")[:2]] = np.nan  # one response is missing
    voxels = {
        "subject": subject,
        "atlas": atlas,
        "atlas_selection_lower": lower,
        "filter_strategy": strategy,
        "voxel_num": np.arange(neuroids),
        "roi": np.full(neuroids, "LH_PTL"),
        "atlas_selection": np.full(neuroids, "from90to100prcnt"),
        "indices_in_3d": rng.integers(0, 9999, neuroids),
        **{f"col_to_coord_{axis}": rng.integers(0, 90, neuroids) for axis in (1, 2, 3)},
        "neuroid_id": np.array([f"{name}.{i}" for i, name in enumerate(subject)]),
    }
    coords = {name: ("presentation", values) for name, values in columns.items()}
    coords |= {name: ("neuroid", values) for name, values in voxels.items()}
    write_assembly(xr.DataArray(responses, coords, ("presentation", "neuroid")), file)
    taken = (lower == 90) & (strategy != "other")
    assert 0 < taken.sum() < neuroids
    assembly = Assembly(responses[:, taken], experiment, columns["stimulus_id"], subject[taken], atlas[taken])
    passage = np.array([f"{a}.{b}" for a, b in zip(experiment, columns["passage_index"], strict=True)])
    return Cut(file, columns, assembly, passage)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_gpt2(folder, TINY, 0, SHARED, perturb=0.1)
    return folder


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """A model that cannot read a passage in one window."""
    folder = tmp_path_factory.mktemp("models") / "short"
    save_gpt2(folder, TINY | {"n_positions": 32}, 1, SHARED, perturb=0.1)
    return folder


def features(folder: Path, cut: Cut, labels: np.ndarray, **options) -> np.ndarray:
    """Torch's states [layer, presentation, feature], rows in the order of the file."""
    groups = cut.contexts(labels)
    states = sentence_states(folder, [cut.columns["sentence"][rows].tolist() for rows in groups], **options)
    return states[:, np.argsort(np.concatenate(groups))]


def assert_equal(score: jaxscore.Score, cut: Cut, states: np.ndarray, *, grouped: bool = True, **options) -> None:
    """Every layer's score, error and raw r; r of every fold and voxel; the grouped column; the nested choice."""
    ids = cut.assembly.stimulus_id
    expected = pereira_score(states, ids, cut.assembly, CEILING, error_scale=SCALE, **options)
    table, arrays = score.layers, score.arrays
    assert table["layer"].values.tolist() == ["drop", *(f"encoder.h.{i}" for i in range(TINY["n_layer"]))]
    np.testing.assert_allclose(table["r"], expected.raw, rtol=0, atol=1e-5)
    np.testing.assert_allclose(table["score"], expected.score, rtol=0, atol=1e-5)
    np.testing.assert_allclose(table["error"], expected.error, rtol=0, atol=1e-5)
    np.testing.assert_allclose(table["ceiling"], CEILING)
    assert arrays["r"].dims == ("layer", "part", "fold", "neuroid")
    assert arrays["part"].values.tolist() == ["243sentences", "384sentences"]
    np.testing.assert_array_equal(np.isnan(arrays["r"]), np.isnan(expected.fold_r))
    np.testing.assert_allclose(arrays["r"], expected.fold_r, rtol=0, atol=1e-4)
    assert np.isnan(expected.fold_r).any()
    assert expected.error.min() > 0
    if grouped:
        by_passage = experiment_folds(cut.assembly, GroupKFold(5, shuffle=True, random_state=1), cut.passage)
        beside = pereira_score(states, ids, cut.assembly, CEILING, **(options | {"folds": by_passage}))
        np.testing.assert_allclose(table["grouped"], beside.score, rtol=0, atol=1e-5)
        assert np.abs(beside.score - expected.score).max() > 1e-2
    nested = nested_layer_choice(states, ids, cut.assembly, CEILING, error_scale=SCALE, **options)
    np.testing.assert_allclose(arrays["inner_score"] * CEILING, nested.inner.T, rtol=0, atol=1e-5)
    assert arrays["chosen_layer_index"].values.tolist() == nested.layers.tolist()
    chosen = [table.attrs[f"chosen_{name}"] for name in ("score", "error", "r")]
    np.testing.assert_allclose(chosen, [nested.score, nested.error, nested.raw], rtol=0, atol=1e-5)
    assert score.value == table.attrs["chosen_score"]


def run(folder: Path, cut: Cut, tmp_path: Path, **options) -> jaxscore.Score:
    return jaxscore.score(folder, "Pereira2018-encoding", data=cut.file, out=tmp_path / "out", **options)


def test_the_cut_has_what_bites(cut):
    experiment, present = cut.assembly.experiment, ~np.isnan(cut.assembly.responses)
    counts = dict(zip(*np.unique(experiment, return_counts=True), strict=True))
    assert min(counts.values()) >= 50
    assert len(cut.contexts(cut.passage)) > len(cut.contexts(cut.columns["story"]))
    story = cut.columns["story"]
    assert (np.diff(np.flatnonzero(story == story[-1])) > 1).any()  # the passages of a story do not stand together
    whole = {name: present[experiment == name].all(0) for name in counts}
    assert all((whole[a] & ~whole[b]).any() for a, b in [tuple(counts), tuple(counts)[::-1]])
    assert len(set(cut.assembly.subject)) == 4
    assert set(cut.assembly.atlas) == {"language", "auditory"}


def test_the_protocol(folder, cut, tmp_path):
    score = run(folder, cut, tmp_path)
    assert_equal(score, cut, features(folder, cut, cut.passage))
    assert score.layers["subject"].values.tolist() == ["018", "199", "288", "P01"]
    assert np.isnan(score.layers["subjects"].sel(subject="P01")).all()
    assert all(path.is_file() for path in (score.paths.record, score.paths.arrays, score.paths.figure))
    again = run(folder, cut, tmp_path)
    assert again.resumed
    np.testing.assert_array_equal(again.layers["score"], score.layers["score"])


def test_contexts_by_story(folder, cut, tmp_path):
    by_story = features(folder, cut, cut.columns["story"])
    assert np.abs(by_story - features(folder, cut, cut.passage)).max() > 0.1
    assert_equal(run(folder, cut, tmp_path, context="story"), cut, by_story)


def test_every_sentence_alone(folder, cut, tmp_path):
    score = run(folder, cut, tmp_path, context="sentence")
    assert_equal(score, cut, features(folder, cut, cut.assembly.stimulus_id))


def test_a_start_token_that_the_tokenizer_does_not_put_itself(folder, cut, tmp_path):
    model, tokenizer = load_folder(folder)
    groups = cut.contexts(cut.passage)
    windows = [row for rows in groups for row in context_windows(tokenizer, cut.columns["sentence"][rows].tolist())]
    states = np.stack([token_states(model.eval(), [BOS, *row])[:, -1] for row in windows], axis=1)
    score = run(folder, cut, tmp_path, bos="always")
    assert_equal(score, cut, states[:, np.argsort(np.concatenate(groups))])
    assert score.record["model"]["start_tokens"] == ["<|endoftext|>"]


def test_windows_that_slide(short, cut, tmp_path):
    states = features(short, cut, cut.passage, window=32)
    assert_equal(run(short, cut, tmp_path), cut, states)


@pytest.mark.parametrize("alpha", [1.0, 100.0])
def test_ridge(folder, cut, tmp_path, alpha):
    score = run(folder, cut, tmp_path, regression=f"ridge:{alpha}")
    states = features(folder, cut, cut.passage)
    assert_equal(score, cut, states, fold_r=lambda X, Y, folds: ridge_fold_r(X, Y, folds, alpha))


@pytest.mark.parametrize("splits", ["contiguous", "grouped"])
def test_other_splits(folder, cut, tmp_path, splits):
    splitter = KFold(5) if splits == "contiguous" else GroupKFold(5, shuffle=True, random_state=1)
    score = run(folder, cut, tmp_path, splits=splits)
    folds = experiment_folds(cut.assembly, splitter, cut.passage if splits == "grouped" else None)
    assert_equal(score, cut, features(folder, cut, cut.passage), grouped=False, folds=folds)
    assert "grouped" not in score.layers


def test_chosen_layers_are_the_same_ones_alone(folder, cut, tmp_path):
    whole, some = run(folder, cut, tmp_path), run(folder, cut, tmp_path, layers="encoder.h.2,drop")
    assert some.layers["layer"].values.tolist() == ["drop", "encoder.h.2"]
    for name in ("score", "error", "r", "grouped"):
        np.testing.assert_allclose(some.layers[name], whole.layers[name][[0, 3]], rtol=0, atol=1e-6)


def test_the_order_of_the_file_is_the_order_of_reading(folder, cut, tmp_path):
    """Passages that stand apart in the file are read as one; folds count the rows of the file."""
    order = np.argsort(np.arange(len(cut.passage)) % 4, kind="stable")
    mixed = write_cut({name: values[order] for name, values in cut.columns.items()}, tmp_path / "mixed.nc")
    assert_equal(run(folder, mixed, tmp_path), mixed, features(folder, mixed, mixed.passage))
