"""The Pereira2018-encoding protocol of the 2021 pipeline, loop by loop in float64: the reference for the parity tests.

It knows nothing of the package under test. An assembly is a few numpy arrays; every experiment, atlas, layer and fold
is refitted; every mean and median is spelled out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from parity.reference_regression import Fold, ols_fold_r
from sklearn.model_selection import BaseCrossValidator, KFold

FoldR = Callable[[np.ndarray, np.ndarray, Sequence[Fold]], np.ndarray]
"""(features [stimulus, feature], responses [stimulus, neuroid], folds) -> r [fold, neuroid]."""


@dataclass(frozen=True)
class Assembly:
    """Responses [presentation, neuroid] with NaN where a voxel is absent from an experiment, and their labels."""

    responses: np.ndarray
    experiment: np.ndarray  # [presentation]
    stimulus_id: np.ndarray  # [presentation]
    subject: np.ndarray  # [neuroid]
    atlas: np.ndarray  # [neuroid]


@dataclass(frozen=True)
class ReferenceScore:
    """What the protocol gives: one value a layer, and what it was made of."""

    score: np.ndarray  # [layer], raw / ceiling
    error: np.ndarray  # [layer], deviation over subjects / ceiling
    raw: np.ndarray  # [layer], the aggregate of r
    neuroid_r: np.ndarray  # [layer, neuroid], mean over folds, then over experiments
    fold_r: np.ndarray  # [layer, experiment, fold, neuroid], experiments sorted by name


@dataclass(frozen=True)
class NestedScore:
    """What the protocol gives when the layer is chosen without the test fold."""

    layers: np.ndarray  # [fold], the chosen layer
    inner: np.ndarray  # [fold, layer], the aggregate the choice was made by
    score: float
    error: float
    raw: float
    fold_r: np.ndarray  # [experiment, fold, neuroid] of the chosen layers


def experiment_folds(
    assembly: Assembly, splitter: BaseCrossValidator | None = None, groups: np.ndarray | None = None
) -> dict[str, list[Fold]]:
    """Folds of each experiment, as row numbers within the experiment in file order.

    Args:
        assembly: gives the presentations of each experiment.
        splitter: by default the protocol's ``KFold(5, shuffle=True, random_state=1)``.
        groups: [presentation], e.g. passage ids, for a splitter that keeps groups together.
    """
    splitter = KFold(5, shuffle=True, random_state=1) if splitter is None else splitter
    folds = {}
    for experiment in sorted(set(assembly.experiment.tolist())):
        rows = np.flatnonzero(assembly.experiment == experiment)
        folds[experiment] = list(splitter.split(rows, groups=None if groups is None else groups[rows]))
    return folds


def protocol_fold_r(
    features: Sequence[np.ndarray],
    feature_ids: np.ndarray,
    assembly: Assembly,
    folds: Mapping[str, Sequence[Fold]],
    fold_r: FoldR = ols_fold_r,
) -> np.ndarray:
    """Out-of-fold r [layer, experiment, fold, neuroid] for each experiment and atlas; NaN for absent voxels.

    Args:
        features: for each layer [stimulus, feature].
        feature_ids: stimulus ids [stimulus] of the rows of the features, in any order.
        assembly: the responses; every stimulus of it must have a row of features.
        folds: of each experiment (`experiment_folds`); as many in each.
        fold_r: the regression.
    """
    row_of = {stimulus: row for row, stimulus in enumerate(np.asarray(feature_ids).tolist())}
    n_folds = len(next(iter(folds.values())))
    r = np.full((len(features), len(folds), n_folds, assembly.responses.shape[1]), np.nan)
    for e, experiment in enumerate(sorted(folds)):
        presentations = np.flatnonzero(assembly.experiment == experiment)
        rows = [row_of[stimulus] for stimulus in assembly.stimulus_id[presentations].tolist()]
        responses = assembly.responses[presentations]
        for atlas in sorted(set(assembly.atlas.tolist())):
            neuroids = np.flatnonzero((assembly.atlas == atlas) & ~np.isnan(responses).any(axis=0))
            if neuroids.size == 0:
                continue
            for layer, X in enumerate(features):
                r[layer, e, :, neuroids] = fold_r(X[rows], responses[:, neuroids], folds[experiment]).T
    return r


def pereira_score(
    features: Sequence[np.ndarray],
    feature_ids: np.ndarray,
    assembly: Assembly,
    ceiling: float,
    folds: Mapping[str, Sequence[Fold]] | None = None,
    fold_r: FoldR = ols_fold_r,
    error_scale: float = 1.0,
) -> ReferenceScore:
    """Score every layer by the protocol; arguments as in `protocol_fold_r` and `subject_aggregate`.

    Mean over folds, mean over experiments (both skip NaN), language atlas, median over the neuroids of a subject, then
    over subjects; value and error divided by the ceiling. Other ``folds`` (e.g. grouped by passage) give that variant.
    """
    folds = experiment_folds(assembly) if folds is None else folds
    r = protocol_fold_r(features, feature_ids, assembly, folds, fold_r)
    neuroid_r = mean_of_present(mean_of_present(r, axis=2), axis=1)
    aggregates = np.array([_language_aggregate(values, assembly, error_scale) for values in neuroid_r])
    raw, deviation = aggregates[:, 0], aggregates[:, 1]
    return ReferenceScore(raw / ceiling, deviation / ceiling, raw, neuroid_r, r)


def own_ceiling_score(
    neuroid_r: np.ndarray, neuroid_ceiling: np.ndarray, subject: np.ndarray, error_scale: float = 1.0
) -> tuple[float, float, int]:
    """Score one layer where each neuroid has a ceiling of its own (Blank2014, Fedorenko2016).

    Args:
        neuroid_r: [neuroid], mean over folds.
        neuroid_ceiling: [neuroid]; where it is NaN or <= 0 the neuroid's normalised value is NaN.
        subject: [neuroid].
        error_scale: as in `subject_aggregate`.

    Returns:
        Score, error, and how many neuroids were left without a usable ceiling.
    """
    unusable = np.isnan(neuroid_ceiling) | (neuroid_ceiling <= 0)
    normalised = neuroid_r / np.where(unusable, np.nan, neuroid_ceiling)
    score, error = subject_aggregate(normalised, subject, error_scale)
    return score, error, int(unusable.sum())


def nested_layer_choice(
    features: Sequence[np.ndarray],
    feature_ids: np.ndarray,
    assembly: Assembly,
    ceiling: float,
    folds: Mapping[str, Sequence[Fold]] | None = None,
    fold_r: FoldR = ols_fold_r,
    error_scale: float = 1.0,
) -> NestedScore:
    """Choose the layer of each outer fold on the other folds alone, by explicit refits (slow); score what was chosen.

    The inner folds of outer fold k are the other folds i of the same experiment: trained on everything but k and i,
    tested on i. The layer of fold k, one for all experiments, is the first maximum of the raw aggregate of those r.
    Arguments as in `pereira_score`.
    """
    folds = experiment_folds(assembly) if folds is None else folds
    outer = protocol_fold_r(features, feature_ids, assembly, folds, fold_r)
    n_layers, _, n_folds, _ = outer.shape
    inner, layers, chosen = np.full((n_folds, n_layers), np.nan), np.zeros(n_folds, dtype=int), outer[0].copy()
    for k in range(n_folds):
        remaining = {
            name: [(np.setdiff1d(train, splits[k][1]), test) for i, (train, test) in enumerate(splits) if i != k]
            for name, splits in folds.items()
        }
        r = protocol_fold_r(features, feature_ids, assembly, remaining, fold_r)
        neuroid_r = mean_of_present(mean_of_present(r, axis=2), axis=1)
        inner[k] = [_language_aggregate(values, assembly, error_scale)[0] for values in neuroid_r]
        layers[k] = np.nanargmax(inner[k])
        chosen[:, k] = outer[layers[k], :, k]
    raw, deviation = _language_aggregate(
        mean_of_present(mean_of_present(chosen, axis=1), axis=0), assembly, error_scale
    )
    return NestedScore(layers, inner, raw / ceiling, deviation / ceiling, raw, chosen)


def subject_aggregate(neuroid_r: np.ndarray, subject: np.ndarray, error_scale: float = 1.0) -> tuple[float, float]:
    """Median over the neuroids of each subject, then median and median absolute deviation over subjects.

    Args:
        neuroid_r: [neuroid]; NaN are skipped, and a subject of nothing but NaN is skipped by the median over subjects
            but counts as 0 in the deviation.
        subject: [neuroid].
        error_scale: factor on the deviation. The errors PUBLISHED in 2021 were made with 1.4826, the default of the
            function that scipy had then; 1 is the plain deviation.
    """
    subjects = sorted(set(subject.tolist()))
    medians = np.array([_median_of_present(neuroid_r[subject == name]) for name in subjects])
    filled = np.where(np.isnan(medians), 0.0, medians)
    deviation = np.median(np.abs(filled - np.median(filled)))
    return _median_of_present(medians), float(error_scale * deviation)


def mean_of_present(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over an axis that skips NaN; NaN where nothing is present."""
    present = ~np.isnan(values)
    count = present.sum(axis=axis)
    total = np.where(present, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _median_of_present(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(np.median(values)) if values.size else float("nan")


def _language_aggregate(neuroid_r: np.ndarray, assembly: Assembly, error_scale: float) -> tuple[float, float]:
    language = assembly.atlas == "language"
    return subject_aggregate(neuroid_r[language], assembly.subject[language], error_scale)
