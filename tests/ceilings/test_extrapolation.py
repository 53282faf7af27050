"""Extrapolated ceilings against section 6 of the published pipeline, neuroid by neuroid in plain loops."""

import os
import subprocess
import sys

import numpy as np
import pytest
from ceilings.loops import protocol, responses, whole

from jaxscore.ceilings.collect import Collected, collect
from jaxscore.ceilings.curves import fit
from jaxscore.ceilings.extrapolation import extrapolate
from jaxscore.ceilings.pools import Plan
from jaxscore.errors import DataError

SCRIPT = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from ceilings.loops import protocol, responses, whole
from jaxscore.ceilings.collect import collect
from jaxscore.ceilings.extrapolation import extrapolate
from jaxscore.ceilings.pools import Plan
Y, subjects, units = responses((4, 5, 3, 4, 5))
found = extrapolate(collect(Y, subjects, units, protocol=protocol(), plan=Plan(4, 3, seed=2), **whole(Y)), 20, seed=3)
print(found.center.tobytes().hex(), found.error_low.tobytes().hex(), found.seed)
"""


def looped(collected, bootstraps, seed):
    """(centre, low, high, end) of each target, from the dense values of one part."""
    out = []
    for i in range(len(collected.targets)):
        values = {}
        for k in collected.sizes:
            own = collected.dense(k)[:, 0, :, i]
            own = own[~np.isnan(own).any(1)]
            if own.size:
                values[k] = own.ravel()
        rng = np.random.RandomState(seed)
        means = [
            [np.mean(rng.choice(each, size=len(each), replace=True)) for each in values.values()]
            for _ in range(bootstraps)
        ]
        params = np.stack(fit(np.array(list(values), float), np.array(means))[:2], 1)
        x = np.arange(1000)
        with np.errstate(divide="ignore", invalid="ignore"):
            ys = np.array([np.where(x > 0, v0 * (1 - np.exp(-x / tau0)), 0) for v0, tau0 in params])
        end = np.flatnonzero(np.diff(np.median(ys, 0)) < 5e-4)[0]
        low, high = np.percentile(ys[:, end], [2.5, 97.5])
        center = np.median(params[:, 0])
        out.append((center, center - low, high - center, end))
    return np.array(out).T


@pytest.fixture(scope="module")
def collected():
    Y, subjects, units = responses((4, 5, 3, 4, 5), noise=0.7)
    return collect(Y, subjects, units, protocol=protocol(), plan=Plan(6, 4), **whole(Y))


def test_equals_loops(collected):
    found = extrapolate(collected, 15, seed=5)
    for ours, theirs in zip(
        (found.center, found.error_low, found.error_high, found.endpoint), looped(collected, 15, 5), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    assert found.whole().center > 0.3
    assert found.v0.shape == found.tau0.shape == (21, 15)
    assert (found.seed, found.failed, found.sizes) == (5, 0, (2, 3, 4, 5))
    np.testing.assert_allclose(found.means[:, 1], np.nanmean(collected.dense(3), (0, 1, 2)), rtol=1e-12)


def altered(collected, change):
    """A copy with the values of one subject changed."""
    values = {subject: {k: v.copy() for k, v in own.items()} for subject, own in collected.values.items()}
    change(values)
    return Collected(collected.sizes, collected.parts, collected.targets, collected.subjects, values, collected.subsets)


def test_a_missing_value_drops_the_subset_of_that_target_alone(collected):
    def change(values):
        values["s1"][3][0, 0, 2, 1] = np.nan
        values["s2"][4][:, 0, 0, 0] = np.nan  # no subset of this size is left
        for own in values["s3"].values():
            own[..., 2] = np.nan  # nothing at all

    holes = altered(collected, change)
    before, found = extrapolate(collected, 15), extrapolate(holes, 15)
    changed = np.flatnonzero(~(before.v0 == found.v0).all(1))
    lost = np.flatnonzero(collected.subjects == "s3")[2]
    places = {np.flatnonzero(collected.subjects == "s1")[1], np.flatnonzero(collected.subjects == "s2")[0], lost}
    assert set(changed.tolist()) == places
    assert found.failed == 15
    for column in (found.center, found.error_low, found.error_high, found.endpoint, found.means[:, 0]):
        assert np.flatnonzero(np.isnan(column)).tolist() == [lost]
    rest = np.delete(np.arange(21), lost)
    kept = altered(holes, lambda values: values.update(s3={k: np.delete(v, 2, -1) for k, v in values["s3"].items()}))
    kept = Collected(kept.sizes, kept.parts, kept.targets[rest], kept.subjects[rest], kept.values, kept.subsets)
    ours = np.stack([found.center, found.error_low, found.error_high, found.endpoint])[:, rest]
    np.testing.assert_allclose(ours, looped(kept, 15, 0), rtol=0, atol=1e-9)
    assert np.isfinite(found.whole().center)


def test_whole_and_subjects(collected):
    found = extrapolate(collected, 15)
    mask = np.arange(21) % 2 == 0
    assert found.whole().center == np.median(found.center)
    assert found.whole(mask).error_low == np.median(found.error_low[mask])
    assert found.whole(mask).endpoint == np.median(found.endpoint[mask])
    one, means = found.by_subject()["s2"]
    own = found.subjects == "s2"
    assert one.center == np.median(found.center[own])
    np.testing.assert_array_equal(means, np.median(found.means[own], 0))
    assert list(found.by_subject()) == [f"s{i}" for i in range(5)]


def test_known_curves_are_recovered():
    """Values on a curve without noise: the asymptote is the ceiling and every interval is nothing."""
    sizes, v0, tau0 = (2, 3, 4, 5), np.array([0.2, 0.5, 0.9]), np.array([1.0, 3.0, 9.0])
    values = {"a": {k: np.broadcast_to(v0 * (1 - np.exp(-k / tau0)), (3, 1, 2, 3)) for k in sizes}}
    subsets = {"a": {k: np.arange(3) for k in sizes}}
    found = extrapolate(Collected(sizes, ("all",), np.arange(3), np.array(["a"] * 3), values, subsets), 10)
    np.testing.assert_allclose(found.center, v0, rtol=1e-9)
    np.testing.assert_allclose(found.tau0, np.broadcast_to(tau0[:, None], (3, 10)), rtol=1e-8)
    # v' = v0 / tau0 exp(-x / tau0): where the rise over one x is 5e-4
    steps = -tau0 * np.log(5e-4 / (v0 * (1 - np.exp(-1 / tau0))))
    np.testing.assert_array_equal(found.endpoint, np.ceil(steps))
    below = v0 * np.exp(-found.endpoint / tau0)
    np.testing.assert_allclose(found.error_low, below, atol=1e-9)
    np.testing.assert_allclose(found.error_high, -below, atol=1e-9)


@pytest.mark.parametrize("name", ["rdm", "cka"])
def test_subjects_as_units(name):
    Y, subjects, units = responses((8, 9, 7, 8), noise=0.3)
    collected = collect(Y, subjects, units, protocol=protocol(name=name), plan=Plan(), **whole(Y))
    found = extrapolate(collected, 10)
    np.testing.assert_allclose(found.center, looped(collected, 10, 0)[0], atol=1e-9)
    assert found.targets.tolist() == [0, 1, 2, 3]
    assert (found.center > 0.2).all()


def test_two_subjects_make_no_curve():
    Y, subjects, units = responses((4, 5))
    collected = collect(Y, subjects, units, protocol=protocol(), plan=Plan(), **whole(Y))
    with pytest.raises(DataError, match="needs 3 subjects or more; with 2, hold one subject out"):
        extrapolate(collected)


def test_progress(collected):
    seen = []
    extrapolate(collected, 3, step=lambda phase, amount: seen.append((phase, amount)))
    assert seen == [("curves", 21)]


def test_the_same_under_any_hash_seed():
    tests = os.path.dirname(os.path.dirname(__file__))
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, tests], env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE
        )
        for seed in ("0", "1")
    ]
    outputs = [process.communicate()[0] for process in running]
    assert outputs[0].endswith(b" 3\n")
    assert outputs[0] == outputs[1]
