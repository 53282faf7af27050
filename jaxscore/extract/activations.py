"""Activations of a model for stimuli: from the cache, or tokenised, loaded and extracted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxscore import __version__
from jaxscore.contexts.reading import Reading, Reads, read
from jaxscore.errors import ModelError
from jaxscore.extract.cache import activations_path, read_activations, write_activations
from jaxscore.models import LanguageModel
from jaxscore.models.static import StaticModel
from jaxscore.progress import Reporter
from jaxscore.provenance import content_key


@dataclass(frozen=True)
class Request:
    """What is to be read.

    Attributes:
        stimuli: one text each.
        ids: their ids.
        contexts: the context of each stimulus, as a label.
        reading: protocol, window, what may be seen; stimuli are what is presented.
        pooling: see `jaxscore.extract.passes.extract`; None asks for surprisal instead of states.
    """

    stimuli: Sequence[str]
    ids: Sequence[str]
    contexts: Sequence[str]
    reading: Reading
    pooling: str | None


@dataclass(frozen=True)
class Activations:
    """States of stimuli, and how they were read.

    Attributes:
        states: of each layer [stimulus, feature]; layers may differ in width. Surprisal in bits is one "layer" of one
            feature.
        notes: for the record: protocol, windows, start tokens, ...
    """

    states: list[Float[np.ndarray, "stimulus feature"]]
    notes: dict[str, Any] = field(default_factory=dict)


def activations(
    model: LanguageModel | StaticModel,
    request: Request,
    layers: Sequence[int],
    *,
    batch_size: int | None = None,
    tensor: int | None = None,
    reporter: Reporter | None = None,
) -> Activations:
    """Pooled states of the chosen layers, or surprisal.

    Args:
        model: a language model, whose weights are loaded only if the cache has no answer, or a static one.
        request: what is to be read.
        layers: indices of states, in the order of `model.state_names`.
        batch_size: texts in a batch; by default chosen for the device.
        tensor: devices that share the weights; by default as few as they fit on.
        reporter: receives the phases.
    """
    reporter = reporter or Reporter()
    if request.pooling is None:
        return _surprisal(model, request, batch_size, tensor, reporter)
    if not isinstance(model, LanguageModel):
        with reporter.phase("extraction", len(request.ids)):
            return looked_up(model, request, layers)
    about = {
        "jaxscore": __version__,
        "model": model.fingerprint,
        "dtype": model.dtype,
        "pooling": request.pooling,
        "reading": asdict(request.reading),
    }
    what = {"stimuli": list(request.stimuli), "contexts": list(map(str, request.contexts))}
    path = activations_path(content_key(about | what))
    found = read_activations(path, list(layers))
    if found is None:
        states, notes = _extract(model, request, batch_size, tensor, reporter)
        with suppress(OSError):  # a cache: if the disk refuses, the next run extracts again
            write_activations(path, states, notes, {key: str(value) for key, value in about.items()})
        found = states[list(layers)], notes
    return Activations(trimmed(model, found[0], layers), found[1])


def looked_up(model: StaticModel, request: Request, layers: Sequence[int]) -> Activations:
    """Features of a model without a network."""
    states = model.features(request.stimuli, request.ids, request.contexts, pooling=request.pooling)
    return Activations([states[layer] for layer in layers], model.describe())


def trimmed(
    model: LanguageModel, states: Float[np.ndarray, "layer stimulus feature"], layers: Sequence[int]
) -> list[Float[np.ndarray, "stimulus feature"]]:
    """The features that each layer has."""
    widths = model.arch.widths
    return [own[:, : widths[layer]] for own, layer in zip(states, layers, strict=True)]


def _surprisal(
    model: LanguageModel | StaticModel,
    request: Request,
    batch_size: int | None,
    tensor: int | None,
    reporter: Reporter,
) -> Activations:
    """Bits of each stimulus [stimulus, 1]."""
    from jaxscore.extract.reader import surprisal

    found = surprisal(
        model, request.stimuli, request.contexts, ids=request.ids, reading=request.reading, batch_size=batch_size,
        tensor=tensor, reporter=reporter,
    )  # fmt: skip
    return Activations([found["surprisal"].values[:, None]], json.loads(found.attrs["reading"]))


def _extract(
    model: LanguageModel, request: Request, batch_size: int | None, tensor: int | None, reporter: Reporter
) -> tuple[Float[np.ndarray, "layer stimulus feature"], dict[str, Any]]:
    """All layers; the host tokenises while weights are read."""
    from jaxscore.extract.passes import extract

    with ThreadPoolExecutor(1) as pool, reporter.phase("load", model.weight_bytes() or None) as step:
        loading = pool.submit(model.transformer, step)
        reads = read_for(model, request)
        transformer = loading.result()
    with reporter.phase("extraction", len(request.ids)) as step:
        everything = range(len(model.arch.widths))
        found = extract(
            transformer, reads.windows, everything, pooling=request.pooling, batch_size=batch_size, step=step,
            tensor=tensor,
        )  # fmt: skip
    return found.states, reads.notes


def read_for(model: LanguageModel, request: Request) -> Reads:
    """Windows for a model.

    Raises:
        ModelError: if tokenizer and weights do not belong together, or the pooling is none for the model.
    """
    reads = read(
        model.tokenizer, request.stimuli, request.ids, request.contexts, request.reading,
        causal=model.arch.causal, limit=model.arch.positions,
    )  # fmt: skip
    pooling = request.pooling
    largest = max(int(window.tokens.max()) for window in reads.windows)
    if largest >= model.arch.vocabulary:  # an index beyond an array would silently give its last row
        raise ModelError(
            f"{model.name}: the tokenizer gives token {largest}, the embedding has {model.arch.vocabulary} rows",
            "Check that tokenizer.json and the weights belong together.",
        )
    if pooling == "cls" and (model.arch.causal or not reads.start):
        why = "the first token of a causal model has read nothing" if model.arch.causal else "there is no start token"
        raise ModelError(f"Pooling cls with {model.name}: {why}", "Use last, mean, sum or first.")
    return reads
