"""How often a model names the next word of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from jaxscore.behaviour.loading import language_model, weights
from jaxscore.contexts.reading import Reading
from jaxscore.contexts.windows import Slot, Window
from jaxscore.errors import DataError
from jaxscore.extract.activations import Request, read_for
from jaxscore.models import LanguageModel
from jaxscore.models.mini.corpus import TITLE
from jaxscore.progress import Reporter

if TYPE_CHECKING:
    from jaxscore.models.transformer import Transformer

HELD = 2**27
"""Numbers of hidden states that the host holds at a time, 512 MiB in float32."""


@dataclass(frozen=True)
class Accuracy:
    """How often a model names the next word.

    Attributes:
        correct: words of which every token is the likeliest one after the text so far.
        words: words that something stands before.
        unpredicted: words that nothing stands before, or that are longer than the window they are read in.
        pages: contexts.
    """

    correct: int
    words: int
    unpredicted: int
    pages: int

    @property
    def accuracy(self) -> float:
        """Share of the words."""
        return self.correct / self.words


def next_word_accuracy(
    model: str | Path | LanguageModel,
    text: str,
    *,
    window: int | None = None,
    stride: int | None = None,
    bos: str = "auto",
    transformer: Transformer | None = None,
    reporter: Reporter | None = None,
) -> Accuracy:
    """Share of white-space words that a model names when it continues the page so far greedily.

    A word counts if the likeliest token after the text so far is its first one, and each of its other tokens the
    likeliest after those. Tokens of white space before the word are text so far. Whether the model would then end the
    word is not asked. The text is cut into pages at WikiText's titles (` = Title = `); any other text is one page. All
    words are read in one pass, where the benchmark Wikitext-accuracy (brain-score/language) reads the text anew for
    each, with one token for a prediction: words of several tokens are never right there.

    Args:
        model: as for `jaxscore.behaviour.next_word.perplexity`.
        text: white space separates words.
        window: longest input in tokens, 512 by default.
        stride: tokens between the beginnings of windows; half a window by default.
        bos: start tokens of every page.
        transformer: the weights, if they are loaded already: `model.transformer(head=True)`.
        reporter: receives the phases.

    Raises:
        DataError: for a text without two words, or a word without a token of its own.
        ModelError: as `perplexity`.
    """
    from jaxscore.behaviour.likeliest import likeliest, slot_states

    reporter = reporter or Reporter()
    model = language_model(model, head=True)
    texts = pages(text)
    names = [f"page {number}" for number in range(1, len(texts) + 1)]
    reading = Reading("joined", window, stride, bos, unit="word")
    reads = read_for(model, Request(texts, names, names, reading, "last"))
    words = [slot for window in reads.windows for slot in _predictable(window)]
    if not words:
        raise DataError("The text has no word with another before it", "Give a longer text.")
    transformer = transformer or weights(model, reporter, head=True)
    correct = 0
    with reporter.phase("extraction", sum(slot.last + 1 - slot.first for slot in words)) as step:
        for group in _groups(reads.windows, HELD // model.arch.width):
            before, following, firsts = _predecessors(group)
            best = likeliest(transformer, slot_states(transformer, before, model.arch.layers, step=step))
            correct += int(np.logical_and.reduceat(best == following, firsts).sum())
    return Accuracy(correct, len(words), len(reads.presentations) - len(words), len(texts))


def pages(text: str) -> list[str]:
    """Cut at the titles of WikiText's articles; what stands before the first is a page if it has a word."""
    begins = [0, *(match.start() for match in TITLE.finditer(text)), len(text)]
    found = [text[a:b] for a, b in pairwise(begins)]
    return [page for page in found if page.strip()]


def _predictable(window: Window) -> list[Slot]:
    """Its words that something stands before, and that it holds whole."""
    return [slot for slot in window.slots if slot.first and not slot.clipped]


def _groups(windows: Sequence[Window], most: int) -> Iterator[list[Window]]:
    """Windows in groups of at most so many tokens (or one window), those without a predictable word left out."""
    group: list[Window] = []
    tokens = 0
    for window in filter(_predictable, windows):
        if group and tokens + len(window.tokens) > most:
            yield group
            group, tokens = [], 0
        group.append(window)
        tokens += len(window.tokens)
    if group:
        yield group


def _predecessors(group: Sequence[Window]) -> tuple[list[Window], Int[np.ndarray, " token"], Int[np.ndarray, " word"]]:
    """Windows whose slots are the tokens before those of the words; the tokens that follow; where each word begins."""
    before, following, lengths = [], [], []
    for window in group:
        words = _predictable(window)
        places = np.concatenate([np.arange(slot.first, slot.last + 1) for slot in words])
        before.append(Window(window.tokens, tuple(Slot(0, place - 1, place - 1) for place in places.tolist())))
        following.append(window.tokens[places])
        lengths += [slot.last + 1 - slot.first for slot in words]
    return before, np.concatenate(following), np.cumsum([0, *lengths[:-1]])
