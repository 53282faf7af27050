"""Features of every kind that real layers show, responses to them, and folds: what the parity tests cross."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

N, VOXELS = 60, 6


def gaussian(p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, p))


def spectrum(p: int, power: float) -> np.ndarray:
    """Centred features with singular values k^-power, in a random basis, away from zero mean."""
    rng = np.random.default_rng(1)
    k = min(N - 1, p)
    left = rng.standard_normal((N, k))
    left = np.linalg.qr(left - left.mean(0))[0]
    right = np.linalg.qr(rng.standard_normal((p, k)))[0]
    return (left * np.arange(1.0, k + 1) ** -power) @ right.T * 10 + rng.standard_normal(p)


def repeated(p: int) -> np.ndarray:
    """Each stimulus of a smaller set several times, as at layer 0 where equal tokens stand at equal positions."""
    return gaussian(p, 2)[np.random.default_rng(3).integers(0, 23, N)]


def dead_and_double(p: int) -> np.ndarray:
    X = gaussian(p, 4)
    X[:, 3], X[:, 7] = 0.0, 2.5
    X[:, 11:16] = X[:, 20:25]
    return X


def normed(p: int) -> np.ndarray:
    """Output of a LayerNorm in float32: one direction has no variance but round-off, 1e-7 of the largest."""
    x = gaussian(p, 5).astype(np.float32)
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    return x * np.random.default_rng(6).uniform(0.5, 2, p).astype(np.float32)


def outliers(p: int) -> np.ndarray:
    """Three features a thousand times larger than the rest."""
    X = gaussian(p, 7)
    X[:, [2, 5, 9]] *= 1000
    return X + np.linspace(-3, 3, p)


REGIMES = {
    "rows < features": gaussian(100),
    "rows > features": gaussian(20),
    "rows >> features": gaussian(12),
    "training rows cross the features": gaussian(48),
    "repeated stimuli, wide": repeated(100),
    "repeated stimuli, narrow": repeated(20),
    "dead and double, wide": dead_and_double(100),
    "dead and double, narrow": dead_and_double(30),
    "null direction, wide": normed(100),
    "null direction, narrow": normed(30),
    "outliers, wide": outliers(100),
    "outliers, narrow": outliers(20),
    "outliers, very narrow": outliers(12),
    "spectrum k^-0.5": spectrum(100, 0.5),
    "spectrum k^-1": spectrum(100, 1.0),
    "spectrum k^-1.5": spectrum(100, 1.5),
    "spectrum k^-1.5, narrow": spectrum(30, 1.5),
}
GROUPS = np.sort(np.random.default_rng(8).integers(0, 14, N))
SPLITS = {
    "shuffled": list(KFold(5, shuffle=True, random_state=1).split(np.zeros(N))),
    "contiguous": list(KFold(5).split(np.zeros(N))),
    "grouped": list(GroupKFold(5, shuffle=True, random_state=1).split(np.zeros(N), groups=GROUPS)),
}
_ends = np.cumsum([0, 2, 5, 9, 17, 27])
UNEVEN = {
    "of unequal sizes": [(np.delete(np.arange(N), np.s_[a:b]), np.arange(a, b)) for a, b in pairwise(_ends)],
    "overlapping": list(ShuffleSplit(4, test_size=0.3, train_size=0.6, random_state=1).split(np.zeros(N))),
}
"""Test sets of 2 to 27 stimuli; test sets that overlap, with stimuli that are in neither set of a fold."""


def responses(X: np.ndarray, noise: float = 1.0) -> np.ndarray:
    """Mixtures of the leading directions of the features, noise, an offset."""
    rng = np.random.default_rng(9)
    U = np.linalg.svd(X - X.mean(0), full_matrices=False)[0][:, :8] * np.sqrt(len(X))
    return U @ rng.standard_normal((8, VOXELS)) + noise * rng.standard_normal((N, VOXELS)) + 3.0


def condition(X: np.ndarray, folds) -> float:
    """The largest condition number that scikit-learn's cut-off leaves in a fold."""
    worst = 1.0
    for train, _ in folds:
        s = np.linalg.svd(X[train] - X[train].mean(0), compute_uv=False)
        worst = max(worst, s[0] / s[s > 1e-6 * s[0]][-1])
    return worst
