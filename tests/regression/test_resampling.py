import numpy as np
import pytest
import xarray as xr
from sklearn.model_selection import StratifiedKFold

from jaxscore.errors import DataError
from jaxscore.regression.permutations import permutation_test
from jaxscore.regression.resampling import block_permutations, centred_responses, restricted


def test_blocks_keep_neighbours_together():
    table = block_permutations(np.random.default_rng(0), 11, 4, 200)
    assert (np.sort(table, axis=1) == np.arange(11)).all()
    kept = np.diff(table, axis=1) == 1
    assert kept.sum(1).min() >= 3 + 3 + 2
    assert len(np.unique(table, axis=0)) == 6


def test_permutations_are_equally_likely():
    table = block_permutations(np.random.default_rng(0), 8, 2, 24_000)
    _, counts = np.unique(table, axis=0, return_counts=True)
    assert len(counts) == 24
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_rows_that_are_present_keep_their_order():
    table = np.array([[3, 0, 4, 1, 2], [0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(restricted(table, np.array([0, 2, 3])), [[2, 0, 1], [0, 1, 2]])


def test_responses_are_centred_where_they_are_present():
    Y = np.random.default_rng(0).standard_normal((20, 3)) + 1e6
    Y[:, 1], Y[4, 2] = 1e6 + 1e-11, np.nan
    found = centred_responses(Y)
    np.testing.assert_allclose(found[:, [0, 2]], (Y - np.nanmean(Y, 0))[:, [0, 2]], atol=1e-8)
    assert (found[:, 1] == 0).all()


def test_labelled_arrays_must_agree_on_their_stimuli():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 30, 3)), rng.standard_normal((30, 4))
    names = {"stimulus_id": ("presentation", [f"s{i}" for i in range(30)])}
    x = xr.DataArray(X, dims=("layer", "presentation", "feature"), coords=names)
    y = xr.DataArray(Y, dims=("presentation", "neuroid"), coords=names)
    plain, labelled = (permutation_test(*pair, 3, permutations=20) for pair in ((X, Y), (x, y)))
    np.testing.assert_array_equal(labelled.p, plain.p)
    with pytest.raises(DataError, match="stimulus_id differs"):
        permutation_test(x, y[::-1], 3, permutations=20)


def test_resampling_takes_what_cross_validation_takes():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((1, 40, 3)), rng.standard_normal((40, 2)).astype(np.float16)
    labels = np.arange(40) % 2
    splitter = StratifiedKFold(4)
    found = permutation_test(X, Y, splitter, labels=labels, permutations=9)
    folds = list(splitter.split(X[0], labels))
    np.testing.assert_array_equal(found.p, permutation_test(X, Y.astype(np.float32), folds, permutations=9).p)
