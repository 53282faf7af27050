"""Criteria by which alphas are chosen: the squared errors of many linear maps on many voxels."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float64

BLOCKS = 8
AMPLIFIED = 50.0
"""How much an error of fit may grow into an error of prediction in float32: the inverse of 1 - leverage."""


class Criterion(Protocol):
    """A squared error for each of several candidates, to be minimised."""

    def __call__(self, Y: Float[np.ndarray, "train neuroid"]) -> Float[np.ndarray, "candidate neuroid"]:
        """The error of each candidate for each neuroid."""

    def total(self, kernel: Float64[np.ndarray, "train train"]) -> Float64[np.ndarray, " candidate"]:
        """The error summed over all neuroids, from the kernel Y Y' of their responses alone."""


def product(xp: ModuleType, A, B):
    """A @ B, on devices at their highest precision."""
    return xp.matmul(A, B) if xp is np else xp.matmul(A, B, precision="highest")


class Triangles:
    """|C y|^2 = |R y|^2 with C = Q R: the triangle R has half the entries, and Q is never needed.

    The rows of R are stacked in blocks, those of one block over all C in one product with the responses that they meet:
    9/16 of the operations of the products C y.

    Args:
        maps: each C, float64; any number of rows.
        dtype: of the products.
        xp: numpy, or jax.numpy to put them on the devices.
    """

    def __init__(self, maps: list[Float64[np.ndarray, "row train"]], dtype: str, xp: ModuleType = np) -> None:
        self.xp, self.triangles = xp, [np.linalg.qr(C, mode="r") for C in maps]
        n = maps[0].shape[1]
        edges = np.linspace(0, n, min(BLOCKS, n) + 1).astype(int)
        self.blocks = []
        for start, stop in pairwise(edges):
            # a C with fewer rows than stimuli has a trapezoid for a triangle
            rows = [R[start:stop, start:] for R in self.triangles]
            block = np.zeros((len(maps), max(map(len, rows)), n - start), dtype)
            for k, R in enumerate(rows):
                block[k, : len(R)] = R
            if block.size:
                self.blocks.append((start, xp.asarray(block.reshape(-1, n - start))))

    def __call__(self, Y):
        """See Criterion."""
        total = 0.0
        for start, block in self.blocks:
            errors = product(self.xp, block, Y[start:]).reshape(len(self.triangles), -1, Y.shape[1])
            total = total + self.xp.einsum("crv,crv->cv", errors, errors)
        return total

    def total(self, kernel):
        """See Criterion."""
        return np.array([np.einsum("rs,rs->", R @ kernel, R) for R in self.triangles])


class Directions:
    """sum_k w_k (u_k' y)^2: one product for any number of candidates that share their directions.

    Args:
        U: the directions.
        weights: w of each candidate.
        dtype: of the products.
        xp: numpy, or jax.numpy to put them on the devices.
        rest: w of what the directions leave of the centred responses; None if they leave nothing.
    """

    def __init__(
        self,
        U: Float64[np.ndarray, "train direction"],
        weights: Float64[np.ndarray, "candidate direction"],
        dtype: str,
        xp: ModuleType = np,
        *,
        rest: Float64[np.ndarray, " candidate"] | None = None,
    ) -> None:
        self.xp, self.U, self.weights, self.rest = xp, U, weights, rest
        self.rows = xp.asarray(np.ascontiguousarray(U.T), dtype)
        self.factors = xp.asarray(weights if rest is None else weights - rest[:, None], dtype)
        self.whole = None if rest is None else xp.asarray(rest[:, None], dtype)

    def __call__(self, Y):
        """See Criterion."""
        inside = product(self.xp, self.factors, self.xp.square(product(self.xp, self.rows, Y)))
        if self.rest is None:
            return inside
        Y = Y - Y.mean(0)
        return inside + self.whole * self.xp.einsum("sv,sv->v", Y, Y)

    def total(self, kernel):
        """See Criterion."""
        inside = self.weights @ np.einsum("sk,sk->k", self.U, kernel @ self.U)
        if self.rest is None:
            return inside
        whole = np.trace(kernel) - kernel.mean(0).sum()
        return inside + self.rest * (whole - np.einsum("sk,sk->", self.U, kernel @ self.U))


class Residuals:
    """Errors on held-out stimuli from the few directions that features reach: for many more stimuli than features.

    With U the directions, d = 1 - g their shrinkage and e = y - mean - U d U' y the residual in training, the error on
    a set S is (I - 1/n - U_S d U_S')^{-1} e_S; a set of one needs a division.

    Args:
        U: directions of the centred training stimuli that features reach.
        kept: d of each candidate.
        folds: inner folds, as positions in training; None leaves out each stimulus by itself.
        dtype: of the products.
        xp: numpy, or jax.numpy to put them on the devices.
    """

    def __init__(
        self,
        U: Float64[np.ndarray, "train direction"],
        kept: Float64[np.ndarray, "candidate direction"],
        folds: list[tuple[np.ndarray, np.ndarray]] | None,
        dtype: str,
        xp: ModuleType = np,
    ) -> None:
        n = len(U)
        self.wanted = dtype
        if max(self._amplified(U, d, folds) for d in kept) > AMPLIFIED:
            dtype, xp = "float64", np  # on the host, whatever the devices are
        self.dtype = dtype
        held = None if folds is None else [np.setdiff1d(np.arange(n), train) for train, _ in folds]
        self.xp, self.U, self.held = xp, xp.asarray(U, dtype), held
        self.kept, self.unexplained = xp.asarray(kept, dtype), []
        for d in kept:
            if folds is None:
                scale = 1.0 / (1.0 - 1.0 / n - np.einsum("sk,k,sk->s", U, d, U)) / n**0.5
                self.unexplained.append(xp.asarray(scale[:, None], dtype))
                continue
            inverses = []
            for out, (_, test) in zip(held, folds, strict=True):
                inverse = np.linalg.inv(np.eye(len(out)) - 1.0 / n - (U[out] * d) @ U[out].T)
                rows = inverse[np.searchsorted(out, test)] / np.sqrt(len(test) * len(folds))
                inverses.append(xp.asarray(rows, dtype))
            self.unexplained.append(inverses)

    @staticmethod
    def _amplified(U: np.ndarray, d: np.ndarray, folds: list | None) -> float:
        """A bound on 1 / (1 - leverage) of what is left out."""
        leverage = 1.0 / len(U) + np.einsum("sk,k,sk->s", U, d, U)
        if folds is None:
            return float(1.0 / max(1.0 - leverage.max(), np.finfo(float).tiny))
        gaps = []
        for train, _ in folds:
            out = np.delete(U, train, axis=0) * np.sqrt(d)
            small = out @ out.T if len(out) < len(d) else out.T @ out
            gaps.append(1.0 - np.linalg.eigvalsh(small)[-1] - len(out) / len(U))
        return float(1.0 / max(min(gaps), np.finfo(float).tiny))

    def __call__(self, Y):
        """See Criterion."""
        xp = self.xp
        Y = xp.asarray(Y, self.dtype)
        Y = Y - Y.mean(0)
        known = product(xp, self.U.T, Y)
        out = []
        for d, scale in zip(self.kept, self.unexplained, strict=True):
            e = Y - product(xp, self.U, d[:, None] * known)
            if self.held is None:
                parts = [e * scale]
            else:
                parts = [product(xp, B, e[S]) for S, B in zip(self.held, scale, strict=True)]
            out.append(sum(xp.einsum("sv,sv->v", part, part) for part in parts))
        return xp.stack(out).astype(self.wanted)

    def total(self, kernel):
        """See Criterion."""
        # responses with this kernel: as many as it has directions
        w, Q = np.linalg.eigh(kernel)
        keep = w > len(w) * np.finfo(float).eps * w[-1:]
        return np.asarray(self((Q[:, keep] * np.sqrt(w[keep])).astype(self.U.dtype))).sum(1)
