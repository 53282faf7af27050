"""The next word from frozen features: a linear decoder trained on a layer of the model (NN's benchmark wikitext-2).

Schrimpf et al. 2021 (mschrimpf/neural-nlp): text in blocks of 32 tokens, each read by itself; on the features of the
last layer a linear decoder with bias is trained by AdamW (rate 5e-5 falling linearly to 0 over 50 epochs, no weight
decay, 4 blocks a batch, gradient norm clipped at 1) until the validation perplexity no longer falls by more than 1.
Where they differ: losses of validation and test are means over tokens, there over batches, so that a last short batch
weighs more; and a bidirectional model sees nothing to the right of a token, whose successor it would otherwise read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jaxscore.behaviour.decoder import Batches, Decoder, first_decoder, losses, trainer
from jaxscore.behaviour.likeliest import slot_states
from jaxscore.behaviour.loading import language_model, token_ids, weights
from jaxscore.contexts.encoding import start_tokens
from jaxscore.contexts.windows import Slot, exact_windows
from jaxscore.errors import DataError, JaxscoreError
from jaxscore.models import LanguageModel
from jaxscore.models.transformer import Transformer
from jaxscore.options import choose_layers
from jaxscore.progress import Reporter

BLOCK, BATCH = 32, 4
"""Tokens of a block and blocks of a batch."""
WIDEST = 4000
"""Features that the decoder reads; of wider layers so many are drawn (RandomState(0), without replacement)."""
RATE = 5e-5
"""Learning rate at the start."""
HELD = 256
"""Blocks whose features exist at a time."""


@dataclass(frozen=True)
class Readout:
    """What the decoder reached.

    Attributes:
        loss: test, nats a token.
        train_loss: nats a token of each epoch's batches as they came.
        validation_perplexity: after each epoch; the last one is that of the decoder that was tested.
        layer: name of the layer that was read.
        features: that the decoder reads.
        blocks: of 32 tokens for training, validation and test.
        seed: of the first weights and of the order of blocks.
    """

    loss: float
    train_loss: list[float]
    validation_perplexity: list[float]
    layer: str
    features: int
    blocks: tuple[int, int, int]
    seed: int

    @property
    def bits(self) -> float:
        """Test loss in bits a token."""
        return self.loss / float(np.log(2))

    @property
    def perplexity(self) -> float:
        """Test perplexity, exp(loss)."""
        return float(np.exp(self.loss))


def readout(
    model: str | Path | LanguageModel,
    train_text: str,
    validation_text: str,
    test_text: str,
    layer: str | int | None = None,
    *,
    epochs: int = 50,
    rate: float = RATE,
    threshold: float = 1.0,
    seed: int = 42,
    transformer: Transformer | None = None,
    reporter: Reporter | None = None,
) -> Readout:
    """Train a linear decoder from the features of a layer to the next token, and test it.

    Features are never all there: 256 blocks at a time are read anew whenever they are needed.

    Args:
        model: what `jaxscore.load_model` takes, or what it gives: a language model, causal or not.
        train_text: tokenised as a whole and cut into blocks; what is left over is dropped, as in the other texts.
        validation_text: training stops when its perplexity no longer falls by more than `threshold`.
        test_text: what is scored.
        layer: name or number of the layer; by default the last one.
        epochs: at most; the learning rate falls linearly to 0 over all of them.
        rate: learning rate at the start.
        threshold: in perplexity.
        seed: of the first weights and of the order of blocks.
        transformer: the weights, if they are loaded already: `model.transformer()`.
        reporter: receives the phases.

    Raises:
        DataError: for a text shorter than a block.
        ModelError: for a model that is no language model.
        JaxscoreError: for an unknown layer.
    """
    reporter = reporter or Reporter()
    model = language_model(model, head=False)
    layers = choose_layers("-1" if layer is None else str(layer), model.layer_names, model.layer_aliases)
    if len(layers) > 1:
        raise JaxscoreError(f"layer {layer!r} names {len(layers)} layers", "A decoder reads one.")
    (chosen,) = layers
    texts = {"training": train_text, "validation": validation_text, "test": test_text}
    blocks = {name: _blocks(model, name, text) for name, text in texts.items()}
    transformer = transformer or weights(model, reporter, head=False)
    read = _Features(transformer, chosen, start_tokens(model.tokenizer, "auto"))
    decoder = first_decoder(len(read.columns), model.arch.vocabulary, seed)
    trained, train_loss, perplexities = _train(decoder, read, blocks, epochs, rate, threshold, seed, reporter)
    with reporter.phase("test"):
        loss = _evaluate(trained, read, blocks["test"])
    counts = tuple(len(own) for own in blocks.values())
    return Readout(loss, train_loss, perplexities, model.state_names[chosen], len(read.columns), counts, seed)


def _blocks(model: LanguageModel, name: str, text: str) -> Int[np.ndarray, "block token"]:
    ids = token_ids(model, text, f"{name} text")
    if len(ids) < BLOCK:
        raise DataError(f"The {name} text has {len(ids)} tokens, a block has {BLOCK}", "Give a longer text.")
    return ids[: len(ids) // BLOCK * BLOCK].reshape(-1, BLOCK)


@dataclass(frozen=True)
class _Features:
    """Reads blocks: features of every token that has a successor in its block."""

    model: Transformer
    layer: int
    start: list[int]
    columns: Int[np.ndarray, " feature"] = field(init=False)

    def __post_init__(self) -> None:
        columns = np.arange(self.model.arch.widths[self.layer])
        if len(columns) > WIDEST:
            columns = np.random.RandomState(0).choice(columns, size=WIDEST, replace=False)
        object.__setattr__(self, "columns", columns)

    def __call__(self, blocks: Int[np.ndarray, "block token"]) -> Float[np.ndarray, "block token feature"]:
        arch, slots = self.model.arch, [Slot(0, t, t) for t in range(BLOCK - 1)]
        windows = [
            window for block in blocks for window in exact_windows(block, slots, self.start, BLOCK, causal=arch.causal)
        ]
        states = slot_states(self.model, windows, self.layer)[:, self.columns]
        return states.reshape(len(blocks), BLOCK - 1, -1)

    def batches(self, blocks: Int[np.ndarray, "block token"]) -> Iterator[Batches]:
        """Stacks of whole batches, a last short one by itself."""
        for begin in range(0, len(blocks), HELD):
            part = blocks[begin : begin + HELD]
            features, following = self(part), part[:, 1:]
            whole = len(part) // BATCH * BATCH
            for here, size in ((slice(whole), BATCH), (slice(whole, None), len(part) - whole)):
                if len(part[here]):
                    yield tuple(a[here].reshape(-1, size, *a.shape[1:]) for a in (features, following))


def _train(
    decoder: Decoder,
    read: _Features,
    blocks: dict[str, Int[np.ndarray, "block token"]],
    epochs: int,
    rate: float,
    threshold: float,
    seed: int,
    reporter: Reporter,
) -> tuple[Decoder, list[float], list[float]]:
    """Train until validation no longer gains: (decoder, training loss and validation perplexity of each epoch)."""
    train, rng = blocks["training"], np.random.RandomState(seed)
    carry, steps = trainer(decoder, rate, epochs * -(-len(train) // BATCH))
    train_loss, perplexities = [], []
    with reporter.phase("training", epochs) as step:
        for _ in range(epochs):
            total = 0.0
            for batches in read.batches(train[rng.permutation(len(train))]):
                carry, found = steps(carry, batches)
                total += float(found.sum()) * batches[0].shape[1]
            train_loss.append(total / len(train))
            perplexities.append(float(np.exp(_evaluate(carry[0], read, blocks["validation"]))))
            step(1)
            if len(perplexities) > 1 and not perplexities[-1] < perplexities[-2] - threshold:
                break
    return carry[0], train_loss, perplexities


def _evaluate(decoder: Decoder, read: _Features, blocks: Int[np.ndarray, "block token"]) -> float:
    """Mean loss of a text, in nats a token."""
    total = sum(float(losses(decoder, batches).sum()) * batches[0].shape[1] for batches in read.batches(blocks))
    return total / len(blocks)
