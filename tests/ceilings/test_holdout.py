"""Hold-one-subject-out ceilings against loops."""

import numpy as np
import pytest
from ceilings.loops import predicted, protocol, responses, whole

from jaxscore.ceilings.holdout import holdout
from jaxscore.errors import DataError
from jaxscore.metrics.measure import Rows


@pytest.mark.parametrize("widths", [(50, 60, 45), (5, 6, 7), (9, 8)])
def test_equals_loops(widths):
    Y, subjects, units = responses(widths)
    found = holdout(Y, subjects, units, protocol=protocol(), **whole(Y))
    medians = []
    for subject in sorted(set(subjects)):
        own = subjects == subject
        r = predicted(Y[:, ~own], Y[:, own]).mean(0)
        np.testing.assert_allclose(found.r[own], r, rtol=0, atol=1e-9)
        medians.append(np.median(r))
    np.testing.assert_allclose(list(found.medians.values()), medians, atol=1e-9)
    np.testing.assert_allclose([found.center, found.error], [np.mean(medians), np.std(medians)], atol=1e-9)
    np.testing.assert_array_equal(found.targets, np.arange(len(subjects)))


def test_parts_with_other_subjects():
    """Others are those who have the part; parts are averaged where both are there."""
    Y, subjects, units = responses((6, 7, 8, 9), stimuli=70)
    parts = {"first": np.arange(30), "second": np.arange(30, 70)}
    Y[:30, subjects == "s3"] = np.nan
    found = holdout(Y, subjects, units, parts, protocol(), Rows(70))
    first, second = np.full((2, 30), np.nan)
    for out, rows, names in ((first, parts["first"], "s0 s1 s2"), (second, parts["second"], "s0 s1 s2 s3")):
        for subject in names.split():
            pool = np.isin(subjects, names.split()) & (subjects != subject)
            out[subjects == subject] = predicted(Y[np.ix_(rows, pool)], Y[np.ix_(rows, subjects == subject)]).mean(0)
    np.testing.assert_allclose(found.r, np.nanmean([first, second], 0), atol=1e-9)
    assert list(found.medians) == ["s0", "s1", "s2", "s3"]


def test_scored_and_units():
    Y, subjects, units = responses((6, 7, 8))
    scored = np.arange(21) % 2 == 0
    found = holdout(Y, subjects, units, protocol=protocol(), scored=scored, **whole(Y))
    np.testing.assert_array_equal(found.targets, np.flatnonzero(scored))
    found = holdout(Y, subjects, units, protocol=protocol(name="cka"), **whole(Y))
    np.testing.assert_array_equal(found.targets, [0, 1, 2])
    np.testing.assert_array_equal(list(found.medians.values()), found.r)


def test_one_subject():
    Y, subjects, units = responses((6,))
    with pytest.raises(DataError, match=r"There is 1 subject here \(\['s0'\]\)[^\n]*\nThese ceilings need 2 subjects"):
        holdout(Y, subjects, units, protocol=protocol(), **whole(Y))
