"""Whatever the text: words reproduce it, windows hold every stimulus once, and what is pooled is its last word."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from jaxscore.contexts.alignment import Tokens, tokenise
from jaxscore.contexts.windows import group_stimuli, make_windows
from jaxscore.extract.batches import QUANTUM, choose_lengths, plan

ALPHABETS = st.one_of(
    st.sampled_from(list("abzAZ019.,;!?'\"-\u2018\u2019\u201c\u201d\u2013\u2014\u2026éüñçøß\u0131\u0130\ufb01")),
    st.sampled_from(list("e\u0301\u0327\u200b\u200d\ufeff\u00ad")),
    st.sampled_from(list("東京日本語한국어ไทย")),
    st.sampled_from(list("שלוםعربي\u202b\u202c")),
    st.sampled_from(["👩", "🏽", "‍", "🚀", "😀", "\U0001f1e9"]),
    st.sampled_from(list("  \t\n\u00a0\u2003\u3000")),
)
TEXTS = st.lists(ALPHABETS, min_size=1, max_size=40).map("".join).filter(str.strip)
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@cache
def _tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(params=["tiny", "mini"])
def tokenizer(request, tiny):
    if request.param == "tiny":
        return _tokenizer(tiny)
    from jaxscore.models.hub import find_checkpoint

    return _tokenizer(find_checkpoint("mini").folder)


@given(text=TEXTS)
@settings(max_examples=150, **SLOW)
def test_words_reproduce_the_text(tokenizer, text):
    (found,) = tokenise(tokenizer, [text], ["s"])
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    matches = list(re.finditer(r"\S+", text))
    rebuilt = [
        text[max(offsets[a][0], m.start()) : min(offsets[b][1], m.end())]
        for (a, b), m in zip(found.words, matches, strict=True)
    ]
    assert rebuilt == text.split()
    assert [a for a, _ in found.words] == sorted(a for a, _ in found.words)
    # what is pooled decodes to the end of the last word
    start, end = offsets[found.last]
    assert start < matches[-1].end() <= end
    assert not text[end:].strip()


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_every_stimulus_in_one_slot(data):
    count = data.draw(st.integers(1, 12))
    stimuli, fresh = [], iter(range(1000))
    for _ in range(count):
        length = data.draw(st.integers(1, 9))
        last = data.draw(st.integers(0, length - 1))
        first = data.draw(st.integers(0, last))
        ids = np.array([next(fresh) for _ in range(length)], np.int32)
        stimuli.append(Tokens(ids, ((first, first), (last, last))))
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    start = data.draw(st.sampled_from([[], [5000], [5000, 5001]]))
    limit = data.draw(st.integers(len(start) + 1, 40))
    windows = make_windows(group_stimuli(labels), stimuli, start, causal=data.draw(st.booleans()), limit=limit)
    slots = [(slot, window) for window in windows for slot in window.slots]
    assert sorted(slot.stimulus for slot, _ in slots) == list(range(count))
    for window in windows:
        assert len(window.tokens) <= limit
        assert window.tokens[: len(start)].tolist() == start
        assert not set(start) & set(window.tokens[len(start) :].tolist())
    for slot, window in slots:
        own = stimuli[slot.stimulus]
        assert window.tokens[slot.last] == own.ids[own.last]
        assert len(start) <= slot.first <= slot.last
        # as many of the tokens before it as fit, of its own context and in its order
        chain = [
            t for i in range(slot.stimulus) if labels[i] == labels[slot.stimulus] for t in stimuli[i].ids.tolist()
        ] + own.ids[: own.last + 1].tolist()
        assert window.tokens[len(start) : slot.last + 1].tolist() == chain[-(limit - len(start)) :]
        pooled = window.tokens[slot.first : slot.last + 1].tolist()
        assert pooled == own.ids[own.first : own.last + 1].tolist()[-(limit - len(start)) :]


def _cost(lengths: list[int], chosen: list[int], compile_cost: float) -> float:
    return sum(min(c for c in chosen if c >= length) for length in lengths) + compile_cost * len(chosen)


@given(lengths=st.lists(st.integers(1, 80), min_size=1, max_size=25), compile_cost=st.floats(0, 500))
@settings(max_examples=150, deadline=None)
def test_padded_lengths_are_the_cheapest(lengths, compile_cost):
    chosen = choose_lengths(lengths, compile_cost)
    assert chosen == sorted(set(chosen))
    assert chosen[-1] >= max(lengths)
    sizes = sorted({-(-length // QUANTUM) * QUANTUM for length in lengths})
    assume(len(sizes) <= 8)
    subsets = (
        [s for k, s in enumerate(sizes[:-1]) if mask >> k & 1] + sizes[-1:] for mask in range(1 << len(sizes) - 1)
    )
    best = min(_cost(lengths, subset, compile_cost) for subset in subsets)
    assert _cost(lengths, chosen, compile_cost) == pytest.approx(best)


@given(
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=40),
    tokens=st.integers(1, 600),
    compile_cost=st.floats(0, 1000),
    batch_size=st.none() | st.integers(1, 10),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_batches_hold_every_window_once(lengths, tokens, compile_cost, batch_size, data):
    slots = data.draw(st.lists(st.integers(1, 5), min_size=len(lengths), max_size=len(lengths)))
    options = {"tokens": tokens, "compile_cost": compile_cost, "limit": 64, "batch_size": batch_size}
    batches = plan(lengths, slots, **options)
    assert sorted(i for batch in batches for i in batch.windows) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch.windows) <= batch.rows
        assert max(lengths[i] for i in batch.windows) <= batch.length <= 64
        assert max(slots[i] for i in batch.windows) <= batch.slots
        assert batch.rows <= (batch_size or max(1, tokens // batch.length))
