"""ArtificialSubject: shapes, names and order of its assemblies, what is recorded, and clear errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jaxscore.errors import DataError, JaxscoreError, ModelError
from jaxscore.subjects import ArtificialSubject
from jaxscore.subjects.digest import Digest
from jaxscore.subjects.model_reader import ModelReader

FMRI, ECOG = ArtificialSubject.RecordingType.fMRI, ArtificialSubject.RecordingType.ECoG
TARGET = ArtificialSubject.RecordingTarget
LEFT = TARGET.language_system_left_hemisphere
PARTS = ["The otter", "in the rain", "in the rain", "."]


@pytest.fixture(scope="module")
def reader(tiny) -> ModelReader:
    return ModelReader(tiny)


def subject(reader, mapping=None) -> ArtificialSubject:
    return ArtificialSubject(reader, mapping)


def recorded(reader, mapping, *recordings):
    own = subject(reader, mapping)
    for recording in recordings:
        own.start_neural_recording(*recording)
    return own.digest_text(PARTS)["neural"]


def test_coordinates_of_the_platform(reader):
    found = recorded(reader, {TARGET.language_system: "transformer.h.1"}, (TARGET.language_system, FMRI))
    assert found.dims == ("presentation", "neuroid")
    assert found.shape == (4, 16)
    assert found.dtype == np.float32
    assert found.indexes["presentation"].names == ["stimulus", "context", "part_number"]
    assert found.indexes["neuroid"].names == [
        "layer", "region", "recording_type", "neuron_number_in_layer", "neuroid_id",
    ]  # fmt: skip
    for name in ("stimulus", "context", "layer", "region", "recording_type", "neuroid_id"):
        assert found[name].dtype == object
    assert found["part_number"].dtype == found["neuron_number_in_layer"].dtype == np.int64
    assert found["stimulus"].values.tolist() == PARTS
    assert found["context"].values.tolist() == [
        "The otter", "The otter in the rain", "The otter in the rain in the rain", "The otter in the rain in the rain.",
    ]  # fmt: skip
    assert set(found["region"].values) == {"language_system.0"}
    assert set(found["recording_type"].values) == {FMRI}
    assert found["neuroid_id"].values[[0, -1]].tolist() == ["transformer.h.1--0", "transformer.h.1--15"]
    assert found.sel(layer="transformer.h.1").shape == (4, 16)
    found["stimulus_id"] = "presentation", list("abcd")  # as benchmarks do


def test_order_is_that_of_the_network_and_a_recording_started_twice_is_one(reader):
    mapping = {TARGET.language_system: ["transformer.h.1", "transformer.h.0", "transformer.h.1"], LEFT: "encoder.h.0"}
    started = [(TARGET.language_system, FMRI), (LEFT, ECOG), (TARGET.language_system, FMRI)]
    found = recorded(reader, mapping, *started)
    columns = [found[name].values[::16].tolist() for name in ("region", "layer", "recording_type")]
    assert list(zip(*columns, strict=True)) == [
        ("language_system.1", "transformer.h.0", FMRI),
        (f"{LEFT}.0", "encoder.h.0", ECOG),
        ("language_system.0", "transformer.h.1", FMRI),
        ("language_system.2", "transformer.h.1", FMRI),
    ]
    np.testing.assert_array_equal(found.values[:, :16], found.values[:, 16:32])
    np.testing.assert_array_equal(found.values[:, 32:48], found.values[:, 48:])
    assert not np.allclose(found.values[:, :16], found.values[:, 32:48])


def test_a_module_is_read_before_the_final_norm_and_a_hidden_state_after(reader):
    names = ["hidden_states[2]", "transformer.h.1", "2"]
    found = recorded(reader, {TARGET.language_system: names}, (TARGET.language_system, FMRI))
    by_name = {name: found.sel(layer=name).values for name in names}
    np.testing.assert_array_equal(by_name["hidden_states[2]"], by_name["2"])
    assert not np.allclose(by_name["2"], by_name["transformer.h.1"])


def test_without_a_mapping_every_target_is_the_last_layer(reader):
    found = recorded(reader, None, (TARGET.language_system, FMRI), (LEFT, FMRI))
    assert set(found["layer"].values) == {"transformer.h.1"}
    assert set(found["region"].values) == {"language_system.0", f"{LEFT}.0"}


def test_behaviour(reader):
    own = subject(reader)
    own.start_behavioral_task(own.Task.next_word)
    out = own.digest_text(PARTS)
    assert out["neural"] is None
    assert out["behavior"].dims == ("presentation",)
    assert out["behavior"].dtype.kind == "U"
    own.start_behavioral_task(own.Task.reading_times)
    assert own.digest_text(PARTS)["behavior"].dtype == np.float32
    single = own.digest_text(["T", "in"])["behavior"]  # as there: NaN comes in double precision
    assert single.dtype == np.float64
    assert np.isnan(single.values).tolist() == [True, False]


def test_lists_tuples_arrays_and_series_are_one(reader):
    own = subject(reader)
    own.start_neural_recording(TARGET.language_system, FMRI)
    one = own.digest_text(PARTS)["neural"]
    for text in (tuple(PARTS), np.array(PARTS), np.array(PARTS, object), pd.Series(PARTS), one["stimulus"]):
        np.testing.assert_array_equal(own.digest_text(text)["neural"].values, one.values)
    assert own.digest_text("The otter")["neural"]["stimulus"].values.tolist() == ["The otter"]


def test_nothing_is_kept_between_calls(reader):
    own = subject(reader)
    own.start_neural_recording(TARGET.language_system, FMRI)
    first = own.digest_text(PARTS)["neural"].values
    own.digest_text("Something else altogether")
    np.testing.assert_array_equal(own.digest_text(PARTS)["neural"].values, first)


def test_identifier_may_be_overwritten(reader):
    own = subject(reader)
    assert own.identifier() == "tiny"
    assert ArtificialSubject(reader, identifier="mine").identifier() == "mine"
    own.identifier = "jaxscore-tiny"
    own.start_neural_recording(TARGET.language_system, FMRI)
    assert own.digest_text("a")["neural"].shape == (1, 16)


class Lengths:
    """A reader of somebody else's: the number of letters so far."""

    name = "lengths"

    def check(self, layers):
        pass

    def digest(self, parts, layers, *, surprisal=False, next_words=False):
        contexts = [" ".join(parts[: i + 1]) for i in range(len(parts))]
        return Digest(contexts, {layer: np.array([[len(c)] for c in contexts], np.float32) for layer in layers})


def test_any_reader_and_any_region():
    own = ArtificialSubject(Lengths(), {"my region": "count"})
    own.start_neural_recording("my region", FMRI)
    assert own.digest_text(["a", "bc"])["neural"].values.ravel().tolist() == [1, 4]


def recording(target=TARGET.language_system, kind=FMRI, mapping=None):
    return lambda reader: subject(reader, mapping).start_neural_recording(target, kind)


def reading(text):
    def run(reader):
        own = subject(reader)
        own.start_neural_recording(TARGET.language_system, FMRI)
        own.digest_text(text)

    return run


LAYER = {TARGET.language_system: "transformer.h.9"}
WRONG = {
    "nothing started": (lambda reader: subject(reader).digest_text("a"), "Call start_neural_recording"),
    "unknown target": (recording("language_sistem"), "Did you mean 'language_system'"),
    "a list of targets": (recording(["language_system"]), "Unknown recording target ['language_system']"),
    "a layer for a mapping": (recording(mapping="transformer.h.1"), "region_layer_mapping is 'transformer.h.1'"),
    "no target": (recording(None), "Unknown recording target None"),
    "target without layers": (recording(mapping={LEFT: "transformer.h.1"}), "no layer for 'language_system'"),
    "empty mapping": (recording(mapping={}), "it has nothing"),
    "no layer at all": (recording(mapping={TARGET.language_system: []}), "expected the name of a layer"),
    "a number": (recording(mapping={TARGET.language_system: 1}), "expected the name of a layer"),
    "unknown type": (recording(kind="EEG"), "Choose from: fMRI, ECoG"),
    "unknown layer": (recording(mapping=LAYER), "No layer 'transformer.h.9'"),
    "a range of layers": (recording(mapping={TARGET.language_system: "0-1"}), "means 2 layers"),
    "unknown task": (lambda reader: subject(reader).start_behavioral_task("reading"), "Unknown task 'reading'"),
    "empty text": (reading(""), "has no word in its 1 part"),
    "no parts": (reading([]), "has no part"),
    "no parts in an array": (reading(np.array([])), "has no part"),
    "blanks": (reading([" ", "\n"]), "has no word in its 2 parts"),
    "blank first": (reading([" ", "a"]), "leaves the model nothing to read"),
    "a number for a text": (reading(3), "text is int 3"),
    "nothing for a text": (reading(None), "text is NoneType"),
    "a dictionary": (reading({"a": 1}), "text is dict"),
    "bytes": (reading(b"a"), "text is bytes"),
    "a number in it": (reading(["a", 3]), "text[1] is int 3"),
    "a missing value": (reading(np.array(["a", np.nan], object)), "text[1] is float nan"),
    "a list in it": (reading(["a", ["b"]]), "text[1] is list"),
    "numbers": (reading(np.arange(3)), "text[0] is int64"),
    "a matrix": (reading(np.array([["a"]])), "of shape (1, 1)"),
    "half a pair": (reading(["a", "\ud800"]), "half of a pair"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(reader, case):
    call, message = WRONG[case]
    with pytest.raises(JaxscoreError) as caught:
        call(reader)
    assert message in str(caught.value)
    assert caught.value.hint


def test_a_wrong_layer_is_found_before_the_weights(tiny):
    reader, read = ModelReader(tiny), []
    reader.model.transformer = lambda *_, **__: read.append(True)
    with pytest.raises(JaxscoreError):
        subject(reader, LAYER).start_neural_recording(TARGET.language_system, FMRI)
    assert not read


def test_unknown_model():
    with pytest.raises(ModelError, match="no-such-model"):
        ArtificialSubject("no-such-model", offline=True)


def test_static_models_are_recorded_and_predict_nothing():
    own = ArtificialSubject("random-embedding")
    own.start_neural_recording(TARGET.language_system, FMRI)
    found = own.digest_text(PARTS)["neural"]
    assert found.shape == (4, 1600)
    assert set(found["layer"].values) == {"random-embedding"}
    np.testing.assert_array_equal(found.values[1], found.values[2])
    np.testing.assert_array_equal(found.values[0], own.digest_text("The otter")["neural"].values[0])
    with pytest.raises(DataError, match="part 1"):
        own.digest_text(["a", " "])
    own.start_behavioral_task(own.Task.next_word)
    with pytest.raises(ModelError, match="predicts nothing"):
        own.digest_text("a")
