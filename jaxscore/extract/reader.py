"""Activations and surprisal of a person's own texts: stimuli in, one labelled dataset out, from one pass."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from jaxscore import __version__
from jaxscore.contexts.encoding import check_texts
from jaxscore.contexts.presentations import present
from jaxscore.contexts.reading import Reading
from jaxscore.errors import DataError, ModelError
from jaxscore.models import LanguageModel, StaticModel, load_model
from jaxscore.options import Options, check_batch_size, check_static, choose_layers
from jaxscore.progress import Reporter

if TYPE_CHECKING:
    import xarray as xr

    from jaxscore.extract.passes import Extracted

READING = Reading()


def activations(
    model: str | Path | LanguageModel | StaticModel,
    stimuli: Sequence[str],
    contexts: Sequence[object] | None = None,
    *,
    ids: Sequence[object] | None = None,
    layers: str | None = None,
    pooling: str | None = None,
    reading: Reading = READING,
    surprisal: bool = False,
    batch_size: int | None = None,
    tensor: int | None = None,
    dtype: str = "float32",
    untrained: bool = False,
    seed: int = 0,
    offline: bool = False,
    reporter: Reporter | None = None,
) -> xr.Dataset:
    """Activations of a model for texts, and their surprisal from the same pass.

    Args:
        model: what `jaxscore.load_model` takes, or what it gives (whose own `dtype`, `untrained` and `seed` then hold).
        stimuli: one text each.
        contexts: a label for each stimulus: stimuli of one label are read after each other, in their order. None: every
            stimulus is read by itself.
        ids: a name for each stimulus; "1", "2", ... by default.
        layers: names, numbers and ranges, comma-separated ("drop,3,5-8"); all by default, "" for none (only surprisal).
        pooling: "last", "mean", "sum", "first" or "cls", see `jaxscore.score`; by default "last", and for word
            embeddings "mean".
        reading: protocol, window, start tokens; `Reading(unit="word")` presents each word of each stimulus.
        surprisal: also -log2 p(token | text so far), summed over the tokens of each presentation. NaN where a text
            begins with the presentation and no start token: nothing predicts its first token; NaN also where its first
            token lies left of the window that it is read in. Only of causal models.
        batch_size: texts in a batch; chosen for the device by default.
        tensor: devices that share the weights of the model; by default as few as they fit on.
        dtype: of the weights: "float32", "bfloat16" or "float16".
        untrained: draw the architecture's own initialisation instead of reading the weights.
        seed: of that draw.
        offline: never use the network.
        reporter: receives the phases, for progress bars.

    Returns:
        `activations` [layer, presentation, feature] in float32, NaN beyond the width of a narrower layer; with
        `surprisal` also `surprisal` [presentation] and `token_surprisal` [token] in bits. Coordinates: layer;
        stimulus_id, context, stimulus (the text that is presented) and, for words, word (its place in the stimulus);
        token_presentation, token_id, token_text. Attributes: which model and how it read, `reading` in JSON.

    Raises:
        DataError: for texts, contexts or ids that do not fit, or ids that occur more than once.
        ModelError: for a model that cannot be had or gives no surprisal.
        JaxscoreError: for an unknown layer or pooling, a batch of no texts, or a way of reading that changes nothing in
            a static model.
    """
    Options(pooling=pooling)  # a typing error is found before anything is loaded
    check_batch_size(batch_size)
    reporter = reporter or Reporter()
    texts = _checked(stimuli, ids, contexts)
    shown = texts.presented(reading.unit)
    if isinstance(model, str | Path):
        model = load_model(model, untrained=untrained, seed=seed, dtype=dtype, offline=offline)
    if not isinstance(model, LanguageModel):
        asked = {name: getattr(reading, name) for name in ("protocol", "window", "stride", "bidirectional", "bos")}
        check_static(model.name, asked | {"dtype": dtype}, asdict(READING) | {"dtype": "float32"})
    chosen = [] if layers == "" and surprisal else choose_layers(layers, model.layer_names, model.layer_aliases)
    pooling = pooling or ("last" if isinstance(model, LanguageModel) else model.default_pooling)
    if isinstance(model, LanguageModel):
        found, notes = _run(
            model, texts, np.array(chosen, int), pooling, reading, surprisal, batch_size, tensor, reporter
        )
    else:
        found, notes = _look_up(model, shown, pooling, surprisal, reporter)
    import xarray as xr

    variables, coords = _variables(model, chosen, found)
    return xr.Dataset(variables, coords | shown.coords(), _provenance(model, pooling, notes))


def surprisal(
    model: str | Path | LanguageModel | StaticModel,
    stimuli: Sequence[str],
    contexts: Sequence[object] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Surprisal of texts in bits: `activations` without any layer, of which it takes every other option.

    Args:
        model: a causal language model.
        stimuli: one text each.
        contexts: the context of each, as a label; None: each is read by itself.
        options: `ids`, `reading`, `batch_size`, `dtype`, `untrained`, `seed`, `tensor`, `offline` and `reporter`.

    Returns:
        `surprisal` [presentation] and `token_surprisal` [token], with the coordinates and attributes of `activations`.
    """
    return activations(model, stimuli, contexts, layers="", surprisal=True, **options)


@dataclass(frozen=True)
class _Texts:
    """Stimuli, or what is presented of them, with what belongs to each."""

    stimuli: list[str]
    ids: list[str]
    contexts: list[str]
    words: list[int] | None = None

    def presented(self, unit: str) -> _Texts:
        """What is pooled: each stimulus, or each of its words; raises DataError if that is nothing."""
        found = present(self.stimuli, unit)
        if not found:
            raise DataError("There is nothing to read: no stimulus has a word", "Give one text at least.")
        own = [i for i, *_ in found]
        ids, contexts = ([labels[i] for i in own] for labels in (self.ids, self.contexts))
        words = [word for _, word, _ in found] if unit == "word" else None
        return _Texts([text for *_, text in found], ids, contexts, words)

    def coords(self) -> dict[str, Any]:
        """Coordinates of the presentations."""
        named = {"stimulus_id": self.ids, "context": self.contexts, "stimulus": self.stimuli, "word": self.words}
        return {name: ("presentation", np.array(values)) for name, values in named.items() if values is not None}


def _checked(stimuli: Sequence[str], ids: Sequence[object] | None, contexts: Sequence[object] | None) -> _Texts:
    """Texts, ids and contexts, one of each for every stimulus."""
    if isinstance(stimuli, str):
        raise DataError(f"stimuli is one text, {stimuli[:40]!r}, expected a list of texts", "Write [text].")
    texts = list(stimuli)
    labels = {"ids": ids, "contexts": contexts}
    for name, given in labels.items():
        labels[name] = list(map(str, range(1, len(texts) + 1) if given is None else given))
        if len(labels[name]) != len(texts):
            raise DataError(
                f"{len(labels[name])} {name} for {len(texts)} stimuli", f"Give one for each, or leave {name} out."
            )
    if repeated := [name for name, count in Counter(labels["ids"]).items() if count > 1]:
        from jaxscore.data.assemblies import some

        raise DataError(
            f"{len(repeated)} ids occur more than once: {some(repeated)}", "Every stimulus needs an id of its own."
        )
    check_texts(texts, labels["ids"])
    return _Texts(texts, **labels)


def _run(
    model: LanguageModel,
    texts: _Texts,
    layers: Int[np.ndarray, " layer"],
    pooling: str,
    reading: Reading,
    surprisal: bool,
    batch_size: int | None,
    tensor: int | None,
    reporter: Reporter,
) -> tuple[Extracted, dict[str, Any]]:
    """The pass of a language model over the chosen layers and, for surprisal, its head; notes on the reading."""
    from jaxscore.extract.activations import Request, read_for
    from jaxscore.extract.passes import check_head, extract

    # before the weights: what does not fit is found at once
    if surprisal:
        check_head(model.arch)
    reads = read_for(model, Request(texts.stimuli, texts.ids, texts.contexts, reading, pooling))
    with reporter.phase("load", model.weight_bytes() or None) as step:
        transformer = model.transformer(step, head=surprisal)
    with reporter.phase("extraction", len(reads.presentations)) as step:
        found = extract(
            transformer, reads.windows, layers, pooling=pooling, surprisal=surprisal, batch_size=batch_size, step=step,
            tensor=tensor,
        )  # fmt: skip
    return found, reads.notes


def _look_up(
    model: StaticModel, shown: _Texts, pooling: str, surprisal: bool, reporter: Reporter
) -> tuple[Extracted, dict[str, Any]]:
    """Features of a model without a network, which reads each presentation by itself; notes on it."""
    from jaxscore.extract.passes import Extracted

    if surprisal:
        raise ModelError(
            f"{model.name} gives no surprisal: it predicts nothing", "Choose a causal language model, such as gpt2."
        )
    with reporter.phase("extraction"):
        return Extracted(model.features(shown.stimuli, shown.ids, shown.contexts, pooling=pooling)), model.describe()


def _variables(
    model: LanguageModel | StaticModel, chosen: list[int], found: Extracted
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Data variables, and the coordinates that belong to them alone."""
    variables, coords = {}, {}
    if chosen:
        if isinstance(model, LanguageModel):
            for states, layer in zip(found.states, chosen, strict=True):
                states[:, model.arch.widths[layer] :] = np.nan
        variables["activations"] = (("layer", "presentation", "feature"), found.states)
        coords["layer"] = [model.state_names[layer] for layer in chosen]
    if found.surprisal is not None:
        bits = {"units": "bit", "long_name": "-log2 p(token | text so far)"}
        variables["surprisal"] = ("presentation", found.surprisal, bits)
        variables["token_surprisal"] = ("token", found.token_surprisal, bits)
        presentation, token = found.tokens.T
        coords["token_presentation"] = ("token", presentation)
        coords["token_id"] = ("token", token)
        coords["token_text"] = ("token", np.array(model.tokenizer.convert_ids_to_tokens(token.tolist())))
    return variables, coords


def _provenance(model: LanguageModel | StaticModel, pooling: str, notes: dict[str, Any]) -> dict[str, Any]:
    """Where the numbers come from: text and numbers alone, so that NetCDF takes them."""
    attrs = {
        "jaxscore": __version__,
        "model": model.name,
        "fingerprint": model.fingerprint,
        "dtype": model.dtype,
        "pooling": pooling,
        "reading": json.dumps(notes, ensure_ascii=False),
    }
    if isinstance(model, LanguageModel):
        attrs |= {"source": model.checkpoint.source, "commit": model.checkpoint.commit or ""}
    return attrs | ({"untrained_seed": model.seed} if model.untrained else {})
