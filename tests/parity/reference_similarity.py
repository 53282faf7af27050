"""RDM similarity and linear CKA from their definitions, in exact rational arithmetic: the slow, plain reference.

It knows nothing of the package under test. Float inputs are exact rationals; every sum is a loop over fractions, and a
float64 is made at the very end, so that neither the order of sums nor outlying features cost a digit.
"""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
from scipy import stats

Rows = list[list[Fraction]]


def exact(x: np.ndarray) -> Rows:
    """Every value [stimulus][feature] as the rational number that it is."""
    return [[Fraction(float(value)) for value in row] for row in x]


def rdm(x: np.ndarray) -> list[float]:
    """Upper triangle of a monotone image of 1 - corr(x_i, x_j): 1 - corr |corr|, which is rational.

    Ranks are the same, and equal correlations are exactly equal. NaN for a stimulus without variance.
    """
    return [_dissimilarity(a, b) for a, b in combinations(exact(x), 2)]


def _dissimilarity(a: list[Fraction], b: list[Fraction]) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((u - mean_a) * (v - mean_b) for u, v in zip(a, b, strict=True))
    energies = sum((u - mean_a) ** 2 for u in a) * sum((v - mean_b) ** 2 for v in b)
    return math.nan if energies == 0 else float(1 - covariance * abs(covariance) / energies)


def rdm_similarity(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman correlation by scipy of the two RDMs; NaN if one holds NaN or is constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)  # a constant is a value here (NaN), not an event
        return float(stats.spearmanr(rdm(x), rdm(y)).statistic)


def kernel(x: np.ndarray) -> Rows:
    """Linear kernel [stimulus][stimulus], not centred."""
    rows = exact(x)
    return [[sum(u * v for u, v in zip(a, b, strict=True)) for b in rows] for a in rows]


def biased_hsic(k: Rows, other: Rows) -> Fraction:
    """tr(K H L H) / (n - 1)^2 with H = I - 1 1' / n, entry by entry."""
    n = len(k)

    def centred(m: Rows) -> Rows:
        means = [sum(row) / n for row in m]
        return [[m[i][j] - means[i] - means[j] + sum(means) / n for j in range(n)] for i in range(n)]

    a, b = centred(k), centred(other)
    return sum(a[i][j] * b[j][i] for i in range(n) for j in range(n)) / (n - 1) ** 2


def unbiased_hsic(k: Rows, other: Rows) -> Fraction:
    """E[k l] + E[k] E[l] - 2 E[k l'], each expectation a mean over all tuples of different stimuli (a U-statistic)."""
    total, count = Fraction(0), 0
    for i, j, q, r in permutations(range(len(k)), 4):
        total += k[i][j] * (other[i][j] + other[q][r] - 2 * other[i][q])
        count += 1
    return total / count


def linear_cka(x: np.ndarray, y: np.ndarray, debiased: bool) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)); NaN where one of the energies is zero."""
    hsic = unbiased_hsic if debiased else biased_hsic
    k, m = kernel(x), kernel(y)
    energies = hsic(k, k) * hsic(m, m)
    if energies == 0:
        return math.nan
    cross = hsic(k, m)
    return math.copysign(math.sqrt(cross * cross / energies), cross)
