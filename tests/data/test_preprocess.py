"""Detrending and z-scoring by run, against scipy, and what leaks."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import signal, stats

from jaxscore.data.assemblies import with_multiindex
from jaxscore.data.preprocess import leaks_within, preprocess
from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression.splits import make_folds

RUNS = np.array(["b"] * 7 + ["a"] * 5 + ["b"] * 4)  # a run that is interrupted, and no order by name


def _assembly(runs: np.ndarray | None = RUNS, neuroids: int = 4, seed: int = 0) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    rows = len(RUNS)
    values = rng.normal(size=(rows, neuroids)) * 3 + 100 + np.arange(rows)[:, None] * rng.normal(size=neuroids)
    coords = {"stimulus_id": ("presentation", np.arange(rows).astype(str))}
    if runs is not None:
        coords["run"] = ("presentation", runs)
    return xr.DataArray(values, dims=("presentation", "neuroid"), coords=coords, attrs={"kept": 1}, name="data")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["detrend"], lambda y: signal.detrend(y, axis=0)),
        (["zscore"], lambda y: stats.zscore(y, axis=0)),
        (["detrend", "zscore"], lambda y: stats.zscore(signal.detrend(y, axis=0), axis=0)),
        (["zscore", "detrend"], lambda y: signal.detrend(stats.zscore(y, axis=0), axis=0)),
        ([], lambda y: y),
    ],
)
def test_as_scipy_run_by_run(steps, expected):
    assembly = _assembly()
    done = preprocess(assembly, steps)
    for run in "ab":
        np.testing.assert_allclose(done.values[run == RUNS], expected(assembly.values[run == RUNS]), atol=1e-11)
    assert done.attrs == {"kept": 1}
    assert set(done.coords) == {"stimulus_id", "run"}
    one = preprocess(_assembly(None), steps)
    np.testing.assert_allclose(one.values, expected(assembly.values), atol=1e-11)
    np.testing.assert_array_equal(preprocess(with_multiindex(assembly), steps).values, done.values)


def test_missing_values_are_left_out():
    """Each neuroid is as if its missing rows were not there, the others kept at their time."""
    assembly = _assembly()
    values = assembly.values.copy()
    holes = np.random.default_rng(1).random(values.shape) < 0.15
    holes[0, 0], holes[1, 0] = True, True
    values[holes], values[0, 0] = np.nan, np.inf
    done = preprocess(assembly.copy(data=values), ["detrend", "zscore"]).values
    assert (np.isnan(done) == holes).all()
    for run in "ab":
        for k in range(values.shape[1]):
            y, there = values[run == RUNS, k], ~holes[run == RUNS, k]
            t = np.arange(len(y))[there]
            residual = y[there] - np.polyval(np.polyfit(t, y[there], 1), t)
            np.testing.assert_allclose(done[run == RUNS, k][there], stats.zscore(residual), atol=1e-9)


def test_a_run_knows_nothing_of_the_others():
    assembly = _assembly()
    other = assembly.copy(data=np.where((RUNS == "a")[:, None], 1e6, assembly.values))
    steps = ["detrend", "zscore"]
    np.testing.assert_array_equal(
        preprocess(other, steps).values[RUNS == "b"], preprocess(assembly, steps).values[RUNS == "b"]
    )


def test_without_variance():
    """A line leaves nothing but round-off, which is not scaled up to a signal."""
    assembly = _assembly()
    values = np.stack([np.full(16, 0.1), 1e5 + 0.1 * np.arange(16), assembly.values[:, 0], np.full(16, np.nan)], axis=1)
    line = assembly.copy(data=values)
    detrended = preprocess(line, ["detrend"]).values[RUNS == "a"]
    np.testing.assert_array_equal(detrended[:, :2], 0)
    scaled = preprocess(line, ["detrend", "zscore"]).values[RUNS == "a"]
    assert np.isnan(scaled).all(axis=0).tolist() == [True, True, False, True]
    assert np.isnan(preprocess(line, ["zscore"]).values[RUNS == "a"]).all(axis=0).tolist() == [True, False, False, True]


def test_types():
    single = _assembly().astype(np.float32)
    done = preprocess(single.T, ["zscore"])
    assert done.dtype == np.float32
    assert done.dims == ("presentation", "neuroid")
    np.testing.assert_array_equal(done.values, preprocess(single.astype(float), ["zscore"]).values.astype(np.float32))
    assert preprocess(single.astype(int), ["zscore"]).dtype == np.float64


def test_unknown_step_and_misplaced_run():
    with pytest.raises(JaxscoreError, match=r"Unknown step 'zscor' of preprocessing\. Did you mean 'zscore'"):
        preprocess(_assembly(), ["zscor"])
    misplaced = _assembly(None).assign_coords(run=("neuroid", list("abcd")))
    with pytest.raises(DataError, match=r"run has the dimensions \('neuroid',\)"):
        preprocess(misplaced, ["zscore"])


def test_leaks():
    rows = np.arange(len(RUNS))
    out = [(rows[run != RUNS], rows[run == RUNS]) for run in "ab"]
    assert not leaks_within(out, RUNS)
    assert leaks_within([*out, (rows[:3], rows[3:5])], RUNS)
    assert leaks_within([(rows[::2], rows[1::2])], np.full(len(RUNS), ""))


def test_folds_of_the_package():
    runs = np.repeat(list("abcd"), 6)
    assert not leaks_within(make_folds("leave-one-group-out", len(runs), groups=runs), runs)
    assert leaks_within(make_folds("shuffled", len(runs)), runs)
