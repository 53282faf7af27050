"""A ceiling that is asked for: every method on a study of one's own, what is refused, and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from ceilings.own_study import STIMULI, responses, write_study
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from jaxscore.cards import load_benchmark
from jaxscore.ceilings.asked import ceiling_of
from jaxscore.ceilings.collect import collect
from jaxscore.ceilings.curves import curve
from jaxscore.ceilings.extrapolation import extrapolate
from jaxscore.ceilings.pools import Plan
from jaxscore.ceilings.subject_halves import subject_halves
from jaxscore.data.material import load_material
from jaxscore.data.source import open_source
from jaxscore.errors import DataError, JaxscoreError, StoreError
from jaxscore.metrics.comparisons import Metric
from jaxscore.metrics.measure import Protocol, Rows
from jaxscore.regression import estimators

METHODS = ("extrapolation", "holdout", "split-half", "test-retest", "subject-halves")
QUICK = {"bootstraps": 4}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- the numbers ----------------------------------------------------------------------------------------------------


def test_holdout(tmp_path):
    """Every subject from the regions of all others; the whole is the median over subjects."""
    found, paths = ceiling_of(write_study(tmp_path), method="holdout")
    assert paths == []
    values, expected = responses()[0], []
    for subject in range(3):
        others = np.delete(values, subject, 1).reshape(STIMULI, -1)
        r = []
        for train, test in KFold(3).split(others):
            model = Ridge(1.0).fit(others[train], values[train, subject])
            r.append(pearsonr(model.predict(others[test]), values[test, subject], axis=0).statistic)
        expected.append(np.mean(r, 0))
    np.testing.assert_allclose(found["ceiling"].values, np.ravel(expected), rtol=0, atol=1e-9)
    assert found["neuroid_id"].values.tolist() == [f"s{i}.{roi}" for i in range(3) for roi in "xyz"]
    assert found["target_subject"].values.tolist() == np.repeat(["s0", "s1", "s2"], 3).tolist()
    assert found.attrs["whole"] == pytest.approx(np.median(np.median(expected, 1)), abs=1e-9)
    assert np.isnan([found.attrs["whole_low"], found.attrs["whole_high"]]).all()
    assert (found.attrs["benchmark"], found.attrs["method"]) == ("own", "holdout")


def test_extrapolation(tmp_path):
    """Ceiling, interval and points of `extrapolate`; curves are medians over regions of percentiles of bootstraps."""
    card = load_benchmark(write_study(tmp_path, regression={"solver": "ridge", "alpha": 3.0}))
    found, _ = ceiling_of(card, seed=3, **QUICK)
    material = load_material(card, open_source(card))
    subjects = material.assembly["subject"].values
    protocol = Protocol(Metric("encoding", estimators.Ridge(3.0), dtype="float64"), "contiguous", 3)
    collected = collect(
        material.assembly.values, subjects, np.arange(9), material.parts, protocol, Rows(STIMULI), Plan(seed=3)
    )
    expected = extrapolate(collected, 4, 3)
    for name in ("error_low", "error_high", "endpoint"):
        np.testing.assert_allclose(found[name].values, getattr(expected, name), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["ceiling"].values, expected.center, rtol=0, atol=1e-9)
    whole = [found.attrs[name] for name in ("whole", "whole_low", "whole_high", "endpoint")]
    columns = (expected.center, expected.error_low, expected.error_high, expected.endpoint)
    np.testing.assert_allclose(whole, [np.nanmedian(column) for column in columns], atol=1e-9)
    assert found["size"].values.tolist() == [2, 3]
    for i, subject in enumerate(found["subject"].values):
        own = np.median(expected.means[subjects == subject], 0)
        np.testing.assert_allclose(found["points"].values[i], own, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["medians"].values, np.median(expected.means, 0), rtol=0, atol=1e-9)
    assert found["percentile"].values.tolist() == [2.5, 50, 97.5]
    x = found["x"].values
    assert x[0] == 0
    assert x[-1] >= 6
    drawn = np.stack([np.nanpercentile(curve(at, expected.v0, expected.tau0), [2.5, 50, 97.5], axis=1) for at in x], -1)
    np.testing.assert_allclose(found["curves"].values, np.median(drawn, 1), rtol=0, atol=1e-9)
    assert (found.attrs["over"], found.attrs["bootstraps"], found.attrs["seed"]) == ("subjects", 4, 3)


def test_halves_and_retests_of_repetitions(tmp_path):
    values = responses(2, repetitions=2, noise=0.5)
    path = write_study(tmp_path, values)
    r = np.array([pearsonr(*own).statistic for own in values.reshape(2, STIMULI, -1).transpose(2, 0, 1)])
    expected = np.sqrt(2 * r / (1 + r))
    for method in ("split-half", "test-retest"):
        found, _ = ceiling_of(path, method=method)
        np.testing.assert_allclose(found["ceiling"].values, expected, rtol=0, atol=1e-9)
        whole = np.median([np.median(own) for own in expected.reshape(2, -1)])
        assert found.attrs["whole"] == pytest.approx(whole, abs=1e-9)
        assert np.isnan(found["error_low"].values).all()


def test_one_subject_with_repetitions_has_halves(tmp_path):
    found, _ = ceiling_of(write_study(tmp_path, responses(1, repetitions=4)), method="split-half")
    assert set(found["target_subject"].values.tolist()) == {"s0"}
    assert 0.5 < found.attrs["whole"] < 1


def test_halves_of_the_subjects_of_a_mean(tmp_path):
    path = write_study(tmp_path, responses(8, noise=0.5), metric="surprisal")
    found, _ = ceiling_of(path, method="subject-halves", seed=2)
    card = load_benchmark(path)
    expected = subject_halves(load_material(card, open_source(card)).everything.values, seed=2)
    assert found.attrs["whole"] == found["ceiling"].item() == pytest.approx(expected.ceiling, abs=1e-12)


def test_the_method_is_the_card_s_or_extrapolation(tmp_path):
    ceiling = {"kind": "computed", "method": "holdout", "source": "each from all others", "seed": 4}
    found, _ = ceiling_of(write_study(tmp_path, ceiling=ceiling))
    assert (found.attrs["method"], found.attrs["seed"]) == ("holdout", 4)
    found, _ = ceiling_of(write_study(tmp_path), **QUICK)
    assert (found.attrs["method"], found.attrs["seed"]) == ("extrapolation", 0)


def test_options_are_those_of_a_score(tmp_path):
    path = write_study(tmp_path)
    plain = ceiling_of(path, method="holdout")[0]["ceiling"].values
    for options in ({"splits": "shuffled"}, {"folds": 4}, {"regression": "ols"}):
        other = ceiling_of(path, method="holdout", **options)[0]["ceiling"].values
        assert np.abs(other - plain).max() > 1e-3
    (tmp_path / "elsewhere").mkdir()
    write_study(tmp_path / "elsewhere", responses(seed=5))
    moved = ceiling_of(path, method="holdout", data=tmp_path / "elsewhere/own.csv")[0]
    np.testing.assert_array_equal(
        moved["ceiling"].values, ceiling_of(tmp_path / "elsewhere/own.toml", method="holdout")[0]["ceiling"].values
    )


def test_units_are_the_targets_of_similarities_and_decoding(tmp_path):
    for metric in ("rdm", "cka", "decoding"):
        found, _ = ceiling_of(write_study(tmp_path, metric=metric), method="holdout")
        assert found["target_subject"].values.tolist() == ["s0", "s1", "s2"]
        assert [name.partition(".")[0] for name in found["neuroid_id"].values.tolist()] == ["s0", "s1", "s2"]


def test_electrodes(tmp_path):
    found, _ = ceiling_of(write_study(tmp_path, responses(5)), over="electrodes", **QUICK)
    assert found.attrs["over"] == "electrodes"
    assert found["size"].values.tolist() == [5, 10]


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["encoding", "decoding", "rdm", "cka"])
def test_halves_of_subjects_are_of_a_mean_over_subjects(tmp_path, metric):
    with pytest.raises(JaxscoreError, match=f"own: subject-halves is no ceiling of {metric}\n.*extrapolation, holdout"):
        ceiling_of(write_study(tmp_path, metric=metric), method="subject-halves")


@pytest.mark.parametrize("method", ["extrapolation", "holdout", "split-half", "test-retest"])
def test_reading_times_have_halves_of_subjects_alone(tmp_path, method):
    with pytest.raises(JaxscoreError, match=f"own: {method} is no ceiling of surprisal\n.*subject-halves"):
        ceiling_of(write_study(tmp_path, metric="surprisal"), method=method)


@pytest.mark.parametrize("method", ["split-half", "test-retest"])
def test_methods_that_need_repetitions(tmp_path, method):
    with pytest.raises(DataError, match=r"own has no repetitions.*\n.*data\.repetition"):
        ceiling_of(write_study(tmp_path), method=method)
    with pytest.raises(JaxscoreError, match=f"{method} of repetitions is no ceiling of cka\n.*holdout"):
        ceiling_of(write_study(tmp_path, responses(repetitions=2), metric="cka"), method=method)


@pytest.mark.parametrize("method", ["extrapolation", "holdout"])
def test_one_subject_is_predicted_from_nobody(tmp_path, method):
    with pytest.raises(DataError, match="own has one subject, 's0': nobody") as caught:
        ceiling_of(write_study(tmp_path, responses(1)), method=method)
    assert "np.str_" not in str(caught.value)
    assert "split-half" in caught.value.hint


def test_two_subjects_make_no_curve(tmp_path):
    with pytest.raises(DataError, match="a curve needs two sizes"):
        ceiling_of(write_study(tmp_path, responses(2)))


def test_many_subjects_have_too_many_subsets(tmp_path):
    path = write_study(tmp_path, responses(11))
    with pytest.raises(
        DataError, match=r"own has 11 subjects: there are 2,048 subsets[^\n]*\n.*--subsets 10 --held-out 5"
    ):
        ceiling_of(path)
    assert 0 < ceiling_of(path, method="holdout")[0].attrs["whole"] < 1


def test_drawn_subsets(tmp_path):
    """Fewer than all, so that the curve is another one."""
    path = write_study(tmp_path)
    drawn, every = (ceiling_of(path, **more, **QUICK)[0] for more in ({"subsets": 2, "held_out": 1}, {}))
    assert drawn["size"].values.tolist() == every["size"].values.tolist()
    assert np.nanmax(np.abs(drawn["points"].values - every["points"].values)) > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "bootstrap"}, "--method 'bootstrap'"),
        ({"over": "voxels"}, "--over 'voxels': .*'subjects' or 'electrodes'"),
        ({"subsets": 0}, "--subsets 0"),
        ({"held_out": -1}, "--held-out -1"),
        ({"bootstraps": 0}, "--bootstraps 0"),
        ({"splits": "grouppd"}, "Did you mean 'grouped'"),
        ({"folds": 2}, "2 folds are too few"),
        ({"regression": "lasso"}, "Not a regression: lasso"),
        ({"data": "nowhere.csv"}, r"nowhere\.csv"),
    ],
)
def test_typing_errors(tmp_path, options, message):
    with pytest.raises(JaxscoreError, match=message) as caught:
        ceiling_of(write_study(tmp_path), **options)
    if "method" in options:
        assert all(method in str(caught.value) for method in METHODS)


# --- what is written ------------------------------------------------------------------------------------------------


def test_table_and_figure(tmp_path):
    path, out = write_study(tmp_path), tmp_path / "out"
    found, paths = ceiling_of(path, out=out, **QUICK)
    assert [own.suffix for own in paths] == [".nc", ".png"]
    assert sorted(paths) == sorted(out.rglob("*.*"))
    assert all("own" in str(own.relative_to(out)) and "extrapolation" in own.name for own in paths)
    with xr.open_dataset(paths[0], engine="h5netcdf") as file:
        xr.testing.assert_identical(file.load(), found)
    assert json.loads(found.attrs["notes"]) == []
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    before = [own.read_bytes() for own in paths]
    again, same = ceiling_of(path, out=out, **QUICK)
    xr.testing.assert_identical(again, found)
    assert same == paths
    assert [own.read_bytes() for own in paths] == before
    _, others = ceiling_of(path, out=out, method="holdout")
    assert not set(others) & set(paths)


def test_a_folder_that_cannot_be_written(tmp_path, cache):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"The ceiling cannot be written to .*file.*It is in the cache") as caught:
        ceiling_of(write_study(tmp_path), method="holdout", out=tmp_path / "file")
    assert "--out" in caught.value.hint
    assert len(list((cache / "ceilings").iterdir())) == 1
    assert (tmp_path / "file").read_text() == ""
