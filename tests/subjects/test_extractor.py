"""The extractor against transformers in PyTorch, its labels, its hooks and its cache."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from conftest import sentences, write_gpt2
from transformers import AutoTokenizer, GPT2Model

import jaxscore
from jaxscore.errors import DataError, JaxscoreError, ModelError
from jaxscore.subjects import ActivationsExtractor, StimulusSet
from jaxscore.subjects.extractor import Subsample

LAYERS = ["drop", "encoder.h.0", "encoder.h.1"]


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "activations"


def stimuli(count=5, name="lines"):
    text = sentences(count)
    return StimulusSet(
        {"stimulus_id": [f"s{i}" for i in range(count)], "sentence": text, "score": range(count)}, name=name
    )


def in_torch(folder, text):
    """Every hidden state [layer, token] of sentences tokenised one by one and chained; the last token of each word."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens, last = [], []
    for sentence in text:
        encoded = tokenizer(sentence, add_special_tokens=False, return_offsets_mapping=True)
        ends = np.cumsum([len(word) + 1 for word in sentence.split(" ")]) - 1
        last.append([len(tokens) + [to for _, to in encoded["offset_mapping"]].index(end) for end in ends])
        tokens += encoded["input_ids"]
    with torch.no_grad():
        states = GPT2Model.from_pretrained(folder).eval()(torch.tensor([tokens]), output_hidden_states=True)
    return np.stack([state[0].numpy() for state in states.hidden_states]), last


def of_layers(states, rows):
    return np.concatenate([state[rows] for state in states], axis=1)


def test_sentences_are_their_last_words_in_one_stream(tiny):
    found = ActivationsExtractor(tiny)(stimuli(), LAYERS)
    states, last = in_torch(tiny, sentences(5))
    np.testing.assert_allclose(found, of_layers(states, [words[-1] for words in last]), atol=1e-4)


def test_words(tiny):
    found = ActivationsExtractor(tiny)(stimuli(), LAYERS, average_sentence=False)
    states, last = in_torch(tiny, sentences(5))
    np.testing.assert_allclose(found, of_layers(states, list(chain(*last))), atol=1e-4)
    words = [text.split() for text in sentences(5)]
    assert found["word"].values.tolist() == list(chain(*words))
    assert found["stimulus_id"].values.tolist() == [f"s{i}" for i, own in enumerate(words) for _ in own]
    assert found["stimulus_sentence"].values.tolist() == [" ".join(own) for own in words for _ in own]
    assert "sentence_num" not in found.coords


@pytest.mark.parametrize("average", [True, False])
def test_every_call_is_a_stream_of_its_own(tiny, average):
    extractor = ActivationsExtractor(tiny, identifier=False)
    first, second = stimuli(3), stimuli(7)[3:]
    apart = [extractor(each, LAYERS, average_sentence=average) for each in (first, second)]
    extractor.reset()
    assert (extractor(second, LAYERS, average_sentence=average).values == apart[1].values).all()
    together = extractor.from_streams([first, second], LAYERS, average_sentence=average)
    np.testing.assert_allclose(together, np.concatenate(apart), atol=1e-4)
    for name in [*together.indexes["presentation"].names, "stimulus_id", "score"]:
        assert together[name].values.tolist() == list(chain(*(each[name].values.tolist() for each in apart)))
    one_stream = extractor(stimuli(7), LAYERS, average_sentence=average)
    assert abs(one_stream.values[-1] - together.values[-1]).max() > 1e-2


def test_labels(tiny):
    found = ActivationsExtractor(tiny, identifier="gpt")(stimuli(), ["encoder.h.1", "drop"])
    assert found.dims == ("presentation", "neuroid")
    assert found.shape == (5, 32)
    assert found.dtype == np.float32
    presentation = ["stimulus_sentence", "sentence_num", "stimulus_id", "sentence", "score"]
    assert found.indexes["presentation"].names == presentation
    assert found.indexes["neuroid"].names == ["neuroid_num", "neuroid_id", "model", "layer"]
    assert found["layer"].values.tolist() == ["encoder.h.1"] * 16 + ["drop"] * 16
    assert found["neuroid_num"].values.tolist() == [*range(16), *range(16)]
    assert found["neuroid_id"].values[[0, 31]].tolist() == ["gpt.encoder.h.1.0", "gpt.drop.15"]
    assert set(found["model"].values) == {"gpt"}
    assert found["sentence_num"].values.tolist() == found["score"].values.tolist() == [0, 1, 2, 3, 4]
    assert found["score"].dtype.kind == "i"
    assert found.sel(stimulus_id="s3", layer="drop").shape == (1, 16)


def test_layers_have_the_names_they_are_asked_by(tiny):
    extractor = ActivationsExtractor(tiny)
    every = extractor(stimuli(), None)
    assert list(dict.fromkeys(every["layer"].values)) == LAYERS
    aliased = extractor(stimuli(), ["transformer.h.0", "hidden_states[2]"])
    assert list(dict.fromkeys(aliased["layer"].values)) == ["transformer.h.0", "hidden_states[2]"]
    np.testing.assert_array_equal(aliased, every[:, 16:])
    assert list(dict.fromkeys(extractor(stimuli(), "1-2,drop")["layer"].values)) == [*LAYERS[1:], "drop"]


def test_sets_tables_lists_and_texts(tiny):
    extractor, frame = ActivationsExtractor(tiny), stimuli()
    whole = extractor(frame, LAYERS)
    plain = pd.DataFrame(frame)
    plain.attrs["name"] = "lines"
    xr.testing.assert_identical(extractor(plain, LAYERS), whole)
    listed = extractor(sentences(5), LAYERS)
    assert (listed.values == whole.values).all()
    assert listed.indexes["presentation"].names == ["stimulus_sentence", "sentence_num"]
    assert (extractor(frame["sentence"].to_numpy(), LAYERS).values == whole.values).all()
    np.testing.assert_allclose(extractor(sentences(5)[0], LAYERS), whole[:1], atol=1e-4)


def test_columns_of_other_coordinates_are_left_out(tiny):
    frame = stimuli().assign(layer="mine", sentence_num=9, presentation=1)
    found = ActivationsExtractor(tiny)(frame, "drop")
    assert set(found["layer"].values) == {"drop"}
    assert found["sentence_num"].values.tolist() == [0, 1, 2, 3, 4]


def test_word_embeddings_are_averaged(tmp_path):
    words = sorted({word for text in sentences(5) for word in text.split()})
    vectors = np.random.default_rng(0).normal(size=(len(words), 4)).round(4)
    lines = [" ".join([word, *map(str, row)]) for word, row in zip(words, vectors, strict=True)]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    table = dict(zip(words, vectors, strict=True))
    extractor = ActivationsExtractor(f"glove:{tmp_path / 'glove.txt'}")
    expected = [np.mean([table[word] for word in text.split()], axis=0) for text in sentences(5)]
    np.testing.assert_allclose(extractor(stimuli(), "projection"), expected, atol=1e-6)
    each = [table[word] for text in sentences(5) for word in text.split()]
    np.testing.assert_allclose(extractor(stimuli(), "projection", average_sentence=False), each, atol=1e-6)


def test_a_name_stays_with_selections():
    frame = stimuli()
    for selected in (frame[frame["score"] > 2], frame[["sentence"]], frame.copy(), frame.iloc[:2], StimulusSet(frame)):
        assert (type(selected), selected.name) == (StimulusSet, "lines")
    assert StimulusSet({"sentence": []}).name is None
    named = StimulusSet({"name": ["a"]})
    named.name = "set"
    assert (named.name, named["name"].tolist()) == ("set", ["a"])


def test_activation_hooks_are_not_kept(tiny, own_cache):
    extractor, frame = ActivationsExtractor(tiny), stimuli()
    handle = extractor.register_activations_hook(lambda states: {name: 2 * own for name, own in states.items()})
    doubled = extractor(frame, LAYERS)
    assert len(list(own_cache.iterdir())) == 1
    handle.disable()
    handle.disable()
    plain = extractor(frame, LAYERS)
    np.testing.assert_array_equal(doubled, 2 * plain)
    handle.enable()
    handle.enable()
    np.testing.assert_array_equal(extractor(frame, LAYERS), doubled)
    hook = handle.remove()
    np.testing.assert_array_equal(extractor(frame, LAYERS), plain)
    assert handle.remove() is hook
    with pytest.raises(JaxscoreError, match="was removed"):
        handle.enable()
    np.testing.assert_allclose(plain, ActivationsExtractor(tiny, identifier=False)(frame, LAYERS), atol=1e-5)
    assert len(list(own_cache.iterdir())) == 1


def test_hooks_run_in_the_order_of_their_registration(tiny):
    extractor = ActivationsExtractor(tiny)
    first = extractor.register_activations_hook(lambda states: {name: own + 1 for name, own in states.items()})
    extractor.register_activations_hook(lambda states: {name: own * 0 + own[:1] * 2 for name, own in states.items()})
    before = extractor(stimuli(), "drop")
    first.disable()
    assert not (extractor(stimuli(), "drop").values == before.values).all()
    first.enable()
    np.testing.assert_array_equal(extractor(stimuli(), "drop"), before)


def test_stimulus_hooks_change_what_is_read(tiny, own_cache):
    extractor, frame = ActivationsExtractor(tiny), stimuli()
    plain = extractor(frame, LAYERS)
    handle = extractor.register_stimulus_set_hook(lambda each: each[each["score"] % 2 == 0])
    some = extractor(frame, LAYERS)
    assert some["stimulus_id"].values.tolist() == ["s0", "s2", "s4"]
    assert some.attrs["stimuli"] == "lines"
    handle.remove()
    np.testing.assert_allclose(some, extractor(frame.iloc[::2], LAYERS), atol=1e-5)
    np.testing.assert_array_equal(extractor(frame, LAYERS), plain)
    assert len(list(own_cache.iterdir())) == 2


def test_hooks_see_one_stream_at_a_time(tiny):
    extractor = ActivationsExtractor(tiny)
    seen = []
    extractor.register_stimulus_set_hook(lambda each: (seen.append(each.name), each.iloc[::-1])[1])
    extractor.register_activations_hook(lambda states: {name: own - own.mean(0) for name, own in states.items()})
    parts = [stimuli(3, "a"), stimuli(7, "b")[3:]]
    found = extractor.from_streams(parts, LAYERS)
    assert seen == ["a", "b"]
    np.testing.assert_allclose(found, np.concatenate([extractor(each, LAYERS) for each in parts]), atol=1e-4)
    assert found["stimulus_id"].values.tolist() == ["s2", "s1", "s0", "s6", "s5", "s4", "s3"]


def test_subsample(tiny):
    extractor = ActivationsExtractor(tiny)
    whole = extractor(stimuli(), LAYERS).values.reshape(5, 3, 16)
    handle = extractor.register_activations_hook(Subsample(4, seed=2))
    found = extractor(stimuli(), LAYERS)
    kept = np.sort(np.random.RandomState(2).permutation(16)[:4])
    np.testing.assert_array_equal(found.values.reshape(5, 3, 4), whole[:, :, kept])
    assert found["neuroid_num"].values.tolist() == [0, 1, 2, 3] * 3
    handle.remove()
    extractor.register_activations_hook(Subsample(17))
    with pytest.raises(DataError, match="the layers have 16"):
        extractor(stimuli(), LAYERS)


def test_what_is_kept_needs_no_weights(tmp_path, own_cache):
    folder = write_gpt2(tmp_path / "model", seed=3)
    extractor = ActivationsExtractor(folder)
    found = extractor(stimuli(), LAYERS)
    without = ActivationsExtractor(folder)
    assert without.model.fingerprint == extractor.model.fingerprint
    (folder / "model.safetensors").unlink()
    np.testing.assert_allclose(extractor(stimuli(), LAYERS, False), found, atol=1e-6)  # the weights stay in memory
    np.testing.assert_array_equal(without(stimuli(name="another"), LAYERS), found)
    with pytest.raises(ModelError):
        without(stimuli(), LAYERS, False)
    with pytest.raises(ModelError):  # the same name stands for other stimuli
        without(stimuli(4), LAYERS)


@pytest.mark.parametrize(("identifier", "stimuli_identifier"), [(False, None), (None, False)])
def test_nothing_is_kept_if_so_asked(tiny, own_cache, identifier, stimuli_identifier):
    extractor = ActivationsExtractor(tiny, identifier=identifier)
    found = extractor(stimuli(), LAYERS[1:], stimuli_identifier)
    assert extractor.identifier == "tiny"
    assert not own_cache.exists()
    np.testing.assert_allclose(found, ActivationsExtractor(tiny)(stimuli(), LAYERS[1:]), atol=1e-5)


def test_a_damaged_file_is_read_anew(tiny, own_cache):
    extractor = ActivationsExtractor(tiny)
    found = extractor(stimuli(), LAYERS)
    for path in own_cache.iterdir():
        path.write_bytes(b"")
    np.testing.assert_array_equal(extractor(stimuli(), LAYERS), found)


def test_a_wrapper_gets_the_methods(tiny):
    class Wrapper:
        pass

    wrapper, extractor = Wrapper(), ActivationsExtractor(tiny)
    extractor.insert_attrs(wrapper)
    wrapper.register_stimulus_set_hook(lambda each: each[:2])
    wrapper.register_activations_hook(Subsample(3))
    assert wrapper.from_stimulus_set(stimuli(), "drop").shape == (2, 3)
    assert wrapper.from_sentences(sentences(4), "drop").shape == (4, 3)


WRONG = {
    "layer": (lambda e: e(stimuli(), ["encoder.h.7"]), "No layer 'encoder.h.7'.*Did you mean 'encoder.h.1'"),
    "no layers": (lambda e: e(stimuli(), []), "layers is empty"),
    "column": (
        lambda e: e(stimuli().rename(columns={"sentence": "sentences"}), "drop"),
        "no column 'sentence'.*sentences",
    ),
    "columns twice": (lambda e: e(pd.concat([stimuli(), stimuli()], axis=1), "drop"), "has 2 columns 'sentence'"),
    "empty set": (lambda e: e(stimuli()[:0], "drop"), "no stimuli"),
    "empty list": (lambda e: e([], "drop"), "no stimuli"),
    "no streams": (lambda e: e.from_streams([], "drop"), "no stimuli"),
    "empty text": (lambda e: e("", "drop"), "Stimulus 1 is empty: ''"),
    "blank item": (lambda e: e(["a b", " \n"], "drop"), r"Stimulus 2 is empty: ' \\n'"),
    "number": (lambda e: e(["a b", 3.5], "drop"), "Stimulus 2 is not text: 3.5"),
    "missing": (lambda e: e(StimulusSet({"sentence": ["a", None]}), "drop"), "Stimulus 2 is not text"),
    "lists": (lambda e: e(stimuli(2).assign(tags=[["a"], []]), "drop"), "Column 'tags' cannot label: unhashable"),
    "bytes": (lambda e: e(b"text", "drop"), "are bytes, expected a text"),
    "table of texts": (lambda e: e(np.array([["a", "b"]]), "drop"), "are ndarray"),
    "none": (lambda e: e(None, "drop"), "are NoneType"),
    "no hook": (lambda e: e.register_activations_hook("half"), "hook is a function"),
    "model": (lambda e: ActivationsExtractor(3.5), "3.5 is no model"),
    "options": (lambda e: ActivationsExtractor(e.model, untrained=True), "untrained: the model is loaded already"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(tiny, case):
    call, message = WRONG[case]
    with pytest.raises(JaxscoreError, match=f"(?s){message}"):
        call(ActivationsExtractor(tiny))


HOOKS = {
    "nothing": (lambda states: None, "gave NoneType"),
    "rows": (lambda states: {name: own[1:] for name, own in states.items()}, r"shape \(2, 16\) for 3 presentations"),
    "axis": (lambda states: {name: own[None] for name, own in states.items()}, "shape"),
    "layers": (lambda states: {f"{name}{own[0, 0]}": own for name, own in states.items()}, "different layers"),
    "flat": (lambda states: {name: own[:, 0] for name, own in states.items()}, r"shape \(3,\)"),
    "widths": (lambda states: {name: own[:, : len(own)] for name, own in states.items()}, "different layers or widths"),
}


@pytest.mark.parametrize("case", HOOKS)
def test_wrong_hooks(tiny, case):
    hook, message = HOOKS[case]
    extractor = ActivationsExtractor(tiny)
    extractor.register_activations_hook(hook)
    with pytest.raises(DataError, match=message):
        extractor.from_streams([stimuli(3), stimuli(7)[3:]], "encoder.h.1")


def test_a_stimulus_hook_has_to_give_a_table(tiny):
    extractor = ActivationsExtractor(tiny)
    extractor.register_stimulus_set_hook(lambda each: each["sentence"].tolist())
    with pytest.raises(DataError, match="stimulus hook gave list"):
        extractor(stimuli(), "drop")


def test_values_are_those_of_jaxscore(tiny):
    found = jaxscore.activations(tiny, sentences(5), ["one"] * 5)["activations"]
    np.testing.assert_allclose(
        ActivationsExtractor(tiny)(stimuli(), None), np.concatenate(list(found.values), axis=1), atol=1e-6
    )
