"""Stimuli in their context: one slot each, the last word pooled, the start token once; three rules for windows."""

from __future__ import annotations

import numpy as np
import pytest
from contexts.chained import make_windows

from jaxscore.contexts.alignment import Tokens
from jaxscore.contexts.windows import (
    Slot,
    exact_windows,
    full_windows,
    group_stimuli,
    room_for,
    strided_windows,
)
from jaxscore.errors import ModelError

START = [99]


def tokens(*ids: int, words: tuple[tuple[int, int], ...] | None = None) -> Tokens:
    return Tokens(np.array(ids, np.int32), words or ((0, len(ids) - 1),))


CHAIN = [tokens(1, 2), tokens(3, 4, 5), tokens(6), tokens(7, 8)]


def seen(windows) -> dict[int, tuple[list[int], int, int]]:
    """Stimulus -> what the model reads up to the pooled token, first and last pooled position."""
    return {s.stimulus: (w.tokens[: s.last + 1].tolist(), s.first, s.last) for w in windows for s in w.slots}


def test_groups_keep_their_order():
    assert group_stimuli(["b", "a", "b", "c", "a"]) == [[0, 2], [1, 4], [3]]


def test_a_causal_model_reads_a_context_once():
    (window,) = make_windows([[0, 1, 2, 3]], CHAIN, START, causal=True, limit=20)
    assert window.tokens.tolist() == [99, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [(slot.stimulus, slot.first, slot.last) for slot in window.slots] == [
        (0, 1, 2),
        (1, 3, 5),
        (2, 6, 6),
        (3, 7, 8),
    ]


def test_a_bidirectional_model_sees_nothing_to_the_right():
    windows = make_windows([[0, 1, 2, 3]], CHAIN, START, causal=False, limit=20)
    assert [window.tokens.tolist() for window in windows] == [
        [99, 1, 2],
        [99, 1, 2, 3, 4, 5],
        [99, 1, 2, 3, 4, 5, 6],
        [99, 1, 2, 3, 4, 5, 6, 7, 8],
    ]
    assert all(slot.last == len(window.tokens) - 1 for window in windows for slot in window.slots)


def test_contexts_know_nothing_of_each_other():
    windows = make_windows([[0, 2], [1, 3]], CHAIN, START, causal=True, limit=20)
    assert [window.tokens.tolist() for window in windows] == [[99, 1, 2, 6], [99, 3, 4, 5, 7, 8]]


@pytest.mark.parametrize("causal", [True, False])
def test_beyond_the_limit_the_window_slides_and_keeps_its_start(causal):
    found = seen(make_windows([[0, 1, 2, 3]], CHAIN, START, causal=causal, limit=6))
    assert found == {
        0: ([99, 1, 2], 1, 2),
        1: ([99, 1, 2, 3, 4, 5], 3, 5),
        2: ([99, 2, 3, 4, 5, 6], 5, 5),
        3: ([99, 4, 5, 6, 7, 8], 4, 5),
    }


def test_at_the_limit_and_one_below():
    exactly = make_windows([[0, 1]], CHAIN, START, causal=True, limit=6)
    assert [len(window.tokens) for window in exactly] == [6]
    below = make_windows([[0, 1]], CHAIN, START, causal=True, limit=5)
    assert [window.tokens.tolist() for window in below] == [[99, 1, 2], [99, 2, 3, 4, 5]]


def test_a_stimulus_longer_than_the_window_is_pooled_where_it_is_seen():
    (window,) = make_windows([[0]], [tokens(*range(10))], START, causal=True, limit=4)
    (slot,) = window.slots
    assert window.tokens.tolist() == [99, 7, 8, 9]
    assert (slot.first, slot.last) == (1, 3)  # the start token is not pooled


def test_trailing_tokens_are_read_by_the_next_stimulus_but_not_pooled():
    spaced = tokens(1, 2, 50, words=((0, 0), (1, 1)))
    (window,) = make_windows([[0, 1]], [spaced, tokens(3)], [], causal=True, limit=9)
    assert window.tokens.tolist() == [1, 2, 50, 3]
    assert [(slot.first, slot.last) for slot in window.slots] == [(0, 1), (3, 3)]
    alone = make_windows([[0, 1]], [spaced, tokens(3)], [], causal=False, limit=9)
    assert [window.tokens.tolist() for window in alone] == [[1, 2], [1, 2, 50, 3]]


def test_one_sentence_in_a_chain_of_itself():
    """Only the first one stands at the start; each later one sees all those before it."""
    repeated = [tokens(1, 2, 3)] * 4
    (window,) = make_windows([range(4)], repeated, START, causal=True, limit=20)
    assert window.tokens.tolist() == [99] + [1, 2, 3] * 4
    assert [(slot.first, slot.last) for slot in window.slots] == [(1 + 3 * i, 3 + 3 * i) for i in range(4)]


def test_no_room():
    with pytest.raises(ModelError, match="A window of 1 tokens has no room beside 1 start tokens"):
        make_windows([[0]], CHAIN, START, causal=True, limit=1)


# --- windows with a stride --------------------------------------------------------------------------------------------

TEXT = np.arange(20, dtype=np.int32)
EACH = [Slot(i, i, i) for i in range(20)]


def contents(windows) -> list[tuple[list[int], list[int]]]:
    """(tokens, presentations) of each window."""
    return [(w.tokens.tolist(), [slot.stimulus for slot in w.slots]) for w in windows]


def test_with_a_stride_each_token_is_read_where_most_stands_left_of_it():
    found = strided_windows(TEXT, EACH, START, 8, 5)
    assert contents(found) == [
        ([99, *range(8)], [*range(8)]),
        ([99, *range(5, 13)], [*range(8, 13)]),  # token 8 has 3 = 8 - 5 to its left, all later ones more
        ([99, *range(10, 18)], [*range(13, 18)]),
        ([99, *range(15, 20)], [18, 19]),
    ]
    assert all(w.tokens[slot.last] == slot.stimulus for w in found for slot in w.slots)


def test_a_context_that_fits_is_one_window_whatever_the_stride():
    (window,) = strided_windows(TEXT, EACH, START, 20, 1)
    assert window.tokens.tolist() == [99, *range(20)]


def test_windows_in_which_nothing_is_read_are_left_out():
    found = strided_windows(TEXT, [Slot(0, 2, 3), Slot(1, 17, 18)], [], 6, 2)
    assert contents(found) == [([0, 1, 2, 3], [0]), ([14, 15, 16, 17, 18], [1])]
    assert [(slot.first, slot.last) for window in found for slot in window.slots] == [(2, 3), (3, 4)]


def test_the_first_tokens_of_a_long_stimulus_fall_out_of_its_window():
    (window,) = strided_windows(TEXT, [Slot(0, 2, 17)], START, 8, 5)
    assert contents([window]) == [([99, *range(10, 18)], [0])]
    assert window.slots == (Slot(0, 1, 8, clipped=True),)


# --- the full context -------------------------------------------------------------------------------------------------


def test_a_full_context_has_its_start_and_end_tokens():
    (window,) = full_windows(TEXT[:5], EACH[:5], START, [77, 78], 5, 2)
    assert window.tokens.tolist() == [99, 0, 1, 2, 3, 4, 77, 78]
    assert [(slot.first, slot.last) for slot in window.slots] == [(i + 1, i + 1) for i in range(5)]


def test_beyond_the_window_each_token_is_read_where_it_is_most_central():
    found = full_windows(TEXT, EACH, START, [77], 10, 5)
    assert contents(found) == [
        ([99, *range(10), 77], [*range(8)]),  # token 7: 2 to its right here, 2 to its left in the next one
        ([99, *range(5, 15), 77], [*range(8, 13)]),
        ([99, *range(10, 20), 77], [*range(13, 20)]),
    ]


def test_the_last_window_ends_with_the_text():
    found = full_windows(TEXT[:13], EACH[:13], [], [], 8, 4)
    assert [window.tokens.tolist() for window in found] == [[*range(8)], [*range(4, 12)], [*range(5, 13)]]


def test_a_stimulus_is_read_where_all_of_it_stands():
    (window,) = full_windows(TEXT, [Slot(0, 6, 9)], [], [], 10, 7)
    assert contents([window]) == [([*range(10)], [0])]  # the next window begins at 7, its centre is as near
    longer = full_windows(TEXT, [Slot(0, 2, 17)], [], [], 10, 7)
    assert contents(longer) == [([*range(10, 20)], [0])]
    assert longer[0].slots == (Slot(0, 0, 7, clipped=True),)


@pytest.mark.parametrize(("room", "lead", "clipped"), [(5, 2, False), (4, 1, True), (3, 0, True), (2, 0, True)])
def test_bare_spaces_before_a_stimulus_fall_out_with_its_first_tokens(room, lead, clipped):
    (window,) = exact_windows(TEXT, [Slot(0, 15, 17, lead=2)], START, room, causal=True)
    assert contents([window]) == [([99, *range(18 - room, 18)], [0])]
    assert window.slots == (Slot(0, max(1, room - 2), room, lead, clipped=clipped),)


def test_room():
    assert room_for(5, [1], [2, 3]) == 2
    with pytest.raises(ModelError, match="A window of 3 tokens has no room beside 1 start tokens and 2 end tokens"):
        room_for(3, [1], [2, 3])
