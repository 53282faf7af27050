"""Simulated recordings of known ceiling: `python -m jaxscore.data.simulate FOLDER` remakes FOLDER's NetCDF file.

Nothing here was measured in a brain. The response of voxel v to stimulus i in repetition k is

    y[k, i, v] = s[i, v] + sigma[v] * e[k, i, v],    e independent standard normal,

where the signal s mixes known features of the text and has mean 0 and variance 1 over the stimuli. A model is scored
on the mean over the R repetitions. The correlation of the noise-free signal with that mean, the most that any model can
expect, is therefore known (up to terms of order 1 / stimuli): c[v] = 1 / sqrt(1 + sigma[v]**2 / R).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from jaxscore.data.sentence_features import GROUPS, features
from jaxscore.errors import DataError, JaxscoreError, StoreError

SIMULATED = "yes: computed from the text of the sentences and a random seed; no person was ever measured"
NOISE_SD = 1.4  # median over voxels, of one repetition, in units of the signal's standard deviation
NOISE_SPREAD = {"subject": 0.15, "voxel": 0.35}  # standard deviations of log sigma
GROUP_SPREAD = 1.0  # standard deviation of the log variance that a feature group has in a voxel


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
