"""Brennan et al. (2016): 12 minutes of Alice's Adventures in Wonderland, six regions of 27 listeners.

Brain and Language 157-158, 81-94. A volume takes 2 s; the files hold 362 of 372 volumes, as the first ten were
discarded. On the clock of the TextGrid, on which the story begins at 20 s, row i is the response at (i + 10) * 2 s: the
authors' own "word rate" is an impulse at the end of each word, convolved and sampled at these times (r = .990; half a
second earlier or later .979, .976). Files of movement have all 372 rows: the first ten are left out. Sound power
and word rate have 362 rows, are under a haemodynamic response already, and are alike in all subjects (r > .9999).

Words are those of the TextGrid, in its spelling: clitics such as "n't" are words of their own, and there is no
punctuation. The printed chapter in `stim` is not used: the reader left out its last sentences and said other words in
about forty places, so that words and print cannot be paired with certainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.listening.recording import Recording
from jaxscore.listening.textgrid import read_textgrid

ROIS = ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
RADII = ("6mm", "10mm")
SHARED = ("sndpwr", "rate")
VOLUMES, DISCARDED, TR, MOVEMENTS = 362, 10, 2.0, 6
SILENCES = ("", "sp")
"""What the TextGrid has between words."""
ALIKE = 0.999
"""Least correlation of a subject's predictor with that of the others."""


def read(folder: Path, *, radius: str = "6mm", shared: Sequence[str] = ("sndpwr",)) -> Recording:
    """Read the study.

    Args:
        folder: with the folders 6mm, 10mm and stim, and the files s##-*.txt.
        radius: of the spheres, "6mm" or "10mm".
        shared: which predictors of the authors are regressors of all subjects: "sndpwr" (power of the sound), "rate".

    Raises:
        JaxscoreError: for an unknown radius or predictor.
        DataError: if a file is missing or has another shape than published.
    """
    for given, known in ((radius, RADII), *((name, SHARED) for name in shared)):
        if given not in known:
            raise JaxscoreError(f"{given!r} is unknown", f"Choose from: {', '.join(known)}.")
    volumes = {
        path.name[:3]: _numbers(path, VOLUMES, len(ROIS)) for path in _files(folder, f"{radius}/s*-timecourses.txt")
    }
    flat = tuple(subject for subject, values in volumes.items() if (np.ptp(values, axis=0) == 0).all())
    subjects = [subject for subject in volumes if subject not in flat]
    if not subjects:
        raise DataError(f"{folder}: no subject of {len(flat)} has responses that vary")
    words = read_textgrid(_file(folder, "stim/*.TextGrid"), "word").without(SILENCES)
    return Recording(
        words=tuple(words.texts),
        onsets=words.starts,
        offsets=words.ends,
        word_runs=np.full(len(words.texts), "alice"),
        times=(np.arange(VOLUMES) + DISCARDED) * TR,
        tr=TR,
        responses=_responses({subject: volumes[subject] for subject in subjects}),
        nuisance={
            subject: _numbers(_file(folder, f"{subject}-rp_*.txt"), DISCARDED + VOLUMES, MOVEMENTS)[DISCARDED:]
            for subject in subjects
        },
        shared=np.hstack([np.zeros((VOLUMES, 0)), *(_predictor(folder, subjects, name) for name in shared)]),
        dropped=flat,
    )


def _responses(volumes: dict[str, Float[np.ndarray, "presentation roi"]]) -> xr.DataArray:
    """The regions of all subjects side by side."""
    names = [(subject, roi) for subject in volumes for roi in ROIS]
    return xr.DataArray(
        np.hstack(list(volumes.values())),
        dims=("presentation", "neuroid"),
        coords={
            "run": ("presentation", np.full(VOLUMES, "alice")),
            "subject": ("neuroid", np.array([subject for subject, _ in names])),
            "roi": ("neuroid", np.array([roi for _, roi in names])),
            "neuroid_id": ("neuroid", np.array([f"{subject}.{roi}" for subject, roi in names])),
        },
        name="data",
    )


def _predictor(folder: Path, subjects: Sequence[str], name: str) -> Float[np.ndarray, "presentation 1"]:
    """A predictor of the authors: the mean over subjects, whose files must agree."""
    files = [_file(folder, f"{subject}-{name}.txt") for subject in subjects]
    values = np.hstack([_numbers(path, VOLUMES, 1) for path in files])
    mean = values.mean(axis=1)
    for path, own in zip(files, values.T, strict=True):
        if not np.corrcoef(own, mean)[0, 1] > ALIKE:
            raise DataError(
                f"{path} differs from the files of the other subjects", "All subjects heard the same story."
            )
    return mean[:, None]


def _files(folder: Path, pattern: str) -> list[Path]:
    if found := sorted(folder.glob(pattern)):
        return found
    raise DataError(f"{folder} has no {pattern}", "Name the folder as it was published: 6mm, 10mm, stim, s##-*.txt.")


def _file(folder: Path, pattern: str) -> Path:
    found = _files(folder, pattern)
    if len(found) > 1:
        raise DataError(f"{folder} has {len(found)} files {pattern}, expected one", "Remove the others.")
    return found[0]


def _numbers(path: Path, rows: int, columns: int) -> Float[np.ndarray, "row column"]:
    """A table of numbers in text."""
    try:
        values = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no table of numbers: {' '.join(str(error).split())}") from error
    if values.shape != (rows, columns):
        raise DataError(f"{path} has {values.shape} rows and columns, expected {(rows, columns)}")
    return values
