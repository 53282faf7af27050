"""brain-score's metrics, computed by jaxscore: the same alignment, splits and aggregates, and the same numbers.

What they split and how they aggregate is brain-score's own code; its regressions and similarities are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from brainscore_core.metrics import Metric, Score
from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly, walk_coords
from brainscore_language.utils.transformations import Split, apply_aggregate

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.plugin.alignment import check_values, fold_rows, pairing
from jaxscore.plugin.client import client


class _Compared(Metric):
    """Two assemblies, cut into the splits of the second."""

    def __init__(
        self, crossvalidation: Mapping[str, Any], coord: str = "stimulus_id", neuroid_dim: str = "neuroid"
    ) -> None:
        self._split = Split(**crossvalidation)
        self._split_coord = crossvalidation.get("split_coord", Split.Defaults.split_coord)
        self._stratified_by = crossvalidation.get("stratification_coord", Split.Defaults.stratification_coord)
        self._coord, self._neuroid_dim = coord, neuroid_dim

    def _ask(self, source: DataAssembly, target: DataAssembly, method: str, **how: Any) -> dict[str, np.ndarray]:
        """The worker's arrays [split, ...]; neuroids are in the order of the target."""
        (ids, splits, X), (wanted, wanted_splits, Y) = map(self._taken, (source, target))
        rows = pairing((ids, splits), (wanted, wanted_splits), coord=self._coord, split_coord=self._split_coord)
        check_values(X, "first")
        check_values(Y, "second")
        values, parts = self._split.build_splits(target)
        folds = [[part.tolist() for part in fold] for fold in fold_rows(wanted_splits, values.values, parts)]
        return client().ask(method, {"X": X[rows], "Y": Y}, folds=folds, **how)[1]

    def _taken(self, assembly: DataAssembly) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stimuli [presentation], split values [presentation] and values [presentation, neuroid]."""
        known = {name for name, _, _ in walk_coords(assembly)}  # not `coords`: levels of an index are not among them
        wanted = [self._coord, self._split_coord, *filter(None, [self._stratified_by])]
        if missing := [name for name in wanted if name not in known]:
            raise DataError(
                f"An assembly with dims {assembly.dims} has no coordinate {missing[0]!r}, only {sorted(known)}",
                f"assembly['{missing[0]}'] = 'presentation', [...]",
            )
        dims = (*assembly[self._coord].dims, self._neuroid_dim)
        if set(assembly.dims) != set(dims):
            raise DataError(
                f"An assembly has dims {assembly.dims}, expected {dims}", "One time bin: assembly.squeeze('time_bin')."
            )
        return (*(assembly[name].values for name in wanted[:2]), assembly.transpose(*dims).values)


class Encoding(_Compared):
    """Cross-validated correlation of each neuroid with what a regression on the first assembly predicts.

    Args:
        solver: "linear" (least squares) or "ridge" (one alpha of logspace(-3, 3, 7) for all, by leave-one-out).
        crossvalidation_kwargs: as brain-score's metrics take them.
        stimulus_coord: pairs the presentations.
        neuroid_coord: orders the raw scores.
        store_regression_weights: fit once more for `attrs["raw_regression_coef"]`, [split, source_neuroid,
            target_neuroid], and `attrs["raw_regression_intercept"]`. brain-score's own has the coefficients of as many
            neuroids as features alone, and those with the two dimensions interchanged.
    """

    def __init__(
        self,
        solver: str,
        crossvalidation_kwargs: Mapping[str, Any] | None = None,
        *,
        stimulus_coord: str = "stimulus_id",
        neuroid_coord: str = "neuroid_id",
        store_regression_weights: bool = False,
        regression_kwargs: Mapping[str, Any] | None = None,
        correlation_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if regression_kwargs or correlation_kwargs:
            raise JaxscoreError(
                f"Unknown options {dict(regression_kwargs or {}) | dict(correlation_kwargs or {})}",
                "Coordinates are set by stimulus_coord= and neuroid_coord=.",
            )
        super().__init__({"train_size": 0.9, "test_size": None, **(crossvalidation_kwargs or {})}, stimulus_coord)
        self._solver, self._neuroid_coord, self._stores = solver, neuroid_coord, store_regression_weights

    def __call__(self, assembly1: DataAssembly, assembly2: DataAssembly) -> Score:
        """Median over neuroids, mean over splits; `attrs["raw"]` is [split, neuroid], NaN nowhere dropped."""
        sources, targets = self._neuroids(assembly1), self._neuroids(assembly2)
        if self._neuroid_coord not in targets:
            raise DataError(
                f"The second assembly has no coordinate {self._neuroid_coord!r} of neuroids, only {sorted(targets)}",
                f"assembly['{self._neuroid_coord}'] = 'neuroid', [...]",
            )
        found = self._ask(assembly1, assembly2, "regress", solver=self._solver, weights=self._stores)
        order = np.argsort(targets[self._neuroid_coord], kind="stable")
        split = {"split": np.arange(len(found["r"]))}
        coords = {name: (self._neuroid_dim, values[order]) for name, values in targets.items()}
        raw = Score(found["r"][:, order], coords=split | coords, dims=("split", self._neuroid_dim))
        if self._stores:
            source, target = f"source_{self._neuroid_dim}", f"target_{self._neuroid_dim}"
            coords = {f"source_{name}": (source, values) for name, values in sources.items()}
            own = split | {f"target_{name}": (target, values) for name, values in targets.items()}
            raw.attrs["raw_regression_coef"] = DataAssembly(
                found["coef"], coords=own | coords, dims=("split", source, target)
            )
            raw.attrs["raw_regression_intercept"] = DataAssembly(found["intercept"], coords=own, dims=("split", target))
        return apply_aggregate(Split.aggregate, apply_aggregate(lambda values: values.median(self._neuroid_dim), raw))

    def _neuroids(self, assembly: DataAssembly) -> dict[str, np.ndarray]:
        """Coordinates of the neuroids."""
        return {name: values for name, dims, values in walk_coords(assembly) if dims == (self._neuroid_dim,)}


class Resemblance(_Compared):
    """Similarity of the test stimuli of each split in both assemblies: "rdm" or "cka".

    Args:
        measure: which.
        crossvalidation_kwargs: as brain-score's metrics take them.
        comparison_coord: pairs the presentations.
        neuroid_dim: the other dimension.
    """

    def __init__(
        self,
        measure: str,
        neuroid_dim: str = "neuroid",
        comparison_coord: str = "stimulus_id",
        crossvalidation_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__({"test_size": 0.9, **(crossvalidation_kwargs or {})}, comparison_coord, neuroid_dim)
        self._measure = measure

    def __call__(self, assembly1: DataAssembly, assembly2: DataAssembly) -> Score:
        """Mean over splits; `attrs["raw"]` is [split]."""
        r = self._ask(assembly1, assembly2, "resemble", measure=self._measure)["r"]
        return apply_aggregate(Split.aggregate, Score(r, coords={"split": np.arange(len(r))}, dims=("split",)))


def linear_pearsonr(crossvalidation_kwargs: Mapping[str, Any] | None = None, **options: Any) -> Encoding:
    """brain-score's `linear_pearsonr`, in float64 whatever the source is in."""
    return Encoding("linear", crossvalidation_kwargs, **options)


def ridge_pearsonr(crossvalidation_kwargs: Mapping[str, Any] | None = None, **options: Any) -> Encoding:
    """brain-score's `ridge_pearsonr`."""
    return Encoding("ridge", crossvalidation_kwargs, **options)


def rdm(*arguments: Any, **options: Any) -> Resemblance:
    """brain-score's `rdm`."""
    return Resemblance("rdm", *arguments, **options)


def cka(comparison_coord: str = "stimulus_id", crossvalidation_kwargs: Mapping[str, Any] | None = None) -> Resemblance:
    """brain-score's `cka`."""
    return Resemblance("cka", comparison_coord=comparison_coord, crossvalidation_kwargs=crossvalidation_kwargs)
