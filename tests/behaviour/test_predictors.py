"""Predictors by hand, tables of counts, and what surprisal adds against scikit-learn story by story."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import LinearRegression

from jaxscore.behaviour.predictors import delta_r, read_frequencies, word_predictors
from jaxscore.errors import DataError

WORDS = pd.DataFrame(
    {
        "word": ["The", "'Owl's", "nest,", "It", "--"],
        "story_id": [1, 1, 1, 2, 2],
        "word_within_sentence_id": [1, 2, 3, 1, 2],
    },
    index=[7, 8, 9, 10, 11],
)


def test_predictors_by_hand():
    found = word_predictors(WORDS, {"the": 1023, "The": 7, "Owl's": 3, "nest": 15, "it": 1})
    assert found.index.tolist() == WORDS.index.tolist()
    nan = np.nan
    expected = {
        "length": [3, 4, 4, 2, 0],
        "log_frequency": [3, 2, 4, 1, 0],
        "previous_length": [nan, 3, 4, nan, 2],
        "previous_log_frequency": [nan, 3, 2, nan, 1],
        "sentence_initial": [1, 0, 0, 1, 0],
        "position": [1, 2, 3, 1, 2],
    }
    assert list(found) == list(expected)
    np.testing.assert_array_equal(found.to_numpy(), np.array(list(expected.values()), float).T)
    assert found.attrs["unknown"] == 1


def test_frequency_may_be_left_out():
    assert list(word_predictors(WORDS)) == ["length", "previous_length", "sentence_initial", "position"]
    with pytest.raises(DataError, match="no column story_id"):
        word_predictors(WORDS.rename(columns={"story_id": "story"}))


def test_counts_of_natural_stories(tmp_path):
    path = tmp_path / "freqs-1.tsv"
    path.write_text(
        "1.1.whole\t1\t' It 's\t9\tNA\n1.1.word\t1\tIt 's\t26\tNA\n1.1.1\t1\t'\t5\tNA\n1.1.2\t1\tIt\t278\tNA\n"
        "1.2.whole\t1\tMr.\t29\tNA\n1.2.1\t1\tMr.\t29\tNA\n10.3.whole\t1\tking !\t0\tNA\n10.3.word\t1\tking\t4\tNA\n"
    )
    assert read_frequencies(path) == {"'It's": 26, "It's": 26, "Mr.": 29, "king!": 4, "king": 4}


@pytest.mark.parametrize(("name", "separator"), [("counts.csv", ","), ("counts.tsv", "\t")])
def test_a_table_of_counts(tmp_path, name, separator):
    path = tmp_path / name
    rows = [["rank", "word", "count"], ["1", "the", "100"], ["2", "null", "2.5"]]
    path.write_text("\ufeff" + "".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    assert read_frequencies(path) == {"the": 100, "null": 2.5}


@pytest.mark.parametrize("content", ["word,count\nthe,many\n", "word,count\nthe\n", "word,n\nthe,1\n", ""])
def test_no_table_of_counts(tmp_path, content):
    path = tmp_path / "counts.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=r"counts\.csv"):
        read_frequencies(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_frequencies(tmp_path / "none.csv")


@pytest.mark.parametrize("spillover", [True, False])
def test_what_surprisal_adds(spillover):
    rng = np.random.default_rng(0)
    stories = np.repeat([3, 1, 2], [40, 30, 50])
    controls = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    controls.iloc[[0, 40, 70], 2] = np.nan  # first words have no word before them
    surprisal = rng.gamma(3, 1, 120) + 0.5 * controls["a"]
    before = np.concatenate([[0], surprisal[:-1]])
    times = (20 * controls["b"].fillna(0) + 10 * surprisal + 5 * before).to_numpy()[:, None] + rng.normal(
        0, 20, (120, 4)
    )
    times[rng.random(times.shape) < 0.3] = np.nan
    times[50] = np.nan
    surprisal[100] = np.nan
    keep = np.arange(120) % 11 != 4

    mean = pd.DataFrame(times).mean(axis=1).to_numpy()
    own = surprisal.to_numpy()[:, None]
    last = np.r_[np.nan, surprisal[:-1]][:, None]
    last[[0, 40, 70]] = np.nan
    with_surprisal = np.hstack([controls, own, last] if spillover else [controls, own])
    rows = keep & np.isfinite(with_surprisal).all(1) & np.isfinite(mean)
    expected = []
    for X in (controls.to_numpy(), with_surprisal):
        for story in (1, 2, 3):
            train, test = rows & (stories != story), rows & (stories == story)
            predicted = LinearRegression().fit(X[train], mean[train]).predict(X[test])
            expected.append(pearsonr(predicted, mean[test]).statistic)
    expected = np.reshape(expected, (2, 3))

    found = delta_r(surprisal, times, controls, stories, keep=keep, spillover=spillover)
    np.testing.assert_allclose(found.folds, expected, atol=1e-9)
    np.testing.assert_allclose(
        [found.controls, found.full, found.delta], [*expected.mean(1), np.diff(expected.mean(1))[0]], atol=1e-9
    )
    assert found.n == rows.sum()
    assert found.delta > 0.05


def test_one_story_predicts_nothing():
    rng = np.random.default_rng(1)
    controls = pd.DataFrame({"a": rng.normal(size=20)})
    with pytest.raises(DataError, match="19 words of 1 stories"):
        delta_r(rng.normal(size=20), rng.normal(size=(20, 2)), controls, ["x"] * 20)
