"""How benchmarks of the 2021 pipeline present a stimulus set: passage by passage, or sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxscore.data.assemblies import some, with_multiindex
from jaxscore.errors import DataError
from jaxscore.subjects.brain_model import BrainModel
from jaxscore.subjects.stimulus_set import StimulusSet, name_of, need_columns

if TYPE_CHECKING:
    import xarray as xr

    Candidate = Callable[..., xr.DataArray]


def listen_to(
    candidate: Candidate, stimulus_set: pd.DataFrame, reset_column: str = "story", average_sentence: bool = True
) -> xr.DataArray:
    """Present a set of sentences; sentences of one group are read after each other.

    Args:
        candidate: called with `stimuli` (a `StimulusSet` for each group, named "set-group") and `average_sentence`. A
            `BrainModel` reads all groups in one pass, with what it would give for each.
        stimulus_set: a row a sentence, with stimulus_id; read in its order.
        reset_column: the group of each sentence.
        average_sentence: one presentation a sentence; if not, one a word.

    Returns:
        Presentations in the order of the set, group by group, groups in the order of their first rows.

    Raises:
        DataError: for a column that is not there, a row without group, or a stimulus_id that occurs twice.
    """
    need_columns(stimulus_set, "stimulus_id", reset_column)
    _check_ids(stimulus_set)
    return _present(candidate, [part for _, part in _groups(stimulus_set, reset_column)], average_sentence)


def read_words(
    candidate: Candidate,
    stimulus_set: pd.DataFrame,
    reset_column: str = "sentence_id",
    copy_columns: Sequence[str] = (),
    average_sentence: bool = False,
) -> xr.DataArray:
    """Present a set of words; the words of one group are joined to a sentence that is read by itself.

    Args:
        candidate: as for `listen_to`; its stimulus sets have one row, with `sentence` and the group.
        stimulus_set: a row a word, in the column `word`.
        reset_column: the sentence of each word.
        copy_columns: columns of the words to attach to the presentations.
        average_sentence: one presentation a sentence instead of one a word.

    Returns:
        As `listen_to`.

    Raises:
        DataError: for a column that is not there, a row without group, a stimulus_id that occurs twice, or words that
            are not the candidate's presentations, so that their columns cannot be attached.
    """
    columns = [copy_columns] if isinstance(copy_columns, str) else list(copy_columns)
    need_columns(stimulus_set, "word", reset_column, *columns)
    if "stimulus_id" in stimulus_set.columns:
        _check_ids(stimulus_set)
    groups = _groups(stimulus_set, reset_column)
    for word in stimulus_set["word"]:
        if not isinstance(word, str) or not word.strip() or (columns and word.split() != [word]):
            raise DataError(f"{word!r} in the column word is not one word", "Give one word without spaces a row.")
    sentences = [
        StimulusSet({"sentence": [" ".join(part["word"])], reset_column: [value]}, name=part.name)
        for value, part in groups
    ]
    found = _present(candidate, sentences, average_sentence)
    if not columns:
        return found
    copied = {name: np.concatenate([part[name].to_numpy() for _, part in groups]) for name in columns}
    if (shown := found.sizes["presentation"]) != len(stimulus_set):
        raise DataError(
            f"{shown} presentations for {len(stimulus_set)} words: {', '.join(columns)} do not fit",
            "Leave out copy_columns, or take average_sentence=False.",
        )
    return with_multiindex(
        _plain(found).assign_coords({name: ("presentation", values) for name, values in copied.items()})
    )


def _present(candidate: Candidate, sets: list[StimulusSet], average_sentence: bool) -> xr.DataArray:
    """What the candidate makes of each set, one after the other."""
    import xarray as xr

    if type(candidate) is BrainModel:  # another class may present otherwise
        return candidate.from_streams(sets, average_sentence=average_sentence)
    found = [_plain(candidate(stimuli=each, average_sentence=average_sentence)) for each in sets]
    try:
        joined = xr.concat(found, "presentation", coords="minimal", compat="equals", join="exact")
    except ValueError as error:
        raise DataError(
            f"What the candidate gave for {len(found)} stimulus sets cannot be joined: {error}",
            "It has to give the same neuroids and coordinates for every set.",
        ) from None
    return with_multiindex(joined)


def _plain(assembly: xr.DataArray) -> xr.DataArray:
    """An assembly with plain coordinates in place of MultiIndexes."""
    return assembly.reset_index([dim for dim in assembly.dims if isinstance(assembly.indexes.get(dim), pd.MultiIndex)])


def _groups(stimulus_set: pd.DataFrame, column: str) -> list[tuple[object, StimulusSet]]:
    """Value and rows of every group, in the order of first appearance."""
    if absent := int(stimulus_set[column].isna().sum()):
        raise DataError(f"{absent} rows have no {column}", "Every stimulus needs a group.")
    if stimulus_set.empty:
        raise DataError("There are no stimuli", "Give one sentence at least.")
    named = name_of(stimulus_set)
    grouped = stimulus_set.groupby(column, sort=False, observed=True)
    return [(value, StimulusSet(part, name=f"{named}-{value}" if named else str(value))) for value, part in grouped]


def _check_ids(stimulus_set: pd.DataFrame) -> None:
    ids = stimulus_set["stimulus_id"]
    if repeated := list(dict.fromkeys(ids[ids.duplicated()])):
        raise DataError(f"{len(repeated)} stimulus_id occur more than once: {some(repeated)}", "Keep one row for each.")
