"""Partial least squares (PLS2) as closed-form operators: the voxels are met once, in the kernel Y Y'.

Component k of PLS2 in regression mode (NIPALS run to convergence) is, with X_k and Y_k the training features and
responses after the earlier components have been regressed out of both:

    w = first left singular vector of X_k' Y_k,    t = X_k w / |X_k w|,    prediction += t_test t' Y

The scores t are orthonormal, so X_k' Y_k = X' (I - T T') Y: neither matrix needs deflating. Only C = X' L does, where
L L' = Y Y' has at most as many columns as there are stimuli, and each component takes a rank-one matrix from it. The
predictions of k components are A Y with

    A = 1 1' / n + S T'        S [test, k] the test scores, T [train, k] the training scores.

Source: H. Wold's NIPALS as in J. A. Wegelin, "A survey of partial least squares methods" (2000), section 4.1; the
kernel form follows Lindgren, Geladi and Wold, "The kernel algorithm for PLS", J. Chemometrics 7 (1993).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64
from scipy.linalg import eigh, lapack

from jaxscore.errors import DataError
from jaxscore.regression.operators import centred

EPS = float(np.finfo(np.float64).eps)


def standardised(
    train: Float64[np.ndarray, "train column"], scale: bool
) -> tuple[Float64[np.ndarray, "train column"], Float64[np.ndarray, " column"], Float64[np.ndarray, " column"]]:
    """Columns minus their means, over their standard deviations (n - 1) if `scale`; the means and the divisors.

    Columns that vary by no more than round-off become exactly 0: scaling them up would make features out of noise.
    """
    mean = train.mean(0)
    mean += (train - mean).mean(0)  # a sum over many rows is off by more than the last digit
    deviations = centred(train)
    size = np.where(deviations.any(0), deviations.std(0, ddof=1), 1.0) if scale else np.ones(train.shape[1])
    return deviations / size, mean, size


def response_kernel(
    Y: Float[np.ndarray, "stimulus neuroid"], *, chunk: int = 4096, scale: bool = False
) -> Float64[np.ndarray, "stimulus stimulus"]:
    """Kernel Y Y' of the responses in float64, summed over chunks of neuroids.

    Each neuroid is centred over the given stimuli, so that large means cancel nothing; `centre_kernel` of any block of
    it is that of the responses as they came.

    Args:
        Y: responses, of any floating dtype; all finite.
        chunk: neuroids turned to float64 at a time.
        scale: divide each neuroid by its standard deviation over the given stimuli: give the training rows alone.

    Raises:
        DataError: if a response is NaN or infinite.
    """
    kernel = np.zeros((len(Y), len(Y)))
    for start in range(0, Y.shape[1], chunk):
        block = np.asarray(Y[:, start : start + chunk], np.float64)
        if not np.isfinite(block).all():
            odd = int((~np.isfinite(block)).any(0).sum())
            raise DataError(
                f"{odd} of the neuroids {start} to {start + block.shape[1] - 1} have NaN or infinite responses; the "
                "components of PLS are shared by all neuroids, so that it needs all responses",
                "Drop these neuroids: Y[:, np.isfinite(Y).all(0)].",
            )
        block = standardised(block, scale)[0]
        kernel += block @ block.T
    return kernel


def centre_kernel(K: Float64[np.ndarray, "train train"]) -> Float64[np.ndarray, "train train"]:
    """Kernel of the same rows minus their mean: H K H with H = I - 1 1' / n."""
    means = K.mean(0)
    return K - means - means[:, None] + means.mean()


def kernel_root(K: Float64[np.ndarray, "train train"]) -> Float64[np.ndarray, "train rank"]:
    """L with L L' = H K H, by pivoted Cholesky: one column for one neuroid, none for responses that do not vary."""
    # LAPACK's usual cut-off, but of K before centring, whose round-off centring does not shrink
    cutoff = len(K) * EPS * np.diag(K).max()
    factor, pivots, rank, _ = lapack.dpstrf(centre_kernel(K), tol=cutoff, lower=1)
    rank = rank if factor[0, 0] ** 2 > cutoff else 0  # LAPACK takes the first pivot unseen
    return np.tril(factor)[np.argsort(pivots), :rank]


def first_left_vector(C: Float64[np.ndarray, "row column"]) -> Float64[np.ndarray, " row"]:
    """First left singular vector: the gap of C C' limits the first one no more than that of C does."""
    wide = C.shape[0] <= C.shape[1]
    square = C @ C.T if wide else C.T @ C
    last = len(square) - 1
    vector = eigh(square, subset_by_index=(last, last), check_finite=False)[1][:, 0]
    vector = vector if wide else C @ vector
    return vector / (np.linalg.norm(vector) or 1.0)


def _check(X_train: np.ndarray, KY_train: np.ndarray, X_test: np.ndarray, components: int) -> None:
    n = len(X_train)
    if components < 1:
        raise DataError(f"PLS takes at least 1 component, not {components}", "Choose components=1 or more.")
    if n < 2 or X_train.ndim != 2 or KY_train.shape != (n, n) or X_train.shape[1:] != X_test.shape[1:]:
        raise DataError(
            f"Training features {X_train.shape}, kernel of the training responses {KY_train.shape} and test features "
            f"{X_test.shape} do not fit: [train, feature], [train, train], [test, feature], at least 2 training rows",
            "Take the kernel of the same rows: response_kernel(Y)[np.ix_(train, train)].",
        )
    for name, values in {"training features": X_train, "kernel": KY_train, "test features": X_test}.items():
        if not np.isfinite(values).all():
            raise DataError(f"The {name} {values.shape} hold NaN or infinity", "Drop these rows or columns first.")


def pls_scores(
    X_train: Float[np.ndarray, "train feature"],
    KY_train: Float64[np.ndarray, "train train"],
    X_test: Float[np.ndarray, "test feature"],
    components: int,
    *,
    scale: bool = False,
) -> tuple[Float64[np.ndarray, "test component"], Float64[np.ndarray, "train component"]]:
    """Scores S and T of the module's formula: k components predict mean(Y_train) + S[:, :k] @ (T[:, :k].T @ Y_train).

    Components end early where nothing is left of the features or of their covariance with the responses; the columns
    beyond those that exist are 0, so that `T.any(0).sum()` is their number.

    Args:
        X_train: features of the training stimuli.
        KY_train: kernel Y Y' of their responses, centred or not (see `response_kernel`).
        X_test: features of the stimuli to predict.
        components: how many components to look for.
        scale: divide features by their standard deviations (n - 1) over the training stimuli; scikit-learn's `scale`
            if the kernel is also that of scaled responses, `response_kernel(Y_train, scale=True)`.

    Raises:
        DataError: if shapes do not fit, a value is not finite, or `components` is under 1.
    """
    X_train, X_test = np.asarray(X_train, np.float64), np.asarray(X_test, np.float64)
    _check(X_train, KY_train, X_test, components)
    n = len(X_train)
    Z, mean, deviation = standardised(X_train, scale)
    rows = np.vstack([Z, (X_test - mean) / deviation])
    if Z.shape[1] > n:  # the weights lie in the span of the training features: n coordinates hold all there is
        rows = rows @ np.linalg.qr(Z.T)[0]
        Z = rows[:n]
    L = kernel_root(np.asarray(KY_train, np.float64))
    C = Z.T @ L
    if C.shape[1] > C.shape[0]:  # the right side of C may be rotated freely
        C = np.linalg.qr(C.T, mode="r").T
    roundoff = n * EPS * np.linalg.norm(Z) * np.linalg.norm(L)
    scores = np.zeros((len(rows), components))
    for k in range(components if C.size else 0):
        w = first_left_vector(C)
        covariance = C.T @ w
        if np.linalg.norm(covariance) <= roundoff:
            break
        t = rows @ w
        for _ in range(2):  # Gram-Schmidt, twice for orthogonality to round-off
            t -= scores[:, :k] @ (scores[:n, :k].T @ t[:n])
        size = np.linalg.norm(t[:n])
        scores[:, k] = t / size
        C -= np.outer(Z.T @ scores[:n, k], covariance / size)
    return scores[n:], scores[:n]
