"""Several requests of one model in one pass: a text that begins another, or is another's equal, is read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscore.contexts.reading import Reads
from jaxscore.contexts.windows import Slot, Window
from jaxscore.extract.activations import Activations, Request, trimmed
from jaxscore.models import LanguageModel

if TYPE_CHECKING:
    from jaxscore.models.transformer import Transformer


@dataclass(frozen=True)
class Union:
    """What a model reads for several requests.

    Attributes:
        windows: of all requests for states; slots count through the requests.
        spans: of each request, the presentations that are its own.
        predicted: windows of the requests for surprisal, which need the language-model head and pool nothing.
        notes: on the reading, of each request.
        pooling: of each request; None for surprisal.
    """

    windows: list[Window]
    spans: list[slice]
    predicted: list[Window]
    notes: list[dict[str, Any]]
    pooling: list[str | None]

    @classmethod
    def of(cls, requests: Sequence[Request], reads: Sequence[Reads], *, causal: bool) -> Union:
        """Merge what is to be read.

        Args:
            requests: what was asked for.
            reads: windows of each, from `read_for`.
            causal: whether the model sees only what stands left.
        """
        kinds: dict[bool, list[Window]] = {True: [], False: []}
        totals, spans = {True: 0, False: 0}, []
        for request, own in zip(requests, reads, strict=True):
            pooled = request.pooling is not None
            first, count = totals[pooled], len(own.presentations)
            kinds[pooled] += [_moved(window, first, request.pooling) for window in own.windows]
            totals[pooled] += count
            spans.append(slice(first, first + count))
        windows, predicted = (merged(found, causal=causal) for found in (kinds[True], kinds[False]))
        pooling = [request.pooling for request in requests]
        return cls(windows, spans, predicted, [own.notes for own in reads], pooling)

    @property
    def tokens(self) -> int:
        """How many tokens are read."""
        return sum(len(window.tokens) for window in self.windows + self.predicted)

    def read(
        self,
        model: LanguageModel,
        transformer: Transformer,
        layers: Sequence[Sequence[int]],
        *,
        batch_size: int | None = None,
        tensor: int | None = None,
        step: Callable[[int], None] | None = None,
    ) -> list[Activations]:
        """One pass over the union, and what each request gets of it.

        Args:
            model: whose weights these are.
            transformer: with its head where surprisal is asked for.
            layers: of each request, indices of states; empty for surprisal.
            batch_size: texts in a batch; by default chosen for the device.
            tensor: devices that share the weights; by default as few as they fit on.
            step: called with the number of presentations done.
        """
        from jaxscore.extract.passes import extract

        wanted = sorted({layer for own in layers for layer in own})
        common = {"batch_size": batch_size, "tensor": tensor, "step": step}
        states = extract(transformer, self.windows, wanted, **common).states if self.windows else None
        bits = extract(transformer, self.predicted, [], surprisal=True, **common) if self.predicted else None
        found = []
        for span, own, pooling, notes in zip(self.spans, layers, self.pooling, self.notes, strict=True):
            if pooling is None:
                found.append(Activations([bits.surprisal[span, None]], notes))
                continue
            rows = [states[wanted.index(layer), span] for layer in own]
            found.append(Activations(trimmed(model, rows, own), notes))
        return found


def _moved(window: Window, first: int, pooling: str | None) -> Window:
    """The window with its presentations counted from `first`, each with its own pooling."""
    slots = (replace(slot, stimulus=slot.stimulus + first, pooling=pooling) for slot in window.slots)
    return Window(window.tokens, tuple(slots))


def merged(windows: Sequence[Window], *, causal: bool) -> list[Window]:
    """Windows of the same tokens as one; of a causal model also those that are the beginning of another.

    State t of a causal model depends on nothing right of t. In the order of their tokens a window stands right before
    those that it begins, so that looking at the next one is enough.
    """
    order = sorted(range(len(windows)), key=lambda i: windows[i].tokens.tolist())
    found: list[Window] = []
    waiting: list[Slot] = []
    for place, here in enumerate(order):
        window = windows[here]
        waiting += window.slots
        if place + 1 < len(order):
            after, size = windows[order[place + 1]].tokens, len(window.tokens)
            same = len(after) == size or (causal and len(after) > size)
            if same and np.array_equal(after[:size], window.tokens):
                continue
        found.append(Window(window.tokens, tuple(waiting)))
        waiting = []
    return found
