"""Alphas chosen inside the folds are those of scikit-learn, of a refitted grid search and of explicit GCV."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from parity.reference_regression import gcv_errors, pearson, refit_errors, svd_ridge
from parity.regimes import GROUPS, REGIMES, SPLITS, UNEVEN, N, condition, gaussian, responses
from sklearn import linear_model
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut

from jaxscore.errors import DataError, GridEdgeWarning, JaxscoreError
from jaxscore.regression import Ridge, RidgeCV, cross_validate

pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")

ALPHAS = np.logspace(-3, 3, 7)
FOLDS = SPLITS | UNEVEN
SPLITTER = KFold(4, shuffle=True, random_state=2)
HOW = {"loo": "loo", "gcv": "gcv", "3 contiguous": 3, "a splitter": SPLITTER, "grouped": "grouped"}
UNITS = np.array([1.0, 1.2, 0.9, 2.0, 0.7, 1.1])
FEW = ("rows < features", "rows >> features", "repeated stimuli, wide", "outliers, narrow")
CASES = [(name, "shuffled") for name in REGIMES] + [(n, s) for n in FEW for s in FOLDS if s != "shuffled"]
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}


@cache
def data(regime: str) -> tuple[np.ndarray, np.ndarray]:
    """Features, and responses in which every voxel has noise and units of its own."""
    X = REGIMES[regime].astype(np.float64)
    noise = np.random.default_rng(12).standard_normal((N, len(UNITS))) * np.geomspace(0.1, 20, len(UNITS))
    return X, (responses(X) + noise) * UNITS


def groups_of(how: str) -> np.ndarray | None:
    return GROUPS if how == "grouped" else None


def inner_folds(how: str, train: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The inner folds of a training set, by scikit-learn, as positions in it."""
    if how == "grouped":
        return list(GroupKFold(5, shuffle=True, random_state=1).split(train, groups=GROUPS[train]))
    return list({"loo": LeaveOneOut(), "3 contiguous": KFold(3), "a splitter": SPLITTER}[how].split(train))


@cache
def reference(regime: str, splits: str, how: str) -> list[np.ndarray]:
    """The criterion [alpha, voxel] in the training set of each outer fold."""
    X, Y = data(regime)
    found = []
    for train, _ in FOLDS[splits]:
        train = np.sort(train)
        if how == "gcv":
            found.append(gcv_errors(X[train], Y[train], ALPHAS))
        else:
            found.append(refit_errors(X[train], Y[train], inner_folds(how, train), ALPHAS))
    return found


def assert_chosen(alphas: np.ndarray, errors: np.ndarray, tie: float) -> None:
    """The chosen alphas [voxel] have the least error [alpha, voxel]; only where two errors tie may they differ."""
    assert np.isin(alphas, ALPHAS).all()
    chosen = np.searchsorted(ALPHAS, alphas)
    mine = np.take_along_axis(errors, chosen[None], 0)[0]
    assert (mine <= errors.min(0) * (1 + tie)).all(), (alphas, ALPHAS[errors.argmin(0)])


def refitted_r(X: np.ndarray, Y: np.ndarray, folds, alphas: np.ndarray) -> np.ndarray:
    """Pearson r [fold, voxel] of ridge at the alphas [fold, voxel]."""
    out = []
    for (train, test), chosen in zip(folds, alphas, strict=True):
        fits = svd_ridge(X[train], Y[train], X[test], ALPHAS)
        mine = np.take_along_axis(fits, np.searchsorted(ALPHAS, chosen)[None, None], 0)[0]
        out.append(pearson(mine, Y[test]))
    return np.stack(out)


def check(regime: str, splits: str, how: str, per_neuroid: bool, **options) -> list[np.ndarray]:
    """Run in both precisions and compare choices and r with the reference; return the alphas of both."""
    (X, Y), folds, seen = data(regime), FOLDS[splits], []
    for dtype, tolerance in TOLERANCES.items():
        solver = RidgeCV(ALPHAS, select=HOW[how], per_neuroid=per_neuroid)
        found = cross_validate([X], Y, folds, solver, groups=groups_of(how), dtype=dtype, **options)
        assert found.alphas.shape == found.r.shape == (1, len(folds), Y.shape[1])
        for alphas, errors in zip(found.alphas[0], reference(regime, splits, how), strict=True):
            assert_chosen(alphas, errors if per_neuroid else errors.sum(1, keepdims=True), 10 * tolerance)
            assert per_neuroid or len(set(alphas)) == 1
        np.testing.assert_allclose(
            found.r[0], refitted_r(X, Y, folds, found.alphas[0]), rtol=0, atol=tolerance, equal_nan=False
        )
        seen.append(found.alphas[0])
    return seen


@pytest.mark.parametrize("regime", ["rows < features", "rows > features", "outliers, wide"])
def test_the_reference_is_scikit_learn(regime):
    (X, Y), (train, test) = data(regime), FOLDS["shuffled"][0]
    expected = [linear_model.Ridge(a, solver="svd").fit(X[train], Y[train]).predict(X[test]) for a in ALPHAS]
    np.testing.assert_allclose(svd_ridge(X[train], Y[train], X[test], ALPHAS), expected, rtol=0, atol=1e-9)


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_neuroid", [True, False])
@pytest.mark.parametrize("regime", REGIMES)
def test_leave_one_out_is_a_refit_without_each_stimulus(regime, per_neuroid):
    check(regime, "shuffled", "loo", per_neuroid)


@pytest.mark.parametrize(
    ("regime", "splits"), [case for case in CASES if condition(REGIMES[case[0]], FOLDS["shuffled"]) < 1e3]
)
def test_leave_one_out_is_that_of_ridge_cv(regime, splits):
    (X, Y), folds = data(regime), FOLDS[splits]
    one = cross_validate([X], Y, folds, RidgeCV(ALPHAS, per_neuroid=False), dtype="float64")
    each = cross_validate([X], Y, folds, RidgeCV(ALPHAS), dtype="float64")
    single = cross_validate([X], Y, folds, RidgeCV(ALPHAS))
    for k, (train, test) in enumerate(folds):
        model = linear_model.RidgeCV(ALPHAS, alpha_per_target=True, store_cv_results=True).fit(X[train], Y[train])
        errors = model.cv_results_.mean(0).T
        assert_chosen(each.alphas[0, k], errors, 1e-9)
        assert_chosen(single.alphas[0, k], errors, 1e-4)
        same = each.alphas[0, k] == model.alpha_
        assert same.mean() > 0.8
        expected = pearson(model.predict(X[test]), Y[test])
        np.testing.assert_allclose(each.r[0, k][same], expected[same], rtol=0, atol=1e-9)
        model = linear_model.RidgeCV(ALPHAS).fit(X[train], Y[train])
        assert (one.alphas[0, k] == model.alpha_).all()
        np.testing.assert_allclose(one.r[0, k], pearson(model.predict(X[test]), Y[test]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("how", ["grouped", "gcv"])
@pytest.mark.parametrize(("regime", "splits"), CASES)
def test_inner_folds_and_gcv(regime, splits, how):
    check(regime, splits, how, True)
    if splits == "shuffled":
        check(regime, splits, how, False)


@pytest.mark.parametrize("path", ["auto", "dual", "primal", "refit"])
@pytest.mark.parametrize("how", ["loo", "a splitter", "gcv"])
@pytest.mark.parametrize("regime", ["rows < features", "rows > features", "rows >> features"])
def test_every_path_chooses_the_same(regime, how, path):
    check(regime, "contiguous", how, True, path=path)
    if how == "loo":
        check(regime, "contiguous", how, False, path=path)


def test_the_path_is_chosen_by_the_shape_and_reported():
    Y, layers = data("rows < features")[1], [gaussian(100), gaussian(20), gaussian(12)]
    found = cross_validate(layers, Y, 5, RidgeCV(ALPHAS))
    assert [diagnosis.paths for diagnosis in found.diagnoses] == [{"dual": 5}, {"dual": 5}, {"primal": 5}]
    assert [diagnosis.rank for diagnosis in found.diagnoses] == [(47, 47), (20, 20), (12, 12)]
    for path in ("dual", "primal"):
        forced = cross_validate(layers, Y, 5, RidgeCV(ALPHAS), path=path)
        assert [diagnosis.paths for diagnosis in forced.diagnoses] == [{path: 5}] * 3


# --- conventions ------------------------------------------------------------------------------------------------------


def test_voxels_differ_in_their_choice_and_groups_matter():
    # what the tables above compare is not one alpha everywhere
    each = np.concatenate([alphas for how in HOW for alphas in check("rows < features", "grouped", how, True)])
    assert len(np.unique(each)) >= 4
    assert not np.array_equal(
        np.stack(reference("rows < features", "grouped", "grouped")),
        np.stack(reference("rows < features", "grouped", "3 contiguous")),
    )


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_alpha_for_all_weighs_voxels_by_their_own_units(how, dtype):
    X, noise = REGIMES["rows < features"], np.random.default_rng(13).standard_normal((N, 5))
    clear = X @ np.random.default_rng(14).standard_normal((X.shape[1], 1))
    loud_noise, loud_signal = np.hstack([clear, 1e3 * noise]), np.hstack([1e3 * clear, noise])
    chosen = {}
    for name, Y in {"noise": loud_noise, "signal": loud_signal}.items():
        solver = RidgeCV(ALPHAS, select=HOW[how], per_neuroid=False)
        chosen[name] = cross_validate([X], Y, 5, solver, groups=groups_of(how), dtype=dtype).alphas
    assert (chosen["signal"] < chosen["noise"]).all()


@pytest.mark.parametrize("how", ["loo", "grouped", "gcv"])
@pytest.mark.parametrize("per_neuroid", [True, False])
@pytest.mark.parametrize("regime", ["rows < features", "rows >> features"])
def test_choices_never_see_the_held_out_responses(regime, per_neuroid, how):
    (X, Y), folds = data(regime), FOLDS["grouped"]
    solver = RidgeCV(ALPHAS, select=how, per_neuroid=per_neuroid)
    before = cross_validate([X], Y, folds, solver, groups=groups_of(how), dtype="float64").alphas
    for k in (0, 3):
        test, other = folds[k][1], Y.copy()
        other[test] = 1e3 * np.random.default_rng(k).standard_normal((len(test), Y.shape[1]))
        after = cross_validate([X], other, folds, solver, groups=groups_of(how), dtype="float64").alphas
        np.testing.assert_array_equal(after[:, k], before[:, k])
        assert (after != before).any()  # the same change moves the choices of the folds that train on it


@pytest.mark.parametrize("how", ["loo", "3 contiguous"])
def test_inner_r_chooses_without_both_folds(how):
    (X, Y), folds, inner = data("rows < features"), FOLDS["grouped"], np.array([4, 1])
    solver = RidgeCV(ALPHAS, select=HOW[how])
    found = cross_validate([X], Y, folds, solver, inner=inner, dtype="float64").inner_r[0]
    pairs = {}
    for i, (_, test) in enumerate(folds):
        for j, (kept, _) in enumerate(folds):
            train = np.setdiff1d(kept, test)
            if i != j:
                errors = refit_errors(X[train], Y[train][:, inner], inner_folds(how, train), ALPHAS)
                alphas = ALPHAS[errors.argmin(0)]
                pairs[i, j] = refitted_r(X, Y[:, inner], [(train, test)], alphas[None])[0]
    expected = [np.mean([pairs[i, j] for i in range(5) if i != j], 0) for j in range(5)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("how", ["loo", "gcv"])
def test_all_that_can_be_asked_for_at_once(how):
    (X, Y), folds, solver = data("rows < features"), FOLDS["shuffled"], RidgeCV(ALPHAS, select=how)
    options = {"dtype": "float64", "scores": ("pearson", "pearson-eps", "spearman", "r2")}
    found = cross_validate([X], Y, folds, solver, inner=np.array([1, 3]), predictions=True, **options)
    np.testing.assert_array_equal(
        found.inner_r, cross_validate([X], Y, folds, solver, inner=np.array([1, 3]), dtype="float64").inner_r
    )
    alone = cross_validate([X], Y, folds, solver, predictions=True, **options)
    for mine, theirs in zip(found.predictions, alone.predictions, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for name in options["scores"]:
        np.testing.assert_array_equal(found.scores[name], alone.scores[name])


def test_inner_folds_of_one_stimulus_are_enough_for_a_squared_error():
    (X, Y), folds = data("rows < features"), FOLDS["contiguous"]
    expected = cross_validate([X], Y, folds, RidgeCV(ALPHAS, select="loo"), dtype="float64").alphas
    found = cross_validate([X], Y, folds, RidgeCV(ALPHAS, select=LeaveOneOut()), dtype="float64").alphas
    np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("error")
def test_groups_are_for_the_splitters_that_want_them():
    (X, Y), folds = data("rows < features"), FOLDS["grouped"]
    expected = cross_validate([X], Y, folds, RidgeCV([10.0], select=SPLITTER))
    found = cross_validate([X], Y, folds, RidgeCV([10.0], select=SPLITTER), groups=GROUPS)
    np.testing.assert_array_equal(found.alphas, expected.alphas)
    by_splitter = cross_validate([X], Y, GroupKFold(5, shuffle=True, random_state=1), groups=GROUPS)
    np.testing.assert_array_equal(by_splitter.r, cross_validate([X], Y, "grouped", groups=GROUPS).r)


# --- the edge of the grid ---------------------------------------------------------------------------------------------


def test_alphas_on_the_edge_of_the_grid_are_counted():
    X, rng = gaussian(100), np.random.default_rng(15)
    easy, noise = X @ rng.standard_normal((100, 2)), rng.standard_normal((N, 3))
    with pytest.warns(GridEdgeWarning) as caught:
        found = cross_validate([X, X], np.hstack([easy, noise]), 5, RidgeCV([100.0, 1e-3, 1.0]))
    low, high = (found.alphas == 1e-3).sum(), (found.alphas == 100.0).sum()
    assert low > 5
    assert high > 20
    (warning,) = caught
    assert f"{low + high} of 50 chosen alphas sit on the edge of the grid" in str(warning.message)
    assert f"{low} at 0.001, {high} at 100" in str(warning.message)
    assert warning.filename == __file__


@pytest.mark.filterwarnings("error")
def test_no_warning_inside_the_grid_or_without_one():
    X, rng = gaussian(100), np.random.default_rng(16)
    Y = X @ rng.standard_normal((100, 3)) + 10 * rng.standard_normal((N, 3))
    found = cross_validate([X], Y, 5, RidgeCV(np.logspace(-3, 7, 11)))
    assert (found.alphas > 1e-3).all()
    assert (found.alphas < 1e7).all()
    cross_validate([X], Y, 5, RidgeCV([1e3]))
    assert cross_validate([X], Y, 5, Ridge(1e3)).alphas is None


def test_a_voxel_without_variance_is_not_on_the_edge():
    X, rng = gaussian(100), np.random.default_rng(16)
    Y = X @ rng.standard_normal((100, 3)) + 10 * rng.standard_normal((N, 3))
    Y[:, 1] = 4.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda message, *rest, **more: pytest.fail(message))
        found = cross_validate([X], Y, 5, RidgeCV(np.logspace(-3, 7, 11)))
    assert found.undefined == 1


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alphas", [[0.0, 1.0], [-1.0], [np.nan], [np.inf, 1.0], []])
def test_alphas_are_positive_numbers(alphas):
    with pytest.raises(JaxscoreError, match="expected finite numbers > 0"):
        cross_validate([gaussian(20)], responses(gaussian(20)), 5, RidgeCV(alphas))


@pytest.mark.parametrize("alpha", [0.0, -1.0, np.nan])
def test_a_fixed_alpha_is_positive(alpha):
    with pytest.raises(JaxscoreError, match="expected finite numbers > 0"):
        cross_validate([gaussian(20)], responses(gaussian(20)), 5, Ridge(alpha))


def test_inner_folds_that_cannot_be_made_are_named():
    X, Y = gaussian(20), responses(gaussian(20))
    with pytest.raises(JaxscoreError, match="Unknown choice 'lo' of alpha"):
        cross_validate([X], Y, 5, RidgeCV(select="lo"))
    with pytest.raises(DataError, match=r"outer fold 0.*grouped"):
        cross_validate([X], Y, 5, RidgeCV(select="grouped"))
    with pytest.raises(DataError, match=r"outer fold 0.*40 folds"):
        cross_validate([X], Y, 5, RidgeCV(select=40))
