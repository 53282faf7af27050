r"""Fixed regressions with many more stimuli than features: nothing of size stimulus x stimulus is made.

With X the centred features, K = X'X + alpha I = L L' and P = [X L^{-T}, 1 / sqrt(n)], the fitted values of all stimuli
are P P' Y (the constant is not penalised). Leaving the stimuli S out, with T the rest,

    prediction of S = B_S P_T' Y_T,   B_S = (I - P_S P_S')^{-1} P_S.

P_T' Y_T is a sum over the other held-out sets, so one pass over the responses serves all folds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float64
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dtrmm
from scipy.linalg.lapack import dpotrf, dtrtri

from jaxscore.regression.energies import product
from jaxscore.regression.hardware import Hardware
from jaxscore.regression.operators import SQUARED, Diagnosis, Operator, Solver, Split, centred
from jaxscore.regression.products import Scores, columns
from jaxscore.regression.scores import score, standardise

LONG = 2.0
"""How many times more stimuli than features there must be for two products with P to cost no more than one n x n."""
FEW = 2000
"""Under this many stimuli, operators on stimuli are made at once, and can certify more."""
AMPLIFIED = 5.0
"""Largest row of B, next to the mean row of A = B P_T', for products in float32: beyond it, round-off of P_T' Y shows.

A stimulus that carries a direction by itself has such a row. A A' = (I - P_S P_S')^{-1} - I.
"""


@dataclass(frozen=True)
class Primal:
    """One layer.

    Attributes:
        P: of the module's formula.
        held: for each split, what is left out.
        operators: for each split, B of the rows of each held-out set.
        diagnosis: how it was made.
        amplified: largest row of B, next to the mean row of B P_T', over the splits.
    """

    P: Float64[np.ndarray, "stimulus direction"]
    held: list[np.ndarray]
    operators: list[list[Operator]]
    diagnosis: Diagnosis
    amplified: float

    def part(self, which: slice) -> Primal:
        """Some of the splits."""
        return replace(self, held=self.held[which], operators=self.operators[which])


def wanted(stimuli: int, features: int, path: str) -> bool:
    """Whether this path is asked for, or the fastest."""
    return path == "primal" or (path == "auto" and stimuli >= max(FEW, LONG * features))


def whitened(X: Float64[np.ndarray, "stimulus feature"], alpha: float) -> tuple[np.ndarray, float] | None:
    """X L^{-T} and a bound on the condition number of X (of the penalised X); None where it is not full rank."""
    K = X.T @ X
    K[np.diag_indices_from(K)] += alpha
    size = float(np.sqrt(np.trace(K)))
    if np.diag(K).min() <= 0:
        return None
    # a unit diagonal: features a thousand times larger than others do no harm
    scale = np.diag(K) ** -0.5
    K *= scale
    K *= scale[:, None]
    L, failed = dpotrf(K.T, lower=1, overwrite_a=1)
    inverse = None if failed else dtrtri(L, lower=1)[0]
    if inverse is not None and np.linalg.norm(inverse) * np.linalg.norm(L) <= SQUARED * len(L):
        inverse *= scale
        return dtrmm(1.0, inverse, X.T, lower=1).T, size * float(np.linalg.norm(inverse))
    tall = np.vstack([X, alpha**0.5 * np.eye(X.shape[1])]) if alpha else X
    Q, R = np.linalg.qr(tall)
    s = np.linalg.svd(R, compute_uv=False)
    if s[-1] <= np.finfo(float).eps * s[0]:
        return None
    return Q[: len(X)], float(s[0] / s[-1])


def independent(X: Float64[np.ndarray, "stimulus feature"]) -> Float64[np.ndarray, "stimulus direction"]:
    """X in its principal directions without those that round-off fills, which no cut-off keeps in any training set."""
    values, V = np.linalg.eigh(X.T @ X)
    return X @ V[:, values > 1e-14 * values[-1:]]


def primal(X: Float[np.ndarray, "stimulus feature"], splits: list[Split], solver: Solver) -> Primal | None:
    """Prepare one layer, or None where full rank of every training set under the cut-off is not certain."""
    if any(np.isin(test, split.train).any() for split in splits for test in split.tests):
        return None
    X = centred(np.asarray(X, np.float64))
    X, n = X[:, X.any(0)], len(X)
    made = whitened(X, solver.alpha)
    if made is None or not (solver.alpha or made[1] < 1.0 / solver.rcond):
        made = whitened(independent(X), solver.alpha)
    if made is None:
        return None
    P, condition = np.hstack([made[0], np.full((n, 1), n**-0.5)]), made[1]
    out, operators, certain, amplified = [], [], solver.alpha > 0, 1.0
    for split in splits:
        held = np.setdiff1d(np.arange(n), split.train)
        own = P[held]
        rest = np.eye(len(held)) - own @ own.T
        try:
            factor = cho_factor(rest, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        energy = np.square(np.linalg.norm(dtrtri(np.tril(factor[0]), lower=1)[0]))  # trace of the inverse
        if not certain and condition * energy**0.5 >= 1.0 / solver.rcond:
            return None
        B = cho_solve(factor, own, check_finite=False)
        rows = np.sqrt(np.einsum("sk,sk->s", B, B).max() * len(held))
        amplified = max(amplified, rows / np.sqrt(max(energy - len(held), np.finfo(float).tiny)))
        out.append(held)
        operators.append([Operator.of(B[np.searchsorted(held, test)]) for test in split.tests])
    rank = min(X.shape[1], n - 1)
    return Primal(P, out, operators, Diagnosis(dict(Counter(primal=len(splits))), condition, (rank, rank)), amplified)


def evaluate_primal(
    layer: Primal,
    splits: list[Split],
    Y: Float[np.ndarray, "stimulus neuroid"],
    names: tuple[str, ...],
    *,
    dtype: str,
    hardware: Hardware,
    predictions: list[Float[np.ndarray, "test neuroid"]] | None = None,
) -> Scores:
    """Score each held-out set of one layer; arguments as for `products.evaluate`.

    Returns:
        Each score [set, neuroid].
    """
    xp, n = hardware.xp, len(Y)
    dtype = dtype if layer.amplified < AMPLIFIED else "float64"
    P = layer.P.astype(dtype)
    parts = [hardware.constant(P[held].T) for held in layer.held]
    once = np.array_equal(np.sort(np.concatenate(layer.held)), np.arange(n))
    whole = None if once else hardware.constant(P.T)
    sets = [
        (k, split.train, test, B.norm, hardware.constant(np.concatenate([B.rows, B.mean[None]]).astype(dtype)))
        for k, (split, operators) in enumerate(zip(splits, layer.operators, strict=True))
        for test, B in zip(split.tests, operators, strict=True)
    ]
    out = {name: np.empty((len(sets), Y.shape[1]), dtype) for name in columns(names)}

    def chunk(span: slice) -> None:
        Z, average, spread = standardise(Y[:, span], dtype)
        width = Z.shape[1]
        deviation = hardware.place(spread.astype(dtype))
        gone = [product(xp, part, hardware.place(Z[held])) for part, held in zip(parts, layer.held, strict=True)]
        total = sum(gone[1:], gone[0]) if once else product(xp, whole, hardware.place(Z))
        for i, (k, train, test, scale, rows) in enumerate(sets):
            predicted = product(xp, rows, total - gone[k])
            means = predicted[-1], hardware.place(Z[train].mean(0))
            answers = hardware.place(Z[test])
            found = score(xp, names, predicted[:-1], answers, scale=scale, deviation=deviation, means=means)
            for name, values in found.items():
                out[name][i, span] = np.asarray(values)[:width]
            if predictions is not None:
                predictions[i][:, span] = np.asarray(predicted[:-1] + means[0])[:, :width] * spread + average

    with hardware.precision(dtype):
        rows = sum(map(len, layer.held)) + (len(splits) + 2) * P.shape[1] + n
        hardware.map(chunk, hardware.chunks(Y.shape[1], 2 * rows * P.itemsize))
    return out
