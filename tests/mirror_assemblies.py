"""Simulated assemblies of the published shapes and coordinates, for real stimuli: nobody's brain was measured."""

from __future__ import annotations

import mirror_stimuli as stimuli
import numpy as np
import pandas as pd
import xarray as xr

SUBJECTS = ("018", "199", "215", "288", "289", "296", "343", "366", "407", "426")
LANGUAGE = (6_633, 5_522, 1_398)
"""Language voxels of Pereira2018 with both experiments, with 384sentences and with 243sentences alone: 13,553."""
ATLASES = {
    ("language", None, 90): 13_553,
    ("auditory", None, 90): 5_692,
    ("visual", None, 90): 5_000,  # this and the next two: sizes of our own, the published ones are not known here
    ("DMN", "FIXminusH", 90): 6_000,
    ("MD", "HminusE", 90): 9_000,
    ("language", None, 80): 500,  # these two are not to be used
    ("MD", "EminusH", 90): 500,
}
"""Voxels by atlas, filter strategy and lower bound of the selection."""
REGIONS = ("PostTemp", "AntTemp", "IFG", "IFGorb", "MFG", "AngG")
FROIS = tuple(f"{6 * side + i + 1:02d}_{'LR'[side]}H_{name}" for side in range(2) for i, name in enumerate(REGIONS))
ELECTRODES = {"": (47, 8, 9, 15, 18), "nonlang": (25, 31, 14, 19, 16)}
UNFIT = ("A2VG5S4UL5UGRS", "A1I02VZ07MZB7F")  # readers that the 2021 pipeline left out: they read next to nothing


def responses(X: np.ndarray, subjects: np.ndarray, rng: np.random.Generator, noise: float = 1.5) -> np.ndarray:
    """[stimulus, neuroid] in float32: features through weights that subjects, and neuroids of one, share in part."""
    codes = np.unique(subjects, return_inverse=True)[1]
    draws = (rng.standard_normal((X.shape[1], count)) for count in (1, codes.max() + 1, len(codes)))
    everyone, subject, own = draws
    weights = (everyone + 0.5 * subject[:, codes] + 0.5 * own) / np.sqrt(X.shape[1])
    return (X @ weights + noise * rng.standard_normal((len(X), len(codes)))).astype(np.float32)


def assembly(values: np.ndarray, rows: pd.DataFrame, columns: pd.DataFrame, dim: str = "neuroid") -> xr.DataArray:
    """Responses with the columns of two tables as coordinates."""
    coords = {name: ("presentation", rows[name].to_numpy()) for name in rows}
    coords |= {name: (dim, columns[name].to_numpy()) for name in columns}
    return xr.DataArray(values, coords, ("presentation", dim))


def pereira(small: bool, seed: int) -> tuple[xr.DataArray, pd.DataFrame]:
    """All atlases, NaN for the experiment that a subject did not do; and the stimulus set."""
    table, labels = stimuli.pereira(small), voxels(small)
    rng = np.random.default_rng([seed, 1])
    values = responses(stimuli.features(table.sentence, table.story), labels.subject.to_numpy(), rng)
    for name, column in (("384sentences", "in_384"), ("243sentences", "in_243")):
        values[np.ix_(table.experiment == name, ~labels[column])] = np.nan
    columns = labels.drop(columns=["in_384", "in_243"])
    return assembly(values, table.drop(columns="sentence"), columns), table


def voxels(small: bool) -> pd.DataFrame:
    """Labels of the voxels; those of the DMN are language voxels too, as a voxel may lie in several atlases."""
    frames = []
    for k, ((atlas, strategy, lower), count) in enumerate(ATLASES.items()):
        sizes = (9, 3, 3) if small else np.round(np.array(LANGUAGE) * count / sum(LANGUAGE)).astype(int)
        groups = (SUBJECTS[:3], SUBJECTS[3:4], SUBJECTS[4:5]) if small else (SUBJECTS[:5], SUBJECTS[5:9], SUBJECTS[9:])
        for size, names, done in zip(sizes, groups, ((True, True), (True, False), (False, True)), strict=True):
            frame = pd.DataFrame({"subject": np.sort(np.resize(names, size)), "in_384": done[0], "in_243": done[1]})
            frame["voxel_num"] = frame.groupby("subject").cumcount() + (0 if atlas == "DMN" else 10_000 * k)
            frames.append(frame.assign(atlas=atlas, filter_strategy=strategy, atlas_selection_lower=lower))
    found = pd.concat(frames, ignore_index=True)
    place = found.voxel_num.to_numpy()
    return found.assign(
        atlas_selection=[f"from{lower}to100prcnt" for lower in found.atlas_selection_lower],
        roi=[f"{'LH' if i % 2 else 'RH'}_{REGIONS[i % 6]}" for i in range(len(found))],
        indices_in_3d=place * 7 + 11,
        **{f"col_to_coord_{axis}": place // 7**axis % 90 for axis in (1, 2, 3)},
        neuroid_id=found.subject + "." + found.voxel_num.astype(str),
    )


def blank(small: bool, seed: int) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Responses of 12 regions of 5 subjects, presentations (which are the stimulus set), subject and region."""
    table = stimuli.blank(small)
    names, areas = ("061", "085", "088", "090", "098")[: 3 if small else 5], FROIS[: 3 if small else 12]
    columns = pd.DataFrame([(name, area) for area in areas for name in names], columns=["subject", "fROI_area"])
    rng = np.random.default_rng([seed, 2])
    values = responses(stimuli.features(table.sentence, table.story), columns.subject.to_numpy(), rng)
    columns["neuroid_id"] = columns.subject + "." + columns.fROI_area
    return values, table, columns


def fedorenko(small: bool, seed: int, kind: str) -> xr.DataArray:
    """Electrodes of 5 subjects, words with their sentence."""
    table = stimuli.fedorenko(small)
    sizes = (3, 2, 3, 2) if small else ELECTRODES[kind]
    columns = pd.DataFrame({"subject_UID": np.repeat(np.arange(1, len(sizes) + 1), sizes)})
    columns["electrode"] = columns["neuroid_id"] = np.arange(len(columns))
    X = stimuli.features(table.word, table.sentence_id)
    rng = np.random.default_rng([seed, 3, len(kind)])
    return assembly(responses(X, columns.subject_UID.to_numpy(), rng).astype(float), table, columns)


def futrell(small: bool, seed: int) -> xr.DataArray:
    """Reading times in ms [presentation, subject], of the stories that each subject read; two read next to nothing."""
    table, rng = stimuli.futrell(small), np.random.default_rng([seed, 4])
    count = 10 if small else 180
    names = np.array([*UNFIT, *(f"A{number:013d}" for number in rng.choice(10**9, count - 2, replace=False))])
    X = stimuli.features(table.word, table.sentence_id)
    times = 330 + 60 * responses(X, names, rng, noise=1.0).astype(float)
    stories = table.story_id.unique()
    for i in range(count):
        unread = rng.choice(stories, len(stories) // 2 if len(stories) > 5 else 1, replace=False)
        times[np.isin(table.story_id, unread), i] = np.nan
    times[6:, 0] = np.nan
    times[table.sentence_id > table.sentence_id.min() + 1, 1] = np.nan
    columns = pd.DataFrame({"subject_id": names, "correct": rng.integers(4, 7, count)})
    return assembly(times, table, columns.assign(WorkTimeInSeconds=rng.integers(600, 4000, count)), "subject")


def tuckute(small: bool, seed: int) -> tuple[xr.DataArray, pd.DataFrame]:
    """The mean subject's language network; and the authors' long table: 6 regions of 5 subjects and of one more.

    That one read other sentences as well.
    """
    table = stimuli.tuckute(small)
    subjects, regions = (848, 853, 865, 875, 876, 841), ("netw", "AntTemp", "IFG", "IFGorb", "MFG", "PostTemp")
    pairs = [(name, f"lang_LH_{roi}") for name in subjects for roi in regions]
    columns = pd.DataFrame(pairs, columns=["target_UID", "roi"])
    X = stimuli.features(table.sentence, table.item_id)
    values = responses(X, columns.target_UID.to_numpy(), np.random.default_rng([seed, 5])).astype(float)
    long = table.merge(columns, how="cross").assign(cond="B", cond_approach="B", response_target=values.ravel())
    mean = values[:, (columns.roi == "lang_LH_netw") & (columns.target_UID != 841)].mean(1, keepdims=True)
    other = stimuli.pereira(small=True).head(20)[["sentence"]]
    other = other.assign(item_id=[f"D.{i + 1}" for i in range(20)]).merge(
        columns[columns.target_UID == 841], how="cross"
    )
    other = other.assign(cond="D", cond_approach="D_search", response_target=np.linspace(-1, 1, len(other)))
    rows = table.rename(columns={"item_id": "stimulus_id", "sentence": "stimulus"}).assign(cond="B", cond_approach="B")
    one = pd.DataFrame({"neuroid_id": [1], "subject_UID": ["-".join(map(str, subjects[:5]))], "roi": ["lang_LH_netw"]})
    return assembly((mean - mean.mean()) / mean.std(), rows, one), pd.concat([long, other], ignore_index=True)
