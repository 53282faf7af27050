"""ArtificialSubject, the interface of today's platform (brain-score/language 2.3), over any reader of texts.

A text is read in parts, each in the context of those before it; nothing is kept between calls. Source of the semantics:
`HuggingfaceSubject` there, but for its defects: past the window a part is what a full recompute of the truncated text
gives, not what a sliding cache of keys and values does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxscore.errors import DataError, JaxscoreError, did_you_mean
from jaxscore.subjects.packaging import coordinates, data_array, in_order

if TYPE_CHECKING:
    import xarray as xr

    from jaxscore.models import LanguageModel, StaticModel
    from jaxscore.progress import Reporter
    from jaxscore.subjects.digest import Digest, Reader


class ArtificialSubject:
    """A model as a person who reads: recordings of its layers, reading times, next words.

    Args:
        model: what `jaxscore.load_model` takes or gives, or a `Reader`.
        region_layer_mapping: the layer or layers of each recording target, by any name that the model knows
            (`transformer.h.5`, `hidden_states[6]`, `encoder.h.5`, `6`); it is repeated in the coordinate `layer`. None:
            every target is the model's last layer, as today's platform hooks it.
        identifier: what the subject is called; the model's name by default.
        dtype: of the weights, where `model` is a name.
        untrained: draw the weights, where `model` is a name.
        seed: of that draw.
        offline: never use the network.
        reporter: receives the phases, for progress bars.

    Attributes:
        region_layer_mapping: as given.
        neural_recordings: targets and types that are recorded, as they were started.
        behavioral_task: the task that was started last, or None.
    """

    class Task:
        """What a subject can be asked to do."""

        next_word = "next_word"
        reading_times = "reading_times"

    class RecordingTarget:
        """Where one can record."""

        language_system = "language_system"
        language_system_left_hemisphere = "language_system_left_hemisphere"
        language_system_right_hemisphere = "language_system_right_hemisphere"

    class RecordingType:
        """How one can record; a model gives the same states either way."""

        fMRI = "fMRI"  # noqa: N815 - the name there
        ECoG = "ECoG"

    _package = staticmethod(data_array)

    def __init__(
        self,
        model: str | Path | LanguageModel | StaticModel | Reader,
        region_layer_mapping: Mapping[str, str | Sequence[str]] | None = None,
        *,
        identifier: str | None = None,
        dtype: str = "float32",
        untrained: bool = False,
        seed: int = 0,
        offline: bool = False,
        reporter: Reporter | None = None,
    ) -> None:
        if hasattr(model, "digest"):
            self._reader: Reader = model
        else:
            from jaxscore.subjects.model_reader import ModelReader

            self._reader = ModelReader(
                model, dtype=dtype, untrained=untrained, seed=seed, offline=offline, reporter=reporter
            )
        if not isinstance(region_layer_mapping, Mapping | None):
            raise JaxscoreError(
                f"region_layer_mapping is {region_layer_mapping!r}, expected the layers of each recording target",
                "Write {'language_system': LAYER}, or leave it out for the last layer.",
            )
        self._name = identifier or self._reader.name
        self.region_layer_mapping = region_layer_mapping
        self.neural_recordings: list[tuple[str, str]] = []
        self.behavioral_task: str | None = None

    def identifier(self) -> str:
        """What the subject is called."""
        return self._name

    def start_behavioral_task(self, task: str) -> None:
        """Give a value of `Task` for every part of the texts to come; it takes the place of the task before.

        Args:
            task: "reading_times": surprisal in bits, summed over the tokens of each part; "next_word": the likeliest
                token after it, without white space around it.

        Raises:
            JaxscoreError: for an unknown task.
        """
        self.behavioral_task = _known("task", task, self.Task)

    def start_neural_recording(self, recording_target: str, recording_type: str) -> None:
        """Record the layers of a target at the last token of every part of the texts to come, beside what is recorded.

        Args:
            recording_target: a value of `RecordingTarget`, or another region of the mapping.
            recording_type: a value of `RecordingType`.

        Raises:
            JaxscoreError: for an unknown target or type, or a layer that the model does not have; weights are not read.
        """
        regions = self.region_layer_mapping or {}
        if not isinstance(recording_target, str) or recording_target not in regions:
            _known("recording target", recording_target, self.RecordingTarget, regions)
        _known("recording type", recording_type, self.RecordingType)
        self._reader.check(self._layers(recording_target))
        self.neural_recordings.append((recording_target, recording_type))

    def digest_text(self, text: str | Sequence[str]) -> dict[str, xr.DataArray | None]:
        """Read a text in parts, each in the context of those before it; nothing is kept between calls.

        Args:
            text: one part, or a sequence or one-dimensional array of parts.

        Returns:
            "behavior" [presentation] and "neural" [presentation, neuroid], None where it was not asked for. Reading
            times leave out the token that nothing stands before, also where that is because the text was cut to the
            window; they are NaN where the text so far is a single token.

        Raises:
            JaxscoreError: if nothing was started.
            DataError: for what is no text or has no word.
            ModelError: for a model that cannot do the task.
        """
        if not self.neural_recordings and self.behavioral_task is None:
            raise JaxscoreError(
                "digest_text before anything was started: there is nothing to give",
                "Call start_neural_recording(target, type) or start_behavioral_task(task) first.",
            )
        parts = _parts(text)
        recordings = self._recordings()
        task = self.behavioral_task
        digest = self._reader.digest(
            parts,
            list(dict.fromkeys(layer for *_, layer in recordings)),
            surprisal=task == self.Task.reading_times,
            next_words=task == self.Task.next_word,
        )
        return {"behavior": self._behavior(digest, parts), "neural": self._neural(digest, parts, recordings)}

    def _behavior(self, digest: Digest, parts: Sequence[str]) -> xr.DataArray | None:
        if self.behavioral_task is None:
            return None
        if self.behavioral_task == self.Task.next_word:
            values = np.array(digest.next_words)
        else:  # single precision, but for NaN, which comes in double there
            values = np.asarray(digest.surprisal)
            values = values if np.isnan(values).any() else values.astype(np.float32)
        presentation, _ = coordinates(digest, parts)
        return self._package(values, presentation, ["presentation"], kind="behavior")

    def _neural(
        self, digest: Digest, parts: Sequence[str], recordings: Sequence[tuple[str, str, str]]
    ) -> xr.DataArray | None:
        if not recordings:
            return None
        ordered = in_order(digest, recordings)
        values = np.concatenate([digest.states[layer] for *_, layer in ordered], axis=1)
        presentation, neuroid = coordinates(digest, parts, ordered)
        return self._package(values, presentation | neuroid, ["presentation", "neuroid"], kind="neural")

    def _recordings(self) -> list[tuple[str, str, str]]:
        """Region ("target.number"), type and layer of everything that is recorded."""
        return [
            (f"{target}.{number}", kind, layer)
            for target, kind in self.neural_recordings
            for number, layer in enumerate(self._layers(target))
        ]

    def _layers(self, target: str) -> list[str]:
        """Names of the layers of a target, as they were given."""
        if self.region_layer_mapping is None:
            layer = getattr(self._reader, "last_layer", None)
            if layer is None:
                raise JaxscoreError(
                    f"{self._reader.name} does not say which layer is its last",
                    f"Give region_layer_mapping={{{target!r}: LAYER}}.",
                )
            return [layer]
        if target not in self.region_layer_mapping:
            listed = ", ".join(map(repr, self.region_layer_mapping)) or "nothing"
            raise JaxscoreError(
                f"region_layer_mapping has no layer for {target!r}, it has {listed}",
                f"Give region_layer_mapping={{{target!r}: LAYER}}, or leave it out for the last layer.",
            )
        given = self.region_layer_mapping[target]
        layers = [given] if isinstance(given, str) else given
        if not isinstance(layers, Sequence) or not layers or not all(isinstance(layer, str) for layer in layers):
            raise JaxscoreError(
                f"region_layer_mapping[{target!r}] is {given!r}, expected the name of a layer or a list of names",
                "Write numbers as text: '6'.",
            )
        return list(layers)


def _known(what: str, given: object, choices: type, others: Mapping[str, object] | None = None) -> str:
    """A value of a class of choices, or JaxscoreError."""
    names = [value for name, value in vars(choices).items() if not name.startswith("_")] + list(others or {})
    if given not in names:
        guess = did_you_mean(str(given), names)
        raise JaxscoreError(f"Unknown {what} {given!r}. {guess}".strip(), f"Choose from: {', '.join(names)}.")
    return str(given)


def _parts(text: object) -> list[str]:
    """The parts of a text, or DataError."""
    if isinstance(text, str):
        text = [text]
    elif hasattr(text, "to_numpy"):  # of pandas and xarray
        text = text.to_numpy()
    if not isinstance(text, list | tuple | np.ndarray) or getattr(text, "ndim", 1) != 1:
        shape = f" of shape {text.shape}" if isinstance(text, np.ndarray) else f" {text!r:.60}"
        raise DataError(
            f"text is {type(text).__name__}{shape}, expected a string or a list of strings",
            "Write digest_text('one text') or digest_text(['a text', 'in parts']).",
        )
    for number, part in enumerate(text):
        if not isinstance(part, str):
            raise DataError(
                f"text[{number}] is {type(part).__name__} {part!r:.60}, expected a string", "Give text only."
            )
    if not any(part.strip() for part in text):
        what = "has no part" if not len(text) else f"has no word in its {len(text)} part{'s' * (len(text) > 1)}"
        raise DataError(f"text is empty: it {what}", "Give one word at least.")
    return [str(part) for part in text]
