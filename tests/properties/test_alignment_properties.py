"""Whatever the text: words reproduce it, windows hold every stimulus once, and what is pooled is its last word."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from contexts.chained import make_windows
from contexts.tokenizers_at_hand import SMALL, small
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jaxscore.contexts.alignment import Tokens, tokenise
from jaxscore.contexts.chains import join
from jaxscore.contexts.prefixes import grow, prefixes
from jaxscore.contexts.reading import Reading, read
from jaxscore.contexts.windows import Slot, Window, full_windows, group_stimuli, strided_windows
from jaxscore.errors import DataError
from jaxscore.extract.batches import QUANTUM, Costs, choose_lengths, plan

ALPHABETS = st.one_of(
    st.sampled_from(list("abzAZ019.,;!?'\"-\u2018\u2019\u201c\u201d\u2013\u2014\u2026éüñçøß\u0131\u0130\ufb01")),
    st.sampled_from(list("e\u0301\u0327\u200b\u200d\ufeff\u00ad\u00a8")),
    st.sampled_from(list("東京日本語한국어ไทย")),
    st.sampled_from(list("שלוםعربي\u202b\u202c")),
    st.sampled_from(["👩", "🏽", "\u200d", "🚀", "😀", "\U0001f1e9"]),
    st.sampled_from(list("  \t\n\u00a0\u2003\u3000\x1c\x85")),
    st.sampled_from(["the", " the", "er", "<|end|>", "[SEP]", "<s>"]),
)
TEXTS = st.lists(ALPHABETS, min_size=1, max_size=40).map("".join).filter(str.strip)
OTHER_SPACE = dict.fromkeys(SMALL, "") | {"word_piece": "\x1c\x85", "unigram": "\t\n\x1c\x85"}
"""White space at which a tokenizer does not split."""
PARTS = st.lists(st.one_of(TEXTS, st.sampled_from(["", " ", "a ", " .", ",", "the", "!  "])), min_size=1, max_size=12)


@pytest.mark.parametrize("name", SMALL)
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_words_reproduce_the_text(name, text):
    """Every character that is no white space is in one word; its tokens cover it, but for what normalisers drop."""
    tokenizer = small(name)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    matches = list(re.finditer(r"\S+", text))
    try:
        (found,) = tokenise(tokenizer, [text], ["s"])
    except DataError as error:
        refusal = error.message
    else:
        refusal = ""
    if refusal:  # with a reason: a word that by itself is nothing, or white space that is none to the tokenizer
        own = [word for word in text.split() if f"the word {word!r} " in refusal]
        assert len(own) >= 1
        if "has no token" in refusal:
            assert not tokenizer(own[0], add_special_tokens=False).input_ids
        else:
            assert "shares a token" in refusal
            assert set(text) & set(OTHER_SPACE[name])
        return
    assert found.ids.tolist() == encoding.input_ids
    assert len(found.words) == len(matches)
    bounds = [bound for word in found.words for bound in word]
    assert bounds == sorted(bounds)
    assert all(a > b for (a, _), (_, b) in zip(found.words[1:], found.words, strict=False))
    owner = {t: k for k, (first, last) in enumerate(found.words) for t in range(first, last + 1)}
    covered = [False] * len(text)
    for t, (start, end) in enumerate(encoding.offset_mapping):
        touched = {k for k, match in enumerate(matches) if start < match.end() and end > match.start() and end > start}
        assert touched <= {owner.get(t)}  # a token of one word's characters belongs to that word and to no other
        covered[start:end] = [True] * (end - start)
    dropped = [c for c, done in zip(text, covered, strict=True) if not done and not c.isspace()]
    assert name in ("word_piece", "unigram") or not dropped
    assert all(unicodedata.category(c) in ("Mn", "Cc", "Cf", "Lm") for c in dropped)


@pytest.mark.parametrize("name", ["byte_bpe", "byte_bpe trimmed", "byte_fallback"])
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_word_spans_concatenate_to_the_text(name, text):
    """Where no character is dropped: the characters of a word's tokens, white space beside it aside, are the word."""
    assume(not set(text) & set("\x1c\x85"))
    (found,) = tokenise(small(name), [text], ["s"])
    offsets = small(name)(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    assert [text[offsets[a][0] : offsets[b][1]].strip() for a, b in found.words] == text.split()
    assert not text[offsets[found.last][1] :].strip()


@pytest.mark.parametrize("name", SMALL)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_texts_are_aligned_as_if_each_were_alone(name, texts):
    try:
        together = tokenise(small(name), texts, [str(i) for i in range(len(texts))])
    except DataError:
        assume(False)
    for text, found in zip(texts, together, strict=True):
        (alone,) = tokenise(small(name), [text], ["s"])
        assert (found.ids.tolist(), found.words) == (alone.ids.tolist(), alone.words)


@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_joining_keeps_the_words(texts):
    assert join(texts).split() == [word for text in texts for word in text.split()]
    assert not any(text not in join(texts) for text in texts)


@pytest.mark.parametrize("name", SMALL)
@given(parts=PARTS)
@settings(max_examples=60, deadline=None)
def test_prefixes_by_their_last_words_are_those_tokenised_whole(name, parts):
    tokenizer, growing = small(name), grow(parts)
    whole, found = prefixes(tokenizer, parts, local=True)
    for i, prefix in enumerate(found):
        kept = " ".join(part for part in parts[: i + 1] if part.strip())
        kept = re.sub(r"\s+([.,!?;:])", r"\1", kept)
        assert growing.up_to(i) == kept
        tokens = [*whole.ids[: prefix.kept].tolist(), *prefix.own.tolist()]
        assert tokens == tokenizer(kept, add_special_tokens=False).input_ids


@pytest.mark.parametrize("protocol", ["chained", "parts", "joined"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_presentation_in_one_slot_whatever_the_protocol(protocol, data):
    texts = data.draw(st.lists(TEXTS, min_size=1, max_size=6))
    labels = data.draw(st.lists(st.sampled_from("ab"), min_size=len(texts), max_size=len(texts)))
    name, unit = data.draw(st.sampled_from(list(SMALL))), data.draw(st.sampled_from(["stimulus", "word"]))
    reading = Reading(protocol, window=data.draw(st.integers(4, 60)), unit=unit)
    causal = data.draw(st.booleans())
    try:
        found = read(small(name), texts, [str(i) for i in texts], labels, reading, causal=causal, limit=512)
    except DataError:
        assume(False)
    slots = [(slot, window) for window in found.windows for slot in window.slots]
    assert sorted(slot.stimulus for slot, _ in slots) == list(range(len(found.presentations)))
    for slot, window in slots:
        assert len(window.tokens) <= reading.window
        assert 0 <= slot.first <= slot.last + (protocol == "parts")
        assert slot.last < len(window.tokens)
        assert window.tokens[: len(found.start)].tolist() == found.start
        assert protocol == "parts" or slot.first >= len(found.start)
    assert found.notes["clipped"] == sum(slot.clipped for slot, _ in slots)
    if unit == "word":
        assert [text for *_, text in found.presentations] == [word for text in texts for word in text.split()]


@pytest.mark.parametrize("name", SMALL)
@given(parts=PARTS, window=st.integers(4, 40))
@settings(max_examples=40, deadline=None)
def test_a_part_is_clipped_where_its_tokens_do_not_fit(name, parts, window):
    slots, ids = {}, [str(i) for i in range(len(parts))]
    reading = Reading("parts", bos="always" if name.startswith("byte") else "auto")
    for limit in (window, 10_000):
        try:
            found = read(small(name), parts, ids, ["s"] * len(parts), reading, causal=True, limit=limit)
        except DataError:
            assume(False)
        slots[limit] = {slot.stimulus: slot for row in found.windows for slot in row.slots}
    room = window - len(found.start) - len(found.end)
    for i, whole in slots[10_000].items():
        cut, count = slots[window][i], whole.last - whole.first + 1
        if not parts[i].strip():
            assert count == 0
        assert cut.last - cut.first + 1 == min(count, room + len(found.end))
        assert cut.clipped == (count - len(found.end) > room)
        assert not whole.clipped


@st.composite
def chains(draw) -> tuple[np.ndarray, list[Slot], int, int]:
    """(tokens, spans in their order, room, stride)."""
    ids = np.arange(draw(st.integers(1, 60)), dtype=np.int32)
    cuts = sorted(draw(st.sets(st.integers(0, len(ids) - 1), min_size=1, max_size=12)))
    spans = [Slot(k, first, draw(st.integers(first, last - 1))) for k, (first, last) in
             enumerate(zip(cuts, [*cuts[1:], len(ids)], strict=True))]  # fmt: skip
    room = draw(st.integers(1, 30))
    return ids, spans, room, draw(st.integers(1, room))


@given(chain=chains(), start=st.sampled_from([[], [500]]))
@settings(max_examples=200, deadline=None)
def test_strided_windows_leave_enough_to_the_left(chain, start):
    ids, spans, room, stride = chain
    found = strided_windows(ids, spans, start, room, stride)
    assert sorted(slot.stimulus for window in found for slot in window.slots) == [span.stimulus for span in spans]
    for window in found:
        text = window.tokens[len(start) :].tolist()
        assert window.tokens[: len(start)].tolist() == start
        assert text == list(range(text[0], text[0] + len(text)))
        assert len(text) <= room
        for slot in window.slots:
            span = spans[slot.stimulus]
            assert window.tokens[slot.last] == span.last
            assert window.tokens[slot.first] == max(span.first, text[0])
            assert span.last - text[0] >= min(span.last, room - stride)
            # no window that begins earlier, by a multiple of the stride, reaches it
            assert text[0] == 0 or text[0] - stride + room <= span.last


@given(chain=chains(), start=st.sampled_from([[], [500]]), end=st.sampled_from([[], [600, 601]]))
@settings(max_examples=200, deadline=None)
def test_full_windows_read_each_span_where_it_is_most_central(chain, start, end):
    ids, spans, room, stride = chain
    found = full_windows(ids, spans, start, end, room, stride)
    begins = {0, max(0, len(ids) - room), *range(0, max(1, len(ids) - room), stride)}
    slots = [(slot, window) for window in found for slot in window.slots]
    assert sorted(slot.stimulus for slot, _ in slots) == [span.stimulus for span in spans]
    for slot, window in slots:
        span = spans[slot.stimulus]
        text = window.tokens[len(start) : len(window.tokens) - len(end)].tolist()
        assert window.tokens.tolist() == [*start, *text, *end]
        assert len(text) == min(room, len(ids))
        assert window.tokens[slot.last] == span.last
        if span.last - span.first < room and any(b <= span.first and span.last < b + room for b in begins):
            assert window.tokens[slot.first] == span.first
            sides = min(span.first - text[0], text[-1] - span.last)
            others = [min(span.first - b, min(b + room, len(ids)) - 1 - span.last) for b in begins]
            assert sides == max(others)


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


def _cost(lengths: list[int], chosen: list[int], costs: Costs) -> float:
    padded = [min(c for c in chosen if c >= length) for length in lengths]
    return sum(costs.place * c + costs.pair * c**2 for c in padded) + costs.compilation * len(chosen)


@given(
    lengths=st.lists(st.integers(1, 80), min_size=1, max_size=25),
    costs=st.builds(Costs, place=st.floats(0, 2), pair=st.floats(0, 0.1), compilation=st.floats(0, 500)),
)
@settings(max_examples=150, deadline=None)
def test_padded_lengths_are_the_cheapest(lengths, costs):
    chosen = choose_lengths(lengths, costs, 80)
    assert chosen == sorted(set(chosen))
    assert chosen[-1] >= max(lengths)
    sizes = sorted({-(-length // QUANTUM) * QUANTUM for length in lengths})
    assume(len(sizes) <= 8)
    subsets = (
        [s for k, s in enumerate(sizes[:-1]) if mask >> k & 1] + sizes[-1:] for mask in range(1 << len(sizes) - 1)
    )
    best = min(_cost(lengths, subset, costs) for subset in subsets)
    assert _cost(lengths, chosen, costs) == pytest.approx(best)


@given(
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=40),
    tokens=st.integers(1, 600),
    compilation=st.floats(0, 1000),
    batch_size=st.none() | st.integers(1, 10),
    devices=st.integers(1, 3),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_batches_hold_every_window_once(lengths, tokens, compilation, batch_size, devices, data):
    counts = data.draw(st.lists(st.integers(1, 5), min_size=len(lengths), max_size=len(lengths)))
    windows = [
        Window(np.zeros(length, np.int32), tuple(Slot(k, 0, length - 1) for k in range(count)))
        for length, count in zip(lengths, counts, strict=True)
    ]
    options = {"tokens": tokens, "limit": 64, "batch_size": batch_size, "devices": devices}
    costs = Costs(place=0.03, pair=0.001, compilation=compilation)
    batches = plan(windows, costs=costs, pooling="last", **options)
    assert sorted(i for batch in batches for i in batch.windows) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch.windows) <= batch.rows <= (batch_size or len(lengths))
        assert sum(lengths[i] for i in batch.windows) <= batch.tokens
        assert max((lengths[i] for i in batch.windows), default=0) <= batch.length <= 64
        assert sum(counts[i] for i in batch.windows) <= min(batch.slots, batch.entries)
    for shape in {batch.shape for batch in batches}:
        alike = [batch for batch in batches if batch.shape == shape]
        assert len(alike) % devices == 0
        fullest = max(sum(lengths[i] for i in batch.windows) for batch in alike)
        assert shape[0] - fullest < (16 if fullest <= 128 else 64)
