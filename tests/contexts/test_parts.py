"""Protocol "parts" against the loop that runs every context again, as windows of tokens."""

from __future__ import annotations

import re

import pytest
from contexts.real_stimuli import DATA
from contexts.tokenizers_at_hand import needs_data, real, small

from jaxscore.contexts.reading import Reading, read
from jaxscore.errors import DataError

PARTS = Reading("parts")


def loop(tokenizer, parts: list[str], limit: int) -> list[list[int]]:
    """Today's platform: every text up to a part through the tokenizer's plain call, truncated by it from the left."""
    tokenizer.truncation_side = "left"
    texts = [" ".join(part for part in parts[: i + 1] if part.strip() != "") for i in range(len(parts))]
    texts = [re.sub(r"\s+([.,!?;:])", r"\1", text) for text in texts]
    return tokenizer(texts, truncation=True, max_length=limit)["input_ids"]


def check(tokenizer, stimuli, limit: int, *, causal: bool):
    """Every part sees what the loop gives it, and is pooled at the last token of that."""
    texts, ids, contexts = stimuli
    found = read(tokenizer, texts, ids, contexts, PARTS, causal=causal, limit=limit)
    seen = {slot.stimulus: window.tokens[: slot.last + 1] for window in found.windows for slot in window.slots}
    assert sorted(seen) == list(range(len(texts)))
    for context in dict.fromkeys(contexts):
        group = [i for i, own in enumerate(contexts) if own == context]
        for i, row in zip(group, loop(tokenizer, [texts[i] for i in group], limit), strict=True):
            assert seen[i].tolist() == row, ids[i]
    if not causal:
        assert all(slot.last == len(window.tokens) - 1 for window in found.windows for slot in window.slots)
    return found


@needs_data
@pytest.mark.parametrize("data", ["pereira", "blank"])
@pytest.mark.parametrize(("name", "causal", "limit"), [("gpt2", True, 1024), ("bert", False, 512)])
def test_the_loop_over_real_texts(name, causal, limit, data):
    stimuli = DATA[data]()
    found = check(real(name), stimuli, limit, causal=causal)
    if name == "bert" or data == "pereira":
        assert found.notes["windows"] == (len(stimuli[0]) if name == "bert" else len(set(stimuli[2])))
    else:
        assert found.notes["contexts"] < found.notes["windows"] < len(stimuli[0])


@needs_data
@pytest.mark.parametrize(("name", "causal"), [("gpt2", True), ("bert", False)])
def test_a_text_longer_than_the_window(name, causal):
    words, ids, _ = DATA["natural_stories"]()
    found = check(real(name), (words[:500], ids[:500], ["story"] * 500), 200, causal=causal)
    assert max(len(window.tokens) for window in found.windows) == 200
    assert found.notes["alone"] > 250


@needs_data
def test_a_byte_level_bpe_pools_a_bare_space():
    """Where a part ends in one: the join adds another, which goes to the next word, so that one pass is enough."""
    found = read(real("gpt2"), ["At ten years ", "old, "], ["a", "b"], ["s", "s"], PARTS, causal=True, limit=1024)
    ends = {slot.stimulus: int(window.tokens[slot.last]) for window in found.windows for slot in window.slots}
    assert real("gpt2").convert_ids_to_tokens(list(ends.values())) == ["\u0120", "\u0120"]
    assert len(found.windows) == 1
    removed = read(real("gpt2"), ["It was old ", ", he "], ["a", "b"], ["s", "s"], PARTS, causal=True, limit=1024)
    assert [len(window.slots) for window in removed.windows] == [1, 1]  # the space is no more in the longer text
    decoded = [real("gpt2").decode(window.tokens) for window in removed.windows]
    assert sorted(decoded) == ["It was old ", "It was old, he "]


@needs_data
def test_the_end_token_is_pooled_where_there_is_one():
    bert = real("bert")
    found = read(bert, ["The otter", "swims"], ["a", "b"], ["s", "s"], PARTS, causal=False, limit=512)
    assert found.end == [bert.sep_token_id]
    assert [window.tokens[-1] for window in found.windows] == found.end * 2
    assert [(slot.first, slot.last) for window in found.windows for slot in window.slots] == [(1, 3), (3, 5)]


@pytest.mark.parametrize("name", ["unigram", "word_piece"])
def test_a_causal_model_with_an_end_token_has_a_window_for_each_part(name):
    check(small(name), (["the otter", "mends", "the"], list("abc"), list("sss")), 64, causal=True)


@pytest.mark.parametrize("name", ["byte_bpe", "byte_fallback"])
@pytest.mark.parametrize("limit", [5, 9, 64])
def test_spaces_points_and_blank_parts(name, limit):
    parts = [
        "the otter ",
        " ",
        "mends , ",
        "",
        ". the",
        "\t",
        "stone",
        "( 東京 ",
        ") !",
        "again and",
        "again",
        "\u00a0.",
    ]
    check(small(name), (parts, [f"p{i}" for i in range(len(parts))], ["s"] * len(parts)), limit, causal=True)


def test_a_blank_part_stands_where_the_part_before_it_ends_and_has_no_tokens():
    found = read(small("byte_bpe"), ["the", " ", "otter"], list("abc"), list("sss"), PARTS, causal=True, limit=64)
    (window,) = found.windows
    assert [(slot.first, slot.last) for slot in window.slots] == [(0, 0), (1, 0), (1, len(window.tokens) - 1)]
    own = read(small("word_piece"), ["the", " "], ["a", "b"], ["s", "s"], PARTS, causal=False, limit=64)
    assert [(slot.first, slot.last) for window in own.windows for slot in window.slots] == [(1, 2), (3, 2)]


def test_a_part_of_which_the_tokenizer_leaves_nothing_has_no_tokens():
    """A space of no width, which BERT's normaliser drops: no blank part, but no token either."""
    found = read(small("word_piece"), ["the", "\u200b"], ["a", "b"], ["s", "s"], PARTS, causal=False, limit=64)
    assert [(slot.first, slot.last) for window in found.windows for slot in window.slots] == [(1, 2), (3, 2)]


def test_nothing_to_read():
    texts, ids, contexts = ["", "the"], ["a", "b"], ["s", "s"]
    with pytest.raises(DataError, match="stimulus 'a': '' leaves the model nothing to read"):
        read(small("byte_bpe"), texts, ids, contexts, PARTS, causal=True, limit=64)
    always = Reading("parts", bos="always")
    started = read(small("byte_bpe"), texts, ids, contexts, always, causal=True, limit=64)
    assert [window.tokens.tolist()[: slot.last + 1] for window in started.windows for slot in window.slots] == [
        [*started.start, small("byte_bpe").convert_tokens_to_ids("the")],
        started.start,
    ]
    (first, _) = read(small("word_piece"), texts, ids, contexts, PARTS, causal=False, limit=64).windows
    assert first.tokens.tolist() == small("word_piece")("").input_ids


def test_words_as_parts():
    by_word = Reading("parts", unit="word")
    found = read(small("byte_bpe"), ["the  otter ", "mends ,"], ["a", "b"], ["s", "s"], by_word, causal=True, limit=64)
    assert found.presentations == [(0, 0, "the"), (0, 1, "otter"), (1, 0, "mends"), (1, 1, ",")]
    words = ["the", "otter", "mends", ","]
    same = read(small("byte_bpe"), words, list("abcd"), list("ssss"), PARTS, causal=True, limit=64)
    assert [w.tokens.tolist() for w in found.windows] == [w.tokens.tolist() for w in same.windows]
    assert [w.slots for w in found.windows] == [w.slots for w in same.windows]


def test_the_tokens_of_a_part_are_those_it_adds():
    tokenizer, texts = small("byte_bpe"), ["the otter ", "", "mends , the", "stone"]
    found = read(tokenizer, texts, list("abcd"), list("ssss"), PARTS, causal=True, limit=64)
    (window,) = found.windows
    own = [tokenizer.decode(window.tokens[slot.first : slot.last + 1]) for slot in window.slots]
    assert own == ["the otter ", "", " mends, the", " stone"]
    assert found.notes["clipped"] == 0
    cut = read(tokenizer, texts, list("abcd"), list("ssss"), PARTS, causal=True, limit=5)
    slots = {slot.stimulus: (slot, window) for window in cut.windows for slot in window.slots}
    assert [(slot.first, slot.last) for slot, _ in (slots[i] for i in range(4))] == [(0, 4), (5, 4), (0, 4), (1, 4)]
    assert [slots[i][0].clipped for i in range(4)] == [True, False, True, False]
    assert cut.notes["clipped"] == 2
    assert tokenizer.decode(slots[3][1].tokens) == " the stone"


def test_a_part_that_takes_a_space_away_has_its_last_token():
    """Its text has no more tokens than the one before it."""
    found = read(small("byte_bpe"), ["x ", ","], ["a", "b"], ["s", "s"], PARTS, causal=True, limit=64)
    spans = [(w.tokens.tolist(), s.first, s.last) for w in found.windows for s in w.slots]
    x, space, comma = (small("byte_bpe").convert_tokens_to_ids(piece) for piece in ("x", "\u0120", ","))
    assert spans == [([x, comma], 1, 1), ([x, space], 0, 1)]


def test_a_text_that_just_fits_needs_no_second_pass():
    texts, ids, contexts = ["abcde", "fgh"], ["a", "b"], ["s", "s"]
    fits, slid = (
        read(small("byte_bpe"), texts, ids, contexts, PARTS, causal=True, limit=limit).windows for limit in (9, 8)
    )
    assert [len(window.tokens) for window in fits] == [9]
    assert [len(window.tokens) for window in slid] == [5, 8]
