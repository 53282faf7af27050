"""What must not change the scores does not: shifts, rotations, the order of stimuli, copies of layers, portions."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jaxscore.errors import GridEdgeWarning
from jaxscore.regression import OLS, CrossValidation, Ridge, RidgeCV, cross_validate
from jaxscore.regression.scores import SCORES

FEW = settings(max_examples=12, deadline=None, derandomize=True, database=None)
SOLVERS = st.sampled_from(
    [
        OLS(),
        Ridge(0.5),
        Ridge(100.0),
        RidgeCV([0.1, 3.0, 100.0]),
        RidgeCV([0.1, 3.0, 100.0], per_neuroid=False),
        RidgeCV([0.1, 3.0, 100.0], select="gcv"),
        RidgeCV([0.1, 3.0, 100.0], select=3),
    ]
)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def problems(draw) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Features, responses, folds of unequal sizes; least squares has full rank with room to spare."""
    rng, n = np.random.default_rng(draw(SEEDS)), draw(st.integers(16, 40))
    p = draw(st.one_of(st.integers(1, n // 3), st.integers(2 * n, 3 * n)))
    X = rng.standard_normal((n, p)) * np.exp(rng.uniform(-1, 1, p)) + rng.uniform(-2, 2, p)
    Y = X @ rng.standard_normal((p, 5)) / p**0.5 + rng.standard_normal((n, 5)) * np.geomspace(0.1, 3, 5)
    cuts = np.sort(rng.choice(np.arange(1, n // 4), 2, replace=False)) * 4
    folds = [(np.setdiff1d(np.arange(n), test), test) for test in np.split(rng.permutation(n), cuts)]
    return X, Y, folds


def run(X, Y, folds, solver, **options) -> CrossValidation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridEdgeWarning)
        return cross_validate(X, Y, folds, solver, **({"dtype": "float64"} | options))


def same(found: CrossValidation, expected: CrossValidation, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(found.r, expected.r, rtol=0, atol=tolerance)
    assert (found.alphas is None) == (expected.alphas is None)
    if found.alphas is not None:
        np.testing.assert_array_equal(found.alphas, expected.alphas)


@given(problem=problems(), solver=SOLVERS, seed=SEEDS)
@FEW
def test_shifting_features_changes_nothing(problem, solver, seed):
    X, Y, folds = problem
    shift = np.random.default_rng(seed).uniform(-100, 100, X.shape[1])
    same(run([X + shift], Y, folds, solver), run([X], Y, folds, solver))


@given(problem=problems(), solver=SOLVERS, seed=SEEDS)
@FEW
def test_rotating_features_changes_nothing(problem, solver, seed):
    X, Y, folds = problem
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((X.shape[1], X.shape[1])))[0]
    same(run([X @ Q], Y, folds, solver), run([X], Y, folds, solver))


@given(problem=problems(), solver=SOLVERS, width=st.integers(1, 30))
@FEW
def test_features_of_zeros_change_nothing(problem, solver, width):
    X, Y, folds = problem
    same(run([np.hstack([X, np.zeros((len(X), width))])], Y, folds, solver), run([X], Y, folds, solver))


@given(problem=problems(), factor=st.floats(1e-3, 1e3))
@FEW
def test_scaling_features_and_the_penalty_together_changes_nothing(problem, factor):
    X, Y, folds = problem
    same(run([factor * X], Y, folds, Ridge(factor**2 * 2.0)), run([X], Y, folds, Ridge(2.0)))
    same(run([factor * X], Y, folds, OLS()), run([X], Y, folds, OLS()))


@given(problem=problems(), solver=SOLVERS, seed=SEEDS)
@FEW
def test_permuting_stimuli_with_their_folds_changes_nothing(problem, solver, seed):
    assume(getattr(solver, "select", None) != 3)  # contiguous inner folds follow the order
    X, Y, folds = problem
    order = np.random.default_rng(seed).permutation(len(X))
    place = np.argsort(order)
    permuted = [(place[train], place[test]) for train, test in folds]
    same(run([X[order]], Y[order], permuted, solver), run([X], Y, folds, solver))


@given(problem=problems(), solver=SOLVERS, shift=st.floats(-1e3, 1e3), factor=st.floats(0.01, 100))
@FEW
def test_adding_a_constant_to_a_voxel_or_scaling_it_changes_nothing(problem, solver, shift, factor):
    X, Y, folds = problem
    changed = Y.copy()
    changed[:, 2] += shift
    same(run([X], changed, folds, solver), run([X], Y, folds, solver))
    if solver.per_neuroid:  # one alpha for all weighs voxels by their units
        changed[:, 3] *= factor
        same(run([X], changed, folds, solver), run([X], Y, folds, solver))
        changed[:, 3] *= -1
        same(run([X], changed, folds, solver), run([X], Y, folds, solver))


@given(problem=problems(), solver=SOLVERS, layers=st.integers(2, 4))
@FEW
def test_duplicating_a_layer_duplicates_its_row(problem, solver, layers):
    X, Y, folds = problem
    other = X[:, :1] ** 2
    found = run([X, other] + [X] * layers, Y, folds, solver, scores=SCORES)
    for name, values in found.scores.items():
        for k in range(layers):
            np.testing.assert_allclose(values[2 + k], values[0], rtol=1e-11, atol=1e-12, err_msg=name)
    assert found.diagnoses[0] == found.diagnoses[2]


@given(
    problem=problems(),
    solver=SOLVERS,
    chunk=st.one_of(st.none(), st.integers(1, 6)),
    threads=st.integers(1, 3),
    dtype=st.sampled_from(["float32", "float64"]),
)
@FEW
def test_chunks_threads_and_batches_of_layers_and_voxels_change_nothing(problem, solver, chunk, threads, dtype):
    X, Y, folds = problem
    layers, tolerance = [X, X[:, ::-1] ** 2, X[:, :1]], 1e-5 if dtype == "float32" else 1e-11
    together = run(layers, Y, folds, solver, dtype=dtype)
    portions = run(layers, Y, folds, solver, dtype=dtype, chunk=chunk, threads=threads)
    np.testing.assert_allclose(portions.r, together.r, rtol=0, atol=tolerance)
    one_by_one = np.concatenate([run([x], Y, folds, solver, dtype=dtype).r for x in layers])
    np.testing.assert_allclose(one_by_one, together.r, rtol=0, atol=tolerance)
    if solver.per_neuroid:
        each = np.concatenate([run(layers, Y[:, [v]], folds, solver, dtype=dtype).r for v in range(5)], axis=2)
        np.testing.assert_allclose(each, together.r, rtol=0, atol=tolerance)


@given(problem=problems(), solver=SOLVERS)
@FEW
def test_both_precisions_agree(problem, solver):
    X, Y, folds = problem
    single, double = (run([X], Y, folds, solver, dtype=dtype) for dtype in ("float32", "float64"))
    if solver.fixed() is None:
        assume(np.array_equal(single.alphas, double.alphas))  # near ties are compared in test_selection
    np.testing.assert_allclose(single.r, double.r, rtol=0, atol=1e-5)
