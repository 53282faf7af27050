"""The models of this package as readers of texts in parts: weights are read once, at the first text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxscore.contexts.prefixes import grow
from jaxscore.contexts.reading import Reading
from jaxscore.contexts.windows import Slot, Window
from jaxscore.errors import JaxscoreError, ModelError
from jaxscore.extract.activations import Request, read_for
from jaxscore.models import LanguageModel, StaticModel, load_model
from jaxscore.options import choose_layers
from jaxscore.progress import Reporter
from jaxscore.subjects.digest import Digest
from jaxscore.subjects.resident import resident

if TYPE_CHECKING:
    from jaxscore.extract.passes import Extracted
    from jaxscore.models.transformer import Transformer


class ModelReader:
    """A language model, or a static one, which reads every part by itself and does nothing but be recorded.

    Args:
        model: what `jaxscore.load_model` takes, or gives.
        dtype: of the weights, where `model` is a name; so for what follows.
        untrained: draw the weights.
        seed: of that draw.
        offline: never use the network.
        reporter: receives the phases.

    Attributes:
        name: of the model.
        model: the model itself.
    """

    def __init__(
        self,
        model: str | Path | LanguageModel | StaticModel,
        *,
        dtype: str = "float32",
        untrained: bool = False,
        seed: int = 0,
        offline: bool = False,
        reporter: Reporter | None = None,
    ) -> None:
        if isinstance(model, str | Path):
            model = load_model(model, untrained=untrained, seed=seed, dtype=dtype, offline=offline)
        self.model = resident(model)
        self.name = model.name
        self._reporter = reporter or Reporter()

    @property
    def last_layer(self) -> str:
        """The last layer, by the name of the module that today's platform hooks where there is one."""
        if not isinstance(self.model, LanguageModel):
            return self.model.layer_names[-1]
        module, count = self.model.family.module, self.model.arch.layers
        return module.format(i=count - 1) if module else self.model.layer_names[-1]

    def check(self, layers: Sequence[str]) -> None:
        """Raise JaxscoreError for a layer that the model does not have, or a name that means several."""
        for layer in layers:
            self._index(layer)

    def digest(
        self, parts: Sequence[str], layers: Sequence[str], *, surprisal: bool = False, next_words: bool = False
    ) -> Digest:
        """Read one text in parts, in one pass over it as far as it fits the window.

        Returns:
            States in the order of the network, at the last token of each part; static ones are those of the model's own
            pooling. Surprisal in bits leaves out what stands at the very beginning of what is read, as nothing predicts
            it, and what the window cuts off; NaN where the text so far is a single token.

        Raises:
            DataError: for a part that leaves the model nothing to read.
            ModelError: for a task that the model cannot do.
        """
        wanted = {layer: self._index(layer) for layer in layers}
        wanted = dict(sorted(wanted.items(), key=lambda item: item[1]))
        growing = grow(parts)
        contexts = [growing.up_to(number) for number in range(len(parts))]
        names = [f"part {number}" for number in range(len(parts))]
        if not isinstance(self.model, LanguageModel):
            if surprisal or next_words:
                raise ModelError(f"{self.name} predicts nothing", "Choose a causal language model, such as gpt2.")
            (own,) = self.model.features(parts, names, [""] * len(parts), pooling=None)
            return Digest(contexts, dict.fromkeys(wanted, own))
        return self._read(parts, names, contexts, wanted, surprisal, next_words)

    def _read(self, parts, names, contexts, wanted, surprisal: bool, next_words: bool) -> Digest:
        from jaxscore.extract.passes import check_head, extract

        model, head = self.model, surprisal or next_words
        if head:
            check_head(model.arch)
        reads = read_for(model, Request(parts, names, [""] * len(parts), self._reading, "last"))
        with self._reporter.phase("load", model.weight_bytes() or None) as step:
            transformer = model.transformer(step, head=head)
        layers = list(wanted.values()) + [model.arch.layers] * next_words
        windows = _few_shapes(reads.windows, len(parts), model.arch.positions) if model.arch.causal else reads.windows
        found = extract(transformer, windows, layers, surprisal=surprisal)
        read = found.states[:, : len(parts)]
        states = {
            layer: own[:, : model.arch.widths[index]] for (layer, index), own in zip(wanted.items(), read, strict=False)
        }
        return Digest(
            contexts,
            states,
            _surprisal(reads.windows, found) if surprisal else None,
            self._next_words(transformer, read[-1]) if next_words else None,
        )

    def _next_words(self, transformer: Transformer, states: Float[np.ndarray, "part feature"]) -> list[str]:
        from jaxscore.behaviour.likeliest import likeliest

        arch = self.model.arch
        best = likeliest(transformer, states[:, : arch.widths[arch.layers]])
        return [self.model.tokenizer.decode([token]).strip() for token in best.tolist()]

    @cached_property
    def _reading(self) -> Reading:
        """That of today's platform, which cuts where the tokenizer says; a tokenizer without a limit has a huge one."""
        longest = self.model.tokenizer.model_max_length
        return Reading("parts", window=longest if longest < self.model.arch.positions else None)

    def _index(self, layer: str) -> int:
        """The number of one state."""
        found = choose_layers(layer, self.model.layer_names, self.model.layer_aliases)
        if len(found) > 1:
            raise JaxscoreError(
                f"{layer!r} means {len(found)} layers, expected one", "Give a list of names, one for each layer."
            )
        return found[0]


def _few_shapes(windows: Sequence[Window], parts: int, limit: int) -> list[Window]:
    """Windows of a causal model at round sizes, as every new one is compiled: texts come by the hundred, one at a time.

    Nothing that is pooled sees the tokens that are added to its right; slots that are added pool the first token.
    """
    longest = max(len(window.tokens) for window in windows)
    length = min(_round(longest), limit)
    texts = [np.pad(window.tokens, (0, length - len(window.tokens)), mode="edge") for window in windows]
    slots = _power(max(16, parts))
    first, *others = (window.slots for window in windows)
    more = tuple(Slot(number, 0, 0) for number in range(parts, slots))
    return [Window(text, own) for text, own in zip(texts, [first + more, *others], strict=True)]


def _round(tokens: int) -> int:
    """The least of 16, 32, 64, 96, 128, 192, ... that is not smaller: each is compiled once, and costs its padding."""
    above = max(16, _power(tokens))
    return 3 * above // 4 if above > 64 and tokens <= 3 * above // 4 else above


def _power(number: int) -> int:
    """The least power of two that is not smaller."""
    return 1 << (number - 1).bit_length()


def _surprisal(windows: Sequence[Window], found: Extracted) -> Float[np.ndarray, " part"]:
    """Bits of each part; see `ModelReader.digest`."""
    slots = sorted((slot for window in windows for slot in window.slots), key=lambda slot: slot.stimulus)
    read = found.tokens[:, 0] < len(slots)
    owner, bits = found.tokens[read, 0], found.token_surprisal[read]
    begins = [slot.stimulus for slot in slots if slot.first == 0]
    bits[np.searchsorted(owner, begins)] = 0  # nothing stands before these tokens
    total = np.bincount(owner, bits, len(slots))
    total[[slot.last == 0 for slot in slots]] = np.nan
    return total
