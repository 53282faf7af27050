"""Features of sentences that are known from their text alone; the simulated voxels mix them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Float

from jaxscore.errors import DataError

GROUPS = {"surface": 3, "style": 4, "last": 3, "content": 4, "context": 4}  # columns of `features`, in this order
HALF_LIFE = 8.0  # content words after which an earlier word of the passage counts half in the group `context`

_FUNCTION_WORDS = (
    "a about across after again all along also always among an and any are around as at be because been before behind "
    "below beside between both but by can could did do does down each even ever every far few first for from had has "
    "have he her higher him his how however i if in inside instead into is it its itself last later like many may me "
    "more most much must my near nearly never no nobody not nothing of off often on once one only onto or other "
    "others out over own past rather she shortly so some someone something sometimes somewhere soon such than "
    "that the their them then there these they this those three through to together too toward twice two under until "
    "up upstairs was we were what when where which while who whoever whole whose why will with without would you "
    "your"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
PRONOUNS = frozenset(["i", "my", "he", "him", "his", "she", "her", "it", "its", "they", "them", "their", "nobody"])
PAST = frozenset(
    ["came", "did", "gave", "had", "heard", "left", "said", "sat", "saw", "told", "took", "was", "went", "were"]
)


@cache
def word_vector(word: str, group: str) -> Float[np.ndarray, " feature"]:
    """Return a word's fixed vector in a feature group: a sum over its letter trigrams, so that kindred forms are near.

    Each trigram of "<word>" has entries uniform in [-1, 1), read from its BLAKE2b digest, so they are the same on every
    machine; the sum is divided by the square root of the number of trigrams.
    """
    width = GROUPS[group] - (group == "last")  # the last word's length takes one of that group's columns
    marked = f"<{word}>"
    trigrams = [marked[i : i + 3] for i in range(len(marked) - 2)]
    digests = [hashlib.blake2b(f"{group} {t}".encode(), digest_size=4 * width).digest() for t in trigrams]
    return np.frombuffer(b"".join(digests), "<i4").reshape(-1, width).sum(axis=0) / (2.0**31 * len(trigrams) ** 0.5)


def _total(words: Sequence[str], group: str, weights: Float[np.ndarray, " word"]) -> Float[np.ndarray, " feature"]:
    vectors = [weight * word_vector(word, group) for word, weight in zip(words, weights, strict=True)]
    return np.sum(vectors, axis=0) if vectors else np.zeros(GROUPS[group])


def _style(words: Sequence[str], commas: int) -> list[float]:
    function = [word in FUNCTION_WORDS for word in words]
    pronoun = [word in PRONOUNS for word in words]
    past = [word in PAST or (word.endswith("ed") and len(word) > 3) for word in words]
    return [*(sum(kind) / len(words) for kind in (function, pronoun, past)), commas]


def features(sentences: Sequence[str], passages: Sequence[str]) -> Float[np.ndarray, "stimulus feature"]:
    """Compute the known features that the simulated voxels mix, from the text alone.

    The groups of `GROUPS`, in this order (vectors are those of `word_vector`; a mean over no words is 0):

    - surface: number of words; mean number of letters of a word; position of the sentence in its passage, from 0;
    - style: shares of the words that are function words, pronouns and past forms (in `PAST` or ending in -ed); commas;
    - last: vector of the last word; its number of letters;
    - content: mean vector of the sentence's content words, which are all but the function words;
    - context: sum of the vectors of the content words of the EARLIER sentences of the passage, each weighted by
      2 ** (-age / HALF_LIFE), its age counted in content words back from the start of this sentence.

    Args:
        sentences: texts in reading order.
        passages: the passage of each sentence.

    Raises:
        DataError: if a sentence has no word.
    """
    earlier: dict[str, list[str]] = {}
    position: dict[str, int] = {}
    rows = []
    for sentence, passage in zip(sentences, passages, strict=True):
        words = re.findall(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*", sentence.lower())
        if not words:
            raise DataError(f"no word in the sentence {sentence!r}", "Give every stimulus at least one word.")
        content = [word for word in words if word not in FUNCTION_WORDS]
        before = earlier.setdefault(passage, [])
        recency = 2.0 ** (-np.arange(len(before), 0, -1) / HALF_LIFE)
        parts = [
            [len(words), np.mean([len(word) for word in words]), position.setdefault(passage, 0)],
            _style(words, sentence.count(",")),
            [*word_vector(words[-1], "last"), len(words[-1])],
            _total(content, "content", np.full(len(content), 1 / max(len(content), 1))),
            _total(before, "context", recency),
        ]
        rows.append(np.concatenate(parts))
        before.extend(content)
        position[passage] += 1
    return np.array(rows)
