"""What a foreign model answered for the stimuli of a context, as checked features of its layers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxscore.errors import JaxscoreError, ModelError

if TYPE_CHECKING:
    import xarray as xr

TARGET = "language_system"
MATRIX = "Give a matrix [stimulus, feature] with one row for each text, in their order; or a dict of them, by layer."
BITS = "Give one number for each text, in their order; NaN where nothing predicts it."


@dataclass(frozen=True)
class Context:
    """Stimuli that are read after each other, and what is made of an answer to them.

    Attributes:
        name: of the foreign model.
        kind: "function", "digest_text" or "look_at".
        label: of the context.
        texts: of its stimuli.
        ids: theirs.
    """

    name: str
    kind: str
    label: str
    texts: list[str]
    ids: list[str]

    def error(self, what: str, hint: str = MATRIX) -> ModelError:
        """The error that says who did what with which context."""
        return ModelError(f"{self.name} {what} (context {self.label!r}, {len(self.texts)} stimuli)", hint)

    def called(self, ask: Callable[[Context], Any]) -> Any:
        """What the model gives."""
        return guarded(f"{self.name} failed on context {self.label!r}, {len(self.texts)} stimuli", ask, self)

    def stimulus_set(self) -> Any:
        """The stimuli as the 2021 pipeline shows them: a table with a name, which differs where the content does."""
        from jaxscore.subjects import StimulusSet

        stimuli = StimulusSet({"sentence": self.texts, "stimulus_id": self.ids})
        stimuli.name = f"jaxscore-{hashlib.sha256(repr([self.texts, self.ids]).encode()).hexdigest()[:16]}"
        return stimuli

    def layers(self, answer: Any, surprisal: bool) -> dict[str, np.ndarray]:
        """Layer -> features [stimulus, feature] of an answer, checked."""
        if self.kind == "digest_text":
            key = "behavior" if surprisal else "neural"
            if not isinstance(answer, Mapping) or answer.get(key) is None:
                given = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
                raise self.error(f"digested, but there is no {key!r} in its answer: {given}", f"Give {{{key!r}: ...}}.")
            answer = answer[key]
        if self.kind != "function" and "presentation" not in getattr(answer, "dims", ()):
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
        if self.kind != "function":
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
        known |= {"stimulus_id": self.ids} if self.kind == "look_at" else {}
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
            raise self.error(
                f"gave a {type(value).__name__} that is no array{in_layer(layer)}: {error}", hint
            ) from error
        if not np.can_cast(found.dtype, np.float64, "same_kind"):
            kind = f"a {type(value).__name__} of type {found.dtype}"
            raise self.error(f"gave {kind}{in_layer(layer)}, expected real numbers", hint)
        if surprisal and found.ndim == 1:
            found = found[:, None]
        if found.ndim != 2:
            raise self.error(f"gave an array {found.shape}{in_layer(layer)}, expected [stimulus, feature]", hint)
        if len(found) != len(self.texts):
            raise self.error(f"gave {len(found)} rows for {len(self.texts)} stimuli{in_layer(layer)}", hint)
        if not found.shape[1] or (surprisal and found.shape[1] > 1):
            raise self.error(f"gave {found.shape[1]} numbers for each stimulus{in_layer(layer)}", hint)
        wide = np.result_type(found.dtype, np.float32).itemsize > 4
        found = found.astype(np.float64 if wide else np.float32)
        bad = int(np.isinf(found).sum() if surprisal else (~np.isfinite(found)).sum())
        if bad:
            raise self.error(f"gave {bad} of {found.size} values that are NaN or infinite{in_layer(layer)}", hint)
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


def guarded(message: str, call: Callable, *arguments: Any) -> Any:
    """Call what is not ours; ModelError if it fails."""
    try:
        return call(*arguments)
    except Exception as error:
        hint = error.hint if isinstance(error, JaxscoreError) else "The error above is its own."
        raise ModelError(f"{message}: {type(error).__name__}: {getattr(error, 'message', error)}", hint) from error


def in_layer(layer: str) -> str:
    """Where a message is about one of several layers: which."""
    return "" if layer in ("features", "surprisal") else f" in layer {layer!r}"
