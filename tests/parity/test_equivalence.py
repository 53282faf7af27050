"""One pass per context gives the vectors of the loops that run every context again, by torch, on real texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contexts.real_stimuli import DATA, Stimuli
from contexts.test_parts import loop
from contexts.tokenizers_at_hand import SHARED, needs_data
from parity.reference_torch import context_windows, load_folder, save_bert, save_gpt2, token_states

from jaxscore import load_model
from jaxscore.contexts.reading import Reading
from jaxscore.extract.activations import Request, read_for
from jaxscore.extract.passes import extract

pytestmark = needs_data
TINY = {"n_layer": 3, "n_embd": 48, "n_head": 3, "n_positions": 1024}
TINY_BERT = {
    "num_hidden_layers": 3, "hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 96,
}  # fmt: skip


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    save_gpt2(folder, TINY, 0, SHARED, perturb=0.15)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    save_bert(folder, TINY_BERT, 0, SHARED, perturb=0.15)
    return folder


def part_of(name: str, count: int | None) -> Stimuli:
    """The first stimuli of a data set, all for None."""
    return tuple(column[:count] for column in DATA[name]())


def contexts_of(stimuli: Stimuli) -> list[list[str]]:
    """Texts by context, contexts by first appearance; contexts are not interleaved in these data."""
    texts, _, labels = stimuli
    return [[text for text, own in zip(texts, labels, strict=True) if own == label] for label in dict.fromkeys(labels)]


def compare(folder: Path, stimuli: Stimuli, reading: Reading, rows: list[list[int]], most_windows: int) -> None:
    """The last state of every row of tokens in torch, a row at a time, against ours."""
    model = load_model(folder)
    reads = read_for(model, Request(*stimuli, reading, "last"))
    assert len(reads.windows) <= most_windows
    layers = range(model.arch.layers + 1)
    ours = extract(model.transformer(), reads.windows, layers).states
    theirs, _ = load_folder(folder)
    expected = np.stack([token_states(theirs, row)[:, -1] for row in rows], axis=1)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)


# the 2021 pipeline: a window for each sentence, sentences tokenised one by one; today's platform: the text up to every
# part, tokenised and run again
LOOPS = {"chained": context_windows, "parts": loop}


def check(folder: Path, protocol: str, data: str, count: int | None, window: int, most: int) -> None:
    """Every stimulus of a part of the data."""
    stimuli = part_of(data, count)
    _, tokenizer = load_folder(folder)
    rows = [row for texts in contexts_of(stimuli) for row in LOOPS[protocol](tokenizer, texts, window)]
    compare(folder, stimuli, Reading(protocol, window=window), rows, most)


@pytest.mark.parametrize(
    ("protocol", "data", "count", "window", "most"),
    [
        ("chained", "pereira", None, 512, 168),
        ("chained", "blank", 150, 512, 95),
        ("chained", "natural_stories", 250, 200, 130),
        ("parts", "pereira", None, 1024, 168),
        ("parts", "blank", 150, 1024, 60),
        ("parts", "natural_stories", 250, 200, 130),
    ],
)
def test_one_pass_of_a_causal_model(gpt2, protocol, data, count, window, most):
    check(gpt2, protocol, data, count, window, most)


@pytest.mark.parametrize(("protocol", "data", "count"), [("chained", "pereira", 120), ("parts", "blank", 100)])
def test_prefixes_of_a_bidirectional_model(bert, protocol, data, count):
    check(bert, protocol, data, count, 512, count)
