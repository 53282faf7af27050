"""One comparison of features with responses on given folds: what scores and ceilings share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxscore.metrics import cka, rdm
from jaxscore.regression.crossval import cross_validate
from jaxscore.regression.estimators import Solver
from jaxscore.regression.operators import Diagnosis
from jaxscore.regression.splits import Fold

METRICS = ("encoding", "decoding", "rdm", "cka")
PROFILES = {"rdm": rdm.profile, "cka": cka.profile}
Features = Sequence[Float[np.ndarray, "stimulus _"]]
Step = Callable[[str, int], None]


@dataclass(frozen=True)
class Metric:
    """What is computed on each fold.

    Attributes:
        name: "encoding": features predict each neuroid; "decoding": the neuroids of a unit predict each feature;
            "rdm", "cka": the similarity of features and the neuroids of a unit, on the test stimuli alone.
        solver: the regression; "rdm" and "cka" have none.
        correlation: "pearson", or "pearson-eps", whose norms are 1e-8 longer.
        dtype: of the products with the responses.
    """

    name: str
    solver: Solver
    correlation: str = "pearson"
    dtype: str = "float32"

    @property
    def by_unit(self) -> bool:
        """Whether neuroids are compared together, unit by unit."""
        return self.name != "encoding"


@dataclass(frozen=True)
class Comparison:
    """Values on held-out stimuli; NaN where they are not defined.

    Attributes:
        targets: what each value belongs to: the neuroid's place in Y ("encoding"), the unit ("rdm", "cka"), or
            unit x widest layer + feature ("decoding").
        r: [layer, fold, target].
        inner_r: None, or for each fold the value without its test stimuli: see `CrossValidation.inner_r`; "rdm" and
            "cka" compare all other stimuli.
        diagnoses: of each layer.
    """

    targets: Int[np.ndarray, " target"]
    r: Float[np.ndarray, "layer fold target"]
    inner_r: Float[np.ndarray, "layer fold target"] | None
    diagnoses: list[Diagnosis]


def compare(
    X: Features,
    Y: Float[np.ndarray, "stimulus neuroid"],
    units: Int[np.ndarray, " neuroid"],
    folds: Sequence[Fold],
    metric: Metric,
    *,
    inner: Bool[np.ndarray, " neuroid"] | None = None,
    groups: np.ndarray | None = None,
    chunk: int | None = None,
    step: Step | None = None,
) -> Comparison:
    """Compare the features of every layer with complete responses.

    Args:
        X: features of each layer.
        Y: responses without NaN.
        units: code of the unit that each neuroid is part of; of no matter to "encoding".
        folds: (training, test) positions.
        metric: what is computed.
        inner: the neuroids for which `inner_r` is wanted; NaN elsewhere.
        groups: of the stimuli, for inner folds that keep them whole.
        chunk: neuroids per product.
        step: as for `cross_validate`.
    """
    run = {"encoding": _encode, "decoding": _decode}.get(metric.name, _resemble)
    return run(X, Y, units, folds, metric, inner, {"groups": groups, "chunk": chunk, "step": step})


def _encode(X, Y, units, folds, metric, inner, options) -> Comparison:
    """Features predict each neuroid."""
    wanted = None if inner is None else np.flatnonzero(inner)
    found = _validate(X, Y, folds, metric, wanted, options)
    inside = None
    if wanted is not None:
        inside = np.full(found.r.shape, np.nan)
        inside[..., wanted] = found.inner_r
    return Comparison(np.arange(Y.shape[1]), found.r, inside, found.diagnoses)


def _decode(X, Y, units, folds, metric, inner, options) -> Comparison:
    """The neuroids of a unit predict each feature: units take the place of layers."""
    codes, width = np.unique(units), max(x.shape[1] for x in X)
    sources = [np.ascontiguousarray(Y[:, units == code]) for code in codes]
    shape = (len(X), len(folds), len(codes), width)
    r, inside = (np.full(shape, np.nan, np.float32) for _ in range(2))
    diagnoses = []
    for i, x in enumerate(X):
        wanted = None if inner is None else np.arange(x.shape[1])
        found = _validate(sources, np.asarray(x, np.float64), folds, metric, wanted, options)
        r[i, :, :, : x.shape[1]] = np.moveaxis(found.r, 0, 1)
        if wanted is not None:
            inside[i, :, :, : x.shape[1]] = np.moveaxis(found.inner_r, 0, 1)
        diagnoses.append(Diagnosis.together(found.diagnoses))
    targets = (codes[:, None] * width + np.arange(width)).ravel()
    flat = (*shape[:2], len(targets))
    return Comparison(targets, r.reshape(flat), None if inner is None else inside.reshape(flat), diagnoses)


def _resemble(X, Y, units, folds, metric, inner, options) -> Comparison:
    """Similarity of the features and the neuroids of each unit, on the test stimuli."""
    codes, profile = np.unique(units), PROFILES[metric.name]
    sources = [Y[:, units == code] for code in codes]

    def similar(sets: list[np.ndarray]) -> Float[np.ndarray, "layer fold unit"]:
        found = np.empty((len(X), len(sets), len(codes)))
        for k, rows in enumerate(sets):
            brains = np.stack([profile(y[rows]) for y in sources])
            for i, x in enumerate(X):
                found[i, k] = brains @ profile(x[rows])
        return found

    every = np.arange(len(Y))
    tests = [test for _, test in folds]
    inside = None if inner is None else similar([np.setdiff1d(every, test) for test in tests])
    if step := options["step"]:
        step("operators", len(X))
        step("voxels", Y.shape[1])
    return Comparison(codes, similar(tests), inside, [])


def _validate(X, Y, folds, metric, inner, options):
    names = tuple(dict.fromkeys((metric.correlation, "pearson")))
    shared = {"scores": names, "inner": inner, "dtype": metric.dtype, "overlap": True}  # folds were checked when made
    found = cross_validate(X, Y, folds, metric.solver, **shared, **options)
    found.scores["pearson"] = found.scores[metric.correlation]
    return found
