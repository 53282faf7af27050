"""The scores of the 2021 pipeline (nn_*) and of today's platform (bl_*) in plain float64 loops: the slow reference.

It knows nothing of the package under test: scikit-learn splits and fits, scipy correlates, every mean and median is
spelled out. Features are those of ONE layer, [stimulus, feature] in the file order of `data` (`in_file_order` brings
them there); `data` is a dict as `published_data` makes it. Every score is a dict with what it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from parity.published_data import Data, select
from parity.published_metrics import (
    Fold,
    Regression,
    Similarity,
    bl_groups,
    encoding,
    folds,
    linear_cka,
    mostly_test,
    nn_folds,
    ols,
    on_test_parts,
    pearson_guarded,
    rdm_similarity,
    ridge,
    shuffled,
    stratified,
)
from parity.reference_protocol import mean_of_present, own_ceiling_score, subject_aggregate
from scipy import stats

Score = dict[str, Any]

# --- the 2021 pipeline ----------------------------------------------------------------------------------------------


def nn_encoding(X: np.ndarray, data: Data, ceiling: float | np.ndarray, error_scale: float = 1.0) -> Score:
    """Return the encoding score of Pereira2018 (one ceiling), Blank2014 or Fedorenko2016 (a ceiling [neuroid] each).

    Pereira2018: every experiment and atlas by itself; mean over splits, mean over experiments (NaN skipped), medians
    of the language neuroids, value and error divided by the ceiling. The others: each neuroid's mean over splits
    divided by its own ceiling (NaN where that is NaN or <= 0, counted as `unusable`), then the medians.
    """
    if "experiment" in data:
        return _nn_pereira_encoding(X, usable(data), float(ceiling), error_scale)
    r = encoding(X, data["responses"], nn_folds(data))
    neuroid_r = mean_of_present(r, axis=0)
    score, error, unusable = own_ceiling_score(neuroid_r, np.asarray(ceiling), data["subject_UID"], error_scale)
    return {"score": score, "error": error, "unusable": unusable, "neuroid_r": neuroid_r, "r": r}


def _nn_pereira_encoding(X: np.ndarray, data: Data, ceiling: float, error_scale: float) -> Score:
    r = []
    for experiment in sorted(set(data["experiment"].tolist())):
        rows = data["experiment"] == experiment
        responses = data["responses"][rows]
        of_experiment = np.full((5, responses.shape[1]), np.nan)
        for atlas in sorted(set(data["atlas"].tolist())):
            neuroids = np.flatnonzero((data["atlas"] == atlas) & ~np.isnan(responses).any(axis=0))
            of_experiment[:, neuroids] = encoding(X[rows], responses[:, neuroids], folds(rows.sum()))
        r.append(of_experiment)
    neuroid_r = mean_of_present(mean_of_present(np.array(r), axis=1), axis=0)
    language = data["atlas"] == "language"
    raw, deviation = subject_aggregate(neuroid_r[language], data["subject"][language], error_scale)
    made_of = {"raw": raw, "neuroid_id": data["neuroid_id"], "neuroid_r": neuroid_r, "r": np.array(r)}
    return {"score": raw / ceiling, "error": deviation / ceiling, **made_of}


def nn_rdm(X: np.ndarray, data: Data, ceiling: float = 1.0, error_scale: float = 1.0) -> Score:
    """Return the score by RDMs, a value for each subject (`nn_subjects`)."""
    return nn_subjects(X, data, ceiling, rdm_similarity, error_scale)


def nn_cka(X: np.ndarray, data: Data, ceiling: float = 1.0, error_scale: float = 1.0) -> Score:
    """Return the score by linear CKA, a value for each subject (`nn_subjects`)."""
    return nn_subjects(X, data, ceiling, linear_cka, error_scale)


def nn_subjects(X: np.ndarray, data: Data, ceiling: float, similarity: Similarity, error_scale: float = 1.0) -> Score:
    """Mean over the test parts of the folds, (Pereira2018: mean over experiments,) median and deviation over subjects.

    Test parts are those of shuffled folds, for Fedorenko2016 stratified by sentence; Pereira2018 scores the language
    neuroids.
    """
    if "experiment" in data:
        parts = [experiment_part(X, data, name) for name in sorted(set(data["experiment"].tolist()))]
        subjects = sorted(set(data["subject"].tolist()))
        split_lists = [folds(len(rows)) for rows, _ in parts]
    else:
        parts, subjects = [(X, data)], sorted(set(data["subject_UID"].tolist()))
        split_lists = [stratified(data["sentence_id"]) if "sentence_id" in data else folds(len(X))]
    r = np.full((len(parts), 5, len(subjects)), np.nan)
    for e, ((rows, part), splits) in enumerate(zip(parts, split_lists, strict=True)):
        for s, subject in enumerate(subjects):
            neuroids = subject_column(part) == subject
            if neuroids.any():
                r[e, :, s] = on_test_parts(rows, part["responses"][:, neuroids], splits, similarity)
    subject_r = mean_of_present(mean_of_present(r, axis=1), axis=0)
    raw, deviation = subject_aggregate(subject_r, np.array(subjects), error_scale)
    return {"score": raw / ceiling, "error": deviation / ceiling, "raw": raw, "subject_r": subject_r, "r": r}


def nn_decoding(X: np.ndarray, data: Data, ceiling: float = 1.0, error_scale: float = 1.0) -> Score:
    """Pereira2018 turned round: the language voxels of a subject predict the units of the model, ten draws of 90%.

    Mean over splits, mean over experiments, median over the units of a subject, median over subjects.
    """
    subjects = sorted(set(data["subject"].tolist()))
    experiments = sorted(set(data["experiment"].tolist()))
    r = np.full((len(experiments), 10, len(subjects), X.shape[1]), np.nan)
    for e, experiment in enumerate(experiments):
        units, part = experiment_part(X, data, experiment)
        for s, subject in enumerate(subjects):
            neuroids = part["subject"] == subject
            if neuroids.any():
                r[e, :, s] = encoding(part["responses"][:, neuroids], units, shuffled(len(units)))
    unit_r = mean_of_present(mean_of_present(r, axis=1), axis=0)  # [subject, unit]
    raw, deviation = subject_aggregate(unit_r.ravel(), np.repeat(subjects, X.shape[1]), error_scale)
    return {"score": raw / ceiling, "error": deviation / ceiling, "raw": raw, "unit_r": unit_r, "r": r}


def nn_futrell_encoding(X: np.ndarray, data: Data, ceiling: float) -> Score:
    """Every subject by itself on the words it has read; folds stratified by sentence and applied by the word's VALUE.

    Mean over splits (NaN skipped) / ceiling, median over subjects; error: standard deviation over subjects, ddof 0.
    """
    r = np.array([word_encoding(X, data, times)[:, 0] for times in data["responses"].T])  # [subject, split]
    normalised = mean_of_present(r, axis=1) / ceiling
    return {"score": float(np.nanmedian(normalised)), "error": float(np.nanstd(normalised)), "r": r}


def word_encoding(X: np.ndarray, data: Data, times: np.ndarray) -> np.ndarray:
    """R [split, 1] of one reader's times [word] on the words where neither they nor the features are NaN."""
    read = np.flatnonzero(~np.isnan(times) & ~np.isnan(X).any(axis=1))
    words = data["word"][read]
    by_value = [
        (np.flatnonzero(np.isin(words, words[train])), np.flatnonzero(np.isin(words, words[test])))
        for train, test in stratified(data["sentence_id"][read])
    ]
    return encoding(X[read], times[read, None], by_value)


# --- today's platform -----------------------------------------------------------------------------------------------


def bl_encoding(
    X: np.ndarray, data: Data, splits: Sequence[Fold], regression: Regression, ceiling: float | None = None
) -> Score:
    """Median of r over all neuroids of all subjects (NaN skipped), mean over splits; / ceiling, clipped."""
    r = encoding(X, data["responses"], splits, regression, pearson_guarded)
    return clipped(float(np.mean([np.nanmedian(of_split) for of_split in r])), ceiling, r=r)


def bl_linear_shuffle(X: np.ndarray, data: Data, ceiling: float | None) -> Score:
    """Return the *-linear-shuffle score; of Pereira2018 give one experiment (`experiment_part`)."""
    return bl_encoding(X, data, shuffled(len(X)), ols, ceiling)


def bl_ridge(X: np.ndarray, data: Data, ceiling: float | None) -> Score:
    """Return the *-ridge score with grouped folds; of Pereira2018 give one experiment (`experiment_part`)."""
    return bl_encoding(X, data, bl_groups(data), ridge, ceiling)


def bl_rdm(X: np.ndarray, data: Data, ceiling: float | None = None) -> Score:
    """Return the RDM score: all neuroids of all subjects side by side, mean over test parts."""
    r = on_test_parts(X, data["responses"], mostly_test(len(X)), rdm_similarity)
    return clipped(float(r.mean()), ceiling, r=r)


def bl_cka(X: np.ndarray, data: Data, ceiling: float | None = None) -> Score:
    """Return the linear CKA score: all neuroids of all subjects side by side, mean over test parts."""
    r = on_test_parts(X, data["responses"], mostly_test(len(X)), linear_cka)
    return clipped(float(r.mean()), ceiling, r=r)


def bl_tuckute(X: np.ndarray, data: Data, metric: str) -> Score:
    """Return the Tuckute2024 score by `linear`, `ridge` (both ten draws of 90%), `rdm` (NaN for one roi) or `cka`."""
    if metric in ("linear", "ridge"):
        return bl_encoding(X, data, shuffled(len(X)), {"linear": ols, "ridge": ridge}[metric])
    return {"rdm": bl_rdm, "cka": bl_cka}[metric](X, data)


def bl_futrell_pearsonr(surprisal: np.ndarray, data: Data, ceiling: float | None) -> Score:
    """|r| of surprisal [word] and the subjects' mean time (NaN skipped), without the first word of each sentence."""
    later = data["word_within_sentence_id"] != 1
    times = mean_of_present(data["responses"], axis=1)
    return clipped(abs(float(stats.pearsonr(surprisal[later], times[later]).statistic)), ceiling)


def bl_layers(scores: Sequence[Score]) -> Score:
    """Mean over layers of the clipped scores, of the unclipped and of the raw ones."""
    return {key: float(np.mean([score[key] for score in scores])) for key in ("score", "unclipped", "raw")}


# --- what belongs to the score --------------------------------------------------------------------------------------


def in_file_order(rows: Mapping[Any, np.ndarray], data: Data) -> np.ndarray:
    """Features [stimulus, feature] from {stimulus id: features}, in the file order of the data."""
    return np.array([rows[stimulus] for stimulus in data["stimulus_id"].tolist()], dtype=np.float64)


def usable(data: Data) -> Data:
    """NN: the neuroids that count: atlas_selection_lower 90 and filter strategy none, HminusE or FIXminusH."""
    kept = np.isin(data["filter_strategy"], ["nan", "", "HminusE", "FIXminusH"]) & (data["atlas_selection_lower"] == 90)
    return select(data, neuroids=kept)


def experiment_part(
    X: np.ndarray, data: Data, experiment: str, atlas: str | None = "language"
) -> tuple[np.ndarray, Data]:
    """Features and usable data of one experiment (and atlas) of Pereira2018, without neuroids that are NaN in it."""
    rows = data["experiment"] == experiment
    part = select(usable(data), rows=rows)
    present = ~np.isnan(part["responses"]).any(axis=0)
    return X[rows], select(part, neuroids=present if atlas is None else present & (part["atlas"] == atlas))


def blank_sentence(X: np.ndarray, data: Data, number: int) -> tuple[np.ndarray, Data]:
    """Features and data of the stimuli `story.<number>.part` of Blank2014."""
    rows = np.array([int(stimulus.split(".")[1]) == number for stimulus in data["stimulus_id"].tolist()])
    return X[rows], select(data, rows=rows)


def clipped(raw: float, ceiling: float | None, **made_of: Any) -> Score:
    """BL: raw / ceiling put into [0, 1], with the value before that; without a ceiling the raw value as it is."""
    if ceiling is None:
        return {"score": raw, "unclipped": raw, "raw": raw, **made_of}
    return {"score": float(np.clip(raw / ceiling, 0, 1)), "unclipped": raw / ceiling, "raw": raw, **made_of}


def subject_column(data: Data) -> np.ndarray:
    """The subject of every neuroid, under the name that the data set gives it."""
    return data["subject"] if "subject" in data else data["subject_UID"]
