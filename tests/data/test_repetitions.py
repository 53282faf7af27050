"""Averages of repetitions and explainable variance, on data whose signal and noise are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxscore.ceilings.split_half import split_half
from jaxscore.data.assemblies import with_multiindex
from jaxscore.data.preprocess import preprocess
from jaxscore.data.repetitions import average_repetitions
from jaxscore.data.tables import read_table


def _assembly(values, ids, **coordinates) -> xr.DataArray:
    labels = {"stimulus_id": ids, **coordinates}
    return xr.DataArray(
        np.asarray(values, float),
        dims=("presentation", "neuroid"),
        coords={
            **{name: ("presentation", np.asarray(label).astype(str)) for name, label in labels.items()},
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(np.shape(values)[1])]),
        },
    )


def _simulate(counts, noise: float, neuroids: int, seed: int):
    """Signal [stimulus, neuroid] of variance 1, and its repetitions in an order of their own."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(len(counts), neuroids))
    ids = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return signal, _assembly(signal[ids] + noise * rng.normal(size=(len(ids), neuroids)), ids)


def _sahani_linden(values) -> np.ndarray:
    """Signal power over the power of the mean, from responses [repetition, stimulus, neuroid], by the definition."""
    count = len(values)
    power = values.var(axis=1, ddof=1).mean(axis=0)
    of_mean = values.mean(axis=0).var(axis=0, ddof=1)
    return (count * of_mean - power) / (count - 1) / of_mean


@pytest.mark.parametrize("count", [2, 3, 7])
def test_balanced_is_the_estimator_of_the_field(count):
    rng = np.random.default_rng(count)
    values = rng.normal(size=(1, 30, 5)) + rng.normal(size=(count, 30, 5)) + 10 * rng.normal(size=(count, 1, 5))
    assembly = _assembly(values.reshape(-1, 5), np.tile(np.arange(30), count))
    found = average_repetitions(assembly)
    np.testing.assert_allclose(found.explainable_variance, _sahani_linden(values), rtol=1e-10)
    np.testing.assert_allclose(found.assembly.values, values.mean(axis=0), rtol=1e-12)
    assert found.repetitions.tolist() == [count] * 30


@pytest.mark.parametrize("noise", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("unequal", [False, True])
def test_known_signal_and_noise(noise, unequal):
    stimuli, neuroids = 100, 600
    counts = np.random.default_rng(1).integers(1, 6, stimuli) if unequal else np.full(stimuli, 3)
    signal, assembly = _simulate(counts, noise, neuroids, seed=2)
    found = average_repetitions(assembly)
    true = 1 / (1 + noise**2 * np.mean(1 / counts))
    # V has a chi-square distribution, so 1 / V is too large by (n - 1) / (n - 3) on average
    expected = 1 - (1 - true) * (stimuli - 1) / (stimuli - 3)
    error = found.explainable_variance.std(ddof=1) / np.sqrt(neuroids)
    assert abs(found.explainable_variance.mean() - expected) < 4 * error
    own = found.assembly.sortby(found.assembly["stimulus_id"].astype(int)).values
    reached = [np.corrcoef(signal[:, k], own[:, k])[0, 1] for k in range(neuroids)]
    assert abs(np.median(reached) - np.sqrt(true)) < 0.02
    if noise < 4:  # beyond, many neuroids have no positive estimate, and the median is of the others
        assert abs(np.median(found.noise_ceiling) - np.sqrt(true)) < 0.02


def test_agrees_with_split_halves():
    """Spearman-Brown of two repetitions estimates the same reliability."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(1, 400, 50)) + rng.normal(size=(2, 400, 50))
    found = average_repetitions(_assembly(values.reshape(-1, 50), np.tile(np.arange(400), 2)))
    np.testing.assert_allclose(found.noise_ceiling, split_half(values), atol=0.01)


def test_missing_responses_leave_no_bias():
    rng = np.random.default_rng(4)
    _, assembly = _simulate(np.full(80, 4), 1.0, 800, seed=5)
    holed = assembly.where(rng.random(assembly.shape) < 0.6)
    counts = holed.notnull().groupby("stimulus_id").sum().values
    found = average_repetitions(holed)
    shares = 1 / (1 + np.nanmean(np.where(counts > 0, 1 / np.maximum(counts, 1), np.nan), axis=0))
    off = found.explainable_variance - (1 - (1 - shares) * 79 / 77)
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(800)
    assert np.isnan(found.assembly.values).sum() == (counts == 0).sum() > 0


def test_order_of_rows_does_not_matter_where_all_is_there():
    """Repetitions are numbered by order, which only their levels know of: without levels any order will do."""
    values = np.array([[1.0, 2], [3, 4], [2, 2], [2, 5], [0, 1], [1, 0]])
    ids = np.array(["a", "b", "a", "c", "b", "c"])
    found = average_repetitions(_assembly(values, ids))
    assert found.assembly["stimulus_id"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(found.assembly.values, [[1.5, 2], [1.5, 2.5], [1.5, 2.5]])
    first = average_repetitions(_assembly(values[::-1], ids[::-1]))
    assert first.assembly["stimulus_id"].values.tolist() == ["c", "b", "a"]
    np.testing.assert_allclose(first.explainable_variance, found.explainable_variance, equal_nan=True)
    assert np.isnan(found.explainable_variance[0])  # averages that do not vary


def test_coordinates():
    assembly = _assembly(
        np.arange(8.0).reshape(4, 2),
        ["a", "b", "a", "b"],
        sentence=["x", "y", "x", "y"],
        run=[1, 1, 2, 2],
        repetition=[1, 1, 2, 2],
        block=["u", "v", "u", "v"],
    ).assign_attrs(source="here")
    for each in (assembly, with_multiindex(assembly), assembly.T, assembly.assign_coords(presentation=[5, 6, 7, 8])):
        found = average_repetitions(each).assembly
        assert found.dims == ("presentation", "neuroid")
        assert set(found.coords) - {"neuroid"} == {"stimulus_id", "sentence", "block", "neuroid_id"}
        assert found["block"].values.tolist() == ["u", "v"]
        assert found.attrs == {"source": "here"}
    kept = average_repetitions(assembly.assign_coords(run=("presentation", ["1", "2", "1", "2"]))).assembly
    assert kept["run"].values.tolist() == ["1", "2"]  # leave-one-run-out is still there


def test_nothing_repeated():
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    values[2, 1] = np.inf
    assembly = _assembly(values, list("abcde")).astype(np.float32)
    found = average_repetitions(assembly)
    assert found.assembly.dtype == np.float32
    np.testing.assert_array_equal(found.assembly.values, np.where(np.isinf(values), np.nan, values))
    assert np.isnan(found.explainable_variance).all()
    assert np.isnan(found.noise_ceiling).all()
    assert found.repetitions.tolist() == [1] * 5


def test_pure_noise_has_no_ceiling():
    _, assembly = _simulate(np.full(50, 2), 1.0, 400, seed=6)
    noise = assembly.copy(data=np.random.default_rng(7).normal(size=assembly.shape))
    found = average_repetitions(noise)
    negative = found.explainable_variance <= 0
    assert 0.3 < negative.mean() < 0.7
    np.testing.assert_array_equal(np.isnan(found.noise_ceiling), negative)


def test_from_table_to_ceiling(tmp_path):
    """Two runs with a drift and a level of their own, each with all stimuli: cleaned run by run, then averaged."""
    rng = np.random.default_rng(8)
    stimuli, neuroids, noise = 120, 40, 0.8
    signal = rng.normal(size=(stimuli, neuroids))
    lines = ["item,text,day," + ",".join(f"v{k}" for k in range(neuroids))]
    for run in (1, 2):
        for time, item in enumerate(rng.permutation(stimuli)):
            values = 20 * run + 0.1 * run * time + signal[item] + noise * rng.normal(size=neuroids)
            lines.append(f"i{item},Text {item}.,{run}," + ",".join(map(repr, values.tolist())))
    path = tmp_path / "study.csv"
    path.write_text("\n".join(lines))
    assembly, _ = read_table(path, sentence="text", stimulus_id="item", run="day")
    raw, clean = average_repetitions(assembly), average_repetitions(preprocess(assembly, ["detrend", "zscore"]))
    true = 1 / (1 + noise**2 / 2)
    assert abs(clean.explainable_variance.mean() - true) < 0.02
    assert abs(raw.explainable_variance.mean() - true) > 0.2
    assert clean.assembly.sizes == {"presentation": stimuli, "neuroid": neuroids}
    assert "run" not in clean.assembly.coords
