"""Input that cannot be regressed is refused with shapes, names and counts, before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest
from ml_dtypes import bfloat16
from parity.regimes import N, gaussian, responses
from sklearn.model_selection import KFold, LeaveOneOut

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression import Ridge, RidgeCV, cross_validate, products
from jaxscore.regression.checks import check_features, check_responses

X, Y = gaussian(20), responses(gaussian(20))


def changed(array: np.ndarray, **values) -> np.ndarray:
    """A copy with the first values of the second row set."""
    out = array.copy()
    out[1, : len(values["to"])] = values["to"]
    return out


def arrays(**changes) -> dict:
    return {"X": [X], "Y": Y, "folds": 5} | changes


BAD = {
    "mismatched rows": (arrays(X=[X, X[:-1]]), r"layer 1 of X has shape \(59, 20\), Y has shape \(60, 6\)"),
    "no layer axis": (arrays(X=X), r"layer 0 of X has shape \(20,\), Y has shape \(60, 6\)"),
    "no layers": (arrays(X=[]), "No layers"),
    "no features": (arrays(X=[X[:, :0]]), r"layer 0 of X has shape \(60, 0\): no features"),
    "one voxel without an axis": (arrays(Y=Y[:, 0]), r"Y has shape \(60,\), expected \[stimulus, neuroid\]"),
    "no voxels": (arrays(Y=Y[:, :0]), r"Y holds float64 of shape \(60, 0\)"),
    "complex features": (arrays(X=[X + 1j]), "layer 0 of X holds complex128, expected real numbers"),
    "words for features": (arrays(X=[X.astype(str)]), "layer 0 of X holds <U32, expected real numbers"),
    "words for responses": (arrays(Y=Y.astype(str)), "Y holds <U32"),
    "infinite features": (arrays(X=[X, changed(X, to=[np.inf] * 3)]), "layer 1 of X has 3 values that are NaN or inf"),
    "infinities that cancel": (arrays(X=[changed(X, to=[np.inf, -np.inf])]), "layer 0 of X has 2 values"),
    "NaN features": (arrays(X=[changed(X, to=[np.nan])]), "layer 0 of X has 1 values"),
    "float16 that overflowed": (arrays(X=[X, changed(X, to=[np.inf]).astype(np.float16)]), "layer 1 of X has 1 values"),
    "infinite bfloat16": (arrays(X=[changed(X, to=[np.inf, np.nan]).astype(bfloat16)]), "layer 0 of X has 2 values"),
    "infinite responses": (arrays(Y=changed(Y, to=[np.inf, -np.inf])), "Y has 2 infinite values"),
    "voxels of NaN": (arrays(Y=np.where(np.arange(6) == 2, np.nan, Y)), "1 of 6 neuroids have no response at all"),
    "a negative number of folds": (arrays(folds=-1), "60 stimuli cannot make -1 folds"),
    "too many folds": (arrays(folds=31), "60 stimuli cannot make 31 folds of at least 2"),
    "a fold of one row": (arrays(folds=LeaveOneOut()), "fold 0 has 59 training and 1 test stimuli"),
    "one training row": (arrays(folds=[([0], range(1, 60))]), "fold 0 has 1 training and 59 test stimuli"),
    "rows beyond the last": (arrays(folds=[(range(50), range(50, 61))]), "run from 50 to 60, expected 0 to 59"),
    "a row on both sides": (arrays(folds=[(range(50), range(49, 60))]), "1 of its 11 test stimuli in its training set"),
    "no groups": (arrays(folds="grouped"), "need to know the group of every stimulus"),
    "too few groups": (arrays(folds="grouped", groups=[1] * N), "1 group cannot make 5 grouped folds"),
    "groups of other rows": (arrays(folds="grouped", groups=[1, 2]), r"groups has shape \(2,\)"),
    "one class": (arrays(folds="stratified", groups=[1] * N), "1 group cannot make 5 stratified folds"),
    "two folds and an inner one": (arrays(folds=2, inner=[0]), "2 folds leave none to train on"),
}
UNKNOWN = {
    "solver": (arrays(solver="rigde:1"), r"Unknown solver 'rigde:1'"),
    "alpha in the name": (arrays(solver="ridge:many"), r"Unknown solver 'ridge:many'"),
    "alpha of zero": (arrays(solver="ridge:0"), "alphas are .* expected finite numbers > 0"),
    "alphas of zero": (arrays(solver=RidgeCV([0.0, 1.0])), "alphas are .* expected finite numbers > 0"),
    "inner folds": (arrays(solver=RidgeCV(select="lo")), "Unknown choice 'lo' of alpha"),
    "kind of solver": (arrays(solver=3.0), r"Unknown solver 3.0"),
    "score": (arrays(scores=["pearson", "spearmen"]), r"Unknown score 'spearmen'. Did you mean 'spearman'"),
    "path": (arrays(path="duel"), r"Unknown path 'duel'. Did you mean 'dual'\?"),
    "splits": (arrays(folds="shufled"), r"Unknown splits 'shufled'. Did you mean 'shuffled'"),
    "kind of splits": (arrays(folds=2.5), "Splits are 2.5, expected a name"),
    "dtype": (arrays(dtype="float16"), "dtype.*float16"),
    "chunk": (arrays(chunk=0), "chunk is 0, expected a whole number of at least 1"),
    "threads": (arrays(threads=-1), "threads is -1, expected a whole number of at least 1"),
    "inner": (arrays(inner=[0, 6]), "inner.*6"),
}


@pytest.fixture
def never_computes(monkeypatch):
    """Neither operators nor products are reached."""

    def reached(*args, **options):
        pytest.fail("computed before the input was checked")

    monkeypatch.setattr(products, "_on_host", reached)
    monkeypatch.setattr("jaxscore.regression.job.fold_operators", reached)
    monkeypatch.setattr("jaxscore.regression.job.Searched", reached)


@pytest.mark.parametrize("case", BAD)
@pytest.mark.usefixtures("never_computes")
def test_data_that_do_not_fit(case):
    arguments, message = BAD[case]
    with pytest.raises(DataError, match=message):
        cross_validate(**arguments)


@pytest.mark.parametrize("case", UNKNOWN)
@pytest.mark.usefixtures("never_computes")
def test_names_and_numbers_that_are_not_known(case):
    arguments, message = UNKNOWN[case]
    with pytest.raises(JaxscoreError, match=message) as caught:
        cross_validate(**arguments)
    assert caught.value.hint


def test_the_largest_finite_numbers_are_finite():
    huge = np.full((N, 3), 1.7e308)
    (checked,) = check_features([huge], Y)
    assert checked is huge
    small = np.full((N, 3), np.float16(65504))
    (checked,) = check_features([small], Y)
    assert checked.dtype == np.float32
    assert (checked == 65504).all()


def test_what_needs_no_change_is_not_copied():
    for kind in (np.float32, np.float64, np.int64, bool):
        x = X.astype(kind)
        assert check_features([x], Y)[0] is x


@pytest.mark.parametrize("kind", [np.float32, np.int32, bool, np.float16])
def test_responses_of_any_real_kind(kind):
    values = (3 * Y).astype(kind)
    check_responses(values)
    found = cross_validate([X], values, KFold(5), Ridge(1.0), dtype="float64").r
    np.testing.assert_allclose(
        found, cross_validate([X], values.astype(float), KFold(5), Ridge(1.0), dtype="float64").r, rtol=0, atol=1e-9
    )
