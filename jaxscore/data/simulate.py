"""Simulated recordings of known ceiling: `python -m jaxscore.data.simulate FOLDER` remakes FOLDER's NetCDF file.

Nothing here was measured in a brain. The response of voxel v to stimulus i in repetition k is

    y[k, i, v] = s[i, v] + sigma[v] * e[k, i, v],    e independent standard normal,

where the signal s mixes known features of the text and has mean 0 and variance 1 over the stimuli. A model is scored
on the mean over the R repetitions. The correlation of the noise-free signal with that mean, the most that any model can
expect, is therefore known (up to terms of order 1 / stimuli): c[v] = 1 / sqrt(1 + sigma[v]**2 / R).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from jaxscore.errors import DataError, JaxscoreError, StoreError

SIMULATED = "yes: computed from the text of the sentences and a random seed; no person was ever measured"
GROUPS = {"surface": 3, "style": 4, "last": 3, "content": 4, "context": 4}  # columns of `features`, in this order
HALF_LIFE = 8.0  # content words after which an earlier word of the passage counts half in the group `context`
NOISE_SD = 1.4  # median over voxels, of one repetition, in units of the signal's standard deviation
NOISE_SPREAD = {"subject": 0.15, "voxel": 0.35}  # standard deviations of log sigma
GROUP_SPREAD = 1.0  # standard deviation of the log variance that a feature group has in a voxel

_FUNCTION_WORDS = (
    "a about across after again all along also always among an and any are around as at be because been before behind "
    "below beside between both but by can could did do does down each even ever every far few first for from had has "
    "have he her higher him his how however i if in inside instead into is it its itself last later like many may me "
    "more most much must my near nearly never no nobody not nothing of off often on once one only onto or other "
    "others out over own past rather she shortly so some someone something sometimes somewhere soon such than "
    "that the their them then there these they this those three through to together too toward twice two under until "
    "up upstairs was we were what when where which while who whoever whole whose why will with without would you "
    "your"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
PRONOUNS = frozenset(["i", "my", "he", "him", "his", "she", "her", "it", "its", "they", "them", "their", "nobody"])
PAST = frozenset(
    ["came", "did", "gave", "had", "heard", "left", "said", "sat", "saw", "told", "took", "was", "went", "were"]
)


@cache
def word_vector(word: str, group: str) -> Float[np.ndarray, " feature"]:
    """Return a word's fixed vector in a feature group: a sum over its letter trigrams, so that kindred forms are near.

    Each trigram of "<word>" has entries uniform in [-1, 1), read from its BLAKE2b digest, so they are the same on every
    machine; the sum is divided by the square root of the number of trigrams.
    """
    width = GROUPS[group] - (group == "last")  # the last word's length takes one of that group's columns
    marked = f"<{word}>"
    trigrams = [marked[i : i + 3] for i in range(len(marked) - 2)]
    digests = [hashlib.blake2b(f"{group} {t}".encode(), digest_size=4 * width).digest() for t in trigrams]
    return np.frombuffer(b"".join(digests), "<i4").reshape(-1, width).sum(axis=0) / (2.0**31 * len(trigrams) ** 0.5)


def _total(words: Sequence[str], group: str, weights: Float[np.ndarray, " word"]) -> Float[np.ndarray, " feature"]:
    vectors = [weight * word_vector(word, group) for word, weight in zip(words, weights, strict=True)]
    return np.sum(vectors, axis=0) if vectors else np.zeros(GROUPS[group])


def _style(words: Sequence[str], commas: int) -> list[float]:
    function = [word in FUNCTION_WORDS for word in words]
    pronoun = [word in PRONOUNS for word in words]
    past = [word in PAST or (word.endswith("ed") and len(word) > 3) for word in words]
    return [*(sum(kind) / len(words) for kind in (function, pronoun, past)), commas]


def features(sentences: Sequence[str], passages: Sequence[str]) -> Float[np.ndarray, "stimulus feature"]:
    """Compute the known features that the simulated voxels mix, from the text alone.

    The groups of `GROUPS`, in this order (vectors are those of `word_vector`; a mean over no words is 0):

    - surface: number of words; mean number of letters of a word; position of the sentence in its passage, from 0;
    - style: shares of the words that are function words, pronouns and past forms (in `PAST` or ending in -ed); commas;
    - last: vector of the last word; its number of letters;
    - content: mean vector of the sentence's content words, which are all but the function words;
    - context: sum of the vectors of the content words of the EARLIER sentences of the passage, each weighted by
      2 ** (-age / HALF_LIFE), its age counted in content words back from the start of this sentence.

    Args:
        sentences: texts in reading order.
        passages: the passage of each sentence.

    Raises:
        DataError: if a sentence has no word.
    """
    earlier: dict[str, list[str]] = {}
    position: dict[str, int] = {}
    rows = []
    for sentence, passage in zip(sentences, passages, strict=True):
        words = re.findall(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*", sentence.lower())
        if not words:
            raise DataError(f"no word in the sentence {sentence!r}", "Give every stimulus at least one word.")
        content = [word for word in words if word not in FUNCTION_WORDS]
        before = earlier.setdefault(passage, [])
        recency = 2.0 ** (-np.arange(len(before), 0, -1) / HALF_LIFE)
        parts = [
            [len(words), np.mean([len(word) for word in words]), position.setdefault(passage, 0)],
            _style(words, sentence.count(",")),
            [*word_vector(words[-1], "last"), len(words[-1])],
            _total(content, "content", np.full(len(content), 1 / max(len(content), 1))),
            _total(before, "context", recency),
        ]
        rows.append(np.concatenate(parts))
        before.extend(content)
        position[passage] += 1
    return np.array(rows)


def _standardise(values: Float[np.ndarray, "stimulus column"]) -> Float[np.ndarray, "stimulus column"]:
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def signals(
    known: Float[np.ndarray, "stimulus feature"], neuroids: int, rng: np.random.Generator
) -> Float[np.ndarray, "stimulus neuroid"]:
    """Mix features into noise-free signals, each with mean 0 and variance 1 over the stimuli.

    Every voxel gives each feature group a share of its own (log-normal, `GROUP_SPREAD`) and, within a group, every
    standardised feature a normal weight.

    Args:
        known: what `features` returns.
        neuroids: number of voxels.
        rng: source of the weights.
    """
    share = np.exp(GROUP_SPREAD / 2 * rng.standard_normal((len(GROUPS), neuroids)))
    widths = np.array(list(GROUPS.values()))
    weights = rng.standard_normal((widths.sum(), neuroids)) * np.repeat(
        share / np.sqrt(widths)[:, None], widths, axis=0
    )
    return _standardise(_standardise(known) @ weights)


def ceiling(noise_sd: Float[np.ndarray, " neuroid"], repetitions: int) -> Float[np.ndarray, " neuroid"]:
    """Correlation of the noise-free signal (variance 1) with the mean of R repetitions: 1 / sqrt(1 + sigma**2 / R)."""
    return 1 / np.sqrt(1 + np.square(noise_sd) / repetitions)


def _noise_levels(subjects: int, voxels: int, rng: np.random.Generator) -> Float[np.ndarray, " neuroid"]:
    between = np.repeat(rng.standard_normal(subjects), voxels)
    within = rng.standard_normal(subjects * voxels)
    return NOISE_SD * np.exp(NOISE_SPREAD["subject"] * between + NOISE_SPREAD["voxel"] * within)


def simulate(
    stimuli: pd.DataFrame, *, seed: int = 2026, subjects: int = 6, voxels: int = 30, repetitions: int = 2
) -> xr.Dataset:
    """Simulate recordings of sentences whose ceiling is known.

    Args:
        stimuli: columns stimulus_id, passage_id and sentence, one row a stimulus, in reading order.
        seed: of weights, noise levels and noise, each with a PCG64 stream of its own.
        subjects: number of simulated subjects.
        voxels: voxels of each subject.
        repetitions: R, how often each stimulus is presented.

    Returns:
        `data` [presentation, neuroid], the mean over repetitions, and `repetitions` [repetition, presentation,
        neuroid], float32, in units of the signal's standard deviation. Coordinates: stimulus_id, passage_id, sentence;
        neuroid_id (`subject.voxel`), subject, noise_sd (sigma of one repetition) and ceiling (module docstring).
    """
    weights, levels, noise = (np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(3))
    known = features(stimuli["sentence"].tolist(), stimuli["passage_id"].tolist())
    signal = signals(known, subjects * voxels, weights)
    noise_sd = _noise_levels(subjects, voxels, levels)
    responses = signal + noise_sd * noise.standard_normal((repetitions, *signal.shape))
    subject = np.repeat([f"sub{i + 1}" for i in range(subjects)], voxels).astype(object)
    coords = {
        name: ("presentation", stimuli[name].to_numpy(object)) for name in ("stimulus_id", "passage_id", "sentence")
    }
    coords |= {
        "neuroid_id": ("neuroid", subject + [f".{i % voxels}" for i in range(subjects * voxels)]),
        "subject": ("neuroid", subject),
        "noise_sd": ("neuroid", noise_sd),
        "ceiling": ("neuroid", ceiling(noise_sd, repetitions)),
    }
    attrs = {"simulated": SIMULATED, "seed": seed, "ceiling": "1 / sqrt(1 + noise_sd**2 / repetitions)"}
    neuroids = ("presentation", "neuroid")
    arrays = {
        "data": (neuroids, responses.mean(axis=0).astype(np.float32), {"simulated": SIMULATED}),
        "repetitions": (("repetition", *neuroids), responses.astype(np.float32), {"simulated": SIMULATED}),
    }
    return xr.Dataset(arrays, coords=coords, attrs=attrs)


def read_stimuli(path: Path) -> pd.DataFrame:
    """Read a stimulus table.

    Raises:
        DataError: if the file or a column is missing, or a stimulus_id is repeated.
    """
    if not path.is_file():
        raise DataError(f"no stimulus table at {path}", "Name a folder that holds a stimuli.csv.")
    stimuli = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in ("stimulus_id", "passage_id", "sentence") if name not in stimuli]
    if missing:
        raise DataError(f"{path} lacks the columns {missing}; it has {list(stimuli)}", "Add them to its first line.")
    repeated = stimuli["stimulus_id"][stimuli["stimulus_id"].duplicated()].unique().tolist()
    if repeated:
        raise DataError(f"{path} repeats the stimulus ids {repeated[:5]}", "Give every stimulus an id of its own.")
    return stimuli


def write(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset to a NetCDF file: the whole of it under its name, or nothing.

    Raises:
        StoreError: if the file cannot be written; what was there before is untouched.
    """
    encoding = {name: {"zlib": True, "complevel": 9, "shuffle": True} for name in dataset.data_vars}
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
            partial = Path(scratch) / path.name
            dataset.to_netcdf(partial, engine="h5netcdf", encoding=encoding)
            os.replace(partial, path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}", "Choose a folder with room that you may write to.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate the recordings of FOLDER/stimuli.csv into FOLDER/<its name>.nc and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m jaxscore.data.simulate", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="folder that holds stimuli.csv, e.g. benchmarks/Simulated2026")
    folder = parser.parse_args(arguments).folder.resolve()
    path = folder / f"{folder.name}.nc"
    try:
        write(simulate(read_stimuli(folder / "stimuli.csv")), path)
    except JaxscoreError as error:
        print(error, file=sys.stderr)
        return 2
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
