import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from jaxscore.errors import JaxscoreError
from jaxscore.regression.intervals import block_weights, bootstrap


def problem(stimuli=63, features=4, neuroids=5, layers=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((layers, stimuli, features))
    return X, 0.5 * X[0] @ rng.standard_normal((features, neuroids)) + rng.standard_normal((stimuli, neuroids))


def looped(X, Y, folds, block, samples, seed):
    """Mean over folds of r in each draw [sample, layer, neuroid], by scikit-learn and scipy."""
    rng = np.random.default_rng(seed)
    r = np.zeros((samples, len(X), Y.shape[1]))
    for train, test in folds:
        blocks = np.split(np.sort(test), np.arange(block, len(test), block))
        drawn = rng.integers(len(blocks), size=(samples, len(blocks)))
        for layer, x in enumerate(X):
            P = LinearRegression().fit(x[train], Y[train]).predict(x)
            for i, order in enumerate(drawn):
                rows = np.concatenate([blocks[b] for b in order])
                r[i, layer] += [pearsonr(P[rows, v], Y[rows, v]).statistic / len(folds) for v in range(Y.shape[1])]
    return r


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("block", [1, 5])
def test_intervals_are_those_of_a_loop_over_draws(block, dtype, tolerance):
    X, Y = problem(stimuli=66)  # the last block of five has two stimuli, so that every draw varies
    folds = list(KFold(3, shuffle=True, random_state=0).split(Y))
    found = bootstrap(X, Y, folds, samples=60, block=block, level=0.9, seed=2, dtype=dtype)
    draws = looped(X, Y, folds, block, 60, 2)
    np.testing.assert_allclose([found.low, found.high], np.quantile(draws, [0.05, 0.95], axis=0), atol=tolerance)
    medians = np.median(draws, 2)
    np.testing.assert_allclose(found.medians, medians.T, atol=tolerance)
    ends = np.quantile(medians, [0.05, 0.95], axis=0)
    np.testing.assert_allclose([found.median_low, found.median_high], ends, atol=tolerance)
    np.testing.assert_allclose(found.median, np.median(found.r, 1), atol=1e-12)


def test_intervals_hold_the_true_correlation():
    rng = np.random.default_rng(0)
    rho, inside = 0.6, []
    for seed in range(10):
        x = rng.standard_normal((1, 200, 1))
        Y = rho * x[0] + np.sqrt(1 - rho**2) * rng.standard_normal((200, 20))
        found = bootstrap(x, Y, 2, samples=200, seed=seed)
        inside.append((found.low <= rho) & (rho <= found.high))
    assert 0.88 < np.mean(inside) < 0.99


def test_blocks_widen_the_intervals_of_autocorrelated_stimuli():
    rng = np.random.default_rng(0)
    noise = np.repeat(rng.standard_normal((40, 31)), 10, axis=0) + 0.1 * rng.standard_normal((400, 31))
    X, Y = noise[None, :, :1], noise[:, 1:] + 0.5 * noise[:, :1]
    width = {}
    for block in (1, 10):
        found = bootstrap(X, Y, 2, samples=200, block=block)
        width[block] = np.mean(found.high - found.low)
    assert width[10] > 2 * width[1]


def test_seed_decides_and_portions_do_not(monkeypatch):
    X, Y = problem(neuroids=40, layers=3)
    one = bootstrap(X, Y, 3, samples=50, seed=1)
    assert not np.array_equal(one.low, bootstrap(X, Y, 3, samples=50, seed=2).low)
    monkeypatch.setattr("jaxscore.regression.intervals.NEUROIDS", 7)
    monkeypatch.setattr("jaxscore.regression.resampling.free_memory", lambda: 0.0)
    again = bootstrap(X, Y, 3, samples=50, seed=1, threads=1, chunk=11)
    for name in ("low", "high", "medians"):
        np.testing.assert_allclose(getattr(again, name), getattr(one, name), atol=2e-6)


def test_constant_neuroids_are_undefined_and_no_part_of_the_median():
    X, Y = problem()
    one = bootstrap(X, Y, 3, samples=50)
    found = bootstrap(X, np.insert(Y, 2, 7.5, axis=1), 3, samples=50)
    assert np.isnan([found.r[:, 2], found.low[:, 2], found.high[:, 2]]).all()
    np.testing.assert_allclose(found.medians, one.medians, atol=1e-6)
    np.testing.assert_allclose(found.median, one.median, atol=1e-6)
    none = bootstrap(X, np.ones((63, 2)), 3, samples=5)
    assert np.isnan(none.low).all()
    assert np.isnan(none.median_high).all()


def test_draws_without_variance_are_left_out():
    X, Y = problem(stimuli=12, layers=1, features=1)
    folds = [(np.arange(6), np.arange(6, 9)), (np.arange(6), np.arange(9, 12))]
    found = bootstrap(X, Y, folds, samples=300, seed=0, dtype="float64")
    rng = np.random.default_rng(0)
    weights = np.stack([block_weights(rng, 3, 1, 300) for _ in folds])
    r = np.full((2, 300, Y.shape[1]), np.nan)
    for k, (train, test) in enumerate(folds):
        P = LinearRegression().fit(X[0][train], Y[train]).predict(X[0][test])
        for i, times in enumerate(weights[k].astype(int)):
            if (times > 0).sum() > 1:
                rows = np.repeat(np.arange(3), times)
                r[k, i] = [pearsonr(P[rows, v], Y[test][rows, v]).statistic for v in range(Y.shape[1])]
    assert np.isnan(r).all((0, 2)).any()
    draws = np.nanmean(r[:, ~np.isnan(r).all((0, 2))], 0)
    np.testing.assert_allclose([found.low[0], found.high[0]], np.quantile(draws, [0.025, 0.975], axis=0), atol=1e-9)


def test_missing_responses_are_left_out_of_the_draws():
    X, Y = problem(layers=1)
    Y[[3, 4, 25, 50], 1] = np.nan
    present = ~np.isnan(Y[:, 1])
    found = bootstrap(X, Y, 3, samples=50, seed=4)
    rng = np.random.default_rng(4)
    draws = np.zeros(50)
    for train, test in KFold(3).split(Y):
        weights = block_weights(rng, len(test), 1, 50).astype(int)
        p = LinearRegression().fit(X[0][train[present[train]]], Y[train[present[train]], 1]).predict(X[0])
        for i, times in enumerate(weights):
            rows = np.repeat(test, times * present[test])
            draws[i] += pearsonr(p[rows], Y[rows, 1]).statistic / 3
    np.testing.assert_allclose([found.low[0, 1], found.high[0, 1]], np.quantile(draws, [0.025, 0.975]), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"level": 1.0}, "level is 1.0"),
        ({"block": 0}, "block is 0"),
        ({"block": 21}, "block is 21, expected 1 to 20"),
        ({"predictions": True}, "predictions cannot be chosen"),
    ],
)
def test_arguments_that_make_no_interval_are_refused(arguments, message):
    X, Y = problem()
    with pytest.raises(JaxscoreError, match=message):
        bootstrap(X, Y, 3, **arguments)
