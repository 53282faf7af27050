"""Stimulus sets of the 2021 pipeline: tables with a name, and the streams of sentences that a model reads from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from jaxscore.contexts.presentations import present
from jaxscore.data.assemblies import some
from jaxscore.errors import DataError, did_you_mean


class StimulusSet(pd.DataFrame):
    """A table with a row a stimulus, and a name that stays with its selections.

    Args:
        data: what pandas makes a table of; the name of a table is kept.
        name: what the set is called; None: none.
        options: of `pandas.DataFrame`.
    """

    _metadata = ["name"]  # noqa: RUF012 (pandas asks for a list)
    name: str | None = None

    def __init__(self, data: Any = None, *, name: str | None = None, **options: Any) -> None:
        super().__init__(data, **options)
        named = name_of(data) if name is None and isinstance(data, pd.DataFrame) else name
        if named is not None:
            self.name = named

    @property
    def _constructor(self) -> type[StimulusSet]:
        return StimulusSet


def name_of(frame: pd.DataFrame) -> str | None:
    """Name of a table: that of a `StimulusSet`, `.attrs["name"]`, `.attrs["identifier"]` or `.identifier`."""
    own = frame.name if isinstance(frame, StimulusSet) else None
    given = [own, frame.attrs.get("name"), frame.attrs.get("identifier")]
    if "identifier" not in frame.columns:
        given.append(getattr(frame, "identifier", None))
    return next((str(name) for name in given if name), None)


def need_columns(frame: pd.DataFrame, *columns: str) -> None:
    """Raise DataError for what is no table, or columns that it lacks or has twice; says which it has."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"The stimulus set is {type(frame).__name__}, expected a table with {', '.join(columns)}",
            "Give a StimulusSet or a pandas.DataFrame.",
        )
    known = list(map(str, frame.columns))
    for column in columns:
        if (count := known.count(column)) != 1:
            raise DataError(
                f"The stimulus set has {count or 'no'} column{'s' * (count > 1)} {column!r}; its columns: "
                f"{some(known, 20) or 'none'}. {did_you_mean(column, known) if not count else ''}".strip(),
                "Rename one of them: frame.rename(columns={...}).",
            )


@dataclass(frozen=True)
class Streams:
    """Coherent streams of sentences, none of which knows of the others.

    Attributes:
        sentences: of all streams, one after the other.
        numbers: number of each sentence's stream.
        columns: further values of each sentence.
    """

    sentences: list[str]
    numbers: list[int]
    columns: dict[str, Shaped[np.ndarray, " sentence"]] = field(default_factory=dict)

    @classmethod
    def of_texts(cls, texts: str | Sequence[str]) -> Streams:
        """One stream of sentences without anything else; a text by itself is one sentence.

        Raises:
            DataError: for what is neither, or holds anything but text with a word in it.
        """
        if isinstance(texts, str):
            texts = [texts]
        listed = isinstance(texts, list | tuple | pd.Series) or (isinstance(texts, np.ndarray) and texts.ndim == 1)
        if not listed:
            raise DataError(
                f"The stimuli are {type(texts).__name__}, expected a text, a list of texts or a StimulusSet",
                "Write ['A sentence.', 'Another one.'].",
            )
        return cls(_checked(list(texts)), [0] * len(texts))

    @classmethod
    def of_sets(cls, sets: Sequence[pd.DataFrame]) -> Streams:
        """A stream for each stimulus set, from its column `sentence`.

        Raises:
            DataError: for a set without that column or without rows, sets of different columns, columns of lists or the
                like, or a sentence that is not text.
        """
        for frame in sets:
            need_columns(frame, "sentence")
            if frame.empty:
                raise DataError("There are no stimuli in the stimulus set", "Give one sentence at least.")
            if set(frame.columns) != set(sets[0].columns):
                raise DataError(
                    f"Stimulus sets of different columns: {some(list(sets[0].columns), 20)}; "
                    f"{some(list(frame.columns), 20)}",
                    "A hook has to give the same columns for every stream.",
                )
        need_columns(sets[0], *map(str, sets[0].columns))
        columns = {str(name): np.concatenate([frame[name].to_numpy() for frame in sets]) for name in sets[0].columns}
        for name, values in columns.items():
            try:
                pd.factorize(values)
            except TypeError as error:
                raise DataError(f"Column {name!r} cannot label: {error}", "Make it text, or drop the column.") from None
        sentences = _checked(columns["sentence"].tolist())
        numbers = list(chain.from_iterable([number] * len(frame) for number, frame in enumerate(sets)))
        return cls(sentences, numbers, columns)

    @property
    def contexts(self) -> list[str]:
        """The stream of each sentence as a label."""
        return list(map(str, self.numbers))

    @property
    def ids(self) -> list[str]:
        """A name for each sentence: its stimulus_id or, where these are not unique, its place."""
        given = [str(value) for value in self.columns.get("stimulus_id", [])]
        return given if given and len(set(given)) == len(given) else [str(i + 1) for i in range(len(self.sentences))]

    def coords(self, unit: str) -> dict[str, tuple[str, Shaped[np.ndarray, " presentation"]]]:
        """Coordinates of the presentations; a column that has the name of another coordinate is left out.

        Args:
            unit: what is presented: each "stimulus", with its number in its stream, or each "word" of it.
        """
        shown = present(self.sentences, unit)
        own = np.array([i for i, *_ in shown])
        begins = np.searchsorted(self.numbers, self.numbers)
        found = {"stimulus_sentence": np.array(self.sentences, object)[own]}
        if unit == "word":
            found["word"] = np.array([text for *_, text in shown], object)
        else:
            found["sentence_num"] = (np.arange(len(own)) - begins)[own]
        taken = {*found, "presentation", "neuroid", "neuroid_num", "neuroid_id", "model", "layer", "region"}
        taken |= {"time_bin", "time_bin_start", "time_bin_end"}
        found |= {name: values[own] for name, values in self.columns.items() if name not in taken}
        return {name: ("presentation", values) for name, values in found.items()}


def _checked(sentences: list[Any]) -> list[str]:
    if not sentences:
        raise DataError("There are no stimuli", "Give one sentence at least.")
    for number, text in enumerate(sentences, 1):
        if not isinstance(text, str) or not text.strip():
            what = "empty" if isinstance(text, str) else "not text"
            raise DataError(f"Stimulus {number} is {what}: {text!r}", "Every stimulus needs at least one word.")
    return sentences
