"""Natural Stories: sentences, the shift, and on the real corpus which way its times are off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jaxscore.behaviour.natural_stories import read_natural_stories, sentence_numbers
from jaxscore.behaviour.predictors import delta_r, read_frequencies, word_predictors
from jaxscore.behaviour.reading_times import correlate, shift_by_word
from jaxscore.errors import DataError, JaxscoreError

CORPUS = Path(__file__).resolve().parents[2] / "../shared/data/futrell2018_natural_stories"
real = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not at ../shared/data/futrell2018_natural_stories")
WORDS = [("One", 1, 1), ("'two.'", 2, 1), ("null", 3, 1), ("Three", 1, 2), ('"four"', 2, 2)]


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Two stories; the table of times is in another order, and its fourth word has none."""
    rows = [f"{word}\t{zone}\t{item}" for word, zone, item in WORDS]
    (tmp_path / "all_stories.tok").write_text("\n".join(["word\tzone\titem", *rows]) + "\n")
    times = [f"{row}\t{80 + i}\t{'NA' if i == 3 else 300 + i}\t{10 + i}\t1\t1" for i, row in enumerate(rows)]
    header = "word\tzone\titem\tnItem\tmeanItemRT\tsdItemRT\tgmeanItemRT\tgsdItemRT"
    (tmp_path / "processed_wordinfo.tsv").write_text("\n".join([header, *reversed(times)]) + "\n")
    return tmp_path


def test_a_row_a_word(corpus):
    found = read_natural_stories(corpus)
    assert found["word"].tolist() == [word for word, *_ in WORDS]
    assert found["word_core"].tolist() == ["One", "two", "null", "Three", "four"]
    assert found["sentence_id"].tolist() == [1, 1, 1, 1, 1]  # "null" is in lower case
    assert found["word_within_sentence_id"].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(found["rt"], [300, 301, 302, np.nan, 304])
    np.testing.assert_array_equal(found["n"], [80, 81, 82, 83, 84])


def test_shifted_times_belong_to_the_next_word_of_the_story(corpus):
    found = read_natural_stories(corpus, shift=1)
    np.testing.assert_array_equal(found["rt"], [np.nan, 300, 301, np.nan, np.nan])
    np.testing.assert_array_equal(found["sd"], [np.nan, 10, 11, np.nan, 13])


def test_the_rule_of_sentences():
    words = "Mr. Fox ran. He 'slept.' Then? not now! I; he said;' Yes. end. OK".split()
    assert sentence_numbers(words).tolist() == [1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6]
    assert sentence_numbers([]).tolist() == []


def test_what_is_no_corpus(corpus):
    with pytest.raises(JaxscoreError, match="shift is 2"):
        read_natural_stories(corpus, shift=2)
    times = corpus / "processed_wordinfo.tsv"
    whole = times.read_text()
    times.write_text(whole.replace("Three", "Other"))
    with pytest.raises(DataError, match="differ in 1 of 5 words"):
        read_natural_stories(corpus)
    times.write_text(whole.replace("meanItemRT", "mean", 1))
    with pytest.raises(DataError, match="meanItemRT"):
        read_natural_stories(corpus)
    times.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read_natural_stories(corpus)


@real
def test_the_published_counts():
    found = read_natural_stories(CORPUS)
    assert len(found) == 10256
    assert found["sentence_id"].iloc[-1] == (found["word_within_sentence_id"] == 1).sum() == 481
    assert found["rt"].notna().all()
    assert read_natural_stories(CORPUS, shift=1)["rt"].isna().sum() == 10


@real
def test_a_time_is_that_of_the_next_word():
    """What a reader has not seen yet cannot slow it down: a time knows the word AFTER the one it is stored at."""
    words = read_natural_stories(CORPUS)
    stories, keep = words["story_id"].to_numpy(), (words["word_within_sentence_id"] != 1).to_numpy()
    predictors = word_predictors(words, read_frequencies(CORPUS / "freqs-1.tsv"))
    assert predictors.attrs["unknown"] == 0
    frequency = -predictors["log_frequency"].to_numpy()

    def stored(k: int) -> np.ndarray:
        return shift_by_word(words[["rt"]].to_numpy(), stories, k)

    # the frequency of word t, and the time stored at word t - k
    r = {k: correlate(frequency, stored(k), keep=keep, absolute=False).r for k in (-1, 0, 1, 2)}
    assert r[1] > 0.2 > 5 * r[2] > 0
    assert r[0] > r[1] > r[-1]  # spillover of word t - 1 tops all: its time is stored where word t - 1 stands
    predicted = {k: delta_r(frequency, stored(k), predictors, stories, keep=keep).controls for k in (0, 1)}
    assert predicted[1] > predicted[0] + 0.05
