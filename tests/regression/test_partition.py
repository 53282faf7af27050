"""The variance partition adds up, is himalaya's split and that of refits, and names the space that matters."""

from __future__ import annotations

import numpy as np
import pytest
from parity.reference_regression import svd_ridge
from sklearn.model_selection import KFold

from jaxscore.errors import DataError, GridEdgeWarning
from jaxscore.regression import cross_validate
from jaxscore.regression.banded import BandedRidgeCV
from jaxscore.regression.partition import variance_partition

ALPHAS = (0.1, 10.0, 1000.0)
N, VOXELS, FOLDS = 72, 5, 4
NAMES = np.array(["form", "meaning", "sound"])
quiet = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")


def problem(n: int = N) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Two layers of 36 features in three spaces, and voxels that follow meaning and, more and more, sound."""
    rng = np.random.default_rng(0)
    X, groups = rng.standard_normal((n, 36)), NAMES[np.arange(36) % 3]
    X[:, groups == "sound"] += 0.3 * X[:, groups == "meaning"]
    meaning, sound = (X[:, groups == name] @ rng.standard_normal((12, VOXELS)) for name in ("meaning", "sound"))
    Y = meaning + sound * np.array([0.0, 0.0, 0.5, 1.0, 2.0]) + rng.standard_normal((n, VOXELS)) * 2 + 5.0
    return [X, X + 0.5 * rng.standard_normal(X.shape)], Y, groups


def solver(groups: np.ndarray, **options) -> BandedRidgeCV:
    return BandedRidgeCV(groups, ALPHAS, **{"candidates": 6, "seed": 1} | options)


def both(partition):
    return partition.mean, partition.pooled


@quiet
@pytest.mark.parametrize("options", [{}, {"per_neuroid": False}, {"method": "gradient", "steps": 4, "select": "loo"}])
@pytest.mark.parametrize("folds", [FOLDS, KFold(3, shuffle=True, random_state=0)])
def test_parts_add_up_to_the_out_of_fold_r2_of_all_spaces(options, folds):
    X, Y, groups = problem()
    found = variance_partition(X, Y, folds, solver(groups, **options), dtype="float64")
    whole = cross_validate(X, Y, folds, solver(groups, **options), scores=("r2",), dtype="float64")
    assert found.spaces == ["form", "meaning", "sound"]
    for shares, r2 in zip(both(found), (whole.scores["r2"].mean(1), whole.pooled_r2), strict=True):
        assert shares.product.shape == shares.unique.shape == (3, 2, VOXELS)
        np.testing.assert_allclose(shares.product.sum(0), r2, rtol=0, atol=1e-9)
        np.testing.assert_allclose(shares.total, r2, rtol=0, atol=1e-9)
        np.testing.assert_allclose(shares.unique.sum(0) + shares.shared, r2, rtol=0, atol=1e-9)


@quiet
def test_unique_is_what_a_regression_without_the_space_loses():
    X, Y, groups = problem()
    found = variance_partition(X, Y, FOLDS, solver(groups), dtype="float64")
    whole = cross_validate(X, Y, FOLDS, solver(groups), scores=("r2",), dtype="float64")
    for s, name in enumerate(found.spaces):
        others = groups != name
        parts = [x[:, others] for x in X]
        less = cross_validate(parts, Y, FOLDS, solver(groups[others]), scores=("r2",), dtype="float64")
        lost = (whole.scores["r2"] - less.scores["r2"]).mean(1)
        np.testing.assert_allclose(found.mean.unique[s], lost, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.pooled.unique[s], whole.pooled_r2 - less.pooled_r2, rtol=0, atol=1e-9)


@quiet
def test_product_measure_is_himalayas_on_refitted_predictions():
    pytest.importorskip("himalaya")
    from himalaya.backend import set_backend
    from himalaya.scoring import r2_score_split

    set_backend("numpy")
    X, Y, groups = problem()
    chosen = cross_validate(X, Y, FOLDS, solver(groups), dtype="float64")
    found = variance_partition(X, Y, FOLDS, solver(groups), dtype="float64")
    for layer, x in enumerate(X):
        expected = np.zeros((3, VOXELS))
        for k, (train, test) in enumerate(KFold(FOLDS).split(x)):
            for v, (alpha, w) in enumerate(zip(chosen.alphas[layer, k], chosen.weights[layer, k], strict=True)):
                scaled, y = x * np.sqrt(w)[np.searchsorted(NAMES, groups)], Y[:, v : v + 1]
                # predictions from one space: the others stay at their training means
                own = []
                for name in NAMES:
                    new = np.where(groups == name, scaled[test], scaled[train].mean(0))
                    own.append(svd_ridge(scaled[train], y[train], new, [alpha])[0] - y[train].mean())
                # its R2 is against 0, and it warns of means that are not 0: a mirror image brings them there
                mirrored = np.concatenate([y[test] - y[train].mean(), y[train].mean() - y[test]])
                expected[:, v] += r2_score_split(mirrored, np.concatenate([own, -np.array(own)], 1))[:, 0] / FOLDS
        np.testing.assert_allclose(found.mean.product[:, layer], expected, rtol=0, atol=1e-9)


@quiet
def test_the_space_that_makes_the_responses_gets_the_share():
    X, Y, groups = problem(400)
    shares = variance_partition(X, Y, FOLDS, solver(groups, candidates=30)).pooled
    assert (shares.product[1, 0, :2] > 0.8 * shares.total[0, :2]).all()
    assert (shares.unique[1, 0, :2] > 0.5 * shares.total[0, :2]).all()
    assert (np.abs(shares.unique[0, 0]) < 0.02).all()
    assert (np.diff(shares.product[2, 0, 1:]) > 0).all()


@quiet
def test_candidates_that_were_given_lose_the_column_of_the_space():
    groups = np.array(["b", "a", "c", "a"])
    given = BandedRidgeCV(groups, candidates=np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    less = given.without("b")
    assert less.labels == ["a", "c"]
    np.testing.assert_array_equal(less.groups, ["a", "c", "a"])
    np.testing.assert_array_equal(less.candidates, [[0.5, 0.2], [1.0, 0.0]])
    assert given.labels == ["a", "b", "c"]


@quiet
def test_constant_voxels_have_no_shares():
    X, Y, groups = problem()
    Y[:, 2] = 1.0
    found = variance_partition(X, Y, FOLDS, solver(groups))
    for shares in both(found):
        for values in (shares.total, shares.product, shares.unique, shares.shared):
            assert np.isnan(values[..., 2]).all()
            assert np.isfinite(np.delete(values, 2, -1)).all()


@quiet
def test_threads_and_chunks_change_nothing():
    X, Y, groups = problem()
    one = variance_partition(X, Y, FOLDS, solver(groups), dtype="float64", threads=1)
    two = variance_partition(X, Y, FOLDS, solver(groups), dtype="float64", threads=2, chunk=2)
    np.testing.assert_allclose(one.mean.product, two.mean.product, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.mean.unique, two.mean.unique, rtol=0, atol=1e-12)


def test_alphas_on_the_edge_are_counted_once():
    X, Y, groups = problem()
    with pytest.warns(GridEdgeWarning) as seen:
        variance_partition(X, Y, FOLDS, BandedRidgeCV(groups, [1e-3, 1e-2], candidates=3))
    assert len(seen) == 1
    assert "40 chosen alphas" in str(seen[0].message)


def test_what_cannot_be_partitioned_is_named():
    X, Y, groups = problem()
    with pytest.raises(DataError, match="one feature space"):
        variance_partition(X, Y, FOLDS, BandedRidgeCV())
    Y[3, 1] = np.nan
    with pytest.raises(DataError, match="1 of 5 neuroids have NaN"):
        variance_partition(X, Y, FOLDS, solver(groups))
