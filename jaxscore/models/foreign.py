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
from jaxscore.models.static import StaticModel

if TYPE_CHECKING:
    import xarray as xr

    from jaxscore.extract.activations import Request

TARGET = "language_system"
READING_TIMES = "reading_times"
IDLE = {
    "pooling": None, "protocol": None, "window": None, "stride": None, "bidirectional": None, "bos": "auto", "seed": 0,
    "untrained": False, "dtype": "float32", "batch_size": None, "tensor": None,
}  # fmt: skip
"""Options of `jaxscore.score` that are the foreign model's own business, and their defaults."""
KINDS = ("digest_text", "look_at")
MATRIX = "Give a matrix [stimulus, feature] with one row for each text, in their order; or a dict of them, by layer."
BITS = "Give one number for each text, in their order; NaN where nothing predicts it."
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
            context = _Context(self, label, *([own[i] for i in rows] for own in (request.stimuli, request.ids)))
            found = context.layers(context.called(ask), surprisal)
            if not states:
                states = {name: np.empty((len(request.ids), x.shape[1]), x.dtype) for name, x in found.items()}
            if found.keys() != states.keys():
                raise context.error(f"gave the layers {', '.join(found)}, before it was {', '.join(states)}")
            for name, features in found.items():
                kept = states[name]
                if features.shape[1] != kept.shape[1]:
                    raise context.error(f"gave {features.shape[1]} features{_in(name)}, before it was {kept.shape[1]}")
                if features.dtype.itemsize > kept.dtype.itemsize:  # float64 is not rounded
                    kept = states[name] = kept.astype(features.dtype)
                kept[rows] = features
            step(count)
        return ForeignModel(self.name, self.kind, states, request)

    def _started(self, recording: str, surprisal: bool) -> Callable[[_Context], Any]:
        """Tell the object what is wanted; gives what asks it for a context."""
        start = partial(_guarded, f"{self.name} cannot be recorded from")
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
        _guarded(f"{self.name} cannot start the task {READING_TIMES!r}", task, READING_TIMES)


@dataclass(frozen=True)
class _Context:
    """Stimuli that are read after each other, and what is made of an answer to them."""

    by: Foreign
    label: str
    texts: list[str]
    ids: list[str]

    def error(self, what: str, hint: str = MATRIX) -> ModelError:
        """The error that says who did what with which context."""
        return ModelError(f"{self.by.name} {what} (context {self.label!r}, {len(self.texts)} stimuli)", hint)

    def called(self, ask: Callable[[_Context], Any]) -> Any:
        """What the model gives."""
        return _guarded(f"{self.by.name} failed on context {self.label!r}, {len(self.texts)} stimuli", ask, self)

    def stimulus_set(self) -> Any:
        """The stimuli as the 2021 pipeline shows them: a table with a name, which differs where the content does."""
        from jaxscore.subjects import StimulusSet

        stimuli = StimulusSet({"sentence": self.texts, "stimulus_id": self.ids})
        stimuli.name = f"jaxscore-{hashlib.sha256(repr([self.texts, self.ids]).encode()).hexdigest()[:16]}"
        return stimuli

    def layers(self, answer: Any, surprisal: bool) -> dict[str, np.ndarray]:
        """Layer -> features [stimulus, feature] of an answer, checked."""
        if self.by.kind == "digest_text":
            key = "behavior" if surprisal else "neural"
            if not isinstance(answer, Mapping) or answer.get(key) is None:
                given = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
                raise self.error(f"digested, but there is no {key!r} in its answer: {given}", f"Give {{{key!r}: ...}}.")
            answer = answer[key]
        if self.by.kind != "function" and "presentation" not in getattr(answer, "dims", ()):
            dims = ", ".join(map(str, getattr(answer, "dims", ()))) or "no dimensions"
            raise self.error(
                f"gave a {type(answer).__name__} with {dims}, expected an assembly of presentation and neuroid",
                'Give an xarray.DataArray with dims ("presentation", "neuroid").',
            )
        if _presented(answer):
            answer = self._split(answer)
        if surprisal:
            if isinstance(answer, Mapping):
                raise self.error(f"gave layers ({', '.join(map(str, answer))}) where surprisal is scored", BITS)
            return {"surprisal": self._checked("surprisal", answer, surprisal)}
        found = answer if isinstance(answer, Mapping) else {"features": answer}
        names = list(map(str, found))
        if not names or len(set(names)) < len(names):
            raise self.error(f"gave {len(names)} layers, named {', '.join(names)}" if names else "gave no layer")
        return {str(name): self._checked(str(name), value, surprisal) for name, value in found.items()}

    def _split(self, assembly: xr.DataArray) -> Any:
        """Values of an assembly in the order [presentation, neuroid], by its layers if it names any."""
        if self.by.kind != "function":
            assembly = _of_target(assembly)
        values = self._values(assembly)
        if values.ndim != 2 or "layer" not in assembly.coords or "presentation" in assembly["layer"].dims:
            return values
        labels = np.broadcast_to(assembly["layer"].values, values.shape[1]).astype(str)
        found = {name: np.flatnonzero(labels == name) for name in dict.fromkeys(labels.tolist())}
        if "neuroid_id" in assembly.coords:  # recorded twice, as where recording was started twice
            ids = assembly["neuroid_id"].values.astype(str)
            for name, own in found.items():
                _, first, same = np.unique(ids[own], return_index=True, return_inverse=True)
                if np.array_equal(values[:, own], values[:, own[first[same]]], equal_nan=True):
                    found[name] = own[np.sort(first)]
        return {name: values[:, own] for name, own in found.items()}

    def _values(self, assembly: xr.DataArray) -> np.ndarray:
        """Values of an assembly, presentations first, without a time that stands still."""
        self._in_order(assembly)
        if assembly.sizes.get("time_bin") == 1:
            assembly = assembly.isel(time_bin=0)
        return np.asarray(assembly.transpose("presentation", ...).values)

    def _in_order(self, assembly: xr.DataArray) -> None:
        """Whether the presentations are the stimuli, as far as the answer says what they are."""
        known = dict.fromkeys(("stimulus", "stimulus_sentence", "sentence"), self.texts)
        known |= {"stimulus_id": self.ids} if self.by.kind == "look_at" else {}
        for name, expected in known.items():
            if name not in assembly.coords or assembly[name].dims != ("presentation",):
                continue
            given = [str(value).strip() for value in assembly[name].values.tolist()]
            pairs = zip(given, map(str.strip, expected), strict=False)
            if (first := next((i for i, (own, other) in enumerate(pairs) if own != other), None)) is not None:
                raise self.error(
                    f"gave other presentations, or in another order: the {name} of number {first} is "
                    f"{given[first]!r}, expected {expected[first]!r}",
                    "Give presentations in the order of the stimuli.",
                )

    def _checked(self, layer: str, value: Any, surprisal: bool) -> Float[np.ndarray, "stimulus feature"]:
        """A finite matrix with a row for each stimulus, float32 or float64."""
        hint = BITS if surprisal else MATRIX
        try:
            found = self._values(value) if _presented(value) else _array(value)
        except ModelError:
            raise
        except Exception as error:
            raise self.error(f"gave a {type(value).__name__} that is no array{_in(layer)}: {error}", hint) from error
        if not np.can_cast(found.dtype, np.float64, "same_kind"):
            kind = f"a {type(value).__name__} of type {found.dtype}"
            raise self.error(f"gave {kind}{_in(layer)}, expected real numbers", hint)
        if surprisal and found.ndim == 1:
            found = found[:, None]
        if found.ndim != 2:
            raise self.error(f"gave an array {found.shape}{_in(layer)}, expected [stimulus, feature]", hint)
        if len(found) != len(self.texts):
            raise self.error(f"gave {len(found)} rows for {len(self.texts)} stimuli{_in(layer)}", hint)
        if not found.shape[1] or (surprisal and found.shape[1] > 1):
            raise self.error(f"gave {found.shape[1]} numbers for each stimulus{_in(layer)}", hint)
        wide = np.result_type(found.dtype, np.float32).itemsize > 4
        found = found.astype(np.float64 if wide else np.float32)
        bad = int(np.isinf(found).sum() if surprisal else (~np.isfinite(found)).sum())
        if bad:
            raise self.error(f"gave {bad} of {found.size} values that are NaN or infinite{_in(layer)}", hint)
        return found


def _presented(value: Any) -> bool:
    """Whether a value is an assembly, in plain xarray or of another package."""
    return "presentation" in getattr(value, "dims", ()) and not isinstance(value, Mapping)


def _of_target(assembly: xr.DataArray) -> xr.DataArray:
    """The neuroids of the language system, where other regions were recorded before and still are."""
    if "region" not in assembly.coords or len(dims := assembly["region"].dims) != 1:
        return assembly
    own = [str(name).partition(".")[0] == TARGET for name in assembly["region"].values.tolist()]  # "target.number"
    return assembly.isel({dims[0]: np.flatnonzero(own)}) if any(own) and not all(own) else assembly


def _array(value: Any) -> np.ndarray:
    """Numbers as NumPy has them: tensors from wherever they are, sparse matrices in full, masked values as NaN."""
    if isinstance(value, list | tuple) and any(hasattr(each, "detach") for each in value):
        value = [_array(each) for each in value]
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    if hasattr(value, "toarray"):
        value = value.toarray()
    if isinstance(value, np.ma.MaskedArray):
        value = value.astype(np.float64).filled(np.nan)
    return np.asarray(value)


def _guarded(message: str, call: Callable, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:
        hint = error.hint if isinstance(error, JaxscoreError) else "The error above is its own."
        raise ModelError(f"{message}: {type(error).__name__}: {getattr(error, 'message', error)}", hint) from error


def _bins(record: Callable) -> dict[str, Any]:
    """One time bin for those that cannot do without: stimuli have no time course here."""
    needed = inspect.signature(record).parameters.get("time_bins")
    return {"time_bins": [(0, 1)]} if needed and needed.default is needed.empty else {}


def _named(model: Any) -> str:
    """Identifier of an object, or module and name of a function; no leading dot, which would hide a file."""
    while isinstance(model, partial):
        model = model.func
    name = getattr(model, "identifier", None)
    name = _guarded(f"{type(model).__name__}.identifier()", name) if callable(name) else name
    if not isinstance(name, str) or not name.strip(". "):
        own = model if hasattr(model, "__qualname__") else type(model)
        name = f"{getattr(own, '__module__', None) or 'unknown'}.{own.__qualname__}"
    return name.strip(". ")[-WIDEST:].lstrip(".")


def _in(layer: str) -> str:
    return "" if layer in ("features", "surprisal") else f" in layer {layer!r}"
