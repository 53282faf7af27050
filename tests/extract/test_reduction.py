"""Layers are made narrower by a seed alone: alike in every layer and call, as scikit-learn does, within memory."""

from __future__ import annotations

import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from sklearn.random_projection import GaussianRandomProjection

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.extract.reduction import Reduction, reduce_features

STATES = (np.random.default_rng(0).standard_normal((3, 20, 50)) * np.r_[1e3, np.ones(49)]).astype(np.float32)

# --- what people type -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("random:512", ("random", 512)), ("subsample:1", ("subsample", 1)), ("pca:100", ("pca", 100))],
)
def test_reductions_are_parsed(text, expected):
    assert Reduction.parse(text) == Reduction(*expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("randm:512", r"Unknown reduction 'randm:512'\. Did you mean 'random'\?"),
        ("PCA:10", r"Unknown reduction 'PCA:10'"),
        ("512", "Unknown reduction '512'"),
        ("", "Unknown reduction ''"),
        ("pca", "asks for '' features, expected a whole number of 1 or more"),
        ("pca:", "asks for '' features"),
        ("pca:0", "asks for '0' features"),
        ("random:-3", "asks for '-3' features"),
        ("random:2.5", "asks for '2.5' features"),
        ("subsample:1e3", "asks for '1e3' features"),
        ("subsample:8:8", "asks for '8:8' features"),
        ("subsample:\u0663", "expected a whole number"),
    ],
)
def test_what_cannot_be_parsed_says_what_can(text, message):
    for refuse in (Reduction.parse, lambda text: reduce_features(STATES, text, 0)):
        with pytest.raises(JaxscoreError, match=message) as error:
            refuse(text)
        assert "random:512" in error.value.hint


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_random_projections_are_those_of_scikit_learn():
    found = reduce_features(STATES, "random:8", 7)
    assert found.shape == (3, 20, 8)
    assert found.dtype == np.float32
    for layer, reduced in zip(STATES, found, strict=True):
        expected = GaussianRandomProjection(8, random_state=7).fit_transform(layer.astype(np.float64))
        np.testing.assert_allclose(reduced, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_random_projections_keep_inner_products_in_expectation():
    states = np.random.default_rng(1).standard_normal((1, 6, 400)).astype(np.float32)
    exact = states[0] @ states[0].T
    kernels = [Z @ Z.T for seed in range(200) for Z in reduce_features(states, "random:100", seed)]
    # one entry deviates by at most sqrt(2 / 100) |x|^2 at each seed, and 200 are averaged
    assert np.abs(np.mean(kernels, 0) - exact).max() < 5 * np.sqrt(2 / 100 / 200) * 400
    assert np.std(kernels, 0).max() > 0.1 * np.sqrt(2 / 100) * 400


def test_subsamples_are_features_in_their_order_the_same_in_every_layer():
    states = np.arange(50.0) + 100 * np.arange(3)[:, None, None] + np.zeros((1, 20, 1))
    found = reduce_features(states, "subsample:12", 3)
    assert found.dtype == np.float32
    kept = found[0, 0].astype(int)
    assert len(kept) == 12
    assert kept.tolist() == sorted(set(kept))
    np.testing.assert_array_equal(found, states[..., kept])
    np.testing.assert_array_equal(reduce_features(STATES, "subsample:50", 3), STATES)


def test_every_feature_is_as_likely():
    states = np.arange(20, dtype=np.float32)[None, None]
    taken = np.concatenate([reduce_features(states, "subsample:5", seed).ravel() for seed in range(400)])
    counts = np.bincount(taken.astype(int), minlength=20)
    assert counts.sum() == 2000
    assert (np.abs(counts - 100) < 5 * np.sqrt(400 * 0.25 * 0.75)).all()


@pytest.mark.parametrize("how", ["random:9", "subsample:9"])
def test_the_seed_decides_and_nothing_else_does(how):
    found = reduce_features(STATES, how, 5)
    np.testing.assert_array_equal(reduce_features(STATES, how, 5), found)
    np.testing.assert_allclose(reduce_features(STATES[1:, :4], how, 5), found[1:, :4], rtol=1e-5, atol=1e-3)
    assert not np.allclose(reduce_features(STATES, how, 6), found)
    before = np.random.get_state()[1].copy()
    reduce_features(STATES, how, 5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_subsample_stays_the_same_from_version_to_version():
    states = np.arange(100, dtype=np.float32)[None, None]
    assert reduce_features(states, "subsample:6", 0).ravel().tolist() == [2, 26, 55, 75, 86, 93]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
@pytest.mark.parametrize("how", ["random:9", "subsample:9"])
def test_other_types_are_reduced_in_float32(how, dtype):
    states = (STATES / 1e3).astype(dtype)
    found = reduce_features(states, how, 0)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, reduce_features(states.astype(np.float32), how, 0))


# --- what is refused, and memory --------------------------------------------------------------------------------------


def test_more_features_than_there_are_is_an_error_that_names_the_width():
    for how in ("random:51", "subsample:51"):
        with pytest.raises(DataError, match="asks for 51 features, the layers have 50"):
            reduce_features(STATES, how, 0)
    assert reduce_features(STATES, "random:50", 0).shape == STATES.shape


def test_principal_components_are_left_to_the_regression():
    with pytest.raises(JaxscoreError, match=r"fitted in training\nUse OLS\(components=10\)"):
        reduce_features(STATES, "pca:10", 0)


@pytest.mark.parametrize("how", ["random:16", "subsample:16"])
def test_memory_is_that_of_one_layer(how):
    states = np.zeros((24, 100, 2048), np.float16)
    reduce_features(states[:1], how, 0)  # imports
    tracemalloc.start()
    found = reduce_features(states, how, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one_layer, matrix = 4 * states[0].size, (8 + 4) * 2048 * 16
    assert peak < found.nbytes + 2.2 * one_layer + 1.2 * matrix < states.nbytes / 2
