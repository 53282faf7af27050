"""`jaxscore.score` of what is not ours: functions, subjects with `digest_text`, models with `look_at`."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import write_gpt2

import jaxscore
from jaxscore import subjects
from jaxscore.cards import load_benchmark
from jaxscore.errors import JaxscoreError, ModelError
from jaxscore.opened import Opened
from jaxscore.options import Options

BENCHMARK = "Simulated2026-encoding"


def lengths(texts: list[str]) -> np.ndarray:
    """Two features that need no network: [characters, place in the context]."""
    return np.array([[len(text), place] for place, text in enumerate(texts)], np.float32)


def longer(texts: list[str]) -> np.ndarray:
    return lengths(texts) ** 2


class Subject:
    """The interface of today's platform around `lengths`."""

    def __init__(self) -> None:
        self.recordings, self.task = [], None

    def identifier(self) -> str:
        return "lengths"

    def start_neural_recording(self, recording_target: str, recording_type: str) -> None:
        self.recordings.append((recording_target, recording_type))

    def start_behavioral_task(self, task: str) -> None:
        self.task = task

    def digest_text(self, text: list[str]) -> dict:
        stimulus = {"stimulus": ("presentation", text)}
        if self.task:
            bits = np.where(np.arange(len(text)) == 0, np.nan, lengths(text)[:, 0])
            return {"behavior": xr.DataArray(bits, stimulus, ["presentation"])}
        both = np.concatenate([lengths(text), longer(text)] * len(self.recordings), axis=1)
        names = ["plain", "plain", "squared", "squared"] * len(self.recordings)
        numbers = [f"{name}--{i % 2}" for i, name in enumerate(names)]
        neuroid = {"layer": ("neuroid", names), "neuroid_id": ("neuroid", numbers)}
        return {"neural": xr.DataArray(both, stimulus | neuroid, ["presentation", "neuroid"])}


class BrainModel:
    """The interface of the 2021 pipeline around `lengths`, with a time bin."""

    identifier = "lengths-2021"

    def start_recording(self, recording_target: str, time_bins: list) -> None:
        assert recording_target == "language_system"
        self.bins = time_bins

    def look_at(self, stimuli, number_of_trials: int = 1) -> xr.DataArray:
        assert list(stimuli.columns) == ["sentence", "stimulus_id"]
        assert stimuli.name.startswith("jaxscore-")
        texts = stimuli["sentence"].tolist()
        values = np.stack([lengths(texts).T] * len(self.bins))
        coords = {
            "stimulus_id": ("presentation", stimuli["stimulus_id"].to_numpy()),
            "layer": ("neuroid", ["only", "only"]),
        }
        return xr.DataArray(values, coords, ["time_bin", "neuroid", "presentation"])


@pytest.fixture
def score(study):
    def score(model, **options) -> jaxscore.Score:
        return jaxscore.score(model, study.write(), **{"out": None} | options)

    return score


@pytest.fixture
def surprisal(study) -> str:
    """The study as a card of reading times."""
    study.card["metric"] = "surprisal"
    for name in ("splits", "regression"):
        study.card.pop(name)
    return study.write()


def same(one: jaxscore.Score, other: jaxscore.Score) -> None:
    np.testing.assert_array_equal(one.arrays["r"], other.arrays["r"])
    assert one.value == other.value


def test_the_features_of_a_model_score_as_the_model_does():
    expected = jaxscore.score("mini", BENCHMARK)
    opened = Opened.open(load_benchmark(BENCHMARK), Options())
    texts, contexts = opened.material.texts, opened.material.contexts
    found = jaxscore.activations("mini", texts, contexts)["activations"].transpose("layer", "presentation", "feature")
    seen = []

    def features(context: list[str]) -> dict[str, np.ndarray]:
        rows = [texts.index(text) for text in context]
        seen.append({contexts[row] for row in rows})
        return {str(name): found.sel(layer=name).values[rows] for name in found["layer"].values}

    score = jaxscore.score(features, BENCHMARK)
    same(score, expected)
    assert score.layers["layer"].values.tolist() == expected.layers["layer"].values.tolist()
    xr.testing.assert_equal(score.arrays["score"], expected.arrays["score"])
    assert [len(labels) for labels in seen] == [1] * len(set(contexts))  # once for each passage
    assert str(score).partition("5 folds")[2] == str(expected).partition("5 folds")[2] != ""  # all but the title
    assert {"function"} == set(jaxscore.results("jaxscore-results").query("model != 'mini'")["source"])
    assert score.paths.figure.is_file()
    assert score.paths.record.name.startswith(__name__)


def test_a_subject_scores_as_its_layer_does():
    layer = jaxscore.load_model("mini").layer_names[-1]
    subject = subjects.ArtificialSubject("mini", {"language_system": layer})
    found = jaxscore.score(subject, BENCHMARK, out=None)
    expected = jaxscore.score("mini", BENCHMARK, out=None, layers=layer, protocol="parts")
    assert found.layers["layer"].values.tolist() == [layer]
    np.testing.assert_allclose(found.arrays["r"], expected.arrays["r"], atol=1e-4)
    assert subject.neural_recordings == [("language_system", "fMRI")]
    assert found.record["model"]["source"] == "digest_text"


def test_a_brain_model_scores_as_its_layer_does():
    found = jaxscore.score(subjects.BrainModel("mini"), BENCHMARK, out=None)
    (layer,) = found.layers["layer"].values.tolist()
    expected = jaxscore.score("mini", BENCHMARK, out=None, layers=layer)
    np.testing.assert_allclose(found.arrays["r"], expected.arrays["r"], atol=1e-5)
    assert found.record["model"]["source"] == "look_at"


def test_a_torch_model_scores_as_ours(tmp_path):
    torch = pytest.importorskip("torch")
    from transformers import AutoTokenizer, GPT2Model

    folder = write_gpt2(tmp_path / "gpt2", seed=3)
    model, tokenizer = GPT2Model.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def embed(texts: list[str]) -> list:  # rows that need gradients, one tensor each
        tokens = [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]
        return [model(one).last_hidden_state[0, -1] for one in tokens]

    found = jaxscore.score(embed, BENCHMARK, out=None, context="none")
    expected = jaxscore.score(folder, BENCHMARK, out=None, context="none", layers="-1", bos="never")
    np.testing.assert_allclose(found.arrays["r"], expected.arrays["r"], atol=1e-3)


def test_the_features_name_the_result(study):
    card, calls = study.write(), []

    def first(texts):
        calls.append(len(texts))
        return lengths(texts)

    def second(texts):
        return longer(texts)

    second.__qualname__ = first.__qualname__
    one, again, other = (jaxscore.score(model, card) for model in (first, first, second))
    assert (one.resumed, again.resumed, other.resumed) == (False, True, False)
    assert calls == [5] * 12  # six passages, read again to know what they give
    same(one, again)
    assert one.paths.stem != other.paths.stem
    assert one.paths.stem.rpartition(".")[0] == other.paths.stem.rpartition(".")[0]  # but for the key
    about = json.loads(one.paths.record.read_text())["model"]
    assert about["source"] == "function"
    assert about["dtype"] == "float32"
    assert about["reading"] == {
        "model": f"{__name__}.test_the_features_name_the_result.<locals>.first",
        "kind": "function",
        "layers": {"features": 2},
        "named_by": "sha256 of its features",
    }
    assert not jaxscore.score(first, card, context="none").resumed  # other contexts, other features


def test_whatever_can_be_called(score):
    class Callable:
        def __call__(self, texts):
            return lengths(texts)

        def method(self, texts):
            return lengths(texts).tolist()

    expected = score(lengths)
    names = {}
    for kind, model in {
        "lambda": lambda texts: lengths(texts),
        "partial": partial(lengths),
        "object": Callable(),
        "method": Callable().method,
        "frame": lambda texts: xr.DataArray(lengths(texts), dims=["presentation", "neuroid"]).to_pandas(),
        "float16": lambda texts: lengths(texts).astype(np.float16),
        "assembly": lambda texts: xr.DataArray(lengths(texts).T, dims=["neuroid", "presentation"]),
    }.items():
        found = score(model, out="results")
        np.testing.assert_allclose(found.arrays["r"], expected.arrays["r"], atol=1e-6)
        assert found.paths.record.is_file()
        names[kind] = found.record["model"]["name"].rpartition(".")[2]
    assert names == {
        "lambda": "<lambda>", "partial": "lengths", "object": "Callable", "method": "method", "frame": "<lambda>",
        "float16": "<lambda>", "assembly": "<lambda>",
    }  # fmt: skip


def test_torch_and_sparse(score):
    torch = pytest.importorskip("torch")
    from scipy.sparse import csr_array

    expected = score(lengths)
    same(score(lambda texts: torch.tensor(lengths(texts), requires_grad=True)), expected)
    same(score(lambda texts: torch.tensor(lengths(texts), dtype=torch.bfloat16)), expected)  # below 256: as they are
    same(score(lambda texts: csr_array(lengths(texts))), expected)


def test_float64_is_not_rounded(score):
    def offset(texts):
        return 1e9 + lengths(texts).astype(np.float64)

    same(score(lambda texts: lengths(texts).astype(np.float64)), found := score(offset))
    assert found.record["model"]["dtype"] == "float64"
    assert not np.isfinite(score(lambda texts: np.float32(offset(texts))).arrays["r"]).any()


def test_layers_of_a_dict_a_subject_and_a_brain_model(score):
    both = score(lambda texts: {"plain": lengths(texts), "squared": longer(texts)})
    subject = Subject()
    same(score(subject), both)
    assert subject.recordings == [("language_system", "fMRI")]
    found = score(subject)
    same(found, both)  # recorded twice, each neuroid counts once
    assert found.record["model"]["reading"]["layers"] == {"plain": 2, "squared": 2}
    assert found.record["model"]["name"] == "lengths"
    looked = score(BrainModel())
    np.testing.assert_array_equal(looked.arrays["r"][0], both.arrays["r"][0])
    assert looked.layers["layer"].values.tolist() == ["only"]
    assert looked.record["model"]["name"] == "lengths-2021"
    np.testing.assert_array_equal(score(subject, layers="squared").arrays["r"][0], both.arrays["r"][1])


def test_options_that_hold(score):
    found = score(lengths, context="none", splits="grouped", regression="ridge:3", reduction="subsample:1")
    assert found.record["in_force"]["protocol"]["context"]["group"] == "sentence"
    same(score(longer), score(lengths, on_activations=lambda layer, features: features**2))
    shouted = score(lengths, on_stimuli=lambda texts: [text + "!" for text in texts])
    same(shouted, score(lambda texts: lengths([text + "!" for text in texts])))


def test_electrodes_are_recorded_from(study, score):
    study.card["title"] = "Words, ECoG"
    subject = Subject()
    score(subject)
    assert subject.recordings == [("language_system", "ECoG")]


def test_surprisal(surprisal):
    bits = jaxscore.score(lambda texts: np.where(np.arange(len(texts)) == 0, np.nan, lengths(texts)[:, 0]), surprisal)
    same(bits, jaxscore.score(Subject(), surprisal))
    assert "6 words have no surprisal" in str(bits)
    same(bits, jaxscore.score(lambda texts: np.where([[i == 0] for i, _ in enumerate(texts)], np.nan,
                                                     lengths(texts)[:, :1]), surprisal))  # fmt: skip
    with pytest.raises(ModelError, match="gave 2 numbers for each stimulus"):
        jaxscore.score(lengths, surprisal)
    with pytest.raises(ModelError, match=r"gave layers \(a\) where surprisal is scored"):
        jaxscore.score(lambda texts: {"a": lengths(texts)}, surprisal)
    with pytest.raises(ModelError, match="gave 5 of 5 values that are NaN or infinite"):
        jaxscore.score(lambda texts: np.full(len(texts), np.inf), surprisal)


def test_reading_times_of_what_looks(surprisal):
    model = subjects.BrainModel("mini")
    found = jaxscore.score(model, surprisal, out=None)
    same(found, jaxscore.score("mini", surprisal, out=None))
    assert found.to_frame()[["layer_index", "depth"]].isna().all(axis=None)
    with pytest.raises(ModelError, match="look_at without the task 'reading_times', and so gives no surprisal"):
        jaxscore.score(BrainModel(), surprisal)
    with pytest.raises(ModelError, match=r"cannot start the task 'reading_times': ModelError: .* predicts nothing"):
        jaxscore.score(subjects.BrainModel("sentence-length"), surprisal)
    model.start_task("next_word")  # recording takes its place
    assert jaxscore.score(model, BENCHMARK, out=None).layers["layer"].values.tolist() == ["encoder.h.3"]


def test_the_depth_is_that_among_all_layers_given(score):
    def model(texts):
        return {name: lengths(texts) ** power for power, name in enumerate(["a", "before_b", "c"], 1)}

    some, everything = score(model, layers="before_b,c").to_frame(), score(model).to_frame()
    assert everything["layer_index"].tolist() == [0, 1, 2]
    assert some["layer_index"].tolist() == [1, 2]
    assert some["depth"].tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("name", "value"),
    {"pooling": "mean", "protocol": "parts", "window": 9, "stride": 2, "bidirectional": "full", "bos": "never",
     "seed": 1, "untrained": True, "dtype": "bfloat16", "batch_size": 4, "tensor": 1}.items(),
)  # fmt: skip
def test_options_that_mean_nothing(score, name, value):
    with pytest.raises(JaxscoreError, match=f"lengths is no model of jaxscore.*: {name} would change nothing\nLeave"):
        score(lengths, **{name: value})


@pytest.mark.parametrize("model", [3, None, np.zeros((2, 2)), [lengths], pd.DataFrame(), object()])
def test_what_is_no_model(score, model):
    with pytest.raises(ModelError, match=f"is a {type(model).__name__}, which reads no texts\nGive a name, .*look_at"):
        score(model)


def test_classes_and_coroutines(score):
    async def ask(texts):
        return lengths(texts)

    with pytest.raises(ModelError, match=r"Subject is a class, expected an object of it\nWrite Subject\(\.\.\.\)"):
        score(Subject)
    with pytest.raises(ModelError, match="ask is asynchronous"):
        score(ask)
