"""How well a model predicts a text: perplexity, and bits a token, word and character."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxscore.behaviour.loading import language_model, token_ids, weights
from jaxscore.contexts.encoding import start_tokens
from jaxscore.contexts.reading import Reading
from jaxscore.contexts.windows import Slot, Window, room_for, strided_windows
from jaxscore.errors import DataError, ModelError
from jaxscore.models import LanguageModel
from jaxscore.progress import Reporter

if TYPE_CHECKING:
    from jaxscore.models.transformer import Transformer


@dataclass(frozen=True)
class Perplexity:
    """What a text costs a model.

    Attributes:
        bits: -log2 p(token | text so far), summed over the predicted tokens.
        tokens: predicted tokens, each once.
        unpredicted: tokens that nothing stands before in their window: the first one of a text without start token.
        words: white-space words of the text.
        characters: characters of the text, white space included.
        window: longest input in tokens.
        stride: tokens between the beginnings of windows; from the second window on, at least window - stride tokens
            stand left of each that is predicted.
    """

    bits: float
    tokens: int
    unpredicted: int
    words: int
    characters: int
    window: int
    stride: int

    @property
    def bits_per_token(self) -> float:
        """Mean over the predicted tokens."""
        return self.bits / self.tokens

    @property
    def perplexity(self) -> float:
        """2 ** bits a token; of models with other tokens it cannot be compared."""
        return 2.0**self.bits_per_token

    @property
    def bits_per_word(self) -> float:
        """All bits over all words."""
        return self.bits / self.words

    @property
    def bits_per_character(self) -> float:
        """All bits over all characters; comparable between tokenizers."""
        return self.bits / self.characters


def perplexity(
    model: str | Path | LanguageModel,
    text: str,
    *,
    window: int | None = None,
    stride: int | None = None,
    bos: str = "auto",
    transformer: Transformer | None = None,
    reporter: Reporter | None = None,
) -> Perplexity:
    """Perplexity of a long text in windows that overlap, every token predicted once.

    A token is predicted in the first window that reaches it, as in transformers' guide "Perplexity of fixed-length
    models"; here the start tokens stand before every window.

    Args:
        model: what `jaxscore.load_model` takes, or what it gives: a causal language model.
        text: tokenised as a whole.
        window: longest input in tokens, start tokens included; 512 by default, at most what the model reads.
        stride: tokens between the beginnings of windows; half a window by default.
        bos: start tokens: "auto" as the tokenizer does by itself, "never", or "always".
        transformer: the weights, if they are loaded already: `model.transformer(head=True)`.
        reporter: receives the phases.

    Raises:
        DataError: for a text without words, or of a single token that nothing predicts.
        ModelError: for a model that predicts nothing, a window without room, or a stride that would skip tokens.
    """
    from jaxscore.extract.passes import extract

    reporter = reporter or Reporter()
    model = language_model(model, head=True)
    reading = Reading("joined", window, stride, bos)
    windows, window, stride = _windows(model, text, reading)
    transformer = transformer or weights(model, reporter, head=True)
    with reporter.phase("extraction", len(windows)) as step:
        bits = extract(transformer, windows, [], surprisal=True, step=step).token_surprisal
    runs = [slot for own in windows for slot in own.slots]
    begins = np.cumsum([0, *(slot.last + 1 - slot.first for slot in runs[:-1])])
    first = begins[[slot.first == 0 for slot in runs]]  # nothing stands before these; any other NaN is the model's
    predicted, unpredicted = np.delete(bits, first).astype(np.float64), len(first)
    return Perplexity(float(predicted.sum()), len(predicted), unpredicted, len(text.split()), len(text), window, stride)


def _windows(model: LanguageModel, text: str, reading: Reading) -> tuple[list[Window], int, int]:
    """Windows whose slots are runs of tokens, each token in one of them; window and stride in force."""
    ids = token_ids(model, text)
    start, limit = start_tokens(model.tokenizer, reading.bos), min(reading.window, model.arch.positions)
    room = room_for(limit, start)
    if min(limit, len(start) + len(ids)) < 2:
        raise DataError(
            f"A text of {len(ids)} tokens in windows of {limit}: nothing stands before any token",
            "Give a longer text and window, or --bos always.",
        )
    stride = reading.stride or max(1, min(limit // 2, room))
    if stride > room:
        raise ModelError(
            f"stride {stride}: windows hold {room} tokens of text, some would never be read",
            "Choose a smaller stride or a larger window.",
        )
    count = len(ids)
    ends = [min(room, count), *(min(end, count) for end in range(room + stride, count + stride, stride))]
    runs = [Slot(k, begin, end - 1) for k, (begin, end) in enumerate(zip([0, *ends], ends, strict=False))]
    return strided_windows(ids, runs, start, room, stride), limit, stride
