"""What a study of story listening comes to, whatever its files look like; and the readers that make it.

A study becomes known by a reader and a card, nothing else:

1. Write `jaxscore/listening/NAME.py` (or a module of your own package) with

       def read(folder: Path, *, OPTION: ... = DEFAULT) -> Recording

   It only reads: words with their times, the times of the volumes, responses, nuisance regressors. It does not
   downsample, detrend or standardise. Options that a card may set are keyword arguments with defaults. What is
   wrong with a file is a DataError that names the file.
2. Name it in READERS: "NAME": "jaxscore.listening.NAME:read". It is imported when it is asked for.
3. Write a card whose data name the reader, its options, and the folder.

How three well-known data sets would map onto a Recording (from their descriptions; nothing of it was run):

- LeBel et al. (2023), Scientific Data 10, 555, OpenNeuro ds003020: a run is a story, an option `subject` the listener,
  as not all heard the same. Words from derivative/TextGrids/STORY.TextGrid (`textgrid.read_textgrid`, tier "word",
  without "sp", "br", "lg", "ls", "ns", "sentence_start", "sentence_end" and the empty text), responses [volume, voxel]
  from "data" of derivative/preprocessed_data/SUBJECT/STORY.hf5, every 2.0045 s. They are trimmed (the scan began 10 s
  before the story, and row i is its volume i + 10) and standardised by story, so that `nuisance` is empty.
- Narratives: Nastase et al. (2021), Scientific Data 8, 250, OpenNeuro ds002345: a run is a story, and an option `story`
  names those that the same subjects heard. Words from stimuli/gentle/STORY/align.csv (those that the aligner did not
  find have no time and are left out), the beginning of the story within the scan from events.tsv: shift `times` by it.
  Responses from the derivatives, as parcels or in a mask, every 1.5 s; `nuisance` from the confounds of fMRIPrep.
- Le Petit Prince: Li et al. (2022), Scientific Data 9, 530, OpenNeuro ds003643: nine runs, the sections of the book;
  words from annotation/EN/lppEN_word_information.csv (word, onset, offset, section), responses from the
  derivatives, in a mask or as parcels, every 2 s.

Words and volumes of a run share a clock; it may begin anew in every run. Volumes before or after the words do no harm.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxscore.errors import DataError, JaxscoreError, did_you_mean

if TYPE_CHECKING:
    import xarray as xr

READERS = {"alice2016": "jaxscore.listening.alice:read"}
"""Where the reader of each kind of study is."""


@dataclass(frozen=True)
class Recording:
    """Words that were heard, and responses of several subjects who heard the same.

    Attributes:
        words: their texts. Those of a run are one running text, which is the context they are read in.
        onsets: their beginnings in seconds, on the clock of their run.
        offsets: their ends.
        word_runs: the run of each word, as a label.
        times: the beginning of each volume in seconds, on the same clock.
        tr: time from one volume to the next in seconds.
        responses: [presentation, neuroid] in any unit, with coordinates run on presentation, subject, roi and
            neuroid_id (unique) on neuroid.
        nuisance: regressors of each subject, such as movement; may be empty for a subject, or for all.
        shared: regressors that are the same for all subjects, such as the power of the sound; may have no columns.
        dropped: subjects that were left out because their responses are all the same.

    Raises:
        DataError: if these do not fit each other.
    """

    words: tuple[str, ...]
    onsets: Float[np.ndarray, " word"]
    offsets: Float[np.ndarray, " word"]
    word_runs: np.ndarray
    times: Float[np.ndarray, " presentation"]
    tr: float
    responses: xr.DataArray
    nuisance: Mapping[str, Float[np.ndarray, "presentation _"]]
    shared: Float[np.ndarray, "presentation _"]
    dropped: tuple[str, ...] = ()

    @property
    def runs(self) -> np.ndarray:
        """The run of each volume."""
        return self.responses["run"].values

    def __post_init__(self) -> None:
        words, volumes = len(self.words), len(self.times)
        if {len(self.onsets), len(self.offsets), len(self.word_runs)} != {words}:
            raise DataError(
                f"{words} words have {len(self.onsets)} onsets, {len(self.offsets)} offsets, {len(self.word_runs)} runs"
            )
        if blank := [i for i, word in enumerate(self.words) if len(word.split()) != 1]:
            raise DataError(
                f"word {blank[0]} is {self.words[blank[0]]!r:.80}, expected one word without white space",
                "Silences are not words: the reader leaves them out.",
            )
        regressors = {"shared": self.shared, **{f"nuisance of {name}": own for name, own in self.nuisance.items()}}
        for name, values in {"responses": self.responses.values, **regressors}.items():
            if values.ndim != 2 or len(values) != volumes:
                raise DataError(f"{name} has shape {values.shape}, expected a row for each of {volumes} volumes")
            if not np.isfinite(values).all():
                raise DataError(f"{name} has {np.count_nonzero(~np.isfinite(values))} values that are NaN or infinite")
        if lacking := set(self.word_runs.tolist()) - set(self.runs.tolist()):
            raise DataError(f"runs {sorted(lacking)} have words and no volumes", "Drop their words.")
        for run in np.unique(self.runs):
            if (np.diff(self.times[self.runs == run]) <= 0).any():
                raise DataError(f"the volumes of run {run} do not follow each other in time")
        names = self.responses["neuroid_id"].values
        if len(np.unique(names)) < len(names):
            raise DataError("neuroid_id is not unique")


def read_recording(kind: str, folder: Path, **options: Any) -> Recording:
    """Read a study of story listening.

    Args:
        kind: which reader of READERS.
        folder: where its files are.
        options: of the reader.

    Raises:
        JaxscoreError: for an unknown kind or option.
        DataError: if the folder or a file is missing or does not fit.
    """
    if kind not in READERS:
        known = ", ".join(READERS)
        raise JaxscoreError(f"Unknown recording {kind!r}. {did_you_mean(kind, READERS)}".strip(), f"Known: {known}.")
    module, _, name = READERS[kind].partition(":")
    reader = getattr(import_module(module), name)
    known = list(inspect.signature(reader).parameters)[1:]
    for option in options:
        if option not in known:
            message = f"{kind} has no option {option!r}. {did_you_mean(option, known)}".strip()
            raise JaxscoreError(message, f"Its options: {', '.join(known)}.")
    if not Path(folder).is_dir():
        raise DataError(f"{folder} is no folder", "Name the folder with the files of the study.")
    return reader(Path(folder), **options)
