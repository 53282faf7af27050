"""The pass: how texts are cut, batched and padded changes no number; pooling is what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from contexts.chained import make_windows

from jaxscore.contexts.alignment import tokenise
from jaxscore.contexts.encoding import start_tokens
from jaxscore.contexts.windows import Slot, Window, group_stimuli
from jaxscore.errors import ModelError
from jaxscore.extract import passes
from jaxscore.models import LanguageModel, load_model, states
from jaxscore.models.transformer import Transformer

TEXTS = ["The otter mends.", "A \u201cquiet\u201d café  ", "One stone", "in the rain it leaves", "x", "東京 again."]
LABELS = list("ppqppq")
LAYERS = range(4)  # three hidden states, and the one before the final norm


def extract(*arguments, **options) -> np.ndarray:
    """The states of a pass."""
    return passes.extract(*arguments, **options).states


@pytest.fixture(scope="module")
def model(tiny) -> LanguageModel:
    return load_model(tiny)


@pytest.fixture(scope="module")
def transformer(model) -> Transformer:
    return model.transformer()


@pytest.fixture(scope="module")
def stimuli(model):
    return tokenise(model.tokenizer, TEXTS, [f"s{i}" for i in range(len(TEXTS))])


def full_states(transformer: Transformer, tokens: np.ndarray) -> np.ndarray:
    """States of every token of one unpadded text [layer, token, feature]."""
    return np.asarray(transformer(tokens[None], np.array([len(tokens)])))[:, 0]


def equal(a: np.ndarray, b: np.ndarray) -> None:
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bos", ["never", "always"])
@pytest.mark.parametrize("limit", [64, 30])
def test_one_causal_pass_equals_a_window_per_stimulus(model, transformer, stimuli, bos, limit):
    groups, start = group_stimuli(LABELS), start_tokens(model.tokenizer, bos)
    shared = make_windows(groups, stimuli, start, causal=True, limit=limit)
    alone = make_windows(groups, stimuli, start, causal=False, limit=limit)
    assert len(shared) < len(alone) == len(TEXTS)
    equal(extract(transformer, shared, LAYERS), extract(transformer, alone, LAYERS))


@pytest.mark.parametrize("pooling", ["last", "mean", "sum", "first", "cls"])
def test_pooling_by_hand(transformer, stimuli, pooling):
    windows = make_windows(group_stimuli(LABELS), stimuli, [], causal=True, limit=64)
    found = extract(transformer, windows, LAYERS, pooling=pooling)
    expected = np.empty_like(found)
    for window in windows:
        every = full_states(transformer, window.tokens)
        for slot in window.slots:
            own = every[:, slot.first : slot.last + 1]
            pooled = {"last": own[:, -1], "mean": own.mean(1), "sum": own.sum(1), "first": own[:, 0]}
            expected[:, slot.stimulus] = (pooled | {"cls": every[:, 0]})[pooling]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 2}, {"batch_size": 5}], ids=str)
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_batch_size_changes_nothing(transformer, stimuli, options, pooling):
    windows = make_windows([[i] for i in range(len(TEXTS))], stimuli, [], causal=True, limit=64)
    default = extract(transformer, windows, LAYERS, pooling=pooling)
    equal(extract(transformer, windows, LAYERS, pooling=pooling, **options), default)


def test_padding_changes_nothing(transformer, stimuli):
    """Each text alone, unpadded, against all of them padded to the longest."""
    windows = make_windows([[i] for i in range(len(TEXTS))], stimuli, [], causal=True, limit=64)
    long = Window(np.arange(60, dtype=np.int32), (Slot(len(TEXTS), 0, 59),))
    found = extract(transformer, [*windows, long], LAYERS, batch_size=len(TEXTS) + 1)
    for window in [*windows, long]:
        (slot,) = window.slots
        equal(found[:, slot.stimulus], full_states(transformer, window.tokens)[:, slot.last])


def test_order_of_windows_changes_nothing(transformer, stimuli):
    windows = make_windows(group_stimuli(LABELS), stimuli, [], causal=False, limit=64)
    equal(extract(transformer, windows[::-1], LAYERS), extract(transformer, windows, LAYERS))


def test_layers_are_those_asked_for(transformer, stimuli):
    windows = make_windows(group_stimuli(LABELS), stimuli, [], causal=True, limit=64)
    every = extract(transformer, windows, LAYERS)
    assert every.shape == (4, len(TEXTS), 16)
    assert every.dtype == np.float32
    np.testing.assert_array_equal(extract(transformer, windows, [2, 0]), every[[2, 0]])


def test_one_sentence_repeated_in_a_chain(model, transformer):
    """Position by position: a token's state depends on what stands before it, and on nothing after it."""
    start = start_tokens(model.tokenizer, "always")
    repeated = tokenise(model.tokenizer, ["The otter"] * 3, list("abc"))
    (window,) = make_windows([[0, 1, 2]], repeated, start, causal=True, limit=64)
    found = extract(transformer, [window], LAYERS)
    length = len(repeated[0].ids)
    assert window.tokens.tolist() == start + repeated[0].ids.tolist() * 3
    for i in range(3):
        upto = window.tokens[: 1 + (i + 1) * length]
        equal(found[:, i], full_states(transformer, upto)[:, -1])
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-2
    # the start token changes what follows it
    (bare,) = make_windows([[0, 1, 2]], repeated, [], causal=True, limit=64)
    assert np.abs(extract(transformer, [bare], LAYERS)[2] - found[2]).max() > 1e-2


def test_progress_counts_stimuli(transformer, stimuli):
    windows = make_windows(group_stimuli(LABELS), stimuli, [], causal=False, limit=64)
    steps = []
    extract(transformer, windows, LAYERS, batch_size=2, step=steps.append)
    assert sum(steps) == len(TEXTS)
    assert len(steps) >= 3


@pytest.mark.parametrize("options", [{}, {"batch_size": 2}], ids=str)
def test_surprisal_is_that_of_a_softmax_over_the_whole_vocabulary(model, stimuli, options):
    transformer = model.transformer(head=True)
    windows = make_windows(group_stimuli(LABELS), stimuli, [], causal=True, limit=30)
    found = passes.extract(transformer, windows, LAYERS, surprisal=True, **options)
    expected, tokens = np.full(len(TEXTS), np.nan), {}
    embedding = np.asarray(transformer.arrays["embed"]["tokens"], np.float64)
    for window in windows:
        logits = full_states(transformer, window.tokens)[2].astype(np.float64) @ embedding.T
        bits = (np.log(np.exp(logits).sum(1))[:-1] - logits[np.arange(len(logits) - 1), window.tokens[1:]]) / np.log(2)
        bits = np.append(np.nan, bits)
        for slot in window.slots:
            span = slice(slot.first, slot.last + 1)
            expected[slot.stimulus], tokens[slot.stimulus] = bits[span].sum(), (window.tokens[span], bits[span])
    np.testing.assert_allclose(found.surprisal, expected, rtol=2e-5)
    assert np.isnan(expected).sum() == 2  # the first stimulus of each context has nothing before it
    assert found.tokens[:, 0].tolist() == [i for i in range(len(TEXTS)) for _ in tokens[i][0]]
    assert found.tokens[:, 1].tolist() == [token for i in range(len(TEXTS)) for token in tokens[i][0]]
    flat = np.concatenate([tokens[i][1] for i in range(len(TEXTS))])
    np.testing.assert_allclose(found.token_surprisal, flat, rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(found.states, extract(transformer, windows, LAYERS, **options))


def test_a_vocabulary_in_chunks(model, stimuli, monkeypatch):
    """The last chunk is moved back to fit: no row counts twice."""
    transformer = model.transformer(head=True)
    windows = make_windows(group_stimuli(LABELS), stimuli, [], causal=True, limit=64)
    whole = passes.extract(transformer, windows, LAYERS, surprisal=True)
    monkeypatch.setattr(states, "ROWS", 100)
    assert model.arch.vocabulary % 100
    jax.clear_caches()
    chunked = passes.extract(transformer, windows, LAYERS, surprisal=True)
    jax.clear_caches()
    np.testing.assert_allclose(chunked.token_surprisal, whole.token_surprisal, rtol=1e-5, atol=1e-5)


def test_no_surprisal_of_a_bidirectional_model(transformer, stimuli):
    windows = make_windows([[0]], stimuli, [], causal=True, limit=64)
    both = Transformer(replace(transformer.arch, causal=False), transformer.arrays)
    with pytest.raises(ModelError, match="no surprisal: it reads what follows"):
        passes.extract(both, windows, LAYERS, surprisal=True)


def test_devices_side_by_side(tiny):
    """On simulated devices, in a process of its own: their number must be set before JAX starts."""
    code = f"""
import numpy as np, jax
from jaxscore import load_model
from jaxscore.contexts.windows import Slot, Window
from jaxscore.extract.passes import extract
model = load_model({str(tiny)!r}).transformer(head=True)
rng = np.random.default_rng(0)
windows = [
    Window(rng.integers(0, 200, size).astype(np.int32), (Slot(i, 0, size - 1),))
    for i, size in enumerate((3, 9, 17, 30, 4, 5, 60))
]
assert len(jax.local_devices()) == 3
one = extract(model, windows, range(4), surprisal=True, devices=jax.local_devices()[:1])
for size in (None, 1, 2):
    all = extract(model, windows, range(4), surprisal=True, batch_size=size)
    np.testing.assert_allclose(all.states, one.states, rtol=0, atol=1e-5)
    np.testing.assert_allclose(all.token_surprisal, one.token_surprisal, rtol=0, atol=1e-4)
print("equal")
"""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "equal", done.stderr
