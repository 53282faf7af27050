"""Models of one layer whose features need no network: word embeddings from a file, and the trivial baselines.

The rules are those of the 2021 pipeline (Schrimpf et al. 2021): a word is the text between white space, a sentence is
the mean over its words, a word without a vector is zeros and counts in the mean. Where ours differ, the class says so.
"""

from __future__ import annotations

import hashlib
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxscore.errors import DataError, JaxscoreError, ModelError, did_you_mean
from jaxscore.models.word_vectors import FASTTEXT, read_vectors, vector_format

BASELINES = {
    "sentence-length": "Number of words of the stimulus",
    "word-position": "Position of the word in its context",
    "random-embedding": "A random vector for every word, mean over words",
}
"""Name -> title of the baselines; each has one layer of the same name."""

EMBEDDINGS = {
    "glove": "glove.840B.300d.txt, which the 2021 pipeline used",
    "word2vec": "GoogleNews-vectors-negative300.bin, which the 2021 pipeline used",
    "fasttext": "crawl-300d-2M.vec or cc.en.300.bin",
}
"""Kind -> the file that is usually meant by it."""

POOLINGS = {"mean": lambda rows: rows.mean(axis=0), "sum": lambda rows: rows.sum(axis=0), "last": lambda rows: rows[-1]}
RANDOM_WIDTH = 1600  # of the pipeline's random embedding
MOST_LISTED = 50  # missing words in a record

Rows = Float[np.ndarray, "word feature"]


class StaticModel(ABC):
    """A model of one layer, without context or with nothing but positions of it.

    Attributes:
        name: what it is called in tables and records.
        layer_names: its one layer; `state_names` and `layer_aliases` are as in `LanguageModel`.
        untrained: whether vectors are drawn in place of those of a file.
        seed: of the draw.
        dtype: of the features.
        default_pooling: over the words of a stimulus, where none is asked for.
        reads_contexts: whether features depend on the context that a stimulus stands in.
    """

    dtype = "float32"
    default_pooling = "mean"
    reads_contexts = False

    def __init__(self, name: str, layer: str, *, untrained: bool = False, seed: int = 0) -> None:
        if seed < 0:
            raise JaxscoreError(f"seed is {seed}, expected 0 or more", "Give --seed 0, 1, 2, ...")
        self.name = name
        self.layer_names = self.state_names = [layer]
        self.layer_aliases: dict[str, int] = {}
        self.untrained = untrained
        self.seed = seed
        self._report: dict[str, Any] = {}

    def features(
        self, stimuli: Sequence[str], ids: Sequence[str], contexts: Sequence[str], *, pooling: str | None
    ) -> Float[np.ndarray, "layer stimulus feature"]:
        """Features of every stimulus.

        Args:
            stimuli: their texts, sentences or words.
            ids: their stimulus ids, for messages.
            contexts: the context of each, as a label; only word positions depend on it.
            pooling: over the words of a stimulus: "mean", "sum" or "last"; None for the model's own.

        Raises:
            DataError: for a stimulus without words.
            JaxscoreError: for an unknown pooling.
            ModelError: for a file of vectors that is damaged or knows none of the words.
        """
        pooling = self.default_pooling if pooling is None else pooling
        if pooling not in POOLINGS:
            raise JaxscoreError(
                f"Unknown pooling {pooling!r} for {self.name}. {did_you_mean(pooling, POOLINGS)}".strip(),
                f"Choose from: {', '.join(POOLINGS)}.",
            )
        words = [text.split() for text in stimuli]
        for name, text, found in zip(ids, stimuli, words, strict=True):
            if not found:
                raise DataError(f"stimulus {name!r} is empty: {text!r}", "Every stimulus needs at least one word.")
        self._report = {"pooling": pooling}
        pool = POOLINGS[pooling]
        return np.stack([pool(rows) for rows in self._rows(words, contexts)])[None].astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """What the model is and, once `features` was called, what it did: for the record."""
        return {"model": self.name, "layer": self.layer_names[0], **self._about(), **self._report}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over what determines a feature, file bytes or parameters."""
        content = sorted((key, value) for key, value in self._about().items() if key != "file")
        return hashlib.sha256(repr([self.layer_names, content]).encode()).hexdigest()

    @abstractmethod
    def _rows(self, words: list[list[str]], contexts: Sequence[str]) -> list[Rows]:
        """The vectors of each stimulus's words."""

    @abstractmethod
    def _about(self) -> dict[str, Any]:
        """All that determines a feature, and the name of the file."""


class SentenceLength(StaticModel):
    """The number of words of each stimulus, whatever the pooling.

    The pipeline counts the spaces plus one, so that its double and trailing spaces are words; here they are not.
    """

    def __init__(self) -> None:
        super().__init__("sentence-length", "sentence-length")

    def _rows(self, words: list[list[str]], contexts: Sequence[str]) -> list[Rows]:
        return [np.array([[len(found)]], float) for found in words]

    def _about(self) -> dict[str, Any]:
        return {"kind": "number of words"}


class WordPosition(StaticModel):
    """Zero-based position of the stimulus's last word (or the mean over its words) in its context.

    The pipeline has it for word-level benchmarks alone, where the context is the sentence. A context of several stimuli
    is counted through in their order, so a later sentence of a passage has the larger position.
    """

    default_pooling = "last"
    reads_contexts = True

    def __init__(self) -> None:
        super().__init__("word-position", "word-position")

    def _rows(self, words: list[list[str]], contexts: Sequence[str]) -> list[Rows]:
        passed: Counter[str] = Counter()
        rows = []
        for found, context in zip(words, contexts, strict=True):
            rows.append(passed[context] + np.arange(len(found), dtype=float)[:, None])
            passed[context] += len(found)
        return rows

    def _about(self) -> dict[str, Any]:
        return {"kind": "position of words in their context"}


class RandomEmbedding(StaticModel):
    """A vector of 1,600 numbers uniform in [0, 1) for every word as it is spelled.

    Each is drawn from the seed and the word, so that neither order nor choice of stimuli changes it; the pipeline draws
    them in the order of first appearance.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__("random-embedding", "random-embedding", seed=seed)

    def _rows(self, words: list[list[str]], contexts: Sequence[str]) -> list[Rows]:
        distinct = {word for found in words for word in found}
        vectors = {word: word_generator(self.seed, word).random(RANDOM_WIDTH) for word in distinct}
        return [np.stack([vectors[word] for word in found]) for found in words]

    def _about(self) -> dict[str, Any]:
        return {"kind": "random vectors of words", "width": RANDOM_WIDTH, "seed": self.seed}


class Embedding(StaticModel):
    """Vectors of words from a file of word2vec, GloVe or fastText.

    A word is looked up as it is; then without the punctuation around it; then that in lower case. fastText's binary
    model composes what it does not have, without that punctuation, from n-grams. `exact` is the pipeline's rule: as it
    is or not at all (or composed as it is), so that the last word of "local habitats." is missing. Missing words are
    zeros, they count in the mean, and `describe()` counts them.

    Untrained vectors are normal, a draw for every word of the file's vocabulary from the seed and its spelling, with
    the pipeline's standard deviation (word2vec 1, GloVe 0.01), for fastText that of its own uniform initialisation,
    1 / (sqrt(3) width).

    Args:
        kind: "glove", "word2vec" or "fasttext": its name, and the scale of untrained vectors.
        path: the file; its format is told from its content.
        exact: look words up as they are only.
        untrained: draw the vectors instead of reading them; the file still gives vocabulary and width.
        seed: of that draw.

    Raises:
        ModelError: if there is no such file.
    """

    def __init__(self, kind: str, path: Path, *, exact: bool = False, untrained: bool = False, seed: int = 0) -> None:
        if not path.is_file():
            raise ModelError(f"{kind}: there is no file {str(path)!r}", _usage(kind))
        stem = path.name.removesuffix(".gz")
        for suffix in (".txt", ".bin", ".vec"):
            stem = stem.removesuffix(suffix)
        name = stem if stem.lower().startswith(kind) else f"{kind}-{stem}"
        name += "-exact" * exact + "-untrained" * untrained
        super().__init__(name, "projection", untrained=untrained, seed=seed)
        self.kind = kind
        self.path = path
        self.exact = exact

    def _rows(self, words: list[list[str]], contexts: Sequence[str]) -> list[Rows]:
        vectors = self._vectors({word for found in words for word in found})
        missing = Counter(word for found in words for word in found if word not in vectors)
        listed = [word for word, _ in sorted(missing.items(), key=lambda item: (-item[1], item[0]))[:MOST_LISTED]]
        nothing = np.zeros_like(next(iter(vectors.values())))
        self._report |= {
            "width": len(nothing),
            "words": sum(map(len, words)),
            "missing": missing.total(),
            "missing_distinct": len(missing),
            "missing_words": listed,
            "stimuli_without_vector": sum(not any(word in vectors for word in found) for found in words),
        }
        return [np.stack([vectors.get(word, nothing) for word in found]) for found in words]

    def _vectors(self, words: set[str]) -> dict[str, Float[np.ndarray, " feature"]]:
        """The vectors of the words that have one, in float64."""
        forms = {word: [word] if self.exact else [word, bare(word), bare(word).lower()] for word in sorted(words)}
        found = read_vectors(self.path, {form for tried in forms.values() for form in tried if form}, subwords=False)
        if vector_format(self.path) == FASTTEXT:
            rest = {tried[:2][-1] or word for word, tried in forms.items() if not found.keys() & set(tried)}
            found |= read_vectors(self.path, rest)
        spelled = {word: form for word, tried in forms.items() for form in [*reversed(tried)] if form in found}
        if not spelled:
            raise ModelError(
                f"{self.path} has a vector for none of the {len(words)} words, such as {sorted(words)[:3]}",
                "Give vectors of the language that the stimuli are in.",
            )
        return {
            word: self._drawn(form, found[form].size) if self.untrained else found[form].astype(float)
            for word, form in spelled.items()
        }

    def _drawn(self, word: str, width: int) -> Float[np.ndarray, " feature"]:
        scale = {"glove": 0.01, "word2vec": 1.0, "fasttext": 1 / (np.sqrt(3) * width)}[self.kind]
        return scale * word_generator(self.seed, word).standard_normal(width)

    def _about(self) -> dict[str, Any]:
        about = {
            "kind": f"{self.kind} embedding",
            "file": self.path.name,
            "sha256": self._sha256,
            "lookup": "exact" if self.exact else "as is, without punctuation, lower case",
        }
        return about | ({"untrained": True, "seed": self.seed} if self.untrained else {})

    @cached_property
    def _sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find_static(spec: str, *, untrained: bool = False, seed: int = 0) -> StaticModel | None:
    """The static model that `spec` names, None if it names none.

    Args:
        spec: a name of `BASELINES`, or KIND:PATH with a kind of `EMBEDDINGS` ("glove:vectors.txt"), and "@exact" after
            it for words as they are spelled only.
        untrained: draw the vectors of an embedding anew.
        seed: of that draw, or of the random embedding.

    Raises:
        JaxscoreError: for an untrained baseline.
        ModelError: for an embedding without a file.
    """
    kind, colon, path = spec.partition(":")
    if kind.removesuffix("-untrained") in EMBEDDINGS and not (colon and path and kind in EMBEDDINGS):
        raise ModelError(f"{spec!r} names no file of vectors", _usage(kind.removesuffix("-untrained")))
    if kind in EMBEDDINGS:
        file = Path(path.removesuffix("@exact")).expanduser()
        return Embedding(kind, file, exact=path.endswith("@exact"), untrained=untrained, seed=seed)
    if spec not in BASELINES:
        return None
    if untrained:
        raise JaxscoreError(f"{spec} has no training that could be left out", "Leave out --untrained.")
    if spec == "random-embedding":
        return RandomEmbedding(seed)
    return SentenceLength() if spec == "sentence-length" else WordPosition()


def bare(word: str) -> str:
    """The word without the punctuation and symbols at its ends; empty if it is nothing else."""
    kept = [i for i, sign in enumerate(word) if unicodedata.category(sign)[0] not in "PS"]
    return word[kept[0] : kept[-1] + 1] if kept else ""


def word_generator(seed: int, word: str) -> np.random.Generator:
    """A generator that depends on the seed and the word's spelling alone."""
    digest = hashlib.sha256(word.encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


def _usage(kind: str) -> str:
    return f"Nothing is downloaded. Give the path of the file: {kind}:PATH (usually {EMBEDDINGS[kind]})."
