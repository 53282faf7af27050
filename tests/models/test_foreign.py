"""Foreign models: what is made of their answers, and what is said of wrong ones."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from jaxscore.contexts.reading import Reading
from jaxscore.errors import DataError, ModelError
from jaxscore.extract.activations import Request
from jaxscore.models import Foreign, StaticModel

TEXTS = ["a b", "c", "d e f", "g", "h i"]
REQUEST = Request(TEXTS, list("12345"), ["P", "Q", "P", "Q", "P"], Reading(), "own")


def counts(texts: list[str]) -> np.ndarray:
    return np.array([[len(text), len(text.split())] for text in texts], np.float32)


def read(model, **changes):
    return Foreign.of(model).read(REQUEST, "fMRI", **changes)


def assembly(texts, values=None, dims=("presentation", "neuroid"), **coords) -> xr.DataArray:
    values = counts(texts) if values is None else values
    return xr.DataArray(values, {name: ("presentation", found) for name, found in coords.items()}, dims)


class Subject:
    identifier = "someone"

    def __init__(self, answer) -> None:
        self.answer = answer

    def start_neural_recording(self, target, kind) -> None:
        assert (target, kind) == ("language_system", "fMRI")

    def digest_text(self, text):
        return self.answer(text)


class Looks:
    identifier = "looks"

    def __init__(self, answer) -> None:
        self.answer = answer

    def look_at(self, stimuli):
        return self.answer(stimuli)


def test_rows_go_back_to_their_stimuli():
    done = []
    model = read(counts, step=done.append)
    assert isinstance(model, StaticModel)
    np.testing.assert_array_equal(model.states["features"], counts(TEXTS))
    assert done == [3, 2]  # P, then Q
    (features,) = model.features(REQUEST.stimuli, REQUEST.ids, REQUEST.contexts, pooling="own")
    assert features is model.states["features"]  # kept once
    with pytest.raises(ModelError, match="has read other texts"):
        model.features(["x"], ["1"], ["P"], pooling="own")


def test_a_buffer_that_is_used_again():
    buffer = np.empty((3, 1), np.float32)

    def model(texts):
        buffer[: len(texts), 0] = [len(text) for text in texts]
        return buffer[: len(texts)]

    np.testing.assert_array_equal(read(model).states["features"][:, 0], counts(TEXTS)[:, 0])


def test_the_fingerprint_is_that_of_the_features():
    first = read(counts).fingerprint
    assert first == read(lambda texts: counts(texts)).fingerprint == read(lambda t: {"features": counts(t)}).fingerprint
    others = [
        lambda texts: counts(texts) + 1,
        lambda texts: {"other": counts(texts)},
        lambda texts: counts(texts).astype(np.float64),
        lambda texts: counts(texts)[:, ::-1],
    ]
    assert len({first} | {read(other).fingerprint for other in others}) == 5


@pytest.mark.parametrize(
    ("given", "kept"),
    [("float16", "float32"), ("int8", "float32"), ("int64", "float64"), ("bool", "float32"), ("float64", "float64"),
     ("longdouble", "float64"), (">f4", "float32")],
)  # fmt: skip
def test_types(given, kept):
    model = read(lambda texts: counts(texts).astype(given))
    assert model.dtype == kept
    np.testing.assert_array_equal(model.states["features"], counts(TEXTS).astype(given).astype(kept))


def test_jax_arrays_in_bfloat16():
    import jax.numpy as jnp

    assert read(lambda texts: jnp.asarray(counts(texts), jnp.bfloat16)).dtype == "float32"


def test_one_context_in_float64_makes_all_so():
    model = read(lambda texts: counts(texts) if len(texts) == 3 else counts(texts).astype(float) + 1e-9)
    assert model.dtype == "float64"
    np.testing.assert_array_equal(model.states["features"][1], counts(["c"])[0].astype(float) + 1e-9)


def _second(change):
    """A function that does something else on the second context."""
    return lambda texts: counts(texts) if len(texts) == 3 else change(texts)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda texts: counts(texts)[1:], "gave 2 rows for 3 stimuli (context 'P', 3 stimuli)\nGive a matrix"),
        (_second(lambda texts: counts(texts)[:1]), "gave 1 rows for 2 stimuli (context 'Q'"),
        (lambda texts: counts(texts)[:, 0], "gave an array (3,), expected [stimulus, feature]"),
        (lambda texts: counts(texts)[None], "gave an array (1, 3, 2), expected [stimulus, feature]"),
        (lambda texts: {"a": counts(texts), "b": 3.0}, "gave an array () in layer 'b'"),
        (_second(lambda texts: counts(texts)[:, :1]), "gave 1 features, before it was 2 (context 'Q'"),
        (_second(lambda texts: {"a": counts(texts)}), "gave the layers a, before it was features"),
        (lambda texts: counts(texts) * np.nan, "gave 6 of 6 values that are NaN or infinite"),
        (lambda texts: {"a": counts(texts) / 0}, "gave 6 of 6 values that are NaN or infinite in layer 'a'"),
        (lambda texts: np.ma.masked_equal(counts(texts), 5), "gave 1 of 6 values that are NaN"),
        (lambda texts: counts(texts) + 1j, "gave a ndarray of type complex64, expected real numbers"),
        (lambda texts: [[text] for text in texts], "gave a list of type <U5, expected real numbers"),
        (lambda texts: None, "gave a NoneType of type object"),
        (lambda texts: (x for x in texts), "gave a generator of type object"),
        (lambda texts: counts(texts).astype("m8[s]"), "of type timedelta64[s], expected real numbers"),
        (lambda texts: [range(len(text)) for text in texts], "gave a list that is no array: setting an array"),
        (lambda texts: counts(texts)[:, :0], "gave 0 numbers for each stimulus"),
        (lambda texts: {}, "gave no layer"),
        (lambda texts: {1: counts(texts), "1": counts(texts)}, "gave 2 layers, named 1, 1"),
        (lambda texts: assembly(texts, stimulus=texts[::-1]), "number 0 is 'h i', expected 'a b'"),
        (lambda texts: {}[texts[0]], "failed on context 'P', 3 stimuli: KeyError: 'a b'"),
    ],
)  # fmt: skip
def test_wrong_answers_of_functions(model, message):
    with np.errstate(divide="ignore"), pytest.raises(ModelError, match=re.escape(message)):
        read(model)


def test_what_a_function_raises_stays_behind():
    def fails(texts):
        raise DataError("The server is asleep", "Wake it.")

    with pytest.raises(ModelError, match=r"DataError: The server is asleep\nWake it\.$") as caught:
        read(fails)
    assert isinstance(caught.value.__cause__, DataError)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda text: {"behavior": 1}, "someone digested, but there is no 'neural' in its answer: behavior (context"),
        (lambda text: {"neural": None}, "there is no 'neural' in its answer: neural"),
        (lambda text: assembly(text), "there is no 'neural' in its answer: DataArray"),
        (lambda text: {"neural": counts(text)}, "gave a ndarray with no dimensions, expected an assembly of"),
        (lambda text: {"neural": assembly(text, dims=("x", "neuroid"))}, "gave a DataArray with x, neuroid, expected"),
        (lambda text: {"neural": assembly(text)[1:]}, "gave 2 rows for 3 stimuli"),
        (lambda text: {"neural": assembly(text, np.zeros((3, 2, 2)), ("presentation", "neuroid", "time_bin"))},
         "gave an array (3, 2, 2), expected [stimulus, feature]"),
        (lambda text: {"neural": assembly(text, stimulus=[text[0], *text[:0:-1]])},
         "the stimulus of number 1 is 'h i', expected 'd e f'"),
    ],
)  # fmt: skip
def test_wrong_answers_of_subjects(answer, message):
    with pytest.raises(ModelError, match=re.escape(message)):
        read(Subject(answer))


def test_a_subject_that_cannot_be_recorded_from():
    class Silent(Subject):
        def start_neural_recording(self, target, kind):
            raise KeyError(target)

    with pytest.raises(ModelError, match="someone cannot be recorded from: KeyError: 'language_system'"):
        read(Silent(None))


def test_a_subject_that_always_records():
    class Always:
        def digest_text(self, text):
            return {"neural": assembly(text), "behavior": assembly(text, counts(text)[:, 0], ("presentation",))}

    np.testing.assert_array_equal(read(Always()).states["features"], counts(TEXTS))
    bits = Foreign.of(Always()).read(replace(REQUEST, pooling=None), "fMRI")
    np.testing.assert_array_equal(bits.states["surprisal"], counts(TEXTS)[:, :1])


def test_stimulus_sets_are_looked_at():
    seen = []

    def answer(stimuli: pd.DataFrame) -> xr.DataArray:
        seen.append(stimuli)
        return assembly(stimuli["sentence"].tolist(), stimulus_id=stimuli["stimulus_id"].to_numpy())

    model = read(Looks(answer))
    np.testing.assert_array_equal(model.states["features"], counts(TEXTS))
    assert [stimuli["stimulus_id"].tolist() for stimuli in seen] == [["1", "3", "5"], ["2", "4"]]
    assert all(isinstance(stimuli, pd.DataFrame) for stimuli in seen)
    assert len({stimuli.name for stimuli in seen}) == 2  # caches that go by the name
    with pytest.raises(ModelError, match=r"looks gave other presentations.*the stimulus_id of number 0 is '5'"):
        read(Looks(lambda stimuli: answer(stimuli)[::-1]))


def test_a_neuroid_twice_counts_once_unless_it_differs():
    def answer(values):
        def digest(text):
            found = assembly(text, np.concatenate([counts(text), values(text)], axis=1))
            found = found.assign_coords(layer=("neuroid", ["a"] * 4), neuroid_id=("neuroid", ["x", "y"] * 2))
            return {"neural": found}

        return Subject(digest)

    assert read(answer(counts)).states["a"].shape == (5, 2)
    assert read(answer(lambda text: counts(text) + 1)).states["a"].shape == (5, 4)


def test_neuroids_of_other_regions_are_left_out():
    def answer(regions):
        def digest(text):
            found = assembly(text, np.concatenate([counts(text), -counts(text)], axis=1))
            return {"neural": found.assign_coords(layer=("neuroid", list("aabb")), region=("neuroid", regions))}

        return read(Subject(digest)).states

    left = ["language_system_left_hemisphere.0"] * 2
    assert list(answer(["language_system.0", "language_system.0", *left])) == ["a"]
    assert list(answer(["language_system", "language_system.1", *left])) == ["a"]
    assert list(answer(["language_system.0"] * 4)) == ["a", "b"]
    assert list(answer(left * 2)) == ["a", "b"]  # names of its own


def test_a_dict_of_assemblies():
    found = read(lambda texts: {"a": assembly(texts).transpose(), "b": assembly(texts, stimulus=texts)}).states
    np.testing.assert_array_equal(found["a"], counts(TEXTS))
    np.testing.assert_array_equal(found["b"], counts(TEXTS))
    with pytest.raises(ModelError, match="gave other presentations, or in another order: the stimulus of number 0"):
        read(lambda texts: {"b": assembly(texts, stimulus=texts[::-1])})


def test_an_object_with_both_digests():
    class Both(Subject, Looks):
        pass

    assert Foreign.of(Both(None)).kind == "digest_text"


@pytest.mark.parametrize(
    ("identifier", "name"),
    [("org/model", "org/model"), (lambda: "called", "called"), (".hidden", "hidden"), ("x" * 500, "x" * 120)],
)
def test_names(identifier, name):
    subject = Subject(None)
    subject.identifier = identifier
    assert Foreign.of(subject).name == name


@pytest.mark.parametrize("identifier", [None, "", "..", 3])
def test_objects_without_a_name_are_called_after_their_class(identifier):
    subject = Subject(None)
    subject.identifier = identifier
    assert Foreign.of(subject).name == f"{__name__}.Subject"
