"""Subjects predicted from pools, against loops with scikit-learn on the voxels side by side."""

import numpy as np
import pytest
from ceilings.loops import FOLDS, looped, pearson, predicted, protocol, responses, whole
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline

from jaxscore.ceilings import pools
from jaxscore.ceilings.collect import collect, total
from jaxscore.ceilings.electrodes import collect_electrodes
from jaxscore.ceilings.pools import Plan
from jaxscore.errors import DataError
from jaxscore.metrics.cka import linear_cka
from jaxscore.metrics.measure import Rows
from jaxscore.metrics.rdm import rdm_similarity
from jaxscore.regression import estimators

ALPHAS = (0.1, 10.0, 1000.0)
WIDE, NARROW = (50, 60, 45), (5, 6, 7)


SOLVERS = {
    "ols": (estimators.OLS(), LinearRegression()),
    "ridge": (estimators.Ridge(5.0), Ridge(5.0)),
    "one alpha": (estimators.RidgeCV(ALPHAS, per_neuroid=False), RidgeCV(ALPHAS)),
    "an alpha each": (estimators.RidgeCV(ALPHAS), RidgeCV(ALPHAS, alpha_per_target=True)),
}


@pytest.mark.parametrize("widths", [WIDE, NARROW, (50, 3, 45)])
@pytest.mark.parametrize("name", SOLVERS)
def test_equals_loops(name, widths):
    Y, subjects, units = responses(widths)
    ours, theirs = SOLVERS[name]
    draws = Plan().draw(subjects)
    found = collect(Y, subjects, units, protocol=protocol(ours), plan=Plan(), **whole(Y))
    assert found.sizes == (2, 3)
    np.testing.assert_array_equal(found.targets, np.arange(Y.shape[1]))
    np.testing.assert_array_equal(found.subjects, subjects)
    for k, expected in looped(Y, subjects, draws, theirs).items():
        np.testing.assert_allclose(found.dense(k)[:, 0], expected, rtol=0, atol=1e-9)


def test_summed_kernels_and_factors_agree(monkeypatch):
    Y, subjects, units = responses(WIDE)
    arguments = {"protocol": protocol(), "plan": Plan(), **whole(Y)}
    summed = collect(Y, subjects, units, **arguments)
    monkeypatch.setattr(pools, "SAFE", 0.0)
    beside = collect(Y, subjects, units, **arguments)
    for k in (2, 3):
        np.testing.assert_allclose(summed.dense(k), beside.dense(k), rtol=0, atol=1e-10)


def test_principal_components_of_the_pool():
    from sklearn.decomposition import PCA

    Y, subjects, units = responses(WIDE)
    found = collect(Y, subjects, units, protocol=protocol(estimators.OLS(components=8)), plan=Plan(), **whole(Y))
    model = make_pipeline(PCA(8, svd_solver="full"), LinearRegression())
    for k, expected in looped(Y, subjects, Plan().draw(subjects), model).items():
        np.testing.assert_allclose(found.dense(k)[:, 0], expected, rtol=0, atol=1e-8)


def test_parts_have_draws_and_folds_of_their_own():
    """A subject without a part is not drawn in it; a subset drawn in both parts has values in both."""
    Y, subjects, units = responses((6, 7, 8, 9), stimuli=70)
    parts = {"first": np.arange(30), "second": np.arange(30, 70)}
    Y[:30, subjects == "s3"] = np.nan
    Y[45, 2] = np.nan  # one neuroid of s0 is not in the second part
    found = collect(Y, subjects, units, parts, protocol(), Rows(70), Plan())
    draws = [Plan().draw(names) for names in (["s0", "s1", "s2"], ["s0", "s1", "s2", "s3"])]
    for p, rows in enumerate(parts.values()):
        present = np.isfinite(Y[rows]).all(0)
        expected = looped(Y[np.ix_(rows, present)], subjects[present], draws[p])
        for k in found.sizes:
            # subsets of the second part that are new come behind those of the first
            order = list(dict.fromkeys(subset for own in draws for subset, _ in own.get(k, ())))
            mine = [order.index(subset) for subset, _ in draws[p].get(k, ())]
            dense = found.dense(k)[:, p]
            np.testing.assert_allclose(dense[mine][..., present], expected.get(k, dense[:0][..., present]), atol=1e-9)
            assert np.isnan(np.delete(dense, mine, 0)).all()
            assert np.isnan(dense[..., ~present]).all()
    assert found.values["s3"][4].shape == (1, 2, 5, 9)
    only = found.over_parts("s3", 4)
    np.testing.assert_array_equal(only, found.values["s3"][4][:, 1])
    both = found.values["s0"][2][0]
    np.testing.assert_allclose(found.over_parts("s0", 2)[0, :, 0], both[:, :, 0].mean(0))
    np.testing.assert_array_equal(found.over_parts("s0", 2)[0, :, 2], both[0, :, 2])


def test_subsets_keep_their_order_whichever_part_holds_a_subject_out():
    """The order of the values decides what a bootstrap draws."""
    Y, subjects, units = responses((6, 7, 8), stimuli=70)
    parts = {"first": np.arange(30), "second": np.arange(30, 70)}
    first = {2: [(("s0", "s1"), ("s1",)), (("s0", "s2"), ("s0",))]}
    second = {2: [(("s0", "s1"), ("s0", "s1"))]}
    found = collect(Y, subjects, units, parts, protocol(), Rows(70), {"first": first, "second": second})
    np.testing.assert_array_equal(found.subsets["s0"][2], [0, 1])
    np.testing.assert_array_equal(np.isfinite(found.values["s0"][2][:, :, 0, 0]), [[False, True], [True, False]])


def test_given_draws_and_duplicates():
    Y, subjects, units = responses(NARROW)
    once = {2: [(("s0", "s2"), ("s0",))], 3: [(("s0", "s1", "s2"), ("s1", "s2"))]}
    twice = {2: [(("s2", "s0"), ("s0", "s0"))] * 2, 3: [(("s2", "s1", "s0"), ("s2", "s1", "s2"))]}
    found = [
        collect(Y, subjects, units, protocol=protocol(), plan={"all": draws}, **whole(Y)) for draws in (once, twice)
    ]
    for k, expected in looped(Y, subjects, once).items():
        np.testing.assert_allclose(found[0].dense(k)[:, 0], expected, atol=1e-9)
        np.testing.assert_array_equal(found[0].dense(k), found[1].dense(k))
    with pytest.raises(DataError, match="holds out"):
        collect(Y, subjects, units, protocol=protocol(), plan={"all": {2: [(("s0", "s9"), ("s0",))]}}, **whole(Y))


def test_scored_neuroids_are_predicted_from_all():
    Y, subjects, units = responses(WIDE)
    scored = np.arange(Y.shape[1]) % 4 == 1
    arguments = {"protocol": protocol(), "plan": Plan(), **whole(Y)}
    found, every = (collect(Y, subjects, units, scored=mask, **arguments) for mask in (scored, None))
    np.testing.assert_array_equal(found.targets, np.flatnonzero(scored))
    np.testing.assert_allclose(found.dense(3), every.dense(3)[..., scored], rtol=0, atol=1e-12)


@pytest.mark.parametrize("widths", [(8, 9, 10), WIDE])
@pytest.mark.parametrize("name", ["rdm", "cka"])
def test_similarity_of_subjects(name, widths):
    """Units are the targets."""
    Y, subjects, _ = responses(widths)
    units = np.array([7, 3, 5])[np.unique(subjects, return_inverse=True)[1]]
    similarity = {"rdm": rdm_similarity, "cka": linear_cka}[name]
    tests = [test for _, test in FOLDS.split(Y)]
    found = collect(Y, subjects, units, protocol=protocol(name=name), plan=Plan(), **whole(Y))
    np.testing.assert_array_equal(found.targets, [7, 3, 5])
    expected = looped(
        Y, subjects, Plan().draw(subjects), value=lambda X, y: similarity([X], y, tests)[0][:, None] + 0 * y[:5].sum(0)
    )
    for k, each in expected.items():
        first = each[..., [0, widths[0], sum(widths[:2])]]
        np.testing.assert_allclose(found.dense(k)[:, 0], first, rtol=0, atol=1e-12)


def test_decoding_is_the_median_over_the_neuroids_of_the_pool():
    Y, subjects, units = responses(NARROW, stimuli=60)
    found = collect(Y, subjects, units, protocol=protocol(name="decoding"), plan=Plan(), **whole(Y))
    np.testing.assert_array_equal(found.targets, [0, 1, 2])
    for row, (subset, held) in enumerate(Plan().draw(subjects)[2]):
        for subject in held:
            pool = np.isin(subjects, subset) & (subjects != subject)
            r = predicted(Y[:, subjects == subject], Y[:, pool])
            np.testing.assert_allclose(found.dense(2)[row, 0, :, int(subject[1])], np.median(r, 1), atol=1e-6)


def test_electrodes():
    Y, subjects, units = responses((7, 8, 6))
    Y[3, 9] = np.nan  # an electrode that is neither chosen nor predicted
    found = collect_electrodes(Y, subjects, units, protocol=protocol(), choices=4, seed=2, **whole(Y))
    assert found.sizes == (5, 10)
    rng = np.random.RandomState(2)
    for subject in ("s0", "s1", "s2"):
        own = (subjects == subject) & np.isfinite(Y).all(0)
        others = np.flatnonzero((subjects != subject) & np.isfinite(Y).all(0))
        for k in range(5, len(others), 5):
            for row in range(4):
                chosen = rng.choice(others, size=k, replace=False)
                expected = predicted(Y[:, chosen], Y[:, own])
                np.testing.assert_allclose(found.values[subject][k][row, 0], expected, rtol=0, atol=1e-9)
    one = np.zeros_like(units).astype(str)
    with pytest.raises(DataError, match="nobody has more than 5"):
        collect_electrodes(Y, one, units, protocol=protocol(), **whole(Y))


def test_progress_counts_to_the_total():
    Y, subjects, units = responses(NARROW)
    seen = []
    collect(
        Y, subjects, units, protocol=protocol(), plan=Plan(2, 2), step=lambda *amount: seen.append(amount), **whole(Y)
    )
    assert {phase for phase, _ in seen} == {"pools"}
    assert sum(count for _, count in seen) == total({"all": Plan(2, 2).draw(subjects)})


def test_alphas_on_the_edge_are_noted_not_warned_of():
    Y, subjects, units = responses(NARROW)
    found = collect(Y, subjects, units, protocol=protocol(estimators.RidgeCV((1e-6, 1e-5))), plan=Plan(), **whole(Y))
    assert found.notes


def test_float32_responses_and_products_stay_near():
    Y, subjects, units = responses(WIDE, dtype=np.float32)
    found = [
        collect(Y, subjects, units, protocol=protocol(dtype=dtype), plan=Plan(), **whole(Y)).dense(3)
        for dtype in ("float32", "float64")
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-5)
    assert np.abs(pearson(*[each.reshape(-1, 1) for each in found]) - 1) < 1e-9
