"""From values on folds to scores, by hand on arrays of a few numbers."""

from __future__ import annotations

import numpy as np
import pytest

from jaxscore.metrics.aggregate import DEVIATION_SCALE, Ceiled, Rule, deviation, median_present

NAN = np.nan
OWNERS = np.array(["b", "a", "b", "a", "b"])  # subjects come out sorted, whatever their order here
CEILINGS = np.array([0.5, 1.0, 0.25, 0.5, NAN])
R = np.array(
    [
        [[0.2, 0.4, 0.1, NAN, 0.9], [0.4, 0.6, 0.3, NAN, 0.9]],
        [[0.1, NAN, 0.1, 0.2, 0.9], [NAN, NAN, 0.1, 0.4, 0.9]],
    ]
)
"""[part, fold, target]; the last target has no ceiling, the second is not in part 1, the fourth not in part 0."""


def test_by_subjects_by_hand():
    """Means over folds .3 .5 .2 and .1 .1 .3; over parts .2 .5 .15 .3; over the ceilings .4 .5 .6 .6."""
    found = Ceiled(OWNERS, CEILINGS).aggregate(R)
    np.testing.assert_allclose(found.subjects, [(0.5 + 0.6) / 2, (0.4 + 0.6) / 2])  # a, b
    assert float(found.score) == pytest.approx((0.55 + 0.5) / 2)
    assert float(found.unclipped) == float(found.score)
    assert float(found.error) == pytest.approx(DEVIATION_SCALE * 0.025)
    assert float(found.r) == pytest.approx((0.4 + 0.2) / 2)  # raw r keeps the target without a ceiling: .15 .2 .9 in b


def test_by_neuroids_by_hand():
    """Medians over targets of r / ceiling in each fold: .4 .8 in the first part, .4 .6 in the second."""
    found = Ceiled(OWNERS, CEILINGS, Rule("neuroids")).aggregate(R)
    np.testing.assert_allclose(found.score, (0.4 + 0.8 + 0.4 + 0.6) / 4)
    # folds over parts: .4 and .7
    np.testing.assert_allclose(found.error, DEVIATION_SCALE * 0.15)
    np.testing.assert_allclose(found.r, ((0.3 + 0.5) / 2 + (0.15 + 0.4) / 2) / 2)
    np.testing.assert_allclose(found.subjects, [0.55, 0.5])
    assert np.isnan([found.low, found.high]).all()


def test_layers_are_aggregated_one_by_one():
    rng = np.random.default_rng(0)
    r = rng.normal(0.3, 0.2, (2, 3, 2, 4, 5))
    r[0, 1, :, :, 2] = NAN
    for kind in ("subjects", "neuroids"):
        ceiled = Ceiled(OWNERS, CEILINGS, Rule(kind))
        found = ceiled.aggregate(r)
        for name in ("score", "unclipped", "error", "r", "subjects", "low", "high"):
            values = getattr(found, name)
            assert values.shape[:2] == (2, 3)
            for i, j in np.ndindex(2, 3):
                np.testing.assert_allclose(values[i, j], getattr(ceiled.aggregate(r[i, j]), name), rtol=1e-12)


@pytest.mark.parametrize("kind", ["subjects", "neuroids"])
def test_one_ceiling_for_all_divides_the_aggregate(kind):
    with_ceiling = Ceiled(OWNERS, np.full(5, 0.4), Rule(kind)).aggregate(R)
    without = Ceiled(OWNERS, np.ones(5), Rule(kind)).aggregate(R)
    for name in ("score", "error", "subjects"):
        np.testing.assert_allclose(getattr(with_ceiling, name), getattr(without, name) / 0.4)
    np.testing.assert_array_equal(with_ceiling.r, without.score)


@pytest.mark.parametrize("kind", ["subjects", "neuroids"])
def test_clipped_scores_keep_what_they_were(kind):
    owners = np.array(["a", "b"])
    for value, expected in ((0.9, 1.0), (-0.2, 0.0), (0.3, 0.6)):
        found = Ceiled(owners, np.full(2, 0.5), Rule(kind, clip=True)).aggregate(np.full((1, 3, 2), value))
        np.testing.assert_allclose([found.score, found.unclipped, found.r], [expected, value / 0.5, value])


VALUES = np.array([0.1, 0.2, 0.4, 0.8])
OF_FOUR = np.array(list("dcba"))


def of_subjects(values: np.ndarray, error: str = "mad"):
    """Each subject has one target, the same in each of two folds."""
    return Ceiled(OF_FOUR, np.ones(4), Rule(error=error)).aggregate(np.stack([values, values], -2)[..., None, :, :])


def test_errors_over_subjects():
    assert float(of_subjects(VALUES).score) == pytest.approx(0.3)
    assert float(of_subjects(VALUES, "mad").error) == pytest.approx(1.4826 * (0.1 + 0.2) / 2)
    assert float(of_subjects(VALUES, "sd").error) == pytest.approx(VALUES.std())
    # all 4^4 samples of four subjects are as likely
    samples = np.array(np.meshgrid(*[VALUES] * 4)).reshape(4, -1)
    assert float(of_subjects(VALUES, "bootstrap").error) == pytest.approx(np.median(samples, 0).std(), rel=0.05)


def test_intervals_hold_the_score_and_are_the_same_again():
    layers = np.stack([VALUES, VALUES[::-1] * 2, np.full(4, 0.3)])
    found, again = of_subjects(layers, "bootstrap"), of_subjects(layers, "bootstrap")
    assert (found.low <= found.score).all()
    assert (found.score <= found.high).all()
    np.testing.assert_allclose([found.low[0], found.high[0]], [0.1, 0.8])
    np.testing.assert_allclose([found.low[2], found.high[2], found.error[2]], [0.3, 0.3, 0], atol=1e-12)
    for name in ("low", "high", "error"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
    np.testing.assert_array_equal([of_subjects(layers).low, of_subjects(layers).high], [found.low, found.high])


@pytest.mark.parametrize("error", ["mad", "sd", "bootstrap"])
@pytest.mark.parametrize("kind", ["subjects", "neuroids"])
def test_where_there_is_no_score_there_is_no_error(kind, error):
    r = np.broadcast_to(VALUES, (2, 1, 3, 4)).copy()
    r[1] = NAN
    found = Ceiled(OF_FOUR, np.ones(4), Rule(kind, error=error)).aggregate(r)
    assert np.isnan([found.score[1], found.unclipped[1], found.error[1], found.r[1]]).all()
    assert np.isfinite([found.score[0], found.error[0]]).all()
    assert np.isnan(Ceiled(OF_FOUR, np.full(4, NAN), Rule(kind, error=error)).aggregate(r).error).all()


@pytest.mark.parametrize("error", ["mad", "sd", "bootstrap"])
def test_one_subject_has_an_error_over_folds(error):
    r = np.array([[[0.1, 0.3], [0.2, 0.2], [0.9, 0.7]]])
    ceiled = Ceiled(np.array(["a", "a"]), np.array([0.5, 1.0]), Rule(error=error))
    assert ceiled.over_folds
    found = ceiled.aggregate(r)
    folds = np.median(r[0] / [0.5, 1.0], 1)  # .25 .3 1.25
    assert float(found.error) == pytest.approx(DEVIATION_SCALE * np.median(np.abs(folds - np.median(folds))))
    assert np.isnan([found.low, found.high]).all()


def test_two_subjects_have_no_interval():
    found = Ceiled(OWNERS, CEILINGS).aggregate(R)
    assert np.isnan([found.low, found.high]).all()
    assert np.isfinite(found.error)


def test_a_subject_without_any_target_is_left_out_of_the_median():
    r = np.array([[[0.2, 0.4, NAN, 0.6]]])
    found = Ceiled(OF_FOUR, np.ones(4), Rule(error="sd")).aggregate(r)
    np.testing.assert_allclose(found.subjects, [0.6, NAN, 0.4, 0.2])
    np.testing.assert_allclose([found.score, found.error], [0.4, np.std([0.2, 0.4, 0.6])])


def test_a_missing_subject_counts_as_0_in_the_deviation():
    """As in the 2021 pipeline: deviations of 0 .2 .4 .6 from their median .3 are .3 .1 .1 .3."""
    assert float(deviation(np.array([0.6, NAN, 0.4, 0.2]))) == pytest.approx(1.4826 * 0.2)


def test_medians_of_what_is_there():
    values = np.array([[1.0, NAN, 3.0], [NAN, NAN, NAN]])
    np.testing.assert_array_equal(median_present(values, 1), [2, NAN])
    np.testing.assert_array_equal(median_present(values, 0), [1, NAN, 3])
