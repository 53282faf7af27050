"""The sides of bench/regression.py: ours, its peers, a float64 reference and the bare product.

A side is a function of features [layer, stimulus, feature], responses [stimulus, voxel], folds and its settings; it
gives Pearson r [layer, fold, voxel] on held-out stimuli and, where alphas are chosen, alphas of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

Arrays = dict[str, np.ndarray]
Folds = list[tuple[np.ndarray, np.ndarray]]


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson r of the columns."""
    a, b = a - a.mean(0), b - b.mean(0)
    return np.einsum("ij,ij->j", a, b) / np.sqrt(np.einsum("ij,ij->j", a, a) * np.einsum("ij,ij->j", b, b))


def delayed(x: np.ndarray, delays: list[int] | None) -> np.ndarray:
    """Copies of the features side by side, each later by a delay, zero before the start."""
    if not delays:
        return x
    return np.hstack([np.vstack([np.zeros_like(x[:d]), x[:-d]]) for d in delays])


def inner() -> object:
    """The inner folds, the same for every side: contiguous in the training stimuli."""
    from sklearn.model_selection import KFold

    return KFold(5)


def spaces(s: dict, features: int) -> np.ndarray:
    """Label of the feature space of each feature: as many spaces of the same size as there are weights."""
    return np.arange(features) * len(s.get("candidates", [[0]])[0]) // features


def refit(X: np.ndarray, Y: np.ndarray, folds: Folds, fit: Callable) -> Arrays:
    """Fit once a layer and fold, with fit(x, y, new) -> predictions and alphas."""
    r, alphas = np.full((2, len(X), len(folds), Y.shape[1]), np.nan)
    for i, x in enumerate(X):
        for k, (train, test) in enumerate(folds):
            predictions, chosen = fit(x[train], Y[train], x[test])
            r[i, k] = pearson(np.asarray(predictions), Y[test])
            alphas[i, k] = np.nan if chosen is None else np.asarray(chosen)
    return {"r": r, "alphas": alphas}


# ---- scikit-learn


def sklearn(X: np.ndarray, Y: np.ndarray, folds: Folds, s: dict) -> Arrays:
    """LinearRegression, Ridge or RidgeCV (leave-one-out, an alpha per voxel)."""
    from sklearn.linear_model import LinearRegression, Ridge, RidgeCV

    def fit(x, y, new):
        model = {
            "ols": lambda: LinearRegression(copy_X=False),
            "ridge": lambda: Ridge(s["alpha"], solver="cholesky"),
            "loo": lambda: RidgeCV(s["alphas"], alpha_per_target=True),
        }[s["model"]]().fit(x, y)
        return model.predict(new), getattr(model, "alpha_", None)

    return refit([delayed(x, s.get("delays")) for x in X], Y, folds, fit)


# ---- himalaya


def himalaya(X: np.ndarray, Y: np.ndarray, folds: Folds, s: dict) -> Arrays:
    """RidgeCV and KernelRidgeCV by inner folds, ridge at one alpha, and both banded random searches."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV, MultipleKernelRidgeCV
    from himalaya.ridge import GroupRidgeCV, RidgeCV
    from sklearn.model_selection import ShuffleSplit

    backend = set_backend(s["backend"])
    batch = {"n_targets_batch": s.get("batch")}
    labels = spaces(s, X.shape[2])

    def make(x) -> object:
        if s["model"] == "ridge":  # its Ridge and KernelRidge go voxel by voxel: RidgeCV without a choice is faster
            token = ShuffleSplit(1, train_size=2, random_state=0)
            return RidgeCV([s["alpha"]], fit_intercept=True, cv=token, solver_params=batch | {"warn": False})
        if s["model"] == "ridge-cv":
            return RidgeCV(s["alphas"], fit_intercept=True, cv=inner(), solver_params=batch | {"warn": False})
        if s["model"] == "kernel-cv":
            return KernelRidgeCV(s["alphas"], fit_intercept=True, cv=inner(), solver_params=batch, warn=False)
        weights, alphas = (backend.asarray(np.asarray(s[name], X.dtype)) for name in ("candidates", "alphas"))
        params = batch | {"n_iter": weights, "alphas": alphas, "progress_bar": False}
        if s["model"] == "group":
            return GroupRidgeCV(labels, fit_intercept=True, cv=inner(), solver_params=params | {"warn": False})
        return MultipleKernelRidgeCV("precomputed", fit_intercept=True, cv=inner(), solver_params=params)

    def fit(x, y, new):
        mean = x.mean(0)  # a kernel of features that are not centred loses what matters
        x, new = x - mean, new - mean
        model = make(x)
        if s["model"] == "multiple-kernel":
            parts = [labels == label for label in np.unique(labels)]
            x, new = (np.stack([a[:, part] @ x[:, part].T for part in parts]) for a in (x, new))
        model.fit(backend.asarray(x), backend.asarray(y))
        chosen = getattr(model, "best_alphas_", None)
        return backend.to_numpy(model.predict(backend.asarray(new))), None if chosen is None else backend.to_numpy(
            chosen
        )

    return refit([delayed(x, s.get("delays")) for x in X], Y, folds, fit)


# ---- float64 by hand, for the agreement columns


def reference(X: np.ndarray, Y: np.ndarray, folds: Folds, s: dict) -> Arrays:
    """Ridge with alpha chosen per voxel, from an SVD of the centred training features of each (inner) fold.

    The criterion is the squared error of 5 inner folds, each fold's mean weighing the same ("inner"), or generalised
    cross-validation RSS / (n - tr S)^2 with the intercept in S ("gcv").
    """

    def paths(x, y, new):
        """For each alpha predictions for new stimuli and the trace of S."""
        mean, base = x.mean(0), y.mean(0)
        U, d, Vt = np.linalg.svd(x - mean, full_matrices=False)
        seen, ahead = U.T @ (y - base), ((new - mean) @ Vt.T)
        for alpha in s["alphas"]:
            yield base + (ahead * (d / (d**2 + alpha))) @ seen, 1 + np.sum(d**2 / (d**2 + alpha))

    def loss(x, y):
        if s["select"] == "gcv":
            return [((y - p) ** 2).sum(0) / (len(y) - trace) ** 2 for p, trace in paths(x, y, x)]
        splits = [(x[a], y[a], x[b], y[b]) for a, b in inner().split(x)]
        return np.mean([[((v - p) ** 2).mean(0) for p, _ in paths(*fold, u)] for *fold, u, v in splits], 0)

    def fit(x, y, new):
        best = np.argmin(loss(x, y), 0)
        out = np.stack([p for p, _ in paths(x, y, new)])
        return np.take_along_axis(out, best[None, None], 0)[0], np.asarray(s["alphas"])[best]

    return refit(X, Y, folds, fit)


# ---- ours, and the bare product


def ours(X: np.ndarray, Y: np.ndarray, folds: Folds, s: dict) -> Arrays:
    """jaxscore.regression; model names the solver."""
    import jaxscore.regression as engine

    if s["model"] == "permutations":
        engine.permutation_test(X, Y, folds, engine.OLS(), permutations=s["permutations"], block=8, seed=0)
        return {}
    solver = {
        "ols": lambda: engine.OLS(),
        "ridge": lambda: engine.Ridge(alpha=s["alpha"]),
        "loo": lambda: engine.RidgeCV(alphas=s["alphas"], select="loo"),
        "gcv": lambda: engine.RidgeCV(alphas=s["alphas"], select="gcv"),
        "inner": lambda: engine.RidgeCV(alphas=s["alphas"], select=inner()),
        "banded": lambda: engine.BandedRidgeCV(
            groups=spaces(s, X.shape[2]), alphas=s["alphas"], candidates=np.array(s["candidates"]), select=inner()
        ),
    }[s["model"]]()
    extra = {"delays": tuple(s["delays"])} if s.get("delays") else {}
    result = engine.cross_validate(X, Y, folds, solver, threads=s["cores"], **extra)
    chosen = getattr(result, "alphas", None)
    return {"r": result.r} | ({} if chosen is None else {"alphas": chosen})


@lru_cache
def factors(model: str, layers: int, stimuli: int, voxels: int) -> tuple:
    """Operators and responses of the bare product, on the device, and what multiplies them."""
    rng = np.random.default_rng(0)
    arrays = (rng.standard_normal(shape, np.float32) for shape in ((layers * stimuli, stimuli), (stimuli, voxels)))
    if model == "numpy":  # into memory that is there: the pages of a new 260 MB cost as much as the product
        out = np.zeros((layers * stimuli, voxels), np.float32)
        return *arrays, partial(np.matmul, out=out)
    import jax

    def multiply(a, b):
        return jax.numpy.matmul(a, b, precision="highest")

    return *map(jax.device_put, arrays), jax.jit(multiply)


def product(X: np.ndarray, Y: np.ndarray, folds: Folds, s: dict) -> Arrays:
    """The floor of OLS: all layers' [stimulus, stimulus] operators against the responses, nothing else."""
    operators, responses, multiply = factors(s["model"], len(X), *Y.shape)
    result = multiply(operators, responses)
    getattr(result, "block_until_ready", lambda: None)()
    return {}


SIDES = {f.__name__: f for f in (sklearn, himalaya, reference, ours, product)}
