"""The activations extractor of the 2021 pipeline over jaxscore's own models: hooks, a cache, labelled assemblies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from jaxscore import __version__
from jaxscore.contexts.reading import Reading
from jaxscore.data.assemblies import with_multiindex
from jaxscore.errors import DataError, JaxscoreError
from jaxscore.extract.reduction import reduce_features
from jaxscore.models import LanguageModel, StaticModel, load_model
from jaxscore.options import choose_layers
from jaxscore.progress import Reporter
from jaxscore.subjects.hook_handle import HookHandle, hooked
from jaxscore.subjects.resident import resident
from jaxscore.subjects.stimulus_set import StimulusSet, Streams, name_of

if TYPE_CHECKING:
    import xarray as xr

READING = Reading()
States = dict[str, Float[np.ndarray, "presentation neuroid"]]


class ActivationsExtractor:
    """Activations of a model as assemblies [presentation, neuroid].

    Every stimulus set is one coherent stream: its sentences are read after each other, as the 2021 pipeline chains
    them, and no set knows of another. All layers come from one pass. A sentence is its last word for a language model
    and the mean over its words for word embeddings; without averaging every white-space word is a presentation.

    Stimulus hooks (StimulusSet -> StimulusSet) come before anything is read. Activation hooks ({layer: states
    [presentation, neuroid]} -> the same, of any width) come after it, a stream at a time; unlike in the pipeline the
    words of a sentence are pooled by then.

    States are kept on disk by content: the weights, the texts, how they stand together and how they are read, so that
    no name can stand for other stimuli. What activation hooks make of them is not kept.

    Args:
        model: what `jaxscore.load_model` takes, or what it gives.
        identifier: the coordinate `model`; None: the model's name; False: that, and nothing is kept on disk.
        reading: protocol and window; what is presented is chosen in each call.
        batch_size: texts in a batch; chosen for the device by default.
        tensor: devices that share the weights; as few as they fit on by default.
        reporter: receives the phases.
        options: of `jaxscore.load_model`, for a name: `untrained`, `seed`, `dtype`, `offline`.
    """

    def __init__(
        self,
        model: str | Path | LanguageModel | StaticModel,
        *,
        identifier: str | Literal[False] | None = None,
        reading: Reading = READING,
        batch_size: int | None = None,
        tensor: int | None = None,
        reporter: Reporter | None = None,
        **options: Any,
    ) -> None:
        if options and not isinstance(model, str | Path):
            raise JaxscoreError(f"{', '.join(options)}: the model is loaded already", "Give them to load_model.")
        model = load_model(model, **options) if isinstance(model, str | Path) else model
        if not isinstance(model, LanguageModel | StaticModel):
            raise JaxscoreError(f"{model!r} is no model", "Give a name, a folder, or what jaxscore.load_model gives.")
        self.model = resident(model)
        self.identifier = identifier or self.model.name
        self.reading = reading
        self._keep = identifier is not False
        self._how = {"batch_size": batch_size, "tensor": tensor, "reporter": reporter or Reporter()}
        self._stimulus_set_hooks: list[HookHandle] = []
        self._activations_hooks: list[HookHandle] = []

    def __call__(
        self,
        stimuli: pd.DataFrame | str | Sequence[str],
        layers: str | Sequence[str] | None,
        stimuli_identifier: str | Literal[False] | None = None,
        average_sentence: bool = True,
    ) -> xr.DataArray:
        """Activations for a stimulus set or for sentences: see `from_stimulus_set` and `from_sentences`."""
        read = self.from_stimulus_set if isinstance(stimuli, pd.DataFrame) else self.from_sentences
        return read(stimuli, layers, stimuli_identifier, average_sentence)

    def from_stimulus_set(
        self,
        stimulus_set: pd.DataFrame,
        layers: str | Sequence[str] | None,
        stimuli_identifier: str | Literal[False] | None = None,
        average_sentence: bool = True,
    ) -> xr.DataArray:
        """Activations for the column `sentence` of a table, as one stream.

        Args:
            stimulus_set: a row a sentence, in the order of reading.
            layers: names of the 2021 pipeline ("drop", "encoder.h.0", ...), as `jaxscore.load_model(...).layer_names`
                and `layer_aliases` have them, numbers or ranges, in the order wanted; None: all hidden states.
            stimuli_identifier: name for the attributes; None: that of the set; False: keep nothing on disk.
            average_sentence: one presentation a sentence; if not, one a word.

        Returns:
            An assembly with MultiIndexes: stimulus_sentence, sentence_num (or word) and every column of the set on
            presentation; neuroid_num, neuroid_id ("model.layer.num"), model and layer on neuroid. A column that has
            the name of one of these is left out.

        Raises:
            JaxscoreError: for an unknown layer.
            DataError: for a table without sentences, or an item that is not text.
        """
        named = name_of(stimulus_set) if stimuli_identifier is None else stimuli_identifier
        return self.from_streams([stimulus_set], layers, named, average_sentence)

    def from_streams(
        self,
        stimulus_sets: Sequence[pd.DataFrame],
        layers: str | Sequence[str] | None,
        stimuli_identifier: str | Literal[False] | None = None,
        average_sentence: bool = True,
    ) -> xr.DataArray:
        """What `from_stimulus_set` gives for each set, joined along presentation, from one pass over all."""
        return self._read(self.streams(stimulus_sets), layers, stimuli_identifier, average_sentence)

    def from_sentences(
        self,
        sentences: str | Sequence[str],
        layers: str | Sequence[str] | None,
        stimuli_identifier: str | Literal[False] | None = None,
        average_sentence: bool = True,
    ) -> xr.DataArray:
        """Activations for sentences, as one stream; stimulus hooks are for stimulus sets and see nothing of them."""
        return self._read(Streams.of_texts(sentences), layers, stimuli_identifier, average_sentence)

    def streams(self, stimulus_sets: Sequence[pd.DataFrame]) -> Streams:
        """What is read for stimulus sets: their sentences after the stimulus hooks, a stream each."""
        if not stimulus_sets:
            raise DataError("There are no stimuli", "Give one sentence at least.")
        sets = [hooked(self._stimulus_set_hooks, StimulusSet(each)) for each in stimulus_sets]
        for each in sets:
            if not isinstance(each, pd.DataFrame):
                raise DataError(f"A stimulus hook gave {type(each).__name__}", "It has to return a StimulusSet.")
        return Streams.of_sets(sets)

    def register_stimulus_set_hook(self, hook: Callable[[StimulusSet], pd.DataFrame]) -> HookHandle:
        """Have a function change each stimulus set before it is read; gives a handle to remove or disable it."""
        return HookHandle(self._stimulus_set_hooks, hook)

    def register_activations_hook(self, hook: Callable[[States], Mapping[str, np.ndarray]]) -> HookHandle:
        """Have a function change {layer: [presentation, neuroid]} of each stream; gives a handle, as above."""
        return HookHandle(self._activations_hooks, hook)

    def reset(self) -> None:
        """End a stream of sentences. Each call ends its own, so that there is nothing to forget."""

    def insert_attrs(self, wrapper: Any) -> None:
        """Give a wrapper the extractor's methods under their own names, as the pipeline's models have them."""
        for name in (
            "from_stimulus_set", "from_sentences", "register_activations_hook", "register_stimulus_set_hook",
        ):  # fmt: skip
            setattr(wrapper, name, getattr(self, name))

    def layers(self, asked: str | Sequence[str] | None) -> dict[str, int]:
        """States that are asked for, by name, in the order asked: see `from_stimulus_set`."""
        known = {name: i for i, name in enumerate(self.model.state_names)} | self.model.layer_aliases
        if asked is None:
            return {name: known[name] for name in self.model.layer_names}
        items = str(asked).split(",") if isinstance(asked, str | Integral) else [str(item) for item in asked]
        found = {}
        for item in map(str.strip, items or [""]):
            chosen = choose_layers(item, self.model.layer_names, self.model.layer_aliases)
            found |= {item if item in known else self.model.state_names[i]: i for i in chosen}
        return found

    def _read(
        self,
        streams: Streams,
        layers: str | Sequence[str] | None,
        stimuli_identifier: str | Literal[False] | None,
        average_sentence: bool,
    ) -> xr.DataArray:
        """Read, hook and package."""
        unit = "stimulus" if average_sentence else "word"
        chosen = self.layers(layers)
        indices = sorted(set(chosen.values()))
        found, notes = self._states(streams, indices, unit, keep=self._keep and stimuli_identifier is not False)
        states = {name: found[indices.index(i)] for name, i in chosen.items()}
        coords = streams.coords(unit)
        if any(handle.enabled for handle in self._activations_hooks):
            states = self._hooked(states, streams, unit)
        attrs = {"jaxscore": __version__, "fingerprint": self.model.fingerprint, "reading": notes}
        return self._package(states, coords, attrs | {"stimuli": stimuli_identifier or ""})

    def _states(
        self, streams: Streams, indices: list[int], unit: Literal["stimulus", "word"], *, keep: bool
    ) -> tuple[list[Float[np.ndarray, "presentation neuroid"]], str]:
        """States from the cache or from one pass, and notes on the reading in JSON."""
        from jaxscore.extract import activations as cached
        from jaxscore.extract import reader

        reading, ids, model = replace(self.reading, unit=unit), streams.ids, self.model
        if keep and isinstance(model, LanguageModel):
            request = cached.Request(streams.sentences, ids, streams.contexts, reading, "last")
            found = cached.activations(model, request, indices, **self._how)
            return found.states, json.dumps(found.notes, ensure_ascii=False)
        names = ",".join(model.state_names[i] for i in indices)
        read = reader.activations(
            model, streams.sentences, streams.contexts, ids=ids, layers=names, reading=reading, **self._how
        )
        states = read["activations"].values
        own = cached.trimmed(model, states, indices) if isinstance(model, LanguageModel) else list(states)
        return own, read.attrs["reading"]

    def _hooked(self, states: States, streams: Streams, unit: str) -> States:
        """States after the activation hooks, each stream by itself."""
        numbers = np.array(streams.numbers)
        if unit == "word":
            numbers = np.repeat(numbers, [len(text.split()) for text in streams.sentences])
        parts = []
        for number in range(numbers[-1] + 1):
            rows = numbers == number
            found = hooked(self._activations_hooks, {name: values[rows] for name, values in states.items()})
            parts.append(_hook_result(found, int(rows.sum())))
        try:
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        except (KeyError, ValueError) as error:
            raise DataError(
                f"An activations hook gave different layers or widths for different streams: {error}",
                "It has to do the same to all.",
            ) from None

    def _package(self, states: States, coords: dict[str, Any], attrs: dict[str, str]) -> xr.DataArray:
        """One assembly of all layers."""
        import xarray as xr

        numbers = np.concatenate([np.arange(values.shape[1]) for values in states.values()])
        layer = np.repeat(list(states), [values.shape[1] for values in states.values()])
        neuroids = {
            "neuroid_num": numbers,
            "neuroid_id": [f"{self.identifier}.{name}.{number}" for name, number in zip(layer, numbers, strict=True)],
            "model": [self.identifier] * len(numbers),
            "layer": layer,
        }
        coords |= {name: ("neuroid", values) for name, values in neuroids.items()}
        values = np.concatenate(list(states.values()), axis=1)
        return with_multiindex(xr.DataArray(values, coords, ("presentation", "neuroid"), attrs=attrs))


@dataclass(frozen=True)
class Subsample:
    """An activation hook that keeps some neuroids of every layer, the same in layers of one width.

    Attributes:
        features: how many are kept.
        seed: of the choice.
    """

    features: int
    seed: int = 0

    def __call__(self, states: States) -> States:
        """The kept neuroids of each layer, in their order; DataError if a layer has fewer."""
        how = f"subsample:{self.features}"
        return {name: reduce_features(values[None], how, self.seed)[0] for name, values in states.items()}


def _hook_result(found: Any, presentations: int) -> States:
    """What an activations hook gave; DataError unless it is {layer: [presentation, neuroid]}."""
    hint = "It has to return {layer: array [presentation, neuroid]}."
    if not isinstance(found, Mapping) or not found:
        raise DataError(f"An activations hook gave {type(found).__name__}: no layers", hint)
    states = {name: np.asarray(values) for name, values in found.items()}
    for name, values in states.items():
        if values.ndim != 2 or len(values) != presentations:
            message = f"An activations hook gave {name} the shape {values.shape} for {presentations} presentations"
            raise DataError(message, hint)
    return states
