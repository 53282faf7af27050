"""Whatever gives numbers for texts, as a model: a function, an object with `digest_text`, an object with `look_at`.

What such a model does cannot be known before it does it, so its features are what names a result: it is called again
in every run, and nothing is regressed where the same features were scored before.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float

from jaxscore.contexts.windows import group_stimuli
from jaxscore.errors import JaxscoreError, ModelError
from jaxscore.models.answers import TARGET, Context, guarded, in_layer
from jaxscore.models.static import StaticModel

if TYPE_CHECKING:
    from jaxscore.extract.activations import Request

READING_TIMES = "reading_times"
IDLE = {
    "pooling": None, "protocol": None, "window": None, "stride": None, "bidirectional": None, "bos": "auto", "seed": 0,
    "untrained": False, "dtype": "float32", "batch_size": None, "tensor": None,
}  # fmt: skip
"""Options of `jaxscore.score` that are the foreign model's own business, and their defaults."""
KINDS = ("digest_text", "look_at")
WIDEST = 120  # characters of a name, which is part of a file's


@dataclass(frozen=True)
@StaticModel.register
class ForeignModel:
    """The features that a foreign model gave; to whoever scores, a model without a network that knows these texts.

    Attributes:
        name: what it is called in tables and records.
        kind: "function", "digest_text" or "look_at".
        states: of each layer [stimulus, feature], float32 or, where that came, float64.
        request: what was read.
    """

    name: str
    kind: str
    states: dict[str, Float[np.ndarray, "stimulus _"]]
    request: Request
    untrained: ClassVar[bool] = False
    seed: ClassVar[int] = 0
    default_pooling: ClassVar[str] = "own"
    reads_contexts: ClassVar[bool] = True

    @property
    def layer_names(self) -> list[str]:
        """Its layers, in the order that it gave them."""
        return list(self.states)

    state_names = layer_names

    @property
    def layer_aliases(self) -> dict[str, int]:
        """No other names."""
        return {}

    @property
    def dtype(self) -> str:
        """The widest of its layers'."""
        return np.result_type(*self.states.values()).name

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over names, types, shapes and values of all features."""
        digest = hashlib.sha256()
        for layer, states in self.states.items():
            digest.update(repr([layer, states.dtype.str, states.shape]).encode())
            digest.update(states)
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What it is, for the record."""
        widths = {layer: states.shape[1] for layer, states in self.states.items()}
        return {"model": self.name, "kind": self.kind, "layers": widths, "named_by": "sha256 of its features"}

    def features(
        self, stimuli: list[str], ids: list[str], contexts: list[str], *, pooling: str | None
    ) -> list[Float[np.ndarray, "stimulus _"]]:
        """The features of each layer; ModelError for other texts than those that were read."""
        if (stimuli, contexts) != (self.request.stimuli, self.request.contexts):
            raise ModelError(f"{self.name} has read other texts", "Call `jaxscore.score` with the model itself.")
        return list(self.states.values())


@dataclass(frozen=True)
class Foreign:
    """A foreign model that has read nothing yet.

    Attributes:
        model: the function or the object.
        kind: "function", "digest_text" or "look_at".
        name: module and name of a function, identifier or class of an object.
    """

    model: Any
    kind: str
    name: str
    default_pooling: ClassVar[str] = ForeignModel.default_pooling

    @classmethod
    def of(cls, model: object) -> Foreign:
        """Tell what it is.

        Raises:
            ModelError: for what is neither a function nor an object with one of the methods.
        """
        kinds = [kind for kind in KINDS if callable(getattr(model, kind, None))]
        if isinstance(model, type):
            raise ModelError(
                f"{model.__name__} is a class, expected an object of it", f"Write {model.__name__}(...), with its own."
            )
        if not kinds and not callable(model):
            raise ModelError(
                f"The model is a {type(model).__name__}, which reads no texts",
                "Give a name, a checkpoint folder, a loaded model, a function from texts to arrays, or an object with "
                "digest_text or look_at.",
            )
        if inspect.iscoroutinefunction(model):
            raise ModelError(
                f"{_named(model)} is asynchronous, expected a function that gives arrays",
                "Write lambda texts: asyncio.run(function(texts)).",
            )
        return cls(model, kinds[0] if kinds else "function", _named(model))

    def check(self, asked: Mapping[str, object]) -> None:
        """Raise JaxscoreError for options of `jaxscore.score` that would change nothing."""
        if idle := ", ".join(name for name, usual in IDLE.items() if asked.get(name, usual) != usual):
            raise JaxscoreError(
                f"{self.name} is no model of jaxscore, it reads as it likes: {idle} would change nothing",
                f"Leave out {idle}. What it reads at once is the context, which holds.",
            )

    def read(self, request: Request, recording: str, step: Callable[[int], None] = lambda _: None) -> ForeignModel:
        """Call it once for each context.

        Args:
            request: what is to be read; pooling None asks for one number for each stimulus, its surprisal.
            recording: "fMRI" or "ECoG", for an object with `digest_text`.
            step: called with the number of stimuli done.

        Raises:
            ModelError: if it fails, or gives anything but finite features of the same layers for every stimulus.
        """
        surprisal, states = request.pooling is None, {}
        ask = self._started(recording, surprisal)
        for rows in group_stimuli(request.contexts):
            label, count = request.contexts[rows[0]], len(rows)
            context = Context(
                self.name, self.kind, label, *([own[i] for i in rows] for own in (request.stimuli, request.ids))
            )
            found = context.layers(context.called(ask), surprisal)
            if not states:
                states = {name: np.empty((len(request.ids), x.shape[1]), x.dtype) for name, x in found.items()}
            if found.keys() != states.keys():
                raise context.error(f"gave the layers {', '.join(found)}, before it was {', '.join(states)}")
            for name, features in found.items():
                kept = states[name]
                if features.shape[1] != kept.shape[1]:
                    raise context.error(
                        f"gave {features.shape[1]} features{in_layer(name)}, before it was {kept.shape[1]}"
                    )
                if features.dtype.itemsize > kept.dtype.itemsize:  # float64 is not rounded
                    kept = states[name] = kept.astype(features.dtype)
                kept[rows] = features
            step(count)
        return ForeignModel(self.name, self.kind, states, request)

    def _started(self, recording: str, surprisal: bool) -> Callable[[Context], Any]:
        """Tell the object what is wanted; gives what asks it for a context."""
        start = partial(guarded, f"{self.name} cannot be recorded from")
        if self.kind == "function":
            return lambda context: self.model(list(context.texts))
        if self.kind == "look_at":
            if surprisal:
                self._start_reading()
            elif record := getattr(self.model, "start_recording", None):
                start(lambda: record(TARGET, **_bins(record)))
            return lambda context: self.model.look_at(context.stimulus_set())
        if surprisal and (do := getattr(self.model, "start_behavioral_task", None)):
            start(lambda: do(READING_TIMES))
        elif not surprisal and (record := getattr(self.model, "start_neural_recording", None)):
            start(lambda: record(TARGET, recording))
        return lambda context: self.model.digest_text(list(context.texts))

    def _start_reading(self) -> None:
        """Have an object with `look_at` give reading times; ModelError if it knows no such task."""
        task, known = getattr(self.model, "start_task", None), getattr(self.model, "Task", None)
        if not callable(task) or (known is not None and not hasattr(known, READING_TIMES)):
            raise ModelError(
                f"{self.name} has look_at without the task {READING_TIMES!r}, and so gives no surprisal",
                "Give a function from texts to bits, or an object with digest_text.",
            )
        guarded(f"{self.name} cannot start the task {READING_TIMES!r}", task, READING_TIMES)


def _bins(record: Callable) -> dict[str, Any]:
    """One time bin for those that cannot do without: stimuli have no time course here."""
    needed = inspect.signature(record).parameters.get("time_bins")
    return {"time_bins": [(0, 1)]} if needed and needed.default is needed.empty else {}


def _named(model: Any) -> str:
    """Identifier of an object, or module and name of a function; no leading dot, which would hide a file."""
    while isinstance(model, partial):
        model = model.func
    name = getattr(model, "identifier", None)
    name = guarded(f"{type(model).__name__}.identifier()", name) if callable(name) else name
    if not isinstance(name, str) or not name.strip(". "):
        own = model if hasattr(model, "__qualname__") else type(model)
        name = f"{getattr(own, '__module__', None) or 'unknown'}.{own.__qualname__}"
    return name.strip(". ")[-WIDEST:].lstrip(".")
