"""Responses of a few subjects, and subjects predicted from pools of others in plain loops with scikit-learn."""

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from jaxscore.metrics.comparisons import Metric
from jaxscore.metrics.measure import Protocol, Rows
from jaxscore.regression.estimators import OLS

FOLDS = KFold(5, shuffle=True, random_state=1)


def responses(widths, stimuli=40, seed=0, noise=1.0, dtype=np.float64):
    """Return (Y, subjects, units): neuroids are mixtures of ten signals that all subjects share, and noise."""
    rng = np.random.default_rng(seed)
    signals, count = rng.standard_normal((stimuli, 10)), sum(widths)
    Y = signals @ rng.standard_normal((10, count)) / 10**0.5 + noise * rng.standard_normal((stimuli, count)) + 3
    subjects = np.repeat([f"s{i}" for i in range(len(widths))], widths)
    return Y.astype(dtype), subjects, np.unique(subjects, return_inverse=True)[1]


def protocol(solver=None, name="encoding", dtype="float64"):
    return Protocol(Metric(name, solver or OLS(), dtype=dtype), "shuffled")


def whole(Y):
    """Arguments of one part of all rows."""
    return {"parts": {"all": np.arange(len(Y))}, "rows": Rows(len(Y))}


def pearson(a, b):
    a, b = a - a.mean(0), b - b.mean(0)
    return (a * b).sum(0) / np.sqrt((a * a).sum(0) * (b * b).sum(0))


def predicted(X, Y, model=None):
    """Pearson r [fold, neuroid] of out-of-fold predictions."""
    model = model or LinearRegression()
    return np.array(
        [pearson(model.fit(X[train], Y[train]).predict(X[test]), Y[test]) for train, test in FOLDS.split(X)]
    )


def looped(Y, subjects, draws, model=None, value=predicted):
    """{k: [subset, fold, neuroid]} of one part."""
    found = {}
    for k, drawn in draws.items():
        found[k] = np.full((len(drawn), 5, Y.shape[1]), np.nan)
        for row, (subset, held) in enumerate(drawn):
            for subject in held:
                own, pool = subjects == subject, np.isin(subjects, [s for s in subset if s != subject])
                found[k][row][:, own] = value(Y[:, pool], Y[:, own], *([model] if model else []))
    return found
