"""A person's own functions: on the stimuli before they are read, and on the activations of each layer."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType

import numpy as np
from jaxtyping import Float

from jaxscore.errors import DataError, JaxscoreError

Array = Float[np.ndarray, "stimulus feature"]


@dataclass(frozen=True)
class Hooks:
    """Functions that `jaxscore.score` calls.

    They are part of what names a result, so that everything they depend on must be known: see `about`.

    Attributes:
        on_stimuli: from the texts of all stimuli to those that are read in their place, as many.
        on_activations: from a layer's name and its activations to features, one row for each stimulus.

    Raises:
        JaxscoreError: if one of them cannot be told from another; see `about`.
    """

    on_stimuli: Callable[[list[str]], list[str]] | None = None
    on_activations: Callable[[str, Array], Array] | None = None

    def __post_init__(self) -> None:
        self.about()

    def stimuli(self, texts: list[str]) -> list[str]:
        """The texts that are read.

        Raises:
            DataError: if the function gives another number of texts, or something else.
        """
        if self.on_stimuli is None:
            return texts
        changed = list(self.on_stimuli(list(texts)))
        if len(changed) != len(texts) or not all(isinstance(text, str) for text in changed):
            raise DataError(
                f"on_stimuli gave {len(changed)} values for {len(texts)} stimuli, or values that are no texts",
                "Return one text for each stimulus, in their order.",
            )
        return changed

    def activations(self, names: Sequence[str], states: Sequence[Array]) -> list[Array]:
        """The features of each layer.

        Raises:
            DataError: if the function gives anything but a finite matrix with one row for each stimulus.
        """
        if self.on_activations is None:
            return list(states)
        changed = []
        for name, layer in zip(names, states, strict=True):
            features = np.asarray(self.on_activations(name, layer.copy()), np.float32)
            if features.ndim != 2 or len(features) != len(layer) or not np.isfinite(features).all():
                raise DataError(
                    f"on_activations gave an array {features.shape} for layer {name} {layer.shape}, or NaN",
                    "Return finite features [stimulus, feature], one row for each stimulus, in their order.",
                )
            changed.append(features)
        return changed

    def about(self) -> dict[str, str]:
        """Name of each function and sha256 of what it does: part of what names a result.

        It is taken over the source text, the compiled code, the defaults and the values that the function has from the
        function around it; functions and modules among these count with their own code and name. What is not seen: the
        globals that a function reads, its attributes, and the files and modules that it uses. After a change there,
        score with `overwrite=True`.

        Raises:
            JaxscoreError: for a function without source text, as one typed into a prompt; for anything else that can be
                called, as functools.partial, a method or an object; for a default or an enclosed value that is neither
                number, text, bool, None, function, module, nor a tuple of these.
        """
        return {
            name: f"{function.__qualname__} {hashlib.sha256(_described(name, function).encode()).hexdigest()}"
            for name, function in vars(self).items()
            if function is not None and _is_function(name, function)
        }


def _is_function(name: str, function: object) -> bool:
    if not isinstance(function, FunctionType):
        raise JaxscoreError(
            f"{name} is a {type(function).__name__}, expected a function: what an object holds is not known, so that "
            "its result could not be told from another's",
            "Write a function with def in a file, and call it there.",
        )
    return True


def _described(name: str, function: FunctionType, around: tuple[FunctionType, ...] = ()) -> str:
    """All that the function does, as far as it can be known; `around` are those on the way to it."""
    if function in around:  # one that calls itself
        return f"function {around.index(function)}"
    code, around = function.__code__, (*around, function)
    try:
        source = inspect.getsource(code)  # of the function itself: that of a decorated one would be what is inside
    except (OSError, TypeError):
        raise JaxscoreError(
            f"{function!r} has no source text, so that its result could not be told from another's",
            "Write it with def in a file.",
        ) from None
    try:
        held = {key: cell.cell_contents for key, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)}
    except ValueError:
        raise JaxscoreError(f"{name}: {function!r} uses a name that has no value yet", "Define it first.") from None
    given = {f"default {i}": value for i, value in enumerate(function.__defaults__ or ())}
    values = held | given | (function.__kwdefaults__ or {})
    described = [f"{key} = {_value(name, key, value, around)}" for key, value in sorted(values.items())]
    return repr([source, _code(code), described])


def _value(name: str, key: str, value: object, around: tuple[FunctionType, ...]) -> str:
    if type(value) in (int, float, str, bool, type(None)):  # exactly: a subclass may print as it likes
        return repr(value)
    if type(value) is tuple:
        return f"({', '.join(_value(name, key, each, around) for each in value)})"
    if isinstance(value, ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, FunctionType):
        return _described(name, value, around)
    raise JaxscoreError(
        f"{name} holds {key}, a {type(value).__name__}, whose content is not known, so that its result could not be "
        "told from another's",
        "Compute it inside the function, or hold numbers, text, functions, modules or tuples of these only.",
    )


def _code(code: CodeType) -> str:
    """What was compiled: two lambdas on a line share their source text, and a file may be edited after its import."""
    constants = [
        _code(each)
        if isinstance(each, CodeType)
        else str(sorted(map(repr, each)) if type(each) is frozenset else [each])
        for each in code.co_consts
    ]
    return repr([code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants])
