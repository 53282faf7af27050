r"""Gradient descent on the log weights of feature spaces, lambda_b = exp(delta_b) = g_b / alpha.

With K the kernels of the spaces in contrast coordinates H, the residual maker of all training stimuli is

    G = H' (sum_b exp(delta_b) K_b + I)^{-1} H,

and the errors on stimuli left out are those of `spectrum`: (G_SS)^{-1} (G y)_S, one factorisation for all inner folds.
All of it is in float64; the gradient is JAX's, the steps are optax.adam's, and the best delta on the way is kept.
"""

from __future__ import annotations

from functools import partial
from threading import Lock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular
from jaxtyping import Array, Float, Float64, Int

from jaxscore.regression.banded_search import BandedSearch
from jaxscore.regression.candidates import Found
from jaxscore.regression.energies import Criterion
from jaxscore.regression.operators import contrast
from jaxscore.regression.pls import kernel_root

SMALLEST = 1e-8
"""Weights from which descent starts are at least this share of their sum: the logarithm of 0 would never come back."""
BATCH = 8
"""Neuroids that descend together."""
_ONE_AT_A_TIME = Lock()
"""Descents of two threads can wait for each other forever in XLA's own pool of threads on the host."""


class Descent:
    """A criterion whose candidates are where the neuroids that it is called with have descended to; see `Criterion`.

    Args:
        search: the training set.
        starts: criteria of its grid: each neuroid starts from the best of it.
        found: where the candidates go.
        steps: of descent.
        learning_rate: of Adam.
    """

    def __init__(
        self, search: BandedSearch, starts: list[Criterion], *, found: Found, steps: int, learning_rate: float
    ) -> None:
        self.search, self.starts, self.found = search, starts, found
        self.steps, self.learning_rate = steps, learning_rate

    def __call__(self, Y: Float[np.ndarray, "train neuroid"]) -> Float64[np.ndarray, "candidate neuroid"]:
        """The errors of each neuroid's own candidate; infinite for those of others."""
        errors = np.concatenate([np.asarray(start(Y)) for start in self.starts])
        return self._descend(errors.argmin(0), np.asarray(Y, np.float64).T[:, :, None])

    def total(self, kernel: Float64[np.ndarray, "train train"]) -> Float64[np.ndarray, " candidate"]:
        """See Criterion; there is one candidate for all neuroids."""
        errors = np.concatenate([start.total(kernel) for start in self.starts])
        root = kernel_root(kernel)
        responses = np.pad(root, ((0, 0), (0, len(root) - root.shape[1])))  # one shape, compiled once
        return self._descend(errors.argmin()[None], responses[None])[:, 0]

    def _descend(
        self, chosen: Int[np.ndarray, " path"], responses: Float64[np.ndarray, "path train column"]
    ) -> Float64[np.ndarray, "candidate path"]:
        pairs = [self.search.grid[int(c)] for c in chosen]
        start = np.stack([np.log(np.maximum(w, SMALLEST * w.sum()) / alpha) for w, alpha in pairs])
        basis = contrast(np.eye(len(self.search.train)))
        how = self.search.how if isinstance(self.search.how, str) else "folds"
        folds = [(held, test) for held, test, _ in self.search.left_out] if how == "folds" else []
        with _ONE_AT_A_TIME, jax.enable_x64(True):
            given = (start, responses, self.search.kernels, basis, folds, self.learning_rate)
            deltas, losses = (np.asarray(x) for x in _descend(*given, how=how, steps=self.steps))
        first = self.found.add(deltas)
        out = np.full((first + len(chosen), len(chosen)), np.inf)
        out[first + np.arange(len(chosen)), np.arange(len(chosen))] = losses
        return out


def loss(
    deltas: Float[Array, " space"],
    responses: Float[Array, "train column"],
    kernels: Float[Array, "space contrast contrast"],
    basis: Float[Array, "contrast train"],
    folds: list[tuple[Int[Array, " held"], Int[Array, " test"]]],
    how: str,
) -> Float[Array, ""]:
    """Mean squared error on stimuli left out, summed over the columns of the responses.

    Args:
        deltas: log(g_b / alpha).
        responses: of the training stimuli, or any root of their kernel.
        kernels: of the feature spaces, in contrast coordinates.
        basis: H, which takes stimuli to these coordinates.
        folds: what each inner fold leaves out, and where its test set is in that.
        how: "folds", "loo" or "gcv".
    """
    n = responses.shape[0]
    K = jnp.tensordot(jnp.exp(deltas), kernels, 1) + jnp.eye(n - 1)
    F = solve_triangular(jnp.linalg.cholesky(K), basis, lower=True)
    G = F.T @ F
    residual = G @ responses
    if how == "gcv":
        return n * jnp.square(residual).sum() / jnp.square(jnp.trace(G))
    if how == "loo":
        return jnp.square(residual / jnp.diag(G)[:, None]).sum() / n
    total = 0.0
    for held, test in folds:
        errors = cho_solve(cho_factor(G[jnp.ix_(held, held)]), residual[held])[test]
        total += jnp.square(errors).sum() / (len(test) * len(folds))
    return total


@partial(jax.jit, static_argnames=("how", "steps"))
def _descend(start, responses, kernels, basis, folds, learning_rate, *, how, steps):
    """The best of the points on the way, and its loss, for each start and its responses."""
    adam = optax.adam(learning_rate)

    def one(inputs):
        start, columns = inputs

        def step(state, _):
            delta, momentum, best, least = state
            value, slope = jax.value_and_grad(loss)(delta, columns, kernels, basis, folds, how)
            better = value < least
            best, least = jnp.where(better, delta, best), jnp.where(better, value, least)
            change, momentum = adam.update(slope, momentum)
            return (optax.apply_updates(delta, change), momentum, best, least), None

        state = (start, adam.init(start), start, jnp.inf)
        (_, _, best, least), _ = jax.lax.scan(step, state, length=steps + 1)
        return best, least

    return jax.lax.map(one, (start, responses), batch_size=min(BATCH, len(start)))
