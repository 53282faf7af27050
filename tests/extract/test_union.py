"""Several requests in one pass give what each gives by itself, and no text is read twice."""

from __future__ import annotations

import numpy as np
import pytest

from jaxscore.contexts.reading import Reading
from jaxscore.contexts.windows import Slot, Window
from jaxscore.extract.activations import Request, read_for
from jaxscore.extract.passes import extract
from jaxscore.extract.union import Union, merged
from jaxscore.models import load_model

TEXTS = ["the otter in the rain.", "a lantern there, then another", "the stone", "one more engine at night."]
IDS = list("abcd")
TOGETHER, APART = ["x", "x", "y", "y"], list("wxyz")
REQUESTS = [
    Request(TEXTS, IDS, TOGETHER, Reading(), "last"),
    Request(TEXTS, IDS, TOGETHER, Reading(), "mean"),
    Request(TEXTS, IDS, APART, Reading("joined"), "first"),
    Request(TEXTS, IDS, TOGETHER, Reading("parts"), "sum"),
    Request(TEXTS, IDS, TOGETHER, Reading(bos="always"), None),
    Request(TEXTS[:2], IDS[:2], APART[:2], Reading(), "last"),
]


@pytest.mark.parametrize("untrained", [False, True])
def test_each_request_gets_what_it_gets_alone(tiny, untrained):
    model = load_model(tiny, untrained=untrained)
    transformer = model.transformer(head=True)
    reads = [read_for(model, request) for request in REQUESTS]
    union = Union.of(REQUESTS, reads, causal=True)
    layers = [[0, 2], [1], [0, 1, 2], [2], [], [1]]
    steps = []
    found = union.read(model, transformer, layers, step=steps.append)
    assert sum(steps) == sum(len(request.stimuli) for request in REQUESTS)
    for request, own, chosen, got in zip(REQUESTS, reads, layers, found, strict=True):
        assert got.notes == own.notes
        if request.pooling is None:
            alone = extract(transformer, own.windows, [], surprisal=True).surprisal[None, :, None]
        else:
            alone = extract(transformer, own.windows, chosen, pooling=request.pooling).states
        np.testing.assert_allclose(np.stack(got.states), alone, atol=2e-5)


def test_no_text_is_read_twice(tiny):
    model = load_model(tiny)
    reads = [read_for(model, request) for request in REQUESTS]
    union = Union.of(REQUESTS, reads, causal=True)
    texts = [tuple(window.tokens.tolist()) for window in union.windows]
    assert len(texts) < sum(len(own.windows) for own in reads)
    assert not any(one != other and one == other[: len(one)] for one in texts for other in texts)
    assert len(set(texts)) == len(texts)
    # the second stimulus of a context alone is no beginning of the context, so those are what is left over
    assert union.tokens < sum(len(window.tokens) for own in reads for window in own.windows)


def _window(*tokens: int, slot: int) -> Window:
    return Window(np.array(tokens, np.int32), (Slot(slot, 0, len(tokens) - 1),))


def test_merging():
    windows = [
        _window(1, 2, 3, slot=0), _window(1, 2, slot=1), _window(2, slot=2), _window(1, 2, 3, slot=3),
        _window(1, 3, slot=4), _window(1, slot=5), _window(1, 2, 4, slot=6),
    ]  # fmt: skip
    causal = {tuple(w.tokens.tolist()): sorted(s.stimulus for s in w.slots) for w in merged(windows, causal=True)}
    assert causal == {(1, 2, 3): [0, 1, 3, 5], (1, 2, 4): [6], (1, 3): [4], (2,): [2]}
    both = {tuple(w.tokens.tolist()): sorted(s.stimulus for s in w.slots) for w in merged(windows, causal=False)}
    assert both == {(1, 2, 3): [0, 3], (1, 2): [1], (2,): [2], (1, 3): [4], (1,): [5], (1, 2, 4): [6]}
    assert merged([], causal=True) == []
