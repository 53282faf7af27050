"""Activations and surprisal of texts: torch's cross entropy by hand, labels, and what cannot be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn.functional import cross_entropy
from transformers import BertConfig, GPT2LMHeadModel, OPTConfig

import jaxscore
from jaxscore import Reading, activations, surprisal
from jaxscore.errors import DataError, JaxscoreError, ModelError
from jaxscore.extract.activations import Request
from jaxscore.extract.activations import activations as cached_activations
from jaxscore.models import LanguageModel, load_model

TEXTS = [
    "The otter mends a lantern in the rain.",
    "Another stone, then nothing.",
    "She hears it again and again!",
    "In the harbour an engine sings.",
]
CONTEXTS = ["p", "p", "q", "p"]
PASSAGES = [[0, 1, 3], [2]]


@pytest.fixture(scope="module", params=["tiny", "mini"])
def model(request, tiny) -> LanguageModel:
    return load_model(tiny if request.param == "tiny" else "mini")


def tokens_and_words(tokenizer, text: str) -> list[tuple[int, int | None]]:
    """Each token, and the number of the word that it belongs to; None for white space alone."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = encoded["offset_mapping"]
    words = [len(text[:end].split()) - 1 if text[begin:end].strip() else None for begin, end in spans]
    return list(zip(encoded["input_ids"], words, strict=True))


def chain(tokenizer, passage: list[int], protocol: str) -> list[tuple[int, tuple[int, int] | None]]:
    """The tokens of a passage, and (stimulus, word) of each."""
    if protocol == "chained":
        return [
            (token, word if word is None else (i, word))
            for i in passage
            for token, word in tokens_and_words(tokenizer, TEXTS[i])
        ]
    places = [(i, word) for i in passage for word in range(len(TEXTS[i].split()))]
    joined = tokens_and_words(tokenizer, " ".join(TEXTS[i] for i in passage))
    return [(token, word if word is None else places[word]) for token, word in joined]


def torch_bits(torch_model, read: list[int], count: int) -> list[float]:
    """-log2 p of each of the last tokens that are read, so many of them; NaN where nothing stands before one."""
    text = torch.tensor(read)
    with torch.no_grad():
        logits = torch_model(text[None]).logits[0].double()
    bits = cross_entropy(logits[:-1], text[1:], reduction="none") / np.log(2)
    return [np.nan, *bits.tolist()][-count:]


def by_hand(model: LanguageModel, reading: Reading) -> list[tuple[int, int, list[float]]]:
    """(stimulus, word or 0, bits of its tokens), each from a pass of its own."""
    torch_model = GPT2LMHeadModel.from_pretrained(model.checkpoint.folder).eval()
    start = [model.tokenizer.bos_token_id] if reading.bos == "always" else []
    room = min(reading.window, model.arch.positions) - len(start)
    found = []
    for passage in PASSAGES:
        tokens, owners = zip(*chain(model.tokenizer, passage, reading.protocol), strict=True)
        spans: dict[tuple[int, int], list[int]] = {}
        for place in range(len(owners)):
            # a bare space counts with the word after it
            owner = next((owner for owner in owners[place:] if owner is not None), None)
            if owner is not None:
                spans.setdefault(owner if reading.unit == "word" else (owner[0], 0), []).append(place)
        for owner, places in spans.items():
            first, end = places[0], places[-1] + 1
            beyond = max(0, end - room)
            begin = beyond if reading.stride is None else -(-beyond // reading.stride) * reading.stride
            assert begin < first or begin == 0, "a case of this table is clipped"
            found.append((*owner, torch_bits(torch_model, [*start, *tokens[begin:end]], end - first)))
    return sorted(found, key=lambda row: row[:2])


@pytest.mark.parametrize(
    "options",
    [
        {"bos": "never"},
        {"bos": "always", "unit": "word"},
        {"bos": "never", "protocol": "joined", "unit": "word"},
        {"bos": "always", "protocol": "joined"},
        {"bos": "never", "unit": "word", "window": 24},
        {"bos": "always", "unit": "word", "window": 24, "stride": 7},
        {"bos": "never", "protocol": "joined", "unit": "word", "window": 30, "stride": 5},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_surprisal_is_torchs_cross_entropy(model, options):
    reading = Reading(**options)
    found, expected = surprisal(model, TEXTS, CONTEXTS, reading=reading), by_hand(model, reading)
    np.testing.assert_allclose(found["token_surprisal"], np.concatenate([bits for *_, bits in expected]), atol=1e-4)
    np.testing.assert_allclose(found["surprisal"], [sum(bits) for *_, bits in expected], atol=5e-4)
    counts = np.concatenate([[number] * len(bits) for number, (*_, bits) in enumerate(expected)])
    np.testing.assert_array_equal(found["token_presentation"], counts)
    assert found["stimulus_id"].values.tolist() == [str(i + 1) for i, *_ in expected]
    if options.get("unit") == "word":
        assert found["word"].values.tolist() == [word for _, word, _ in expected]
        assert found["stimulus"].values.tolist() == [word for text in TEXTS for word in text.split()]
    first = sum(reading.bos == "never" for _ in PASSAGES)  # only the first token of a passage is predicted by nothing
    assert int(np.isnan(found["token_surprisal"]).sum()) == first


PARTS = ["The otter mends", " ", "a lantern,", "", "then nothing."]


@pytest.mark.parametrize("pooling", ["last", "mean", "sum", "first"])
def test_a_blank_part_takes_no_bits_and_the_state_before_it(model, pooling):
    labels = ["p"] * len(PARTS)
    reading = Reading("parts", bos="always")
    found = activations(model, PARTS, labels, reading=reading, pooling=pooling, surprisal=True)
    assert found["surprisal"].values[[1, 3]].tolist() == [0.0, 0.0]
    assert (found["surprisal"].values[[0, 2, 4]] > 1).all()
    assert sorted(set(found["token_presentation"].values.tolist())) == [0, 2, 4]
    text = "The otter mends a lantern, then nothing."  # every token once
    assert found["token_id"].values.tolist() == model.tokenizer(text, add_special_tokens=False).input_ids
    whole = surprisal(model, [text], reading=Reading(bos="always"))
    np.testing.assert_allclose(found["token_surprisal"], whole["token_surprisal"], atol=1e-4)
    last = activations(model, PARTS, labels, reading=reading)
    for blank in (1, 3):
        np.testing.assert_allclose(found["activations"][:, blank], last["activations"][:, blank - 1], atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"protocol": "joined", "stride": 1}, {"protocol": "parts"}], ids=lambda o: o.get("protocol")
)
def test_what_a_window_clips_has_no_surprisal(model, options):
    whole = surprisal(model, TEXTS, CONTEXTS, reading=Reading(bos="always", **options))
    counts = np.bincount(whole["token_presentation"])
    room = int(np.sort(counts)[1])
    found = surprisal(model, TEXTS, CONTEXTS, reading=Reading(bos="always", window=room + 1, **options))
    np.testing.assert_array_equal(np.isnan(found["surprisal"]), counts > room)
    assert json.loads(found.attrs["reading"])["clipped"] == np.count_nonzero(counts > room) > 0
    assert json.loads(whole.attrs["reading"])["clipped"] == 0
    np.testing.assert_array_equal(np.bincount(found["token_presentation"]), np.minimum(counts, room))
    assert np.isfinite(found["token_surprisal"]).all()


def test_words_add_up_to_their_stimulus(model):
    """The tiny tokenizer makes the space before a word a token of its own, that of mini a part of the word."""
    whole = surprisal(model, TEXTS, CONTEXTS, reading=Reading(protocol="joined", bos="always"))
    words = surprisal(model, TEXTS, CONTEXTS, reading=Reading(protocol="joined", bos="always", unit="word"))
    sums = words["surprisal"].groupby("stimulus_id").sum()
    np.testing.assert_allclose(sums, whole["surprisal"], rtol=1e-6)
    np.testing.assert_array_equal(words["token_id"], whole["token_id"])
    spelled = "".join(words["token_text"].values.tolist()).replace("\u0120", " ")
    assert spelled == "".join(f"{' ' * (i not in (0, 2))}{text}" for i, text in enumerate(TEXTS))


def test_activations_are_those_that_are_scored(model):
    reading = Reading(bos="always")
    found = activations(model, TEXTS, CONTEXTS, ids=list("abcd"), reading=reading, pooling="mean", surprisal=True)
    layers = range(model.arch.layers + 1)
    scored = cached_activations(model, Request(TEXTS, list("abcd"), CONTEXTS, reading, "mean"), layers)
    assert found["activations"].dims == ("layer", "presentation", "feature")
    assert found["activations"].dtype == np.float32
    np.testing.assert_allclose(found["activations"], np.stack(scored.states), atol=1e-5)
    assert found["layer"].values.tolist() == model.layer_names
    assert found["stimulus_id"].values.tolist() == list("abcd")
    assert found["stimulus"].values.tolist() == TEXTS
    assert found["context"].values.tolist() == CONTEXTS
    assert "word" not in found.coords
    assert json.loads(found.attrs["reading"]) == scored.notes
    assert found.attrs["fingerprint"] == model.fingerprint
    assert (found.attrs["pooling"], found.attrs["dtype"]) == ("mean", "float32")
    assert found.attrs["jaxscore"] == jaxscore.__version__
    assert "token" not in activations(model, TEXTS[:1]).dims


def test_without_contexts_each_stimulus_is_read_by_itself(tiny):
    alone, second = activations(tiny, TEXTS[:2]), activations(tiny, TEXTS[1:2])
    np.testing.assert_allclose(alone["activations"][:, 1:], second["activations"], atol=1e-5)
    chained = activations(tiny, TEXTS[:2], [7, 7])
    assert chained["context"].values.tolist() == ["7", "7"]
    np.testing.assert_allclose(chained["activations"][:, 0], alone["activations"][:, 0], atol=1e-5)
    assert float(abs(chained["activations"] - alone["activations"])[1:, 1].max()) > 1e-2


def test_words_pool_their_own_last_token(tiny):
    words = activations(tiny, TEXTS, CONTEXTS, reading=Reading(unit="word"))
    last = words.isel(presentation=np.flatnonzero(np.diff(words["word"], append=0) <= 0))
    assert last["stimulus"].values.tolist() == [text.split()[-1] for text in TEXTS]
    np.testing.assert_allclose(last["activations"], activations(tiny, TEXTS, CONTEXTS)["activations"], atol=1e-5)


def test_chosen_layers(tiny):
    every = activations(tiny, TEXTS)
    found = activations(tiny, TEXTS, layers="before_final_norm,encoder.h.0,0")
    assert found["layer"].values.tolist() == ["drop", "encoder.h.0", "before_final_norm"]
    np.testing.assert_allclose(found["activations"][:2], every["activations"][:2], atol=1e-6)
    assert float(abs(found["activations"][2] - every["activations"][2]).max()) > 0.1


def test_narrower_layers_end_in_nan(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "opt"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32, "vocab_size": 265}
    OPTConfig(**sizes, word_embed_proj_dim=12, do_layer_norm_before=False, max_position_embeddings=64).save_pretrained(
        folder
    )
    found = activations(folder, TEXTS, untrained=True, seed=3)
    missing = np.isnan(found["activations"].values)
    assert not missing[:-1].any()
    assert missing[-1, :, 12:].all()
    assert not missing[-1, :, :12].any()
    assert found.attrs["untrained_seed"] == 3


def test_netcdf_keeps_everything(tiny, tmp_path):
    found = activations(tiny, TEXTS, CONTEXTS, surprisal=True, reading=Reading(unit="word"))
    found.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "found.nc", engine="h5netcdf") as file:
        xr.testing.assert_identical(file.load(), found)


def test_models_without_a_network():
    found = activations("sentence-length", TEXTS)
    np.testing.assert_array_equal(found["activations"], [[[len(text.split())] for text in TEXTS]])
    words = activations("word-position", TEXTS, CONTEXTS, reading=Reading(unit="word"))
    seen: dict[str, int] = {}
    for context, place in zip(words["context"].values, words["activations"].values[0, :, 0], strict=True):
        assert place == seen.get(context, 0)
        seen[context] = seen.get(context, 0) + 1
    assert seen == {"p": 18, "q": 6}


def test_models_without_surprisal(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "bert"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertConfig(**sizes, vocab_size=265, max_position_embeddings=64).save_pretrained(folder)
    with pytest.raises(ModelError, match="it reads what follows a word as well"):
        surprisal(folder, TEXTS, untrained=True)
    with pytest.raises(ModelError, match="sentence-length gives no surprisal"):
        surprisal("sentence-length", TEXTS)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (["A text."], {}, "stimuli is one text, 'A text.', expected a list"),
        ([[]], {}, "There is nothing to read"),
        ([["a", 5]], {}, "stimulus '2' is not text but 5"),
        ([["a", "b"], ["p"]], {}, "1 contexts for 2 stimuli"),
        ([["a", "b"]], {"ids": ["p"]}, "1 ids for 2 stimuli"),
        ([["a", " "]], {"ids": ["p", "blank"]}, "stimulus 'blank' is empty"),
    ],
)
def test_texts_that_cannot_be_read(tiny, arguments, options, words):
    with pytest.raises(DataError, match=words):
        activations(tiny, *arguments, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pooling": "lsat"}, "Unknown pooling 'lsat'. Did you mean 'last'"),
        ({"layers": "encoder.h.7"}, "No layer 'encoder.h.7'"),
        ({"layers": ""}, "layers is empty"),
    ],
)
def test_options_that_cannot_be_met(tiny, options, words):
    with pytest.raises(JaxscoreError, match=words):
        activations(tiny, TEXTS, **options)
