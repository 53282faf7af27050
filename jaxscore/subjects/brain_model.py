"""BrainModel, the interface of the 2021 pipeline to a candidate: look at stimuli while a region is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from jaxscore.data.assemblies import with_multiindex
from jaxscore.errors import DataError, JaxscoreError, ModelError, did_you_mean
from jaxscore.models import LanguageModel, StaticModel
from jaxscore.subjects.extractor import ActivationsExtractor
from jaxscore.subjects.stimulus_set import Streams

if TYPE_CHECKING:
    import xarray as xr

Stimuli = pd.DataFrame | str | Sequence[str]


class BrainModel:
    """One of jaxscore's models as a brain to record from.

    Calling it gives the activations of layers, `look_at` those of the region that is recorded, or what the task asks
    for. Every stimulus set is one stream of sentences, see `ActivationsExtractor`.

    Args:
        model: what `jaxscore.load_model` takes, or what it gives; or an extractor, with its hooks.
        region_layer_map: the layer or layers of each region. None: the last layer is the language system, whole, left
            and right.
        identifier: the coordinate `model`; None: the model's name; False: that, and nothing is kept on disk.
        visual_degrees: what `visual_degrees()` answers.
        options: of `ActivationsExtractor`.

    Raises:
        JaxscoreError: for a layer that the model does not have.
    """

    class Task:
        """What a model can do."""

        passive = "passive"
        reading_times = "reading_times"
        next_word = "next_word"

    class RecordingTarget:
        """What can be recorded from where no regions are given."""

        language_system = "language_system"
        language_system_left_hemisphere = "language_system_left_hemisphere"
        language_system_right_hemisphere = "language_system_right_hemisphere"

    def __init__(
        self,
        model: str | Path | LanguageModel | StaticModel | ActivationsExtractor,
        region_layer_map: Mapping[str, str | Sequence[str]] | None = None,
        *,
        identifier: str | Literal[False] | None = None,
        visual_degrees: int = 8,
        **options: Any,
    ) -> None:
        given = isinstance(model, ActivationsExtractor)
        if given and (options or identifier is not None):
            raise JaxscoreError(f"{', '.join(options) or 'identifier'}: the extractor has its own", "Leave it out.")
        self.extractor = model if given else ActivationsExtractor(model, identifier=identifier, **options)
        if region_layer_map is None:
            targets = [name for name in vars(self.RecordingTarget).values() if str(name).startswith("language_system")]
            region_layer_map = dict.fromkeys(targets, self.extractor.model.layer_names[-1])
        if not isinstance(region_layer_map, Mapping) or not region_layer_map:
            what = "is empty" if isinstance(region_layer_map, Mapping) else f"is {region_layer_map!r}: no mapping"
            raise JaxscoreError(f"region_layer_map {what}", "Give {'language_system': layer}, or leave it out.")
        self._regions = {region: list(self.extractor.layers(layers)) for region, layers in region_layer_map.items()}
        self._visual_degrees = visual_degrees
        self._target: str | None = None
        self._time_bins: list[tuple[float, float]] | None = None
        self._task: str | None = None
        self.extractor.insert_attrs(self)

    @property
    def identifier(self) -> str:
        """What the model is called."""
        return self.extractor.identifier

    def visual_degrees(self) -> int:
        """Width of the visual field in degrees, which text does not have: as it was given."""
        return self._visual_degrees

    def __call__(
        self,
        stimuli: Stimuli,
        layers: str | Sequence[str] | None = None,
        average_sentence: bool = True,
        stimuli_identifier: str | Literal[False] | None = None,
    ) -> xr.DataArray:
        """Activations [presentation, neuroid].

        Args:
            stimuli: a stimulus set with the column `sentence`, a list of sentences, or one.
            layers: see `ActivationsExtractor`; None: those of the region that is recorded, all if there is none.
            average_sentence: one presentation a sentence; if not, one a word.
            stimuli_identifier: see `ActivationsExtractor`.

        Raises:
            DataError: for stimuli that are none of these, or hold anything but text with a word in it.
            JaxscoreError: for an unknown layer.
        """
        return self.extractor(stimuli, self._layers(layers), stimuli_identifier, average_sentence)

    def from_streams(
        self,
        stimulus_sets: Sequence[pd.DataFrame],
        layers: str | Sequence[str] | None = None,
        average_sentence: bool = True,
    ) -> xr.DataArray:
        """What calling the model with each stimulus set gives, joined along presentation, from one pass."""
        return self.extractor.from_streams(stimulus_sets, self._layers(layers), average_sentence=average_sentence)

    def start_recording(self, recording_target: str, time_bins: Sequence[tuple[float, float]] | None = None) -> None:
        """Choose the region whose activations `look_at` gives, in place of a task other than passive.

        Args:
            recording_target: a region: see `RecordingTarget` and `region_layer_map`.
            time_bins: (start, end) of each bin in ms, in any order; None: no dimension of time.

        Raises:
            JaxscoreError: for an unknown region, or bins that overlap, are reversed or are no pairs of numbers.
        """
        if not isinstance(recording_target, str) or recording_target not in self._regions:
            raise JaxscoreError(
                f"Unknown recording target {recording_target!r}. "
                f"{did_you_mean(str(recording_target), self._regions)}".strip(),
                f"Choose from: {', '.join(self._regions)}.",
            )
        self._time_bins = None if time_bins is None else _checked_bins(time_bins)
        self._target = recording_target
        self._task = None if self._task != self.Task.passive else self._task

    def start_task(self, task: str, fitting_stimuli: None = None) -> None:
        """Choose what `look_at` gives instead of activations.

        Args:
            task: "passive" (nothing: what is recorded), "reading_times" (surprisal of each stimulus in bits) or
                "next_word" (the likeliest next token after each stimulus).
            fitting_stimuli: for the interface: none of the tasks is fitted.

        Raises:
            JaxscoreError: for an unknown task, or stimuli to fit it to.
            ModelError: if the model predicts no words.
        """
        known = [name for name in vars(self.Task) if not name.startswith("_")]
        if task not in known:
            raise JaxscoreError(
                f"Unknown task {task!r}. {did_you_mean(str(task), known)}".strip(), f"Choose from: {', '.join(known)}."
            )
        if fitting_stimuli is not None:
            raise JaxscoreError(f"The task {task} is not fitted to stimuli", "Leave out fitting_stimuli.")
        if task != self.Task.passive:
            self._check_predicts(task)
        self._task = task

    def look_at(self, stimuli: Stimuli, number_of_trials: int = 1) -> xr.DataArray:
        """Present stimuli, as one stream of sentences.

        Args:
            stimuli: as for a call.
            number_of_trials: trials of a model are all alike, so that there is one presentation whatever their number.

        Returns:
            Of a recording: [presentation, neuroid] as from a call, with the coordinate `region`; with time bins
            [presentation, neuroid, time_bin] with time_bin_start and time_bin_end: a text has no time course in the
            model, the response is the same in every bin. Of a task: [presentation].

        Raises:
            JaxscoreError: if neither a recording nor a task was started, or for a number of trials under 1.
            DataError: as for a call.
        """
        if isinstance(number_of_trials, bool) or not isinstance(number_of_trials, Integral) or number_of_trials < 1:
            raise JaxscoreError(f"number_of_trials is {number_of_trials!r}", "Give a whole number of 1 or more.")
        if self._task not in (None, self.Task.passive):
            return self._behave(stimuli)
        if self._target is None:
            what = "the task passive gives nothing" if self._task else "neither a recording nor a task was started"
            raise JaxscoreError(
                f"There is nothing to give: {what}", f"Call start_recording({next(iter(self._regions))!r}) before."
            )
        found = self.extractor(stimuli, self._regions[self._target])
        region = np.full(found.sizes["neuroid"], self._target, object)
        found = with_multiindex(found.reset_index("neuroid").assign_coords(region=("neuroid", region)))
        if self._time_bins is None:
            return found
        starts, ends = zip(*self._time_bins, strict=True)
        binned = found.expand_dims(time_bin=len(starts), axis=2).copy()  # a view of one bin until then
        return with_multiindex(
            binned.assign_coords(time_bin_start=("time_bin", list(starts)), time_bin_end=("time_bin", list(ends)))
        )

    def _layers(self, asked: str | Sequence[str] | None) -> str | Sequence[str] | None:
        return self._regions[self._target] if asked is None and self._target else asked

    def _check_predicts(self, task: str) -> None:
        """Raise ModelError if the model predicts no words."""
        from jaxscore.extract.passes import check_head

        model = self.extractor.model
        if not isinstance(model, LanguageModel):
            raise ModelError(f"{model.name} predicts nothing: no {task}", "Choose a causal language model like gpt2.")
        check_head(model.arch)

    def _behave(self, stimuli: Stimuli) -> xr.DataArray:
        """What the task asks for, of every stimulus."""
        import xarray as xr

        table = isinstance(stimuli, pd.DataFrame)
        streams = self.extractor.streams([stimuli]) if table else Streams.of_texts(stimuli)
        behave = _reading_times if self._task == self.Task.reading_times else _next_words
        values = behave(self.extractor, streams)
        return with_multiindex(xr.DataArray(values, streams.coords("stimulus"), ("presentation",)))


def _reading_times(extractor: ActivationsExtractor, streams: Streams) -> np.ndarray:
    """Bits of each sentence [presentation]; NaN where nothing stands before its first token."""
    from jaxscore.extract.reader import surprisal

    reading = replace(extractor.reading, unit="stimulus")
    found = surprisal(extractor.model, streams.sentences, streams.contexts, ids=streams.ids, reading=reading)
    return found["surprisal"].values


def _next_words(extractor: ActivationsExtractor, streams: Streams) -> np.ndarray:
    """The likeliest token after each sentence [presentation], as the tokenizer writes it, spaces included."""
    from jaxscore.behaviour.likeliest import likeliest, slot_states
    from jaxscore.extract.activations import Request, read_for

    model, reading = extractor.model, replace(extractor.reading, unit="stimulus")
    reads = read_for(model, Request(streams.sentences, streams.ids, streams.contexts, reading, "last"))
    transformer = model.transformer(head=True)
    tokens = likeliest(transformer, slot_states(transformer, reads.windows, model.arch.layers))
    order = np.argsort([slot.stimulus for window in reads.windows for slot in window.slots])
    return np.array([model.tokenizer.decode([token]) for token in tokens[order].tolist()], object)


def _checked_bins(bins: Any) -> list[tuple[float, float]]:
    """Pairs of (start, end), start < end, that do not overlap."""
    hint = "Give pairs of ms that do not overlap: [(0, 100), (100, 200)]."
    listed = list(bins) if isinstance(bins, Sequence | np.ndarray) and not isinstance(bins, str) else []
    if not listed:
        raise DataError(f"time_bins is {bins!r}: no bins", hint)
    for each in listed:
        pair = isinstance(each, Sequence | np.ndarray) and not isinstance(each, str) and len(each) == 2
        if not pair or not all(isinstance(x, Real) and np.isfinite(x) for x in each):
            raise DataError(f"Time bin {each!r} is no pair of numbers", hint)
        if each[0] >= each[1]:
            raise DataError(f"Time bin {tuple(each)} ends before it has begun", hint)
    ordered = sorted(map(tuple, listed))
    for before, after in pairwise(ordered):
        if after[0] < before[1]:
            raise DataError(f"Time bins {before} and {after} overlap", hint)
    return list(map(tuple, listed))
