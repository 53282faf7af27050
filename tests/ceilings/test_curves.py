"""Batched fits against SciPy's curve_fit run to its end, and against values with a known optimum."""

import warnings

import jax
import numpy as np
import pytest
from scipy.optimize import OptimizeWarning, curve_fit

from jaxscore.ceilings import curves
from jaxscore.ceilings.curves import FEW, curve, fit

X = {"few": np.arange(2, 6.0), "many": np.arange(2, 11.0), "electrodes": np.arange(5, 80, 5.0)}


def shape(x, v0, tau0):
    return v0 * (1 - np.exp(-x / tau0))


def scipy(x, y):
    tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "max_nfev": 20_000}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)
        return np.array([curve_fit(shape, x, each, bounds=([0, -np.inf], [1, np.inf]), **tight)[0] for each in y])


def squares(x, y, v0, tau0):
    return np.square(y - curve(x, v0[:, None], tau0[:, None])).sum(1)


def simulated(kind, x, noise, count=60, seed=0):
    rng = np.random.default_rng(seed)
    v0, tau0 = rng.uniform(0.1, 0.9, (2, count, 1)) * [[[1.0]], [[x.max()]]]
    clean = {
        "rising": shape(x, v0, tau0 / 2),
        "slow": shape(x, v0, 4 * tau0),
        "flat": v0 + 0 * x,
        "falling": v0 - 0.02 * x,
    }
    return clean[kind] + noise * rng.standard_normal((count, len(x)))


@pytest.mark.parametrize("x", X.values(), ids=X)
def test_recovers_exact_curves(x):
    rng = np.random.default_rng(1)
    v0, tau0 = rng.uniform(0.05, 1, 200), rng.uniform(0.3, 2, 200) * x.max() / 2
    found = fit(x, shape(x, v0[:, None], tau0[:, None]))
    np.testing.assert_allclose(found[0], v0, rtol=1e-10)
    np.testing.assert_allclose(found[1], tau0, rtol=1e-10)
    assert found[2].all()


@pytest.mark.parametrize("x", X.values(), ids=X)
@pytest.mark.parametrize("kind", ["rising", "slow", "flat", "falling"])
def test_is_where_curve_fit_converges_to(kind, x):
    y = simulated(kind, x, 0.02)
    v0, tau0, converged = fit(x, y)
    theirs = scipy(x, y)
    least = np.square(y - shape(x, *theirs.T[..., None])).sum(1)
    assert converged.all()
    assert (squares(x, y, v0, tau0) <= least * (1 + 1e-9) + 1e-15).all()  # never worse; better where theirs is stuck
    same = least <= squares(x, y, v0, tau0) * (1 + 1e-7) + 1e-12
    assert same.mean() > 0.9
    np.testing.assert_allclose(v0[same], theirs[same, 0], rtol=0, atol=2e-4)
    assert np.median(np.abs(v0 - theirs[:, 0])) < 1e-7


@pytest.mark.parametrize("x", X.values(), ids=X)
def test_no_other_tau_has_less_error(x):
    """Noise about zero makes several minima: the deepest on a scan a hundred times as fine is not missed."""
    y = 0.05 * np.random.default_rng(2).standard_normal((300, len(x)))
    y += np.linspace(-0.05, 0.2, 300)[:, None]
    v0, tau0, converged = fit(x, y)
    assert converged.all()
    scan = np.geomspace(x.min() / 36, 1e8 * x.max(), 10_000)
    g = -np.expm1(-x / scan[:, None])
    best = np.clip(y @ g.T / (g * g).sum(1), 0, 1)
    error = best**2 * (g * g).sum(1) - 2 * best * (y @ g.T)
    ours = squares(x, y, v0, tau0) - np.square(y).sum(1)
    assert (ours <= error.min(1) + 1e-12).all()


def test_ends_of_the_scale_by_hand():
    x = np.arange(2, 8.0)
    falling, negative, linear, steep, above = -0.01 * x + 0.4, -0.1 + 0.01 * x, 1e-3 * x, 0.5 * x, 0 * x + 1.2
    v0, tau0, converged = fit(x, np.stack([falling, negative * 0 - 0.1, linear, steep, above]))
    assert converged.all()
    np.testing.assert_allclose(v0, [falling.mean(), 0, 1, 1, 1], rtol=1e-12)
    np.testing.assert_allclose(tau0[[0, 1, 4]], [0, 1, 0])
    np.testing.assert_allclose(curve(x, v0[2], tau0[2]), linear, rtol=1e-2)


def test_missing_values_are_left_out():
    x, y = X["many"], simulated("rising", X["many"], 0.01)
    keep = np.array([True, False, True, True, False, True, True, True, False])
    holes = np.where(keep, y, np.nan)
    for ours, theirs in zip(fit(x, holes), fit(x[keep], y[:, keep]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_one_value_is_not_extrapolated_and_none_is_no_ceiling():
    y = np.full((4, 9), np.nan)
    y[0, 3], y[1, 0], y[2, 5] = 0.3, -0.2, 1.7
    v0, tau0, converged = fit(X["many"], y)
    np.testing.assert_array_equal(v0, [0.3, 0, 1, np.nan])
    np.testing.assert_array_equal(tau0, [0, 1, 0, np.nan])
    np.testing.assert_array_equal(converged, [True, True, True, False])


def test_batches_do_not_matter_and_the_configuration_stays(monkeypatch):
    monkeypatch.setattr(curves, "CHUNK", FEW)
    x, y = X["many"], simulated("rising", X["many"], 0.03, count=FEW + 5)
    v0 = fit(x, y)[0]
    assert v0.dtype == np.float64
    assert not jax.config.jax_enable_x64
    np.testing.assert_allclose(v0[-7:], fit(x, y[-7:])[0], rtol=1e-12)
    assert fit(x, y[:0])[0].shape == (0,)


def test_curve_at_zero_and_at_the_limit():
    np.testing.assert_array_equal(curve(np.array([0.0, 1, 9]), 0.4, 0.0), [0, 0.4, 0.4])
    np.testing.assert_allclose(curve(np.array([0.0, 2]), 0.4, 2.0), [0, 0.4 * (1 - np.exp(-1))])
