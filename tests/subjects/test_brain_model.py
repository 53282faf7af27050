"""BrainModel: what is recorded, what tasks give, and what a wrong call is told."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
import xarray as xr
from conftest import sentences
from transformers import AutoTokenizer, GPT2LMHeadModel

from jaxscore.errors import JaxscoreError
from jaxscore.subjects import ActivationsExtractor, BrainModel, StimulusSet, Subsample


@pytest.fixture
def model(tiny):
    return BrainModel(tiny)


def stimuli(count=4):
    return StimulusSet({"stimulus_id": range(count), "sentence": sentences(count)}, name="lines")


def test_a_call_gives_all_layers_or_those_recorded(model):
    whole = model(stimuli())
    assert list(dict.fromkeys(whole["layer"].values)) == ["drop", "encoder.h.0", "encoder.h.1"]
    assert model(stimuli(), layers="drop", average_sentence=False).sizes["presentation"] > 4
    model.start_recording("language_system")
    xr.testing.assert_identical(model(stimuli=stimuli()), whole[:, 32:])


def test_a_name_for_the_stimuli_a_number_for_a_layer_and_numbers_of_numpy(model):
    found = model(stimuli=stimuli(), layers=1, stimuli_identifier="mine")
    assert found.attrs["stimuli"] == "mine"
    assert set(found["layer"].values) == {"encoder.h.0"}
    model.start_recording("language_system", np.array([[0, 100], [100, 200]]))
    assert model.look_at(stimuli(), np.int64(2)).shape == (4, 16, 2)


def test_looking_gives_the_layers_of_the_region(tiny):
    regions = {"front": ["encoder.h.0", "drop"], "back": "encoder.h.1"}
    model = BrainModel(tiny, regions, identifier="ours")
    assert (model.identifier, model.visual_degrees()) == ("ours", 8)
    for region, layers in regions.items():
        model.start_recording(region)
        found = model.look_at(stimuli())
        np.testing.assert_array_equal(found, model(stimuli(), layers))
        assert set(found["region"].values) == {region}
        assert found.indexes["neuroid"].names == ["neuroid_num", "neuroid_id", "model", "layer", "region"]
        assert found["stimulus_id"].values.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("target", [each for each in vars(BrainModel.RecordingTarget) if not each.startswith("_")])
def test_the_language_system_is_the_last_layer(model, target):
    model.start_recording(getattr(BrainModel.RecordingTarget, target))
    assert set(model.look_at(stimuli())["layer"].values) == {"encoder.h.1"}


def test_time_bins(model):
    model.start_recording("language_system")
    flat = model.look_at(stimuli(), number_of_trials=3)
    model.start_recording("language_system", time_bins=[(100, 200), (0, 100), np.array([250.5, 300])])
    found = model.look_at(stimuli())
    assert found.dims == ("presentation", "neuroid", "time_bin")
    assert found["time_bin_start"].values.tolist() == [100, 0, 250.5]
    assert found["time_bin_end"].values.tolist() == [200, 100, 300]
    for number in range(3):
        np.testing.assert_array_equal(found[:, :, number], flat)
    found[:, :, 0] = 0
    assert (found[:, :, 1].values == flat.values).all()


def test_hooks_of_the_extractor(tiny):
    extractor = ActivationsExtractor(tiny)
    model = BrainModel(extractor)
    handle = model.register_activations_hook(Subsample(5))
    model.start_recording("language_system")
    assert model.look_at(sentences(2)).shape == (2, 5)
    handle.disable()
    assert model.look_at("One sentence.").shape == (1, 16)


def in_torch(folder, text):
    """Bits of each sentence, tokenised one by one and chained, and the likeliest token after each."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer(sentence, add_special_tokens=False)["input_ids"] for sentence in text]
    tokens = torch.tensor([list(chain(*rows))])
    with torch.no_grad():
        logits = GPT2LMHeadModel.from_pretrained(folder).eval()(tokens).logits[0].double()
    bits = -torch.log_softmax(logits, -1)[torch.arange(tokens.shape[1] - 1), tokens[0, 1:]].numpy() / np.log(2)
    ends = np.cumsum([len(row) for row in rows])
    summed = [np.concatenate([[np.nan], bits])[end - len(row) : end].sum() for row, end in zip(rows, ends, strict=True)]
    return summed, [tokenizer.decode([int(logits[end - 1].argmax())]) for end in ends]


def test_tasks(tiny, model):
    bits, words = in_torch(tiny, sentences(4))
    model.start_task(BrainModel.Task.reading_times)
    found = model.look_at(stimuli())
    assert found.dims == ("presentation",)
    np.testing.assert_allclose(found, bits, rtol=1e-4)
    assert found["stimulus_id"].values.tolist() == [0, 1, 2, 3]
    model.start_task("next_word")
    assert model.look_at(stimuli()).values.tolist() == words
    assert model.look_at(sentences(4)).indexes["presentation"].names == ["stimulus_sentence", "sentence_num"]


def test_what_was_started_last_counts(model):
    model.start_recording("language_system")
    model.start_task("passive")
    assert model.look_at(stimuli()).shape == (4, 16)
    model.start_task("reading_times")
    assert model.look_at(stimuli()).shape == (4,)
    model.start_recording("language_system")
    assert model.look_at(stimuli()).shape == (4, 16)


def recording(bins):
    return lambda model: model.start_recording("language_system", bins)


def looking(*arguments):
    def call(model):
        model.start_recording("language_system")
        model.look_at(*arguments)

    return call


def behaving(task, *arguments):
    def call(model):
        model.start_task(task)
        model.look_at(*arguments)

    return call


WRONG = {
    "nothing started": (lambda m: m.look_at(stimuli()), "neither a recording nor a task.*start_recording"),
    "passive alone": (behaving("passive", "A text."), "passive gives nothing"),
    "target": (
        lambda m: m.start_recording("language_sytem"),
        "Unknown recording target.*Did you mean 'language_system'",
    ),
    "target of another type": (lambda m: m.start_recording(["language_system"]), "Unknown recording target"),
    "task": (lambda m: m.start_task("nextword"), "Unknown task 'nextword'.*Did you mean 'next_word'"),
    "task of another type": (lambda m: m.start_task(None), "Unknown task None"),
    "fitting": (lambda m: m.start_task("next_word", stimuli()), "not fitted"),
    "overlap": (recording([(100, 200), (0, 101)]), r"\(0, 101\) and \(100, 200\) overlap"),
    "same bin": (recording([(0, 100), (0, 100)]), "overlap"),
    "reversed": (recording([(100, 0)]), r"\(100, 0\) ends before"),
    "empty bin": (recording([(5, 5)]), "ends before"),
    "no bins": (recording([]), "no bins"),
    "bins of text": (recording("0-100"), "no bins"),
    "no pairs": (recording([0, 100]), "Time bin 0 is no pair"),
    "three": (recording([(0, 1, 2)]), "no pair"),
    "text": (recording([("a", "b")]), "no pair"),
    "endless": (recording([(0, float("inf"))]), "no pair"),
    "no trials": (looking("A text.", 0), "number_of_trials is 0"),
    "half a trial": (looking("A text.", 1.5), "number_of_trials is 1.5"),
    "true trials": (looking("A text.", True), "number_of_trials is True"),
    "empty": (looking(""), "Stimulus 1 is empty"),
    "empty list": (looking([]), "no stimuli"),
    "number": (looking(3), "are int, expected a text"),
    "items": (looking(["a", 3]), "Stimulus 2 is not text: 3"),
    "task on nothing": (behaving("next_word", [""]), "Stimulus 1 is empty"),
    "map": (lambda m: BrainModel(m.extractor, {"a": "encoder.h.9"}), "No layer 'encoder.h.9'"),
    "empty map": (lambda m: BrainModel(m.extractor, {}), "region_layer_map is empty"),
    "no map": (lambda m: BrainModel(m.extractor, "encoder.h.0"), "region_layer_map is 'encoder.h.0': no mapping"),
    "two identifiers": (lambda m: BrainModel(m.extractor, identifier="x"), "identifier: the extractor has its own"),
    "word vectors": (lambda m: BrainModel("sentence-length").start_task("next_word"), "predicts nothing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(model, case):
    call, message = WRONG[case]
    with pytest.raises(JaxscoreError, match=f"(?s){message}"):
        call(model)
