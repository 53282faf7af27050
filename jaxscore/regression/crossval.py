"""Cross-validated regression of all layers, folds and neuroids in one pass: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from jaxscore.errors import DataError, JaxscoreError, did_you_mean
from jaxscore.regression.checks import DTYPES, check_features, check_inner, check_responses
from jaxscore.regression.delays import delayed
from jaxscore.regression.edges import warn_at_edges
from jaxscore.regression.estimators import OLS, Solver, make_solver
from jaxscore.regression.hardware import choose_hardware
from jaxscore.regression.job import Job, Step
from jaxscore.regression.labels import Labels
from jaxscore.regression.missing import patterns
from jaxscore.regression.operators import PATHS, Diagnosis
from jaxscore.regression.products import Scores, columns
from jaxscore.regression.scores import check_scores
from jaxscore.regression.splits import Fold, check_folds, make_folds

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from jax.sharding import Mesh

    Labelled = xr.DataArray | pd.DataFrame


@dataclass(frozen=True)
class CrossValidation:
    """What `cross_validate` found.

    Attributes:
        scores: each score on held-out stimuli [layer, fold, neuroid]; NaN where it is not defined.
        inner_r: None, or [layer, fold, inner neuroid]: for each fold, the mean r over the OTHER folds when they are
            predicted without that fold, so that a choice among layers made for a fold never saw it.
        pooled_r2: None, or R2 over all folds together [layer, neuroid]: 1 - sum of squared errors / sum of squared
            deviations from each fold's training mean.
        predictions: None, or for each fold the held-out predictions [layer, test, neuroid], in units of the responses.
        alphas: None, or the alpha chosen in training [layer, fold, neuroid]; NaN for a neuroid that is constant.
        weights: None, or the weights of the feature spaces chosen in training [layer, fold, neuroid, space].
        diagnoses: for each layer, how its operators were made.
        labels: what the axes are called, if the inputs said it.
    """

    scores: Scores
    inner_r: Float[np.ndarray, "layer fold inner"] | None
    pooled_r2: Float[np.ndarray, "layer neuroid"] | None
    predictions: list[Float[np.ndarray, "layer test neuroid"]] | None
    alphas: Float[np.ndarray, "layer fold neuroid"] | None
    weights: Float[np.ndarray, "layer fold neuroid space"] | None
    diagnoses: list[Diagnosis]
    labels: Labels

    @property
    def r(self) -> Float[np.ndarray, "layer fold neuroid"]:
        """Pearson r on held-out stimuli."""
        return self.scores["pearson"]

    @property
    def undefined(self) -> int:
        """How many neuroids lack a score in some layer and fold."""
        return int(np.logical_or.reduce([np.isnan(values).any((0, 1)) for values in self.scores.values()]).sum())

    def to_dataset(self) -> xr.Dataset:
        """Scores, alphas and weights as an xarray Dataset, with the coordinates that X and Y came with.

        Returns:
            Each score ("pearson", "r2", ...; units "1") and alpha [layer, fold, neuroid], weight [layer, fold, neuroid,
            space], pooled_r2 [layer, neuroid]; path and condition, how each layer was solved.
        """
        found = self.labels.dataset(self)
        for name in set(found.data_vars) - {"alpha", "weight"}:
            found[name].attrs |= {"long_name": f"{name} on held-out stimuli", "units": "1"}
        return found

    def to_frame(self) -> pd.DataFrame:
        """A tidy table: a row for each layer, fold and neuroid; plain columns, text as "string".

        Returns:
            layer, fold, neuroid (numbers, or the names that X and Y came with) and their other coordinates; a column
            for each score, alpha, and weight_0, weight_1, ... of the feature spaces; pooled_r2 is that of all folds.
        """
        data = self.to_dataset()
        if "weight" in data:
            spaces = {f"weight_{k}": data["weight"].isel(space=k) for k in range(data.sizes["space"])}
            data = data.drop_vars("weight").assign(spaces)
        layer, neuroid = self.labels.names
        frame = data.to_dataframe(dim_order=[layer, "fold", neuroid]).reset_index()
        return frame.astype({name: "string" for name in frame if frame[name].dtype.kind == "O"})


def cross_validate(
    X: Float[np.ndarray, "layer stimulus feature"] | Sequence[Float[np.ndarray, "stimulus _"]] | Labelled,
    Y: Float[np.ndarray, "stimulus neuroid"] | Labelled,
    folds: Sequence[Fold] | str | int | object = 5,
    solver: Solver | str | None = None,
    *,
    scores: Sequence[str] = ("pearson",),
    groups: Sequence | None = None,
    labels: Sequence | None = None,
    values: Sequence | None = None,
    overlap: bool = False,
    delays: Sequence[int] | None = None,
    runs: Sequence | None = None,
    inner: Int[np.ndarray, " inner"] | None = None,
    predictions: bool = False,
    path: str = "auto",
    dtype: str = "float32",
    chunk: int | None = None,
    threads: int | None = None,
    mesh: Mesh | str | None = None,
    step: Step | None = None,
) -> CrossValidation:
    """Predict held-out responses from features, and score the predictions.

    The numbers are those of scikit-learn's LinearRegression, Ridge, RidgeCV or GridSearchCV in float64, refitted for
    each fold; alphas and weights are chosen, and principal components fitted, inside the training stimuli of each fold.

    Args:
        X: features of every layer; layers may differ in width. A data frame is one layer.
        Y: responses; those of a neuroid that are NaN are left out for that neuroid alone. The columns of a data frame
            are neuroids. Rows belong together by their place; data frames that name the same ones in another order are
            refused.
        folds: a scheme's name, a number of contiguous folds, a splitter of scikit-learn, or (train, test) index pairs.
        solver: OLS(), Ridge(...), RidgeCV(...), BandedRidgeCV(...), PLS(...), or "ols", "ridge:ALPHA"; by default OLS.
        scores: of "pearson", "pearson-eps", "spearman", "r2".
        groups: of the stimuli (passages, runs, subjects), for grouped folds, outer and inner.
        labels: class of the stimuli, for a splitter that stratifies; the stratified schemes take `groups` as well.
        values: of the stimuli, for schemes that split by value (nn-futrell): then one may be trained on and tested.
        overlap: allow that in (train, test) pairs as well.
        delays: predict row t from the features of rows t - delay; before the first row of a run they are 0.
        runs: the run of each row, if delays must not reach from one into the next.
        inner: indices of the neuroids for which `inner_r` is computed as well.
        predictions: keep the held-out predictions.
        path: "auto", "dual" (rows <= features and all that is not much longer), "primal" (many more rows than
            features) or "refit" (each fold from its features: what regressions that choose or take principal components
            do in any case).
        dtype: of the products with the responses: "float64", or "float32" (|delta r| <= 1e-5, unless a response varies
            by less than a thousandth of its differences between folds).
        chunk: neuroids per product; by default chosen from the free memory.
        threads: of the host; by default the number of usable processors.
        mesh: devices to compute on, with axes "layer" and "voxel" (where alphas are chosen, and in long regressions,
            voxels alone are spread); "host" for its BLAS; by default all local devices.
        step: called as step(phase, amount) with phase "operators" (layers) or "voxels" (neuroids), for progress bars.

    Raises:
        DataError: if rows do not match, features are not finite, a neuroid has no responses, a fold is too small, or
            a layer has fewer principal components than are asked for.
        JaxscoreError: for an unknown solver, score, scheme or path.
    """
    solver, names = make_solver(solver or OLS()), check_scores(scores)
    if path not in PATHS:
        raise JaxscoreError(f"Unknown path {path!r}. {did_you_mean(path, PATHS)}".strip(), f"Choose from: {PATHS}.")
    dtype = getattr(dtype, "__name__", dtype)
    if dtype not in DTYPES:
        raise JaxscoreError(f"Unknown dtype {dtype!r} of the products", f"Choose from: {', '.join(DTYPES)}.")
    X = [X] if hasattr(X, "columns") else X
    if hasattr(Y, "columns"):
        _check_rows(X, Y)
    X, Y, axes = Labels.take(X, _named(Y) if hasattr(Y, "columns") else Y)
    X = check_features(X, Y)
    Y = check_responses(Y)
    folds = make_folds(folds, len(Y), groups=groups, labels=labels, values=values, overlap=overlap)
    folds = check_folds(folds, len(Y), overlap=overlap or values is not None)
    if inner is not None and len(folds) < 3:
        raise DataError(f"{len(folds)} folds leave none to train on beside an outer and an inner one", "Use 3 or more.")
    groups = None if groups is None else np.asarray(groups)
    targets = check_inner(inner, Y.shape[1])
    solver.check(folds, groups)
    hardware = choose_hardware(mesh=mesh, threads=threads, chunk=chunk)
    layers = X if delays is None else hardware.map(lambda x: delayed(x, delays, runs, rotate=solver.rotates), X)
    layers = hardware.map(solver.coordinates, layers) if solver.searches else layers
    job = Job(solver, names, predictions, path, dtype, hardware, step or (lambda phase, amount: None))
    shape = (len(X), len(folds), Y.shape[1])
    groups_of_neuroids = [
        (rows, neuroids, [_restricted(k, fold, rows, neuroids) for k, fold in enumerate(folds)])
        for rows, neuroids in patterns(Y)
    ]
    if solver.needs_kernel and len(groups_of_neuroids) > 1:
        lacking = int(np.isnan(Y).any(0).sum())
        raise DataError(
            f"{lacking} of {Y.shape[1]} neuroids have NaN, but {type(solver).__name__} chooses for all together",
            "Drop them: Y[:, ~np.isnan(Y).any(0)].",
        )
    for _, neuroids, here in groups_of_neuroids:
        job.check(layers, here, bool(np.isin(targets, neuroids).any()))
    found = {name: np.full(shape, np.nan, dtype) for name in columns(names)}
    chosen, inner_r = np.zeros(shape, np.int32), np.full((*shape[:2], len(targets)), np.nan)
    kept = [np.full((len(X), len(test), Y.shape[1]), np.nan, dtype) for _, test in folds] if predictions else []
    diagnoses = []
    for rows, neuroids, here in groups_of_neuroids:
        whole = len(rows) == len(Y)
        own = layers if whole else [solver.rows(x, rows) for x in layers]
        within = np.flatnonzero(np.isin(targets, neuroids))
        part = job.run(
            own,
            Y if whole and len(neuroids) == Y.shape[1] else Y[np.ix_(rows, neuroids)],
            here,
            None if groups is None else groups[rows],
            np.searchsorted(neuroids, targets[within]),
        )
        for (_, test), place, values in zip(folds if predictions else [], kept, part.predictions, strict=True):
            place[np.ix_(range(len(X)), np.flatnonzero(np.isin(test, rows)), neuroids)] = values
        for name, values in part.scores.items():
            found[name][..., neuroids] = values
        chosen[..., neuroids], inner_r[..., within] = part.chosen, part.inner_r
        diagnoses.append(part.diagnoses)
    pooled = None
    if "r2" in names:
        residual, total = found.pop("residual"), found.pop("total")
        found["r2"] = 1.0 - residual / total
        here = np.isfinite(total)
        summed = np.where(here, total, 0.0).sum(1)
        summed[summed == 0] = np.nan
        pooled = 1.0 - np.where(here, residual, 0.0).sum(1) / summed
    alphas, weights = solver.described(np.maximum(chosen, 0))
    if alphas is not None:
        warn_at_edges(alphas[chosen >= 0], solver.alphas)
        alphas[chosen < 0] = np.nan
    if weights is not None:
        weights[chosen < 0] = np.nan
    return CrossValidation(
        scores=found,
        inner_r=None if inner is None else inner_r,
        pooled_r2=pooled,
        predictions=kept if predictions else None,
        alphas=alphas,
        weights=weights,
        diagnoses=[Diagnosis.together(own) for own in zip(*diagnoses, strict=True)],
        labels=axes,
    )


def _check_rows(X: Sequence, Y: pd.DataFrame) -> None:
    """Raise DataError for a data frame of features that names the rows of the responses in another order."""
    import pandas as pd

    for number, layer in enumerate(X):
        index = layer.index if hasattr(layer, "columns") else None
        unnamed = index is None or isinstance(index, pd.RangeIndex) or isinstance(Y.index, pd.RangeIndex)
        if unnamed or len(index) != len(Y) or index.equals(Y.index) or set(index) != set(Y.index):
            continue
        place = int(np.flatnonzero(index != Y.index)[0])
        raise DataError(
            f"Layer {number} of X and Y have the same rows in another order: row {place} is {index[place]!r} and "
            f"{Y.index[place]!r}",
            "Put them in one order: Y.loc[X.index]; or take X.to_numpy() if rows belong together as they stand.",
        )


def _named(Y: pd.DataFrame) -> xr.DataArray:
    """A data frame of responses, its columns' names as coordinates of the neuroids."""
    import xarray as xr

    levels = range(Y.columns.nlevels)
    names = ["neuroid"] if len(levels) == 1 else [name or f"level_{k}" for k, name in enumerate(Y.columns.names)]
    values = [np.array(Y.columns.get_level_values(k).tolist()) for k in levels]
    return xr.DataArray(
        Y.to_numpy(), {name: ("neuroid", v) for name, v in zip(names, values, strict=True)}, ("stimulus", "neuroid")
    )


def _restricted(k: int, fold: Fold, rows: np.ndarray, neuroids: np.ndarray) -> Fold:
    """A fold in positions of the rows that are present."""
    train, test = (np.searchsorted(rows, part[np.isin(part, rows)]) for part in fold)
    if len(train) < 2 or len(test) < 2:
        raise DataError(
            f"{len(neuroids)} neuroids (the first is {neuroids[0]}) have {len(train)} training and {len(test)} test "
            f"responses that are not NaN in fold {k}, expected at least 2 of each",
            "Drop these neuroids, or use fewer folds.",
        )
    return train, test
