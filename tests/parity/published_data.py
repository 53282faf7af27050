"""Small simulated data sets of the published layouts, as plain dicts of numpy arrays; every seed and size an argument.

`responses` is [presentation, neuroid] (Futrell2018: [word, subject]); every other array runs along one of the two.
Values are linear in given features plus noise, with weights that the subjects share in part, so that models predict
subjects and subjects predict each other.
"""

from __future__ import annotations

import numpy as np

Data = dict[str, np.ndarray]

NEUROID = frozenset(
    "subject subject_UID subject_id atlas filter_strategy atlas_selection_lower voxel_num neuroid_id".split()
    + "fROI_area electrode roi".split()
)
"""The arrays that run along the neuroids; all others but `responses` run along the presentations."""

ATLASES = (
    ("language", "nan", 90),
    ("DMN", "FIXminusH", 90),
    ("MD", "HminusE", 90),
    ("visual", "nan", 90),
    ("auditory", "nan", 90),
    ("language", "nan", 80),  # the last two are in the file and must not be used
    ("DMN", "HminusF", 90),
)
"""Atlas, filter strategy and lower bound of the selection of each group of voxels of a subject."""


def features(n_stimuli: int, n_features: int, seed: int, decay: float = 0.5) -> np.ndarray:
    """Features [stimulus, feature] in float64 with an offset; the i-th has the standard deviation (i + 1)**-decay."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, n_features + 1.0) ** -decay
    return rng.standard_normal((n_stimuli, n_features)) * scale + rng.standard_normal(n_features)


def pereira(
    X: np.ndarray,
    seed: int,
    sizes: tuple[int, int] = (48, 60),
    n_voxels: int = 12,
    only_first: tuple[int, ...] = (0,),
    only_second: tuple[int, ...] = (5,),
    n_subjects: int = 6,
    n_stories: int = 10,
) -> Data:
    """Two experiments in passages of 3 (243sentences) and 4 (384sentences); a story is one passage or more in a row.

    Args:
        X: features [stimulus, feature] of all sentences, first those of 243sentences.
        seed: of weights and noise.
        sizes: sentences of the two experiments, multiples of 3 and 4.
        n_voxels: of a subject in each group of `ATLASES`.
        only_first: subjects that have done nothing but 243sentences: NaN in the other.
        only_second: the same for 384sentences.
        n_subjects: how many.
        n_stories: of each experiment; grouped folds need at least 10.
    """
    experiment = np.repeat(["243sentences", "384sentences"], sizes)
    number = np.concatenate([np.arange(size) for size in sizes])
    passage = np.where(experiment == "243sentences", number // 3, number // 4)
    topic = passage * n_stories // np.where(experiment == "243sentences", sizes[0] // 3, sizes[1] // 4)
    category = np.array([f"topic{i}" for i in topic])
    subject, group, voxel = (a.ravel() for a in np.indices((n_subjects, len(ATLASES), n_voxels)))
    names = np.array([f"{18 + 7 * i:03d}" for i in range(n_subjects)])[subject]
    responses = simulate(X, subject, seed, own=0.5)
    for row, absent in ((experiment == "384sentences", only_first), (experiment == "243sentences", only_second)):
        responses[np.ix_(row, np.isin(subject, absent))] = np.nan
    number_in_subject = group * n_voxels + voxel
    return {
        "responses": responses,
        "experiment": experiment,
        "stimulus_num": number,
        "stimulus_id": _join(experiment, number),
        "sentence": np.array([f"Sentence {i} of {e} says this." for e, i in zip(experiment, number, strict=True)]),
        "passage_index": (passage + 1).astype(np.uint8),
        "passage_label": np.array([f"{c}_passage{p}" for c, p in zip(category, passage, strict=True)]),
        "passage_category": category,
        "story": _join(experiment, category),
        "subject": names,
        "atlas": np.array([atlas for atlas, _, _ in ATLASES])[group],
        "filter_strategy": np.array([strategy for _, strategy, _ in ATLASES])[group],
        "atlas_selection_lower": np.array([lower for _, _, lower in ATLASES])[group],
        "voxel_num": number_in_subject,
        "neuroid_id": _join(names, number_in_subject),
    }


def pereira_features(seed: int, sizes: tuple[int, int] = (48, 60), n_features: int = 8) -> np.ndarray:
    """Features [stimulus, feature] for `pereira` of the same sizes."""
    return features(sum(sizes), n_features, seed)


def blank(
    X: np.ndarray, seed: int, n_stories: int = 8, n_sentences: int = 3, n_parts: int = 6, n_subjects: int = 5
) -> Data:
    """Stories x sentences x parts, ids `story.sentence.part` counted from 1, and 12 fROIs of each subject.

    X [stimulus, feature] has n_stories * n_sentences * n_parts rows. Five parts or more a sentence let every fold have
    each story where one sentence number is scored by itself.
    """
    story, sentence, part = (a.ravel() + 1 for a in np.indices((n_stories, n_sentences, n_parts)))
    names = np.array([f"Story{chr(64 + s)}" for s in story])
    subject, area = (a.ravel() for a in np.indices((n_subjects, 12)))
    subject_names = np.array([f"{101 + 3 * i}_X" for i in range(n_subjects)])[subject]
    areas = np.array([f"{i:02d}_{side}" for i, side in enumerate(["LH", "RH"] * 6)])[area]
    return {
        "responses": simulate(X, subject, seed, own=0.5),
        "stimulus_id": _join(names, sentence, part),
        "story": names,
        "sentence_num": sentence,
        "sentence_part": part,
        "stimulus": np.array([f"part {p} of {s} in {n} " for n, s, p in zip(names, sentence, part, strict=True)]),
        "subject_UID": subject_names,
        "subject_id": subject_names,
        "fROI_area": areas,
        "neuroid_id": _join(subject_names, areas),
    }


def fedorenko(
    X: np.ndarray,
    seed: int,
    n_sentences: int = 12,
    n_words: int = 8,
    electrodes: tuple[int, ...] = (4, 7, 3, 6, 5),
) -> Data:
    """Words in sentences of `n_words` (at least 5) and as many electrodes of each subject as `electrodes` says."""
    sentence, word = (a.ravel() for a in np.indices((n_sentences, n_words)))
    subject = np.repeat(np.arange(len(electrodes)), electrodes)
    names = np.array([f"AMC0{26 + 11 * i}" for i in range(len(electrodes))])[subject]
    electrode = np.concatenate([np.arange(n) for n in electrodes])
    return {
        "responses": simulate(X, subject, seed, own=0.4),
        "stimulus_id": np.arange(n_sentences * n_words),
        "sentence_id": sentence,
        "word_num": word + 1,
        "word": np.array([f"w{(3 * s + w) % 17}" for s, w in zip(sentence, word, strict=True)]),
        "subject_UID": names,
        "electrode": electrode,
        "neuroid_id": _join(names, electrode),
    }


def tuckute(X: np.ndarray, seed: int, rois: tuple[str, ...] = ("lang_LH_netw",)) -> Data:
    """Z-scored responses [stimulus, roi] of the mean subject, ids `B.1`, `B.2`, ... and a condition of three."""
    n = len(X)
    responses = simulate(X, np.zeros(len(rois), dtype=int), seed, own=0.5)
    return {
        "responses": (responses - responses.mean(axis=0)) / responses.std(axis=0),
        "stimulus_id": np.array([f"B.{i + 1}" for i in range(n)]),
        "stimulus": np.array([f"Sentence number {i + 1}." for i in range(n)]),
        "cond": np.array(["B", "D", "S"])[np.arange(n) % 3],
        "roi": np.array(rois),
        "neuroid_id": np.array(rois),
        "subject_UID": np.array(["mean"] * len(rois)),
    }


def futrell(
    X: np.ndarray,
    seed: int,
    n_stories: int = 3,
    n_sentences: int = 8,
    n_words: int = 7,
    n_subjects: int = 12,
    vocabulary: int = 90,
    missing: float = 0.06,
) -> Data:
    """Words of stories, many of them repeated; reading times in ms [word, subject].

    NaN: single words at random (`missing`), and every third subject has left out one story. A word read by nobody, or
    by less than two subjects, is given its readings back, as every word of the published data has many readers.
    """
    rng = np.random.default_rng([seed, 1])
    story, sentence, word = (a.ravel() for a in np.indices((n_stories, n_sentences, n_words)))
    subject = np.arange(n_subjects)
    times = 350 + 40 * simulate(X, subject, seed, own=0.5)
    absent = rng.random(times.shape) < missing
    absent |= (subject[None] % 3 == 2) & (story[:, None] == (subject[None] // 3) % n_stories)
    absent[(~absent).sum(axis=1) < 2] = False
    words = np.array([f"word{i}" for i in rng.integers(vocabulary, size=len(story))])
    return {
        "responses": np.where(absent, np.nan, times),
        "word": words,
        "word_core": words,
        "word_id": np.arange(len(story)),
        "stimulus_id": _join(story + 1, np.arange(len(story))),
        "story_id": story + 1,
        "sentence_id": story * n_sentences + sentence + 1,
        "word_within_sentence_id": word + 1,
        "subject_id": np.array([f"A{i:02d}" for i in rng.permutation(n_subjects)]),
    }


def simulate(X: np.ndarray, subject: np.ndarray, seed: int, own: float, noise: float = 1.4) -> np.ndarray:
    """Responses [stimulus, neuroid]: what all neuroids share, plus `own` times what is each one's, plus noise.

    A component of the noise is one for all neuroids of a subject, so that the subjects differ in how well they do.
    """
    rng = np.random.default_rng([seed, 0])
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    shared = rng.standard_normal((X.shape[1], 1))
    weights = (shared + own * rng.standard_normal((X.shape[1], len(subject)))) / np.sqrt(X.shape[1])
    of_subject = rng.standard_normal((len(X), subject.max() + 1))
    level = np.linspace(0.3, 0.9, subject.max() + 1)
    private = rng.standard_normal((len(X), len(subject)))
    return standard @ weights + noise * (0.6 * private + level[subject] * of_subject[:, subject])


def select(data: Data, rows: np.ndarray | slice = slice(None), neuroids: np.ndarray | slice = slice(None)) -> Data:
    """Return the data of some presentations and neuroids, masks or numbers, in the order given."""
    part = {key: values[neuroids if key in NEUROID else rows] for key, values in data.items() if key != "responses"}
    return {"responses": data["responses"][rows][:, neuroids], **part}


def _join(*columns: np.ndarray) -> np.ndarray:
    return np.array([".".join(map(str, row)) for row in zip(*columns, strict=True)])
