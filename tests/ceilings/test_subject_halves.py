"""Split halves of subjects against the published procedure, written anew; words that a half has not read."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from jaxscore.ceilings.subject_halves import subject_halves
from jaxscore.errors import DataError


def by_hand(responses: np.ndarray, splits: int = 10, seed: int = 0) -> list[tuple[float, int]]:
    """|r| and words of each split, from the text of the protocol."""
    names = [f"reader {i}" for i in range(responses.shape[1])]
    state, found = np.random.RandomState(seed), []
    for _ in range(splits):
        drawn = set(state.choice(names, size=len(names) // 2, replace=False))
        means = []
        for inside in (True, False):
            columns = [i for i, name in enumerate(names) if (name in drawn) == inside]
            rows = [[row[i] for i in columns if row[i] == row[i]] for row in responses]
            means.append(np.array([np.mean(row) if row else np.nan for row in rows]))
        both = np.isfinite(means).all(0)
        found.append((abs(pearsonr(means[0][both], means[1][both]).statistic), int(both.sum())))
    return found


@pytest.fixture
def responses():
    rng = np.random.default_rng(2)
    table = rng.normal(size=(80, 1)) + rng.normal(0, 2, (80, 9))
    table[rng.random(table.shape) < 0.1] = np.nan
    return table


def test_the_published_draws(responses):
    found, expected = subject_halves(responses), by_hand(responses)
    r = np.array([r for r, _ in expected])
    np.testing.assert_allclose(found.raw, r, atol=1e-12)
    np.testing.assert_allclose(found.corrected, 2 * r / (1 + r), atol=1e-12)
    assert found.ceiling == pytest.approx(np.median(2 * r / (1 + r)), abs=1e-12)
    assert (found.presentations == 80).all()
    assert subject_halves(responses, splits=3, seed=5).raw == pytest.approx([r for r, _ in by_hand(responses, 3, 5)])


def test_a_word_that_a_half_has_not_read_is_left_out_of_that_split(responses):
    responses[10, 1:] = np.nan
    responses[11] = np.nan
    responses[10, 0] = 1.0
    expected = by_hand(responses)
    found = subject_halves(responses)
    np.testing.assert_allclose(found.raw, [r for r, _ in expected], atol=1e-12)
    assert found.presentations.tolist() == [n for _, n in expected] == [78] * 10


def test_splits_that_say_nothing_do_not_lose_the_ceiling():
    """Two groups of readers who have one word in common: halves that part them have nothing to correlate."""
    rng = np.random.default_rng(4)
    table = rng.normal(size=(20, 1)) + rng.normal(0, 0.5, (20, 4))
    table[:10, :2] = table[11:, 2:] = np.nan
    found = subject_halves(table, splits=20)
    lost = found.presentations < 3
    assert 0 < lost.sum() < 20
    np.testing.assert_array_equal(np.isnan(found.raw), lost)
    assert found.ceiling == np.median(found.corrected[~lost])


@pytest.mark.parametrize(
    ("shape", "splits", "fill"),
    [((2, 5), 10, 0.0), ((5, 1), 10, 0.0), ((5, 4), 0, 0.0), ((5, 4), 3, np.nan), ((5, 4), 3, np.inf)],
)
def test_what_has_no_halves(shape, splits, fill):
    table = np.random.default_rng(0).normal(size=shape)
    table[1:] = fill if fill else table[1:]
    with pytest.raises(DataError):
        subject_halves(table, splits=splits)
