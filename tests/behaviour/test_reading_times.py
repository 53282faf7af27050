"""Correlation of surprisal and responses: scipy on what is left, who is counted, signs, subjects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from jaxscore.behaviour.reading_times import correlate, pearson, shift_by_word
from jaxscore.errors import DataError


@pytest.fixture
def readers():
    """Surprisal of 60 words, and 7 readers of whom none has read word 5 and each lacks some others."""
    rng = np.random.default_rng(3)
    surprisal = rng.gamma(4, 2, 60)
    responses = 300 + 5 * surprisal[:, None] + rng.normal(0, 40, (60, 7))
    responses[rng.random(responses.shape) < 0.2] = np.nan
    responses[5] = np.nan
    surprisal[0] = np.nan
    return surprisal, responses


def test_the_mean_reader_is_scipys(readers):
    surprisal, responses = readers
    keep = np.arange(60) % 10 != 3
    rows = [i for i in range(60) if keep[i] and i not in (0, 5)]
    mean = [np.mean([v for v in responses[i] if v == v]) for i in rows]
    found = correlate(surprisal, responses, keep=keep)
    assert abs(found.r - abs(pearsonr(surprisal[rows], mean).statistic)) < 1e-12
    assert (found.n, found.left_out, found.unread, found.unpredicted) == (52, 6, 1, 1)


def test_subjects_are_read_by_themselves(readers):
    surprisal, responses = readers
    found = correlate(surprisal, responses)
    for column, r in zip(responses.T, found.subjects, strict=True):
        own = np.isfinite(column) & np.isfinite(surprisal)
        assert abs(r - pearsonr(surprisal[own], column[own]).statistic) < 1e-12


def test_the_sign_of_a_component(readers):
    surprisal, responses = readers
    amplitudes = 300 - responses  # an N400 grows downwards
    amplitudes[:, 6] *= -1
    signed, published = (correlate(surprisal, amplitudes, absolute=flag) for flag in (False, True))
    assert signed.r < -0.2
    assert published.r == -signed.r
    assert signed.subjects[6] > 0 > signed.subjects[0]
    np.testing.assert_array_equal(published.subjects, -signed.subjects)


def test_subjects_that_say_nothing_are_nan(readers):
    surprisal, responses = readers
    responses[:, 1] = 400.0
    responses[:, 2] = np.nan
    responses[10:12, 2] = 1.0, 2.0
    found = correlate(surprisal, responses)
    assert np.flatnonzero(np.isnan(found.subjects)).tolist() == [1, 2]
    assert np.isfinite(found.r)


def test_constants_have_no_correlation():
    x = np.arange(5.0)
    assert np.isnan(pearson(x, np.full(5, 0.1)))
    assert np.isnan(pearson(np.full(5, 1e9) + 1e-6 * (x % 2), x))
    assert np.isnan(pearson(x[:2], x[:2]))
    assert pearson(x, -x) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, y: (s[:-1], y, None), "shapes"),
        (lambda s, y: (s, y[:, 0], None), "shapes"),
        (lambda s, y: (s, y, np.ones(len(s))), "keep is float64"),
        (lambda s, y: (s, np.where(np.arange(len(s))[:, None] == 9, np.inf, y), None), "7 responses are infinite"),
        (lambda s, y: (s, y, np.arange(len(s)) < 3), "2 of 60 words are left: 57 are not kept, 0 have no response, 1"),
    ],
)
def test_what_does_not_fit_is_refused(readers, change, message):
    surprisal, responses, keep = change(*readers)
    with pytest.raises(DataError, match=message):
        correlate(surprisal, responses, keep=keep)


def test_shift_stays_within_stories():
    stories = ["b", "b", "b", "a", "a"]
    later = shift_by_word([1.0, 2, 3, 4, 5], stories)
    np.testing.assert_array_equal(later, [np.nan, 1, 2, np.nan, 4])
    table = np.arange(10.0).reshape(5, 2)
    np.testing.assert_array_equal(shift_by_word(table, stories, -1)[:, 1], [3, 5, np.nan, 9, np.nan])
    np.testing.assert_array_equal(shift_by_word(table, stories, 0), table)
