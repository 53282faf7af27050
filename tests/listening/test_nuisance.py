"""Residuals and z-scores, each block by itself, equal scikit-learn's for that block alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr
from scipy.fft import dct
from scipy.stats import zscore as their_zscore
from sklearn.linear_model import LinearRegression

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.listening.nuisance import clean_responses, drifts, residualise, zscore
from jaxscore.listening.recording import Recording
from jaxscore.regression.blocks import TrimmedBlocks

BLOCKS = TrimmedBlocks(3, 4).blocks(200)
TR = 2.0


def values(columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 3, (200, columns))


def recording() -> Recording:
    responses = xr.DataArray(
        values(4, 0),
        dims=("presentation", "neuroid"),
        coords={
            "run": ("presentation", np.full(200, "one")),
            "subject": ("neuroid", ["a", "b", "b", "a"]),
            "roi": ("neuroid", ["x", "x", "y", "y"]),
            "neuroid_id": ("neuroid", ["a.x", "b.x", "b.y", "a.y"]),
        },
    )
    return Recording(
        words=("word",),
        onsets=np.zeros(1),
        offsets=np.ones(1),
        word_runs=np.array(["one"]),
        times=np.arange(200) * TR,
        tr=TR,
        responses=responses,
        nuisance={"a": values(2, 1), "b": values(3, 2)},
        shared=values(1, 3),
    )


def test_drifts_are_the_first_discrete_cosines():
    found = drifts(64, TR, 64.0)
    assert found.shape == (64, 5)  # 64 rows of 2 s: periods of 256, 128, 85 and 64 s
    transformed = dct(found, axis=0)
    np.testing.assert_allclose(transformed, np.eye(64)[:, :5] * np.diag(transformed), atol=1e-10)
    assert drifts(64, TR, np.inf).tolist() == [[1.0]] * 64


def test_residuals_are_those_of_each_block_alone():
    Y, Z = values(5, 0), values(3, 1)
    found = residualise(Y, Z, BLOCKS, TR)
    for block in range(3):
        rows = block == BLOCKS
        design = np.hstack([Z[rows], drifts(rows.sum(), TR)[:, 1:]])
        expected = Y[rows] - LinearRegression().fit(design, Y[rows]).predict(design)
        np.testing.assert_allclose(found[rows], expected, atol=1e-9)
    assert np.isnan(found[BLOCKS < 0]).all()


def test_a_block_never_sees_another():
    Y, Z = values(5, 0), values(3, 1)
    before = zscore(residualise(Y, Z, BLOCKS, TR), BLOCKS)
    Y[BLOCKS != 1], Z[BLOCKS != 1] = 7 * Y[BLOCKS != 1] ** 2, 0.0
    after = zscore(residualise(Y, Z, BLOCKS, TR), BLOCKS)
    np.testing.assert_array_equal(before[BLOCKS == 1], after[BLOCKS == 1])
    assert np.abs(before - after)[BLOCKS == 0].max() > 0.1


def test_what_regressors_explain_and_constants_leave_zeros():
    Z = values(3, 1)
    Y = np.column_stack([Z @ [1.0, 2.0, -3.0], np.full(200, 1e6), 5 + np.arange(200) * 0])
    left = residualise(Y, Z, BLOCKS, TR)
    np.testing.assert_array_equal(left[BLOCKS >= 0], 0)
    np.testing.assert_array_equal(zscore(left, BLOCKS)[BLOCKS >= 0], 0)


def test_regressors_that_are_constant_double_or_small_change_nothing():
    Y, Z = values(5, 0), values(3, 1)
    wider = np.hstack([Z, Z[:, :1] * 1e-6, np.zeros((200, 1))])
    np.testing.assert_allclose(residualise(Y, wider, BLOCKS, TR), residualise(Y, Z, BLOCKS, TR), atol=1e-9)
    np.testing.assert_allclose(residualise(Y, Z * 1e-15, BLOCKS, TR), residualise(Y, Z, BLOCKS, TR), atol=1e-9)
    alone = residualise(Y, Z[:, :0], BLOCKS, TR, cutoff=np.inf)
    np.testing.assert_allclose(alone[BLOCKS == 1], (Y - Y[BLOCKS == 1].mean(0))[BLOCKS == 1], atol=1e-10)


def test_zscores_are_those_of_each_block():
    Y = values(4, 0)
    found = zscore(Y, BLOCKS)
    for block in range(3):
        np.testing.assert_allclose(found[block == BLOCKS], their_zscore(Y[block == BLOCKS]), atol=1e-12)


def test_responses_lose_their_own_subjects_regressors_and_the_shared_ones():
    made = recording()
    found = clean_responses(made, BLOCKS)
    assert list(found["neuroid_id"].values) == ["a.x", "b.x", "b.y", "a.y"]
    for subject, columns in {"a": [0, 3], "b": [1, 2]}.items():
        regressors = np.hstack([made.nuisance[subject], made.shared])
        expected = zscore(residualise(made.responses.values[:, columns], regressors, BLOCKS, TR), BLOCKS)
        np.testing.assert_allclose(found.values[:, columns], expected, atol=1e-9)
        rows = BLOCKS == 2
        for regressor in regressors[rows].T:
            for column in columns:
                assert abs(np.corrcoef(regressor, found.values[rows, column])[0, 1]) < 1e-9


def test_subjects_without_regressors_of_their_own_keep_all_but_drift():
    bare = dataclasses.replace(recording(), nuisance={}, shared=np.zeros((200, 0)))
    expected = zscore(residualise(bare.responses.values, np.zeros((200, 0)), BLOCKS, TR), BLOCKS)
    np.testing.assert_allclose(clean_responses(bare, BLOCKS).values, expected, atol=1e-12)


def test_short_blocks_and_blocks_across_runs_are_refused():
    with pytest.raises(DataError, match="block 0 has 20 rows for 9 regressors and drifts, expected 3 for each"):
        residualise(values(2, 0), values(8, 1), np.repeat(np.arange(10), 20), TR)
    with pytest.raises(DataError, match="not one stretch of one run"):
        clean_responses(recording(), np.arange(200) % 2)
    with pytest.raises(DataError, match="200 rows of values, 199 of regressors"):
        residualise(values(2, 0), values(8, 1)[1:], BLOCKS, TR)
    with pytest.raises(JaxscoreError, match="cutoff is 0"):
        residualise(values(2, 0), values(2, 1), BLOCKS, TR, cutoff=0)
