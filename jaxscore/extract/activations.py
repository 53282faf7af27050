"""Activations of a model for the stimuli of a benchmark: from the cache, or tokenised, loaded and extracted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import xarray as xr
from jaxtyping import Float

from jaxscore import __version__
from jaxscore.cards import Card
from jaxscore.contexts.alignment import start_tokens, tokenise
from jaxscore.contexts.windows import group_stimuli, make_windows
from jaxscore.errors import ModelError
from jaxscore.extract.cache import activations_path, read_activations, write_activations
from jaxscore.extract.passes import extract
from jaxscore.models import LanguageModel
from jaxscore.progress import Reporter
from jaxscore.provenance import content_key


def activations(
    model: LanguageModel,
    card: Card,
    bos: str,
    assembly: xr.DataArray,
    contexts: np.ndarray,
    layers: Sequence[int],
    *,
    batch_size: int | None,
    reporter: Reporter,
) -> tuple[Float[np.ndarray, "layer stimulus feature"], list[int]]:
    """Hidden states of the chosen layers, and the start tokens of each context.

    Args:
        model: the language model; its weights are loaded only if the cache has no answer.
        card: pooling and window.
        bos: "auto", "never" or "always".
        assembly: the stimuli, as coordinates of presentation.
        contexts: the context of each stimulus, as a label.
        layers: indices of hidden states.
        batch_size: texts in a batch; by default chosen for the device.
        reporter: receives the phases.
    """
    sentences, ids = assembly["sentence"].values.tolist(), assembly["stimulus_id"].values.astype(str).tolist()
    start = start_tokens(model.tokenizer, bos)
    about = {
        "jaxscore": __version__,
        "model": model.fingerprint,
        "dtype": model.dtype,
        "pooling": card.pooling,
        "window": min(card.context.window, model.arch.positions),
    }
    content = about | {"start": start, "sentences": sentences, "contexts": contexts.tolist()}
    path = activations_path(content_key(content))
    if (states := read_activations(path, list(layers))) is not None:
        return states, start
    with reporter.phase("tokenise"):
        tokens = tokenise(model.tokenizer, sentences, ids)
        largest = max([*start, *(int(stimulus.ids.max()) for stimulus in tokens)])
        if largest >= model.arch.vocabulary:  # an index beyond an array would silently give its last row
            raise ModelError(
                f"{model.name}: the tokenizer gives token {largest}, the embedding has {model.arch.vocabulary} rows",
                "Check that tokenizer.json and the weights belong together.",
            )
        groups = group_stimuli(contexts.tolist())
        windows = make_windows(groups, tokens, start, causal=model.arch.causal, limit=about["window"])
    with reporter.phase("load", model.weight_bytes() or None) as step:
        transformer = model.transformer(step)
    everything = range(model.arch.layers + 1)
    with reporter.phase("extraction", len(ids)) as step:
        states = extract(transformer, windows, everything, pooling=card.pooling, batch_size=batch_size, step=step)
    with suppress(OSError):  # a cache: if the disk refuses, the next run extracts again
        write_activations(path, states, {key: str(value) for key, value in about.items()})
    return states[list(layers)], start
