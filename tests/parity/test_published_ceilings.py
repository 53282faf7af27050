"""Checks of the references of the published ceilings: curves found again, and metrics whose ceiling is known."""

from __future__ import annotations

import numpy as np
import pytest
from parity import published_ceilings as ceilings
from parity import published_curves as curves
from parity import published_metrics as metrics
from parity import published_scores as scores
from scipy import optimize

EXPERIMENTS = ("243sentences", "384sentences")


# --- the curve ------------------------------------------------------------------------------------------------------


def test_a_curve_is_found_again():
    x = np.arange(2, 8.0)
    truth = [(v0, tau0) for v0 in (0.01, 0.4, 1.0) for tau0 in (0.3, 1.0, 4.0, 60.0)]
    v0, tau0 = curves.fit_curves(x, np.array([curves.curve(x, *pair) for pair in truth]))
    np.testing.assert_allclose(np.column_stack([v0, tau0]), truth, rtol=1e-7)


def test_flat_and_falling_values_are_their_mean_and_negative_ones_0():
    x = np.arange(2, 7.0)
    v0, tau0 = curves.fit_curves(x, np.array([np.full(5, 0.3), 0.5 - 0.02 * x, -0.1 + 0.01 * x, np.full(5, 1.7)]))
    np.testing.assert_allclose(v0, [0.3, 0.42, 0.0, 1.0])
    np.testing.assert_array_equal(tau0, [0, 0, np.nan, 0])


@pytest.mark.parametrize("n_points", [4, 9])
def test_the_fit_is_never_worse_than_curve_fit_and_equals_it_when_that_converges(n_points: int):
    rng = np.random.default_rng(n_points)
    x = np.arange(2, 2.0 + n_points)
    shapes = [curves.curve(x, v0, tau0) for v0 in (0.1, 0.5, 0.9) for tau0 in (0.5, 3, 12)]
    shapes += [1.6 * curves.curve(x, 1, 10), 0.4 - 0.01 * x, 0 * x, -0.05 * x, -0.1 + 0.03 * x]
    Y = np.array([shape + noise * rng.standard_normal(n_points) for shape in shapes for noise in (0.002, 0.03)])
    close = []
    for y, v0, tau0 in zip(Y, *curves.fit_curves(x, Y), strict=True):
        tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "max_nfev": 20_000}
        with np.errstate(over="ignore"):
            theirs, _ = optimize.curve_fit(
                lambda x, v0, tau0: v0 * (1 - np.exp(-x / tau0)), x, y, bounds=([0, -np.inf], [1, np.inf]), **tight
            )
        assert theirs[1] > 0
        ours = np.sum((curves.curve(x, v0, tau0) - y) ** 2)
        assert ours <= np.sum((curves.curve(x, *theirs) - y) ** 2) * (1 + 1e-12)
        close.append(abs(theirs[0] - v0) < 1e-5)
    assert np.mean(close) >= 0.9  # the others are where curve_fit stops in another minimum


def test_extrapolation_of_exact_curves_gives_v0_and_drops_subsets_with_nan():
    values = {k: np.full((3, 5), 0.6 * (1 - np.exp(-k / 2))) for k in range(2, 6)}
    result = curves.extrapolate(values, 7)
    np.testing.assert_allclose([result["centre"], result["low"] / result["high"]], [0.6, 1])
    assert result["end"] == next(x for x in range(999) if 0.6 * np.exp(-x / 2) * (1 - np.exp(-0.5)) < 5e-4)
    holed = {k: np.vstack([v, [0.9, 0.9, np.nan, 0.9, 0.9]]) for k, v in values.items()}
    assert curves.extrapolate(holed, 7)["centre"] == result["centre"]
    assert np.isnan(curves.extrapolate({2: np.full((1, 5), np.nan)})["centre"])


def test_bootstraps_are_drawn_anew_for_every_neuroid_k_after_k():
    rng = np.random.default_rng(0)
    values = {k: 0.5 * (1 - np.exp(-k / 2)) + 0.05 * rng.standard_normal((4, 5)) for k in (2, 3, 4)}
    draws = np.random.RandomState(0)
    first = [np.mean(values[k].ravel()[draws.choice(20, 20)]) for k in (2, 3, 4)]
    one = curves.extrapolate(values, 1)
    assert one["centre"] == pytest.approx(curves.fit_curves(np.array([2, 3, 4]), np.array([first]))[0][0], abs=1e-12)
    again = curves.extrapolate(dict(reversed(values.items())), 1)
    assert again["centre"] == one["centre"]


# --- ceilings -------------------------------------------------------------------------------------------------------


def rising(per_subject: int, n_targets: int, per_neuroid: bool) -> ceilings.Metric:
    """A metric that gives .6 (1 - exp(-k / 2)) where the pool of sources has k - 1 subjects, whatever they say."""

    def metric(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        assert not np.isnan(source).any()
        assert not np.isnan(target).any()
        assert target.shape[1] == n_targets
        k = 1 + source.shape[1] / per_subject
        return np.full((5, target.shape[1]) if per_neuroid else 5, 0.6 * (1 - np.exp(-k / 2)))

    return metric


@pytest.mark.parametrize("per_neuroid", [True, False])
def test_ceilings_of_pools_that_predict_along_a_curve_are_its_v0(blank, per_neuroid: bool):
    result = ceilings.extrapolation(blank[1], rising(12, 12, per_neuroid), 3)
    np.testing.assert_allclose(result["raw"], np.full(60 if per_neuroid else 5, 0.6))
    assert result["centre"] == pytest.approx(0.6)
    left = 0.6 * np.exp(-result["end"][0] / 2)  # what the curve still lacks where the interval is read
    assert (result["error_low"], result["error_high"]) == pytest.approx((left, -left), abs=1e-9)


@pytest.mark.parametrize("by_subject", [True, False])
def test_pereira_ceilings_average_experiments_and_keep_to_language(pereira, by_subject: bool):
    data = pereira[1]
    names = sorted(set(data["subject"].tolist()))
    have = {EXPERIMENTS[0]: names[:5], EXPERIMENTS[1]: names[1:]}
    subsets = {(e, k): [tuple(of[:k]), tuple(of[-k:])] for e, of in have.items() for k in range(2, 6)}
    held = {key: [pool * 2 for pool in pools] for key, pools in subsets.items()}
    curve = rising(5 * 4, 4 if by_subject else 20, not by_subject)  # 5 atlases that count, 4 voxels each
    lower = {EXPERIMENTS[0]: curve, EXPERIMENTS[1]: lambda x, y: curve(x, y) / 3}
    result = ceilings.pereira_extrapolation(data, lower, subsets, held, 3, by_subject)
    used = names if by_subject else scores.usable(data)["subject"]
    raw = result["all_raw"]
    assert len(raw) == len(used)
    np.testing.assert_allclose(raw[used == names[0]] if not by_subject else raw[:1], 0.6)
    np.testing.assert_allclose(raw[used == names[5]] if not by_subject else raw[5:], 0.2)
    assert len(result["raw"]) == (6 if by_subject else 6 * 4)


def test_platform_ceiling_of_one_experiment_uses_all_neuroids_of_the_pool(pereira):
    data = scores.experiment_part(*pereira, EXPERIMENTS[0])[1]
    names = sorted(set(data["subject"].tolist()))
    own, others = data["subject"] == names[0], data["subject"] != names[0]

    def metric(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return metrics.encoding(source, target, metrics.shuffled(len(source)), metrics.ols, metrics.pearson_guarded)

    key = (EXPERIMENTS[0], 5)
    result = ceilings.pereira_extrapolation(data, {key[0]: metric}, {key: [tuple(names)]}, {key: [names[:1]]}, 4)
    by_hand = metric(data["responses"][:, others], data["responses"][:, own])
    for centre, r in zip(result["raw"][own], by_hand.T, strict=True):
        assert centre == curves.extrapolate({5: r[None]}, 4)["centre"]
    assert np.isnan(result["raw"][others]).all()


def test_electrode_ceilings_extrapolate_over_electrodes(fedorenko):
    data = fedorenko[1]
    choices = ceilings.electrode_choices(data, n_choices=2)
    assert {n for held, n in choices if held == data["subject_UID"][0]} == {5, 10, 15, 20}
    assert all((data["subject_UID"][draw] != held).all() for (held, _), pool in choices.items() for draw in pool)

    def metric(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.full((5, target.shape[1]), 0.7 * (1 - np.exp(-source.shape[1] / 8)))

    np.testing.assert_allclose(ceilings.electrode_extrapolation(data, metric, choices, 3)["raw"], np.full(25, 0.7))


def test_reading_time_ceilings_of_readers_who_agree(futrell):
    X, data = futrell
    alike = {**data, "responses": np.where(np.isnan(data["responses"]), np.nan, X[:, :1])}
    halves = {2: [[(np.array([0]), np.array([1]))] * 3], 7: [[(np.arange(3), np.arange(3, 7))]]}
    assert ceilings.futrell_extrapolation(alike, halves, 3)["centre"] == pytest.approx(1)
    assert ceilings.futrell_split_half(alike)["centre"] == pytest.approx(1)
    pairs = ceilings.futrell_halves(data)
    assert all(sorted([*one, *two]) == list(range(12)) and len(one) == 6 for one, two in pairs)
    few = {**alike, "responses": np.where(np.arange(len(X))[:, None] < 9, alike["responses"], np.nan)}
    assert np.isnan(ceilings.futrell_extrapolation(few, halves, 3)["centre"])


def test_spearman_brown_by_hand():
    a, b = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    values = np.column_stack([a, b, a, b])
    result = ceilings.split_half(values, [(np.array([0, 2]), np.array([1, 3])), (np.array([0, 1]), np.array([2, 3]))])
    np.testing.assert_allclose(result["uncorrected"], [0.8, 1.0])
    np.testing.assert_allclose(result["raw"], [1.6 / 1.8, 1.0])
    assert result["centre"] == pytest.approx(np.mean(result["raw"]))
