"""From words to volumes: every method is one sparse matrix, made once and applied to all layers.

A word stands at the middle s of its interval [onset, offset] (give one of both twice to put it there). A volume begins
at t and takes tr seconds. The weight of a word in a volume is

- "lanczos": sinc(d) sinc(d / window) with d = (s - t - tr / 2) / tr, for |d| < window, sinc(d) = sin(pi d) / (pi d): a
  low-pass filter at the Nyquist frequency 1 / (2 tr) of the volumes, centred on their middle. Weights are not divided
  by their sum, so that many words give a large value. As in Huth et al. (2016), Nature 532, 453-458, and LeBel et al.
  (2023), Scientific Data 10, 555.
- "sum": 1 for the words with t <= s < t + tr. Of a column of ones, this is the word rate.
- "mean": 1 / (how many these are).
- "impulse": h(t - s), the response at time t to an impulse (`hemodynamics.hrf`).
- "boxcar": H(t - onset) - H(t - offset), the response at time t to the word while it lasts: exact, no grid is needed.

What the first three give precedes the response, which delays (`regression.delays`) make up for; the last two are
responses already. Volumes without a word in reach are 0: `empty` counts them. Words of other runs have no weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float
from scipy import sparse

from jaxscore.errors import DataError, JaxscoreError, did_you_mean
from jaxscore.listening.hemodynamics import LENGTH, hrf, hrf_integral

METHODS = ("lanczos", "mean", "sum", "impulse", "boxcar")
WINDOW = 3
"""Lobes of the Lanczos filter on either side."""


def word_weights(
    onsets: Float[np.ndarray, " word"],
    offsets: Float[np.ndarray, " word"],
    times: Float[np.ndarray, " presentation"],
    tr: float,
    method: str = "lanczos",
    *,
    window: int = WINDOW,
    word_runs: Sequence | np.ndarray | None = None,
    runs: Sequence | np.ndarray | None = None,
) -> sparse.csr_array:
    """The weight of every word in every volume [presentation, word], in float64.

    Args:
        onsets: beginnings of the words in seconds, on the clock of their run; in a run they never decrease.
        offsets: their ends.
        times: beginnings of the volumes, on the same clock.
        tr: time from one volume to the next in seconds.
        method: of METHODS.
        window: lobes of "lanczos" on either side.
        word_runs: the run of every word; None where all is one run.
        runs: the run of every volume, likewise.

    Raises:
        JaxscoreError: for an unknown method, a window or tr that is not positive.
        DataError: if words and their runs or times do not fit together, or a run of words has no volumes.
    """
    if method not in METHODS:
        raise JaxscoreError(f"Unknown method {method!r}. {did_you_mean(method, METHODS)}".strip(), f"One of {METHODS}.")
    if not tr > 0 or window < 1:
        raise JaxscoreError(f"tr is {tr} s, window {window}: both must be positive", "tr=2.0, window=3")
    onsets, offsets, times = (np.asarray(values, np.float64) for values in (onsets, offsets, times))
    word_runs = np.zeros(len(onsets), int) if word_runs is None else np.asarray(word_runs)
    runs = np.zeros(len(times), int) if runs is None else np.asarray(runs)
    _check(onsets, offsets, times, word_runs, runs)
    (before, after), weigh = _kernel(method, tr, window)
    rows, columns = [], []
    for run in np.unique(word_runs):
        words, volumes = np.flatnonzero(word_runs == run), np.flatnonzero(runs == run)
        # a word that began before others may outlast them, so ends are searched in their running maximum
        first = np.searchsorted(np.maximum.accumulate(offsets[words]), times[volumes] + before, "left")
        last = np.searchsorted(onsets[words], times[volumes] + after, "right")
        near = np.maximum(last - first, 0)
        starts = np.cumsum(near) - near
        rows.append(np.repeat(volumes, near))
        columns.append(words[np.arange(near.sum()) + np.repeat(first - starts, near)])
    row, column = (np.concatenate(found) if found else np.zeros(0, int) for found in (rows, columns))
    values = weigh(times[row], onsets[column], offsets[column])
    weights = sparse.csr_array((values, (row, column)), shape=(len(times), len(onsets)))
    weights.eliminate_zeros()
    if method == "mean":
        weights.data /= np.repeat(np.diff(weights.indptr), np.diff(weights.indptr))
    return weights


def downsample(
    layers: Iterable[Float[np.ndarray, "word _"]], weights: sparse.csr_array
) -> list[Float[np.ndarray, "presentation _"]]:
    """Bring every layer from words to volumes, weights @ layer, summed in float64 and kept as float32 or wider.

    Args:
        layers: features of the words; layers may differ in width. One layer: [X].
        weights: of `word_weights`.

    Raises:
        DataError: if a layer has not one row for each word.
    """
    found = []
    for i, layer in enumerate(layers):
        if layer.ndim != 2 or len(layer) != weights.shape[1]:
            raise DataError(
                f"layer {i} has shape {layer.shape}, expected [word, feature] for {weights.shape[1]} words",
                "Give a list of layers; one layer: [X].",
            )
        found.append((weights @ layer).astype(np.result_type(layer, np.float32)))
    return found


def convolve_hrf(
    X: Float[np.ndarray, "presentation feature"],
    times: Float[np.ndarray, " presentation"],
    tr: float,
    runs: Sequence | np.ndarray | None = None,
) -> Float[np.ndarray, "presentation feature"]:
    """The responses at `times` to features that hold from the beginning of a volume (or grid step) to its end.

    Args:
        X: features, of volumes or on a finer grid, such as the envelope of a sound.
        times: beginnings of the steps in seconds.
        tr: length of a step.
        runs: the run of every step; None where all is one run.

    Raises:
        DataError: as `word_weights` and `downsample`.
    """
    times = np.asarray(times, np.float64)
    return downsample([X], word_weights(times, times + tr, times, tr, "boxcar", word_runs=runs, runs=runs))[0]


def empty(weights: sparse.csr_array) -> int:
    """How many volumes have no word in reach: their features are 0."""
    return int((np.diff(weights.indptr) == 0).sum())


Weigh = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _kernel(method: str, tr: float, window: int) -> tuple[tuple[float, float], Weigh]:
    """Its reach before and after the beginning of a volume in seconds, and weights from times, onsets and offsets."""

    def lanczos(t: np.ndarray, onset: np.ndarray, offset: np.ndarray) -> np.ndarray:
        d = ((onset + offset) / 2 - t - tr / 2) / tr
        return np.where(np.abs(d) < window, np.sinc(d) * np.sinc(d / window), 0.0)

    def inside(t: np.ndarray, onset: np.ndarray, offset: np.ndarray) -> np.ndarray:
        s = (onset + offset) / 2
        return ((t <= s) & (s < t + tr)).astype(np.float64)

    def impulse(t: np.ndarray, onset: np.ndarray, offset: np.ndarray) -> np.ndarray:
        return hrf(t - (onset + offset) / 2)

    def boxcar(t: np.ndarray, onset: np.ndarray, offset: np.ndarray) -> np.ndarray:
        return hrf_integral(t - onset) - hrf_integral(t - offset)

    return {
        "lanczos": ((tr / 2 - window * tr, tr / 2 + window * tr), lanczos),
        "mean": ((0.0, tr), inside),
        "sum": ((0.0, tr), inside),
        "impulse": ((-LENGTH, 0.0), impulse),
        "boxcar": ((-LENGTH, 0.0), boxcar),
    }[method]


def _check(onsets: np.ndarray, offsets: np.ndarray, times: np.ndarray, word_runs: np.ndarray, runs: np.ndarray) -> None:
    if onsets.ndim != 1 or not onsets.shape == offsets.shape == word_runs.shape:
        raise DataError(
            f"onsets {onsets.shape}, offsets {offsets.shape}, runs {word_runs.shape}: expected one of each for a word"
        )
    if times.ndim != 1 or times.shape != runs.shape:
        raise DataError(f"times {times.shape}, runs {runs.shape}: expected one of each for a volume")
    if not all(np.isfinite(values).all() for values in (onsets, offsets, times)):
        raise DataError("onsets, offsets or times are NaN or infinite", "Drop words without a time.")
    if (offsets < onsets).any():
        word = int(np.argmax(offsets < onsets))
        raise DataError(f"word {word} ends at {offsets[word]} s, before it begins at {onsets[word]} s")
    for run in np.unique(word_runs):
        if (np.diff(onsets[word_runs == run]) < 0).any():
            raise DataError(f"the words of run {run} do not follow each other in time", "Sort them by onset.")
        if not (runs == run).any():
            raise DataError(f"run {run} has words and no volumes", "Drop its words.")
