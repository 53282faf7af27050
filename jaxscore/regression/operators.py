r"""Leave-fold-out operators: matrices from the responses to training stimuli to predictions for held-out ones.

Everything that depends on the stimuli is here, in float64; the voxels meet it only in one product (`products`).

Let H be an orthonormal basis of the contrasts (rows sum to zero) of n stimuli, and M = H X the centred features. There
is a matrix F [k, n], made once per layer, such that for every set S of held-out stimuli, with T the rest,

    A[S, T] = -R^{-1} Q' F_T,   F_S = Q R  (QR of the columns of F in S),

is the prediction of S by a regression with intercept on T. F'F is the leading block G of the inverse of the bordered
kernel [[X X' + alpha I, 1], [1', 0]], so this is -(G_SS)^{-1} G_ST without ever squaring a condition number:

    dual        full row rank:     M' = Q R,                   F = R^{-T} H     (minimum-norm OLS)
    ridge       any features:      [M, sqrt(alpha) I]' = Q R,  F = R^{-T} H     (intercept unpenalised)
    complement  full column rank:  M = [Q, Q_perp] [R; 0],     F = Q_perp' H    (ordinary OLS)

The rank is that of scikit-learn's LinearRegression: singular values of the centred TRAINING features under rcond x the
largest are zero. Interlacing bounds those of every training set by those of all stimuli, so one measured condition
number certifies full rank in every fold. Where it cannot, the fold is refitted from the features themselves: by QR if
its own condition number certifies full rank, else by an SVD with the cut-off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int
from scipy.linalg.lapack import dtrtri

SQUARED = 25.0
"""Largest root mean square condition number of a scaled Gram matrix's factor that may be squared: errors of 2e-12."""

PATHS = ("auto", "dual", "primal", "refit")
"""Regimes a person may force; what was taken is in `Diagnosis`."""

Matrix = Float64[np.ndarray, "row column"]


@dataclass(frozen=True)
class Solver:
    """Which regression: `alpha` = 0 is minimum-norm OLS, otherwise ridge with scikit-learn's alpha.

    Attributes:
        alpha: added to the diagonal of X X'; 0 for OLS.
        rcond: OLS only: singular values under rcond x the largest are zero.
    """

    alpha: float = 0.0
    rcond: float = 1e-6


@dataclass(frozen=True)
class Split:
    """A training set and the sets of stimuli that are predicted from it.

    Attributes:
        train: indices of the training stimuli.
        tests: indices of each held-out set; correlations are taken within one.
    """

    train: Int[np.ndarray, " train"]
    tests: tuple[Int[np.ndarray, " test"], ...]


@dataclass(frozen=True)
class Diagnosis:
    """How the operators of one layer were made.

    Attributes:
        paths: how many training sets took which path: dual, complement, ridge, primal, refit-qr, refit-svd.
        condition: bound on the condition number of the centred features (ridge: of the penalised ones); inf if it
            was not full rank.
        rank: numerical rank over the training sets: (smallest, largest).
    """

    paths: dict[str, int]
    condition: float
    rank: tuple[int, int]

    @classmethod
    def together(cls, parts: Sequence[Diagnosis]) -> Diagnosis:
        """Of several groups of neuroids whose missing responses differ."""
        ranks = [rank for part in parts for rank in part.rank]
        paths = sum((Counter(part.paths) for part in parts), Counter())
        return cls(dict(paths), max(part.condition for part in parts), (min(ranks), max(ranks)))


def reflection(n: int) -> Float64[np.ndarray, " n"]:
    """Unit vector u whose reflection I - 2 u u' takes the constant vector to the first axis."""
    u = np.full(n, n**-0.5)
    u[0] += 1.0
    return u / np.linalg.norm(u)


def contrast(X: Matrix) -> Matrix:
    """H X: the rows of X in an orthonormal basis H [n - 1, n] of the vectors that sum to zero."""
    u = reflection(len(X))
    return X[1:] - np.outer(2.0 * u[1:], u @ X)


def expand(W: Matrix) -> Matrix:
    """W H: from coordinates in that basis back to stimuli."""
    u = reflection(W.shape[1] + 1)
    return np.hstack([np.zeros((len(W), 1)), W]) - np.outer(2.0 * (W @ u[1:]), u)


def triangular_inverse(R: Matrix, limit: float) -> tuple[Matrix | None, float]:
    """Invert R and bound its condition number: |R|_F |R^-1|_F, or s_max / s_min where that does not clear the limit."""
    diagonal = np.abs(np.diag(R))
    if not len(R) or diagonal.min() <= np.finfo(float).eps * diagonal.max():
        return None, np.inf
    inverse, _ = dtrtri(R)
    condition = float(np.linalg.norm(R) * np.linalg.norm(inverse))
    if condition >= limit:
        s = np.linalg.svd(R, compute_uv=False)
        condition = float(s[0] / s[-1]) if s[-1] else np.inf
    return inverse, condition


def lower_inverse(L: Matrix) -> Matrix:
    """Inverse of a lower triangle by halves: products, which leave other threads alone as SciPy's LAPACK does not."""
    n = len(L)
    if n <= 64:
        return np.tril(np.linalg.inv(L))
    half = n // 2
    out = np.zeros_like(L)
    out[:half, :half], out[half:, half:] = lower_inverse(L[:half, :half]), lower_inverse(L[half:, half:])
    out[half:, :half] = -(out[half:, half:] @ L[half:, :half]) @ out[:half, :half]
    return out


def cholesky_inverse(K: Matrix) -> tuple[Matrix | None, float]:
    """L^-1 of K = L L', and |L|_F |L^-1|_F of K scaled to a unit diagonal, which is what bounds the round-off.

    None where K is not positive definite, or the bound is above SQUARED x its size: there it has lost too much.
    """
    diagonal = np.diag(K)
    if not len(K) or diagonal.min() <= 0:
        return None, np.inf
    scale = diagonal**-0.5
    try:
        L = np.linalg.cholesky(K * scale * scale[:, None])
    except np.linalg.LinAlgError:
        return None, np.inf
    inverse = lower_inverse(L)
    bound = float(np.linalg.norm(L) * np.linalg.norm(inverse))
    return (inverse * scale, bound) if bound < SQUARED * len(L) else (None, bound)


def householder(B: Matrix) -> tuple[Matrix, Matrix]:
    """V and T of the rotation Q = I - V T V' whose transpose makes B upper triangular (compact WY form)."""
    raw, tau = np.linalg.qr(B, mode="raw")
    V = np.tril(raw.T, -1)[:, : len(tau)] + np.eye(len(B), len(tau))
    T = np.diag(tau)
    for j in range(1, len(tau)):
        T[:j, j] = -tau[j] * (T[:j, :j] @ (V[:, :j].T @ V[:, j]))
    return V, T


def gram_inverse(M: Matrix, alpha: float) -> tuple[Matrix | None, float]:
    """T with T'T = (M M' + alpha I)^-1 through the Gram matrix, and a bound on its condition number; None if unsafe.

    A few features a thousand times larger than the rest would ruin the small eigenvalues of a kernel. A rotation of the
    rows that gives those features rows of their own makes it graded, and Cholesky is as accurate as if it were scaled.
    """
    energy = np.einsum("rc,rc->c", M, M)
    large = np.flatnonzero(energy > 1e3 * np.median(energy))
    if not 0 < len(large) < len(M) // 4:
        inverse, _ = cholesky_inverse(_plus(M @ M.T, alpha))
    else:
        V, T = householder(M[:, large])
        rotated = M - (V @ T.T) @ (V.T @ M)
        rotated[len(large) :, large] = 0.0
        inverse, _ = cholesky_inverse(_plus(rotated @ rotated.T, alpha))
        if inverse is not None:
            inverse = inverse - (inverse @ V) @ (T.T @ V.T)
    if inverse is None:
        return None, np.inf
    return inverse, float(np.sqrt(energy.sum() + alpha * len(M)) * np.linalg.norm(inverse))


def _plus(K: Matrix, alpha: float) -> Matrix:
    K[np.diag_indices_from(K)] += alpha
    return K


@dataclass(frozen=True)
class Factor:
    """F of the module's formula, with the bound on the condition number of the features that it came from."""

    path: str
    F: Float64[np.ndarray, "k stimulus"]
    condition: float
    rank: int

    @cached_property
    def G(self) -> Matrix:  # noqa: N802
        """F'F, enough by itself wherever the block that is inverted is well conditioned."""
        return self.F.T @ self.F

    def errors(self, held: np.ndarray, columns: np.ndarray | slice) -> tuple[Matrix, Matrix] | None:
        """Two matrices whose product is G_SS^-1 G[S, columns], S being `held`; None where G_SS is singular.

        Its rows give the errors of predictions without S: 1 at the stimulus itself, the operator's weights negated.
        The first matrix is an inverse factor of G_SS.
        """
        if len(held) > len(self.F):
            return None
        inverse, _ = cholesky_inverse(self.G[np.ix_(held, held)])
        if inverse is not None:
            return inverse.T, inverse @ self.G[held][:, columns]
        Q, R = np.linalg.qr(self.F[:, held])
        inverse, _ = triangular_inverse(R, np.inf)
        return None if inverse is None else (inverse, Q.T @ self.F[:, columns])

    def leave_out(self, held: np.ndarray, train: np.ndarray, limit: float = np.inf) -> Matrix | None:
        """A[held, train], or None where full rank of the training features under the cut-off is not certain."""
        found = self.errors(held, train)
        if found is None:
            return None
        inverse, rest = found
        # complement: sigma_min(X_T) >= sigma_min(X) sigma_min(R), R'R being the block of the held-out stimuli
        certain = self.path != "complement" or self.condition * np.linalg.norm(inverse) < limit
        return -inverse @ rest if certain else None


def centred(X: Matrix) -> Matrix:
    """Features minus their means; those that vary by no more than round-off are exactly 0."""
    C = X - X.mean(0)
    C -= C.mean(0)
    C[:, np.abs(C).max(0) <= 8 * np.finfo(float).eps * np.abs(X).max(0)] = 0.0
    return C


def factorise(X: Matrix, solver: Solver) -> Factor | None:
    """Make F from the centred features of all stimuli, or None where the rank is not full under the cut-off."""
    n, p = X.shape
    M, limit = contrast(X), np.inf if solver.alpha else 1.0 / solver.rcond
    if solver.alpha or p >= n - 1:
        inverse, condition = gram_inverse(M, solver.alpha)
        if inverse is None or condition >= limit:
            tall = M.T if not solver.alpha else np.hstack([M, solver.alpha**0.5 * np.eye(n - 1)]).T
            inverse, condition = triangular_inverse(np.linalg.qr(tall, mode="r"), limit)
            inverse = None if inverse is None else inverse.T
        if inverse is None or condition >= limit:
            return None
        return Factor("ridge" if solver.alpha else "dual", expand(inverse), condition, min(n - 1, p))
    Q, R = np.linalg.qr(M, mode="complete")
    _, condition = triangular_inverse(R[:p], limit)
    return Factor("complement", expand(Q[:, p:].T), condition, p) if condition < limit else None


def reduced(X: Matrix) -> Matrix:
    """Coordinates of centred features in their own span: the same inner products in as few columns as they need."""
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    keep = s > max(X.shape) * np.finfo(float).eps * s[0]
    return U[:, keep] * s[keep]


def refit(Z: Matrix, held: np.ndarray, train: np.ndarray, solver: Solver) -> tuple[Matrix, str, int]:
    """A[held, train] from the training features themselves, the path taken and the rank."""
    mean = Z[train].mean(0)
    M, new = contrast(Z[train] - mean), Z[held] - mean
    if np.linalg.norm(M) <= 1e-14 * np.linalg.norm(Z):  # nothing but round-off varies in training
        M = np.zeros_like(M)
    if solver.alpha:
        U, s, Vt = np.linalg.svd(M, full_matrices=False)
        weights = ((new @ Vt.T) * (s / (np.square(s) + solver.alpha))) @ U.T
        return expand(weights) + 1.0 / len(train), "refit-svd", len(s)
    rcond, wide = solver.rcond, M.shape[0] <= M.shape[1]
    Q, R = np.linalg.qr(M.T if wide else M)
    inverse, condition = triangular_inverse(R, 1.0 / rcond)
    path, rank = "refit-qr", len(R)
    if condition >= 1.0 / rcond:
        U, s, Vt = np.linalg.svd(R)
        keep = s > rcond * s[:1]
        path, rank = "refit-svd", int(keep.sum())
        inverse = (Vt[keep].T / s[keep]) @ U[:, keep].T
    weights = (new @ Q) @ inverse.T if wide else (new @ inverse) @ Q.T
    return expand(weights) + 1.0 / len(train), path, rank


@dataclass(frozen=True)
class Operator:
    """From the responses to the training stimuli to predictions for one held-out set.

    Attributes:
        rows: predictions less their mean over the set; exactly 0 where they are constant up to round-off.
        mean: the mean prediction.
        norm: Frobenius norm of `rows`: the scale of the round-off of what they predict.
    """

    rows: Float64[np.ndarray, "test train"]
    mean: Float64[np.ndarray, " train"]
    norm: float

    @classmethod
    def of(cls, block: Float64[np.ndarray, "test train"]) -> Operator:
        """Split an operator into mean and rest: no correlation changes, and the rest can be multiplied in float32."""
        mean = block.mean(0)
        rows = block - mean
        norm = float(np.linalg.norm(rows))
        if norm <= 1e-10 * np.linalg.norm(block):
            rows, norm = np.zeros_like(rows), 0.0
        return cls(rows, mean, norm)


def fold_operators(
    X: Float64[np.ndarray, "stimulus feature"], splits: list[Split], solver: Solver, path: str = "auto"
) -> tuple[list[Operator], Diagnosis]:
    """Operators of one layer for all splits.

    Args:
        X: features.
        splits: training sets with their held-out sets.
        solver: OLS or ridge.
        path: "refit" forces a regression of its own for each training set.

    Returns:
        One operator per held-out set, in the order of `splits` and their `tests`; and how they were made.
    """
    X = centred(np.asarray(X, np.float64))
    # stimuli that are trained on and tested are predicted as if they were not trained on
    shared = [any(np.isin(test, split.train).any() for test in split.tests) for split in splits]
    factor, coordinates = factorise(X, solver) if path != "refit" and not all(shared) else None, None
    paths, ranks, operators = Counter(), [], []
    for split, both in zip(splits, shared, strict=True):
        held = np.unique(np.concatenate(split.tests)) if both else np.setdiff1d(np.arange(len(X)), split.train)
        block = factor.leave_out(held, split.train, 1.0 / solver.rcond) if factor and not both else None
        if block is not None:
            taken, rank = factor.path, min(factor.rank, len(split.train) - 1)
        else:
            coordinates = reduced(X) if coordinates is None else coordinates
            block, taken, rank = refit(coordinates, held, split.train, solver)
        paths[taken] += 1
        ranks.append(rank)
        operators += [Operator.of(block[np.searchsorted(held, test)]) for test in split.tests]
    return operators, Diagnosis(dict(paths), factor.condition if factor else np.inf, (min(ranks), max(ranks)))
