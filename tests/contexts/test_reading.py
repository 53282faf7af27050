"""Protocols as a whole: what every presentation sees, against a loop over tokens; what goes into the record."""

from __future__ import annotations

import time

import pytest
from contexts.real_stimuli import DATA
from contexts.tokenizers_at_hand import SMALL, across_spaces, ctrl, needs_data, real, small

from jaxscore.contexts.reading import Reading, Reads, read
from jaxscore.errors import DataError, JaxscoreError, ModelError

TEXTS = ["The otter mends.", "A \u201cquiet\u201d café  ", "One stone", "in the rain it leaves", "x", "東京 again."]
IDS, CONTEXTS = [f"s{i}" for i in range(6)], list("ppqppq")


def seen(reads: Reads) -> dict[int, list[int]]:
    """Presentation -> what the model reads up to the token that is pooled."""
    return {slot.stimulus: w.tokens[: slot.last + 1].tolist() for w in reads.windows for slot in w.slots}


def token_loop(tokenizer, sentences: list[str], window: int) -> list[list[list[int]]]:
    """The 2021 pipeline for one context: what is seen at the last token of every word of every sentence.

    Sentences are tokenised one by one and chained; CLS stands before the first one and comes back when the window has
    slid past it; for every token t the model sees the tokens up to t. A word ends where as many tokens are needed for
    the sentence up to its end.
    """
    cls = [] if tokenizer.cls_token_id is None else [tokenizer.cls_token_id]
    chain, ends = [], []
    for sentence in sentences:
        ids = tokenizer(sentence, add_special_tokens=False).input_ids
        words, at = [], 0
        for word in sentence.split():
            at = sentence.index(word, at) + len(word)
            whole = at == len(sentence)
            prefix = ids if whole else tokenizer(sentence[:at], add_special_tokens=False).input_ids
            assert prefix == ids[: len(prefix)]
            words.append(len(chain) + len(prefix) - 1)
        chain += ids
        ends.append(words)
    width = window - len(cls)
    views = [cls + chain[max(0, t - width + 1) : t + 1] for t in range(len(chain))]
    return [[views[t] for t in words] for words in ends]


@needs_data
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("name", "causal"), [("gpt2", True), ("bert", False)])
def test_chained_is_the_loop_over_tokens(name, causal, data):
    texts, ids, contexts = DATA[data]()
    found = read(real(name), texts, ids, contexts, Reading(), causal=causal, limit=1024)
    views = seen(found)
    assert sorted(views) == list(range(len(texts)))
    few = list(dict.fromkeys(contexts))[: 4 if data == "natural_stories" else None]  # a second for each 10,000 words
    for context in few:
        group = [i for i, own in enumerate(contexts) if own == context]
        for i, words in zip(group, token_loop(real(name), [texts[i] for i in group], 512), strict=True):
            assert views[i] == words[-1], ids[i]
    assert max(len(window.tokens) for window in found.windows) <= 512
    assert not causal or found.notes["alone"] < found.notes["windows"] < len(texts)


@needs_data
@pytest.mark.parametrize(("name", "causal"), [("gpt2", True), ("bert", False)])
def test_chained_word_by_word(name, causal):
    texts, ids, contexts = (column[:60] for column in DATA["pereira"]())
    found = read(real(name), texts, ids, contexts, Reading(unit="word", window=64), causal=causal, limit=1024)
    views = seen(found)
    by_word = {(i, k): views[number] for number, (i, k, _) in enumerate(found.presentations)}
    assert [text for *_, text in found.presentations] == [word for text in texts for word in text.split()]
    for context in dict.fromkeys(contexts):
        group = [i for i, own in enumerate(contexts) if own == context]
        for i, words in zip(group, token_loop(real(name), [texts[i] for i in group], 64), strict=True):
            assert [by_word[i, k] for k in range(len(words))] == words


@needs_data
@pytest.mark.parametrize("protocol", ["chained", "parts", "joined"])
@pytest.mark.parametrize(("name", "causal"), [("gpt2", True), ("bert", False)])
def test_ten_thousand_words_take_a_moment(name, causal, protocol):
    texts, ids, contexts = DATA["natural_stories"]()
    real(name).backend_tokenizer.encode_batch(texts[:10])
    began = time.process_time()
    read(real(name), texts, ids, contexts, Reading(protocol), causal=causal, limit=1024)
    assert time.process_time() - began < 4  # about 0.2 s, "parts" 0.7 s, on an idle machine


@pytest.mark.parametrize("name", SMALL)
def test_joined_words_are_those_of_the_running_text(name):
    tokenizer = small(name)
    found = read(tokenizer, TEXTS, IDS, CONTEXTS, Reading("joined", bos="never"), causal=True, limit=512)
    joined = ["The otter mends. A \u201cquiet\u201d café  in the rain it leaves x", "One stone 東京 again."]
    (first, second) = found.windows
    for window, text in zip((first, second), joined, strict=True):
        assert window.tokens.tolist() == tokenizer(text, add_special_tokens=False).input_ids
    assert [slot.stimulus for slot in first.slots] == [0, 1, 3, 4]
    assert [slot.stimulus for slot in second.slots] == [2, 5]


def test_joined_words_beyond_the_window_have_half_of_it_to_their_left():
    texts = [f"w{i}" for i in range(40)]
    reading = Reading("joined", window=20, bos="always")
    found = read(small("byte_bpe"), texts, texts, ["story"] * 40, reading, causal=True, limit=512)
    assert found.notes["stride"] == 10
    whole = small("byte_bpe")(" ".join(texts)).input_ids
    for window in found.windows:
        assert window.tokens[0] == found.start[0]
        own = window.tokens[1:].tolist()
        begin = next(i for i in range(len(whole)) if whole[i : i + len(own)] == own)
        assert all(begin == 0 or slot.last >= 9 for slot in window.slots)
    assert found.notes["clipped"] == 0


def test_stride_of_a_chain():
    texts = ["abcdefgh"] * 6
    exact = read(small("byte_bpe"), texts, IDS, ["p"] * 6, Reading(window=20), causal=True, limit=512)
    strided = read(small("byte_bpe"), texts, IDS, ["p"] * 6, Reading(window=20, stride=4), causal=True, limit=512)
    assert [len(view) for view in seen(exact).values()] == [8, 16, 20, 20, 20, 20]
    assert [len(view) for view in seen(strided).values()] == [8, 16, 20, 20, 20, 20]
    rough = read(small("byte_bpe"), texts, IDS, ["p"] * 6, Reading(window=20, stride=13), causal=True, limit=512)
    assert [len(view) for view in seen(rough).values()] == [8, 16, 11, 19, 14, 9]
    assert rough.notes["clipped"] == 0
    for view, all_of_it in zip(seen(rough).values(), seen(exact).values(), strict=True):
        assert all_of_it[-len(view) :] == view


def test_the_full_context_of_a_bidirectional_model():
    tokenizer = small("word_piece")
    reading = Reading(bidirectional="full")
    found = read(tokenizer, TEXTS[:4], IDS[:4], CONTEXTS[:4], reading, causal=False, limit=512)
    rows = [window.tokens.tolist() for window in found.windows]
    plain = [tokenizer(text, add_special_tokens=False).input_ids for text in TEXTS[:4]]
    assert rows == [[2, *plain[0], *plain[1], *plain[3], 3], [2, *plain[2], 3]]
    assert (found.start, found.end) == ([2], [3])
    joined = read(tokenizer, TEXTS[:4], IDS[:4], CONTEXTS[:4], Reading("joined", bidirectional="full"), causal=False,
                  limit=512)  # fmt: skip
    assert [window.tokens.tolist() for window in joined.windows] == rows  # WordPiece sees no difference in a space


def test_a_full_context_longer_than_the_window():
    texts = [f"w{i}" for i in range(40)]
    reading = Reading("joined", window=12, bidirectional="full", unit="word")
    found = read(small("word_piece"), texts, texts, ["story"] * 40, reading, causal=False, limit=512)
    assert found.notes["stride"] == 6
    assert all(len(w.tokens) == 12 and w.tokens[0] == 2 and w.tokens[-1] == 3 for w in found.windows)
    slots = [(slot.stimulus, slot) for window in found.windows for slot in window.slots]
    assert sorted(number for number, _ in slots) == list(range(40))
    inner = [slot for number, slot in slots if 4 < number < 36]
    assert all(slot.first > 2 and slot.last < 10 for slot in inner)


@pytest.mark.parametrize("protocol", ["chained", "joined"])
def test_what_is_right_of_a_word_changes_nothing_by_default(protocol):
    few, more = (
        read(small("word_piece"), TEXTS[:n], IDS[:n], ["p"] * n, Reading(protocol), causal=False, limit=512)
        for n in (3, 6)
    )
    assert [seen(more)[i] for i in range(3)] == [seen(few)[i] for i in range(3)]
    assert few.end == []


@pytest.mark.parametrize("protocol", ["chained", "joined", "parts"])
def test_words_as_presentations(protocol):
    reading = Reading(protocol, unit="word")
    found = read(small("byte_bpe"), TEXTS, IDS, CONTEXTS, reading, causal=True, limit=512)
    expected = [(i, k, word) for i, text in enumerate(TEXTS) for k, word in enumerate(text.split())]
    assert found.presentations == expected
    for window in found.windows:
        for slot in window.slots:
            decoded = small("byte_bpe").decode(window.tokens[slot.first : slot.last + 1])
            assert decoded.strip() == found.presentations[slot.stimulus][2]


def test_notes():
    found = read(small("word_piece"), TEXTS[:3], IDS[:3], CONTEXTS[:3], Reading(), causal=False, limit=128)
    assert found.notes == {
        "protocol": "chained",
        "unit": "stimulus",
        "bidirectional": "prefix",
        "window": 128,
        "stride": None,
        "start": [2],
        "end": [],
        "contexts": 2,
        "windows": 3,
        "alone": 3,
        "clipped": 0,
        "otherwise": 0,
    }
    assert found.presentations == [(i, None, text) for i, text in enumerate(TEXTS[:3])]


def test_a_tokenizer_without_offsets_is_noted(tmp_path):
    texts = ["the otter\nmends the lantern", "the stone"]
    for protocol in ("chained", "joined", "parts"):
        found = read(ctrl(tmp_path), texts, IDS[:2], ["p", "p"], Reading(protocol), causal=True, limit=512)
        assert found.notes["otherwise"] == 1
        (window,) = found.windows
        assert ctrl(tmp_path).decode(window.tokens).split() == " ".join(texts).split()


def test_the_smaller_of_window_and_limit_holds():
    for window, limit in [(30, 20), (20, 30)]:
        found = read(small("byte_bpe"), TEXTS, IDS, CONTEXTS, Reading(window=window), causal=True, limit=limit)
        assert found.notes["window"] == max(len(w.tokens) for w in found.windows) == 20


@pytest.mark.parametrize(("protocol", "window"), [("chained", 512), ("joined", 512), ("parts", 2048)])
def test_only_parts_know_no_window_of_their_own(protocol, window):
    long = [" ".join(["x"] * 1500), "x"]
    found = read(small("byte_bpe"), long, IDS[:2], ["p", "p"], Reading(protocol), causal=True, limit=2048)
    assert found.notes["window"] == window
    assert window - (found.notes["stride"] or 1) < max(len(w.tokens) for w in found.windows) <= window
    cut = read(small("byte_bpe"), long, IDS[:2], ["p", "p"], Reading(protocol, window=100), causal=True, limit=2048)
    assert cut.notes["window"] == 100 >= max(len(w.tokens) for w in cut.windows)


@pytest.mark.parametrize(
    "reading",
    [Reading(window=20), Reading("joined", window=20, stride=1), Reading("parts", window=20)],
    ids=lambda reading: reading.protocol,
)
def test_clipped_are_those_that_a_window_does_not_hold(reading):
    texts = ["a" * 19, "b" * 20, "c" * 21, "d"]
    found = read(small("byte_bpe"), texts, IDS[:4], ["p"] * 4, reading, causal=True, limit=512)
    clipped = {slot.stimulus for window in found.windows for slot in window.slots if slot.clipped}
    # the space before a stimulus, where there is one, is its first token
    assert clipped == ({2} if reading.protocol == "chained" else {1, 2})
    assert found.notes["clipped"] == len(clipped)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "chain"}, "protocol: 'chain' is unknown. Did you mean 'chained'"),
        ({"bos": "yes"}, "bos: 'yes' is unknown"),
        ({"unit": "words"}, "Did you mean 'word'"),
        ({"bidirectional": "both"}, "Known: prefix, full"),
        ({"window": 0}, "window 0, stride None"),
        ({"stride": 0}, "window 512, stride 0"),
        ({"protocol": "parts", "stride": 5}, "it knows no stride"),
        ({"protocol": "parts", "bidirectional": "full"}, "nothing to the right"),
    ],
)
def test_readings_that_cannot_be(options, message):
    with pytest.raises(JaxscoreError, match=message):
        Reading(**options)


def test_a_causal_model_has_no_full_context():
    with pytest.raises(ModelError, match="this model is causal, no state of it can see what stands to the right"):
        read(small("byte_bpe"), TEXTS, IDS, CONTEXTS, Reading(bidirectional="full"), causal=True, limit=64)


def test_no_room_for_text():
    for reading in (Reading(window=1), Reading("parts", window=2), Reading(window=2, bidirectional="full")):
        with pytest.raises(ModelError, match="has no room beside 1 start tokens"):
            read(small("word_piece"), TEXTS, IDS, CONTEXTS, reading, causal=False, limit=64)
    with pytest.raises(ModelError, match="stride 9: windows hold 8 tokens of text"):
        read(small("byte_bpe"), TEXTS, IDS, CONTEXTS, Reading(window=8, stride=9), causal=True, limit=64)


@pytest.mark.parametrize("protocol", ["chained", "joined"])
def test_what_cannot_be_aligned_is_refused(protocol):
    with pytest.raises(DataError, match=r"stimulus 'b': the word '\\u200b' has no token"):
        read(small("word_piece"), ["a", "b \u200b"], ["a", "b"], ["p", "p"], Reading(protocol), causal=False, limit=64)
    with pytest.raises(DataError, match="stimulus 'a': the word 'the' shares a token"):
        read(across_spaces(), ["the stone"], ["a"], ["p"], Reading(protocol), causal=True, limit=64)


def test_joined_refuses_a_token_that_spans_two_stimuli():
    with pytest.raises(DataError, match="stimulus 'a': the word 'the' shares a token with the next word"):
        read(across_spaces(), ["on the", "stone"], ["a", "b"], ["p", "p"], Reading("joined"), causal=True, limit=64)
