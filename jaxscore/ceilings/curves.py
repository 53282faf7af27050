r"""The curve that ceilings are extrapolated by, fitted to many sets of values at once.

    v(x) = v0 g(x),   g(x) = 1 - exp(-x / tau0),   0 <= v0 <= 1,   tau0 > 0

with x subjects (or electrodes) in the pool, as in Schrimpf et al. 2021. Given tau0 the best v0 is known,
v0 = clip(g.y / g.g, 0, 1), so that the squared error is a function of s = log(tau0) alone, whose derivative is

    2 v0 h,   h = sum_x (v0 g - y) dg/ds,   dg/ds = -(x / tau0) exp(-x / tau0),

at the bounds of v0 as well. Its minima are where h rises through 0: they are bracketed on a grid and then found as
roots (squares alone would give v0 to 1e-6 where the curve is nearly straight). The one with the least error is taken;
it may be the limit tau0 -> 0, v0 = mean(y) (flat and falling values), or v0 = 0 (negative ones). SciPy's `curve_fit`,
which the published ceilings used, stops near this optimum, and never at a negative tau0.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from jaxscore.regression.hardware import processors

GRID = 96
"""Points of the grid in log(tau0), 0.25 apart: the error has no two minima that close."""
SATURATED, SLOPE = 36.0, 1e8
"""The grid runs from tau0 = min(x) / SATURATED, where g is 1, to SLOPE max(x), where v is next to 0."""
BASINS = 2
"""Minima that are found to the end: the two that are deepest on the grid."""
STEPS, MOVED = 60, 1e-11
"""Newton's steps at most, and the last of them in log(tau0): what is left then is its square."""
CHUNK, FEW = 4096, 1024
"""Problems at a time, of many and of few."""


def fit(
    sizes: Float[np.ndarray, " size"], values: Float[np.ndarray, "problem size"]
) -> tuple[Float[np.ndarray, " problem"], Float[np.ndarray, " problem"], Bool[np.ndarray, " problem"]]:
    """Fit every row of values by least squares, all in float64, on the device.

    Args:
        sizes: x, all > 0.
        values: y; NaN is left out.

    Returns:
        v0; tau0 (0: the limit; 1 where v0 is 0, and it means nothing); whether the fit succeeded. A single value is not
        extrapolated: v0 is that value and tau0 is 0. Without any, or where no optimum is found, both are NaN.
    """
    x, count = np.asarray(sizes, np.float64), len(values)
    width = CHUNK if count > FEW else FEW  # two shapes, so that few programs are compiled
    padded = np.full((-(-count // width), width, len(x)), np.nan)
    padded.reshape(-1, len(x))[:count] = values

    def run(part: np.ndarray) -> list[np.ndarray]:
        with jax.enable_x64(True):  # in this thread alone
            return [np.asarray(each) for each in _fit(x, part)]

    with ThreadPoolExecutor(processors()) as threads:
        found = [np.concatenate(each)[:count] for each in zip(*threads.map(run, padded), strict=True)]
    v0, tau0, converged = found or (np.empty(0), np.empty(0), np.empty(0, bool))
    return np.where(converged, v0, np.nan), np.where(converged, tau0, np.nan), converged


def curve(x: Float[np.ndarray, "*shape"], v0: Float[np.ndarray, "*shape"], tau0: Float[np.ndarray, "*shape"]):
    """v(x) for x >= 0; a curve with tau0 = 0 is 0 at x = 0 and v0 from there on."""
    with np.errstate(divide="ignore"):
        return np.where(x > 0, -v0 * np.expm1(-np.maximum(x, 1e-300) / tau0), 0.0)


@jax.jit
def _fit(x: jax.Array, Y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    here = ~jnp.isnan(Y)
    y = jnp.where(here, Y, 0.0)
    lowest = jnp.log(x.min() / SATURATED)
    grid = lowest + (jnp.log(SLOPE * x.max()) - lowest) * jnp.arange(GRID) / (GRID - 1)
    g, dg, _ = _shape(x, grid)
    product = partial(jnp.matmul, precision="highest")
    gy, gg = product(y, g.T), product(here.astype(y.dtype), (g * g).T)
    v = jnp.clip(gy / jnp.where(gg > 0, gg, 1.0), 0.0, 1.0)
    rise = v * (v * product(here.astype(y.dtype), (g * dg).T) - product(y, dg.T))
    error = v * (v * gg - 2.0 * gy)  # less y.y
    # a minimum lies where the error falls before and does not fall behind, or is 0 (v0 = 0) before and rises behind
    bracketed = ((rise[:, :-1] < 0) & (rise[:, 1:] >= 0)) | ((rise[:, :-1] == 0) & (rise[:, 1:] > 0))
    depth = jnp.where(bracketed, jnp.minimum(error[:, :-1], error[:, 1:]), jnp.inf)

    best = (jnp.zeros(len(y)), jnp.zeros(len(y)), jnp.ones(len(y)), jnp.ones(len(y), bool))  # v0 = 0
    mean = jnp.clip(y.sum(1) / jnp.maximum(here.sum(1), 1), 0.0, 1.0)
    best = _better(best, _candidate(y, here, mean, here.astype(y.dtype)), mean, jnp.zeros(len(y)), True)

    def basin(_, state):
        depth, best = state
        i = depth.argmin(1)
        is_one = jnp.isfinite(depth.min(1)) & (here.sum(1) > 1)
        s, done = _root(x, y, here, grid[i], grid[i + 1], is_one)
        g = jnp.where(here, _shape(x, s)[0], 0.0)
        v = _best_v0(y, g)
        best = _better(best, jnp.where(is_one, _candidate(y, here, v, g), jnp.inf), v, jnp.exp(s), done)
        return jnp.where(jnp.arange(GRID - 1) == i[:, None], jnp.inf, depth), best

    _, best = jax.lax.fori_loop(0, BASINS, basin, (depth, best))
    return best[1], best[2], best[3] & here.any(1)


def _shape(x: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """g, dg/ds and d2g/ds2 at every s and x."""
    z = x * jnp.exp(-s)[:, None]
    left = jnp.exp(-z)
    return -jnp.expm1(-z), -z * left, z * (1.0 - z) * left


def _best_v0(y: jax.Array, g: jax.Array) -> jax.Array:
    gg = (g * g).sum(1)
    return jnp.clip((g * y).sum(1) / jnp.where(gg > 0, gg, 1.0), 0.0, 1.0)


def _candidate(y: jax.Array, here: jax.Array, v: jax.Array, g: jax.Array) -> jax.Array:
    """Squared error of a curve, less that of v0 = 0: no digits are lost where both are large."""
    v = v[:, None]
    return jnp.where(here, v * g * (v * g - 2.0 * y), 0.0).sum(1)


def _better(best: tuple, error: jax.Array, v0: jax.Array, tau0: jax.Array, converged: jax.Array | bool) -> tuple:
    lower = error < best[0]
    return tuple(jnp.where(lower, new, old) for new, old in zip((error, v0, tau0, converged), best, strict=True))


def _root(x, y, here, low, high, is_one) -> tuple[jax.Array, jax.Array]:
    """Where h rises through 0 between two points of the grid: Newton's steps, halves where they leave the bracket."""
    # v0 = 0 belongs to the side where the grid found it
    _, _, v = _slope(x, y, here, low)
    zero_is_low = v == 0

    def advance(state):
        count, s, low, high, _ = state
        h, dh, v = _slope(x, y, here, s)
        behind = jnp.where(v == 0, ~zero_is_low, h >= 0)
        low, high = jnp.where(behind, low, s), jnp.where(behind, s, high)
        new = s - h / jnp.where(dh > 0, dh, jnp.nan)
        new = jnp.where((new >= low) & (new <= high) & (v > 0), new, 0.5 * (low + high))
        return count + 1, new, low, high, jnp.where(is_one, jnp.abs(new - s), 0.0)

    def going(state):
        count, *_, moved = state
        return (count < STEPS) & (moved > MOVED).any()

    start = (0, 0.5 * (low + high), low, high, high - low)
    _, s, low, high, moved = jax.lax.while_loop(going, advance, start)
    return s, moved <= 100 * MOVED


def _slope(x: jax.Array, y: jax.Array, here: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """h, dh/ds and v0 at s, one per problem."""
    g, dg, ddg = (jnp.where(here, each, 0.0) for each in _shape(x, s))
    gg = (g * g).sum(1)
    free = (g * y).sum(1) / jnp.where(gg > 0, gg, 1.0)
    v = jnp.clip(free, 0.0, 1.0)
    residual = v[:, None] * g - y
    moving = jnp.where(free == v, ((dg * y).sum(1) - 2.0 * v * (g * dg).sum(1)) / jnp.where(gg > 0, gg, 1.0), 0.0)
    dh = moving * (g * dg).sum(1) + v * (dg * dg).sum(1) + (residual * ddg).sum(1)
    return (residual * dg).sum(1), dh, v
