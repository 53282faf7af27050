from itertools import product

import numpy as np
import pytest
from scipy.stats import kstest, pearsonr
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import KFold

from jaxscore.errors import JaxscoreError
from jaxscore.regression import estimators, nulls
from jaxscore.regression.permutations import permutation_test
from jaxscore.regression.resampling import block_permutations

WIDE = np.sqrt(2)  # how the null of several folds is widened


def problem(stimuli=60, features=4, neuroids=5, layers=2, seed=0, signal=0.3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((layers, stimuli, features))
    return X, signal * X[0] @ rng.standard_normal((features, neuroids)) + rng.standard_normal((stimuli, neuroids))


def half(stimuli):
    """Train on the first half, test on the second."""
    return [(np.arange(stimuli // 2), np.arange(stimuli // 2, stimuli))]


def drift(rng, stimuli, columns, rho=0.9):
    """Autoregressive noise of order 1."""
    out = rng.standard_normal((stimuli, columns))
    for t in range(1, stimuli):
        out[t] = rho * out[t - 1] + np.sqrt(1 - rho**2) * out[t]
    return out


def refitted(X, Y, folds):
    """Mean over folds of r [layer, neuroid], by scikit-learn and scipy."""
    r = np.zeros((len(X), len(folds), Y.shape[1]))
    for layer, x in enumerate(X):
        for k, (train, test) in enumerate(folds):
            P = LinearRegression().fit(x[train], Y[train]).predict(x[test])
            r[layer, k] = [pearsonr(a, b).statistic for a, b in zip(P.T, Y[test].T, strict=True)]
    return r.mean(1)


def share(null, r):
    """One-sided p-values from a null [permutation, layer, neuroid]."""
    return (1 + (null >= r).sum(0)) / (1 + len(null))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [1, 5])
def test_cheap_null_is_a_loop_over_permuted_test_stimuli(block, dtype):
    X, Y = problem(stimuli=63)
    folds = list(KFold(4, shuffle=True, random_state=0).split(Y))
    found = permutation_test(X, Y, folds, permutations=40, block=block, seed=3, dtype=dtype)
    rng = np.random.default_rng(3)
    tables = [block_permutations(rng, len(test), block, 40) for _, test in folds]
    null = np.zeros((40, 4, *found.r.shape))
    for layer, x in enumerate(X):
        for k, ((train, test), table) in enumerate(zip(folds, tables, strict=True)):
            P = LinearRegression().fit(x[train], Y[train]).predict(x[test])
            for i, order in enumerate(table):
                for v in range(Y.shape[1]):
                    null[i, k, layer, v] = pearsonr(P[:, v], Y[test[order], v]).statistic
    null, r = WIDE * null.mean(1), refitted(X, Y, folds)
    np.testing.assert_allclose(found.r, r, atol=1e-5)
    np.testing.assert_allclose(found.p, share(null, r), atol=1e-12)
    np.testing.assert_allclose(found.p_familywise, share(null.max(2, keepdims=True), r), atol=1e-12)
    np.testing.assert_allclose(found.null_maximum, null.max(2).T, atol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("block", [1, 7])
def test_exact_null_is_a_loop_of_regressions(block):
    X, Y = problem()
    folds = list(KFold(3).split(Y))
    found = permutation_test(X, Y, folds, permutations=20, block=block, exact=True, seed=5)
    table = block_permutations(np.random.default_rng(5), len(Y), block, 20)
    r, null = refitted(X, Y, folds), np.stack([refitted(X, Y[order], folds) for order in table])
    np.testing.assert_allclose(found.r, r, atol=1e-5)
    np.testing.assert_allclose(found.p, share(null, r), atol=1e-12)
    np.testing.assert_allclose(found.p_familywise, share(null.max(2, keepdims=True), r), atol=1e-12)
    np.testing.assert_allclose(found.null_maximum, null.max(2).T, atol=1e-5)


def test_exact_null_lets_each_permutation_choose_its_own_alpha():
    X, Y = problem(layers=1)
    folds, alphas = list(KFold(3).split(Y)), (0.1, 10.0, 1000.0)
    solver = estimators.RidgeCV(alphas, per_neuroid=False)
    found = permutation_test(X, Y, folds, solver, permutations=6, exact=True, seed=1)

    def largest(Y):
        r = []
        for train, test in folds:
            P = RidgeCV(alphas).fit(X[0][train], Y[train]).predict(X[0][test])
            r.append([pearsonr(a, b).statistic for a, b in zip(P.T, Y[test].T, strict=True)])
        return np.mean(r, 0).max()

    table = block_permutations(np.random.default_rng(1), len(Y), 1, 6)
    np.testing.assert_allclose(found.null_maximum[0], [largest(Y[order]) for order in table], atol=1e-5)


@pytest.mark.parametrize(("folds", "exact"), [(half(50), False), (half(50), True), (2, True)])
def test_p_is_uniform_without_a_relation(folds, exact):
    p = []
    for seed in range(8):
        X, Y = problem(stimuli=50, neuroids=25, layers=1, signal=0.0, seed=seed)
        p.append(permutation_test(X, Y, folds, permutations=99, exact=exact, seed=seed).p.ravel())
    # p has steps of 0.01: spread them, so that the continuous test applies
    p = np.concatenate(p) - np.random.default_rng(0).random(200) / 100
    assert kstest(p, "uniform").pvalue > 0.05


def test_family_wise_p_holds_the_rate_over_all_neuroids():
    single, family = [], []
    for seed in range(100):
        X, Y = problem(stimuli=40, neuroids=20, layers=1, signal=0.0, seed=seed)
        found = permutation_test(X, Y, half(40), permutations=99, seed=seed)
        single.append(found.p.min() <= 0.05)
        family.append(found.p_familywise.min() <= 0.05)
    assert np.mean(single) > 0.4
    assert np.mean(family) <= 0.10  # 0.05 + 2.3 standard errors


def test_nulls_agree_where_no_response_is_both_trained_on_and_predicted():
    X, Y = problem(stimuli=400, features=3, neuroids=40, layers=1, signal=0.1)
    cheap, exact = (permutation_test(X, Y, half(400), permutations=400, exact=exact).p for exact in (False, True))
    assert cheap.min() < 0.01
    assert cheap.max() > 0.5
    # two estimates of 0.5 from 400 draws each differ by 0.035 (one standard error)
    assert np.abs(cheap - exact).max() < 0.11
    assert np.abs(cheap - exact).mean() < 0.03


def test_nulls_of_several_folds_agree_on_clear_cases_and_find_no_more_than_they_should_elsewhere():
    nulls = {"exact": {"exact": True}, "cheap": {}, "narrow": {"widen": False}}
    found = {name: [] for name in nulls}
    for seed, (name, options) in product(range(20), nulls.items()):
        X, Y = problem(stimuli=100, features=3, neuroids=60, layers=1, signal=0.0, seed=seed)
        Y[:, :20] += X[0] @ np.ones((3, 20))
        found[name].append(permutation_test(X, Y, 5, permutations=59, seed=seed, **options).p)
    p = {name: np.concatenate(values) for name, values in found.items()}
    assert all((values[:, :20] == 1 / 60).all() for values in p.values())
    # 800 tests without a relation: one standard error of a rate of 0.05 is 0.008
    rate = {name: np.mean(values[:, 20:] <= 0.05) for name, values in p.items()}
    assert rate["exact"] == pytest.approx(0.05, abs=0.02)
    assert rate["cheap"] == pytest.approx(0.05, abs=0.02)
    # the folds' r vary together, which doubles the variance of their mean: 0.12 of a normal lies over 1.645 / sqrt(2)
    assert 0.08 < rate["narrow"] < 0.16


def test_short_blocks_find_too_much_in_autocorrelated_stimuli():
    rng = np.random.default_rng(0)
    rates = {(exact, block): [] for exact in (False, True) for block in (1, 25)}
    for seed in range(20):
        X, Y = drift(rng, 400, 3)[None], drift(rng, 400, 25)
        for (exact, block), rate in rates.items():
            p = permutation_test(X, Y, half(400), permutations=60, block=block, exact=exact, seed=seed).p
            rate.append(np.mean(p <= 0.05))
    rates = {key: np.mean(rate) for key, rate in rates.items()}
    assert rates[False, 1] > 0.2, rates
    assert rates[True, 1] > 0.2, rates
    assert rates[False, 25] < 0.1, rates
    assert rates[True, 25] < 0.1, rates


@pytest.mark.parametrize("exact", [False, True])
def test_a_strong_relation_has_the_smallest_p(exact):
    X, Y = problem(signal=50.0)
    found = permutation_test(X, Y, 3, permutations=50, exact=exact)
    assert (found.p[0] == 1 / 51).all()
    assert (found.p_familywise[0] == 1 / 51).all()
    assert (found.p[1] > 1 / 51).any()


@pytest.mark.parametrize("exact", [False, True])
def test_seed_decides_and_portions_do_not(exact, monkeypatch):
    X, Y = problem(neuroids=40)
    one = permutation_test(X, Y, 3, permutations=30, seed=1, exact=exact)
    other = permutation_test(X, Y, 3, permutations=30, seed=2, exact=exact)
    assert not np.array_equal(one.p, other.p)
    for name, value in (("NEUROIDS", 7), ("GROUP", 3), ("GATHERED", 400), ("SHARING", 4)):
        monkeypatch.setattr(nulls, name, value)
    again = permutation_test(X, Y, 3, permutations=30, seed=1, exact=exact, threads=1, chunk=11)
    np.testing.assert_array_equal(again.p, one.p)
    np.testing.assert_array_equal(again.p_familywise, one.p_familywise)


def test_layers_that_do_not_fit_together_give_the_same(monkeypatch):
    X, Y = problem(layers=3)
    one = permutation_test(X, Y, 3, permutations=30)
    monkeypatch.setattr("jaxscore.regression.resampling.free_memory", lambda: 0.0)
    again = permutation_test(X, Y, 3, permutations=30)
    np.testing.assert_array_equal(again.p, one.p)
    np.testing.assert_allclose(again.null_maximum, one.null_maximum, atol=1e-6)


@pytest.mark.parametrize("exact", [False, True])
def test_constant_neuroids_are_undefined_and_leave_the_others_alone(exact):
    X, Y = problem(signal=0.0)
    one = permutation_test(X, Y, 3, permutations=30, exact=exact)
    found = permutation_test(X, np.insert(Y, 2, 7.5, axis=1), 3, permutations=30, exact=exact)
    assert np.isnan(found.r[:, 2]).all()
    assert np.isnan(found.p[:, 2]).all()
    assert np.isnan(found.p_familywise[:, 2]).all()
    for name in ("p", "p_familywise"):
        np.testing.assert_array_equal(np.delete(getattr(found, name), 2, axis=1), getattr(one, name))
    none = permutation_test(X, np.ones((60, 2)), 3, permutations=3, exact=exact)
    assert np.isnan(none.p).all()
    assert np.isnan(none.null_maximum).all()


def test_a_neuroid_that_is_constant_in_a_fold_has_the_mean_over_the_others():
    X, Y = problem(layers=1)
    Y[:20, 1] = 3.0
    found = permutation_test(X, Y, 3, permutations=50, seed=4, dtype="float64")
    folds = list(KFold(3).split(Y))
    rng = np.random.default_rng(4)
    tables = [block_permutations(rng, 20, 1, 50) for _ in folds]
    null, r = np.zeros(50), 0.0
    for (train, test), table in list(zip(folds, tables, strict=True))[1:]:
        p = LinearRegression().fit(X[0][train], Y[train, 1]).predict(X[0][test])
        r += pearsonr(p, Y[test, 1]).statistic / 2
        null += [pearsonr(p, Y[test[order], 1]).statistic / 2 for order in table]
    np.testing.assert_allclose(found.r[0, 1], r, atol=1e-12)
    np.testing.assert_allclose(found.p[0, 1], (1 + (WIDE * null >= r).sum()) / 51, atol=1e-12)


def test_missing_responses_are_permuted_in_the_order_of_the_others():
    X, Y = problem(layers=1)
    Y[[3, 4, 25, 50], 1] = np.nan
    present = ~np.isnan(Y[:, 1])
    found = permutation_test(X, Y, 3, permutations=50, seed=4)
    rng = np.random.default_rng(4)
    r, null = 0.0, np.zeros(50)
    for train, test in KFold(3).split(Y):
        table = block_permutations(rng, 20, 1, 50)
        train, here = train[present[train]], test[present[test]]
        p = LinearRegression().fit(X[0][train], Y[train, 1]).predict(X[0][here])
        r += pearsonr(p, Y[here, 1]).statistic / 3
        orders = [[row for row in test[order] if present[row]] for order in table]
        null += [pearsonr(p, Y[order, 1]).statistic / 3 for order in orders]
    np.testing.assert_allclose(found.r[0, 1], r, atol=1e-5)
    np.testing.assert_allclose(found.p[0, 1], (1 + (WIDE * null >= r).sum()) / 51, atol=1e-12)


def test_exact_null_leaves_missing_responses_in_their_place():
    X, Y = problem(layers=1, neuroids=1)
    Y[[3, 4, 25, 50]] = np.nan
    present = np.flatnonzero(~np.isnan(Y[:, 0]))
    folds = [(np.setdiff1d(np.arange(56), k), k) for k in (np.arange(18), np.arange(18, 37), np.arange(37, 56))]
    found = permutation_test(X, Y, 3, permutations=20, exact=True, seed=4)
    table = block_permutations(np.random.default_rng(4), 60, 1, 20)
    orders = [np.searchsorted(present, order[np.isin(order, present)]) for order in table]
    x, y = X[:, present], Y[present]
    null = [refitted(x, y[order], folds)[0, 0] for order in orders]
    np.testing.assert_allclose(found.null_maximum[0], null, atol=1e-5)


def test_responses_far_from_zero_lose_no_digits():
    X, Y = problem()
    one = permutation_test(X, Y, 3, permutations=50)
    far = permutation_test(X, Y + 1e7, 3, permutations=50)
    np.testing.assert_array_equal(far.p, one.p)
    np.testing.assert_allclose(far.null_maximum, one.null_maximum, atol=1e-6)


def test_a_permutation_that_changes_nothing_counts():
    X, Y = problem(signal=50.0)
    found = permutation_test(X, Y, 2, permutations=200, block=15)
    # two blocks in each of two folds: a quarter of the permutations is the order that was observed
    assert (np.abs(found.p[0] - 0.25) < 0.1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"permutations": 0}, "permutations is 0"),
        ({"block": 0}, "block is 0"),
        ({"block": 20}, "block is 20, expected 1 to 19"),
        ({"block": 60, "exact": True}, "block is 60, expected 1 to 59"),
        ({"scores": ("r2",)}, "scores cannot be chosen"),
    ],
)
def test_arguments_that_make_no_null_are_refused(arguments, message):
    X, Y = problem()
    with pytest.raises(JaxscoreError, match=message):
        permutation_test(X, Y, 3, **arguments)
