"""Static models: what a word's vector is, how words make a sentence, what the record says, what the baselines count."""

from __future__ import annotations

import re
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import sentences

from jaxscore.errors import DataError, JaxscoreError, ModelError
from jaxscore.models.static import BASELINES, EMBEDDINGS, bare, find_static

DATA = Path(__file__).resolve().parents[2] / "../shared/data/pereira2018_glove"
SETS = {"243": "peirera_243_glove.txt", "384": "peirera_384_glove.txt"}


def write(path: Path, vectors: dict[str, list[float]]) -> str:
    path.write_text("".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in vectors.items()))
    return f"glove:{path}"


def run(model, texts: list[str], pooling: str | None = None, contexts: list[str] | None = None) -> np.ndarray:
    """The features [stimulus, feature] of its one layer."""
    states = model.features(
        texts, [f"s{i}" for i in range(len(texts))], contexts or ["c"] * len(texts), pooling=pooling
    )
    assert states.shape[:2] == (1, len(texts))
    assert states.dtype == np.float32 == np.dtype(model.dtype)
    assert len(model.layer_names) == 1
    return states[0]


@pytest.fixture
def glove(tmp_path) -> str:
    return write(
        tmp_path / "tiny.txt",
        {
            "the": [1, 0],
            "The": [0, 2],
            "cat": [4, 4],
            "U.S.": [8, 0],
            "sat": [2, 6],
            "--": [1, 1],
            "l'\u00e9t\u00e9": [3, 3],
        },
    )


def test_a_word_is_looked_up_as_it_is_then_bare_then_in_lower_case(glove):
    texts = ["the", "The", "THE", "cat.", "\u201cCat!\u201d", "U.S.", "U.S.,", "--", "(l'\u00e9t\u00e9)", "...", "dog"]
    nearest = [[1, 0], [0, 2], [1, 0], [4, 4], [4, 4], [8, 0], [0, 0], [1, 1], [3, 3], [0, 0], [0, 0]]
    exact = [[1, 0], [0, 2], [0, 0], [0, 0], [0, 0], [8, 0], [0, 0], [1, 1], [0, 0], [0, 0], [0, 0]]
    np.testing.assert_array_equal(run(find_static(glove), texts), nearest)
    np.testing.assert_array_equal(run(find_static(f"{glove}@exact"), texts), exact)


def test_pooling_is_over_all_words_and_missing_ones_are_zeros(glove):
    model = find_static(glove)
    texts = ["the cat  sat dog ", "cat sat", "a dog"]
    np.testing.assert_array_equal(run(model, texts), [[7 / 4, 10 / 4], [3, 5], [0, 0]])
    np.testing.assert_array_equal(run(model, texts, "mean"), run(model, texts))
    np.testing.assert_array_equal(run(model, texts, "sum"), [[7, 10], [6, 10], [0, 0]])
    np.testing.assert_array_equal(run(model, texts, "last"), [[0, 0], [2, 6], [0, 0]])
    about = model.describe()
    assert (about["pooling"], about["width"], about["words"], about["missing"]) == ("last", 2, 8, 3)
    assert (about["missing_words"], about["missing_distinct"], about["stimuli_without_vector"]) == (["dog", "a"], 2, 1)
    assert (about["file"], about["layer"], about["lookup"][:5]) == ("tiny.txt", "projection", "as is")
    assert len(about["sha256"]) == 64


def test_names_and_fingerprints(glove, tmp_path):
    kinds = {
        suffix + "-untrained" * untrained: find_static(glove + suffix, untrained=untrained, seed=seed)
        for suffix in ("", "@exact")
        for untrained, seed in ((False, 0), (True, 0))
    }
    assert [model.name for model in kinds.values()] == [
        "glove-tiny", "glove-tiny-untrained", "glove-tiny-exact", "glove-tiny-exact-untrained",
    ]  # fmt: skip
    prints = [model.fingerprint for model in kinds.values()] + [find_static(name).fingerprint for name in BASELINES]
    prints += [
        find_static(glove, untrained=True, seed=1).fingerprint,
        find_static("random-embedding", seed=1).fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert find_static(glove, seed=1).fingerprint == prints[0]
    (moved := tmp_path / "elsewhere.txt").write_bytes((tmp_path / "tiny.txt").read_bytes())
    assert find_static(f"glove:{moved}").fingerprint == prints[0]
    moved.write_text("the 1 0\n")
    assert find_static(f"glove:{moved}").fingerprint != prints[0]
    assert find_static(f"word2vec:{write(tmp_path / 'Word2Vec-x.bin', {'a': [1]})[6:]}").name == "Word2Vec-x"


def test_untrained_vectors_depend_on_seed_and_word_alone(tmp_path):
    words = [f"w{i}" for i in range(50)]
    spec = write(tmp_path / "v.txt", {word: [0.0] * 300 for word in words})
    drawn = run(find_static(spec, untrained=True, seed=3), words)
    np.testing.assert_array_equal(run(find_static(spec, untrained=True, seed=3), words[::-1]), drawn[::-1])
    np.testing.assert_array_equal(run(find_static(spec, untrained=True, seed=3), ["W7."])[0], drawn[7])
    assert abs(np.corrcoef(drawn.ravel(), run(find_static(spec, untrained=True, seed=4), words).ravel())[0, 1]) < 0.05
    assert drawn.std() == pytest.approx(0.01, rel=0.05)
    assert run(find_static(spec.replace("glove", "word2vec"), untrained=True), words).std() == pytest.approx(
        1, rel=0.05
    )
    uniform = np.random.default_rng(0).uniform(-1 / 300, 1 / 300, 10_000)
    fasttext = find_static(spec.replace("glove", "fasttext"), untrained=True)
    assert run(fasttext, words).std() == pytest.approx(uniform.std(), rel=0.05)
    np.testing.assert_array_equal(run(fasttext, ["absent w1"]), run(fasttext, ["w1"]) / 2)


def test_fasttext_composes_words_only_where_no_form_is_known(tmp_path):
    """The vocabulary has "cats" for "Cats."; nothing for "dogs!", which is composed from the n-grams of "dogs"."""
    matrix = np.random.default_rng(0).normal(size=(2 + 53, 4)).astype("<f4")
    content = struct.pack("<14id", 793712314, 12, 4, 5, 5, 1, 5, 1, 2, 2, 53, 3, 3, 100, 1e-4)
    content += struct.pack("<3i2q", 2, 2, 0, 9, -1) + b"".join(
        w + b"\0" + struct.pack("<qb", 1, 0) for w in (b"a", b"cats")
    )
    content += struct.pack("<b2q", 0, 55, 4) + matrix.tobytes() + struct.pack("<b2q", 0, 0, 4)
    (path := tmp_path / "m.bin").write_bytes(content)
    model = find_static(f"fasttext:{path}")
    found = run(model, ["Cats.", "cats", "dogs!", "dogs", "Dogs", "\u2026"])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])
    assert len(np.unique(found, axis=0)) == 4
    assert model.describe()["missing"] == 0
    exact = run(find_static(f"fasttext:{path}@exact"), ["Cats.", "cats", "dogs!", "dogs"])
    assert len(np.unique(exact, axis=0)) == 4
    np.testing.assert_array_equal(exact[[1, 3]], found[[1, 3]])


def test_sentence_length_counts_words():
    model = find_static("sentence-length")
    texts = ["One two  three. ", "One", "a b"]
    for pooling in (None, "last", "sum"):
        np.testing.assert_array_equal(run(model, texts, pooling), [[3], [1], [2]])
    assert model.layer_names == ["sentence-length"]


def test_word_position_counts_through_the_context():
    """Words of a sentence as stimuli: 0, 1, 2, as in the 2021 pipeline; sentences count on from the one before."""
    model = find_static("word-position")
    words = ["The", "A", "cat", "dog", "sat."]
    np.testing.assert_array_equal(run(model, words, None, ["x", "y", "x", "y", "x"])[:, 0], [0, 0, 1, 1, 2])
    texts = ["One two three.", "Four five.", "Six."]
    np.testing.assert_array_equal(run(model, texts)[:, 0], [2, 4, 5])
    np.testing.assert_array_equal(run(model, texts, "mean")[:, 0], [1, 3.5, 5])
    np.testing.assert_array_equal(run(model, texts, None, ["x", "y", "y"])[:, 0], [2, 1, 2])


def test_random_embedding_is_one_vector_a_word_in_any_order():
    texts = sentences(30)
    model = find_static("random-embedding", seed=5)
    found = run(model, texts)
    assert found.shape == (30, 1600)
    order = np.random.default_rng(0).permutation(30)
    again = find_static("random-embedding", seed=5)
    np.testing.assert_array_equal(run(again, [texts[i] for i in order]), found[order])
    words = {word: run(model, [word])[0].astype(float) for text in texts for word in text.split()}
    expected = [np.mean([words[word] for word in text.split()], axis=0) for text in texts]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(run(model, texts, "last"), [words[text.split()[-1]] for text in texts])
    values = np.stack(list(words.values()))
    assert (values.min() >= 0, values.max() < 1, abs(values.mean() - 0.5) < 0.01) == (True, True, True)
    assert not np.array_equal(run(find_static("random-embedding", seed=6), texts), found)


def test_what_is_refused(glove, tmp_path):
    for kind, file in EMBEDDINGS.items():
        for spec in (kind, f"{kind}:", f"{kind}-untrained", f"{kind}:{tmp_path / 'absent.txt'}"):
            with pytest.raises(ModelError, match=re.escape(f"{kind}:PATH")) as error:
                find_static(spec)
            assert file in str(error.value)
    model = find_static(glove)
    with pytest.raises(ModelError, match=r"tiny.txt has a vector for none of the 2 words"):
        run(model, ["nothing known"])
    with pytest.raises(DataError, match="stimulus 's1' is empty"):
        run(model, ["the", " \t"])
    with pytest.raises(JaxscoreError, match="Did you mean 'mean'"):
        run(model, ["the"], "meen")
    with pytest.raises(JaxscoreError, match="Leave out --untrained"):
        find_static("sentence-length", untrained=True)
    with pytest.raises(JaxscoreError, match="seed is -1"):
        find_static("random-embedding", seed=-1)


def test_other_names_are_none_of_these():
    for spec in ("gpt2", "openai-community/gpt2", "/some/folder", "glove-large", "sentence-lengths", ""):
        assert find_static(spec) is None


def test_bare_keeps_letters_marks_and_numbers():
    cases = {
        "(don't),": "don't",
        "\u00ab\u00e9te\u0301\u00bb": "\u00e9te\u0301",
        "$5.50": "5.50",
        "--": "",
        "\u0939\u093f\u0928\u094d\u0926\u0940\u0964": "\u0939\u093f\u0928\u094d\u0926\u0940",
    }
    assert {word: bare(word) for word in cases} == cases


# the real sentences of Pereira2018 with published means of 300-d GloVe vectors


@pytest.fixture(scope="module")
def pereira() -> tuple[list[str], np.ndarray]:
    if not DATA.is_dir():
        pytest.skip("shared/data/pereira2018_glove is not here")
    texts = [line for n in SETS for line in (DATA / f"stimuli_{n}sentences.txt").read_text("utf-8").splitlines()]
    return texts, np.concatenate([np.loadtxt(DATA / name) for name in SETS.values()])


def word_lists(texts: list[str]) -> list[list[str]]:
    """Lower-case words without punctuation around them, found another way."""
    stripped = ([re.sub(r"^[\W_]+|[\W_]+$", "", word) for word in text.lower().split()] for text in texts)
    return [[word for word in words if word] for words in stripped]


def test_published_means_are_reproduced_from_word_vectors_that_explain_them(pereira, tmp_path):
    """Word vectors solved from the published means (the 627 sentences have more words) give those means back."""
    texts, published = pereira
    lists = word_lists(texts)
    words = sorted({word for found in lists for word in found})
    counts = np.array([[Counter(found)[word] for word in words] for found in lists], float)
    shares = counts / [[len(text.split())] for text in texts]
    vectors = np.linalg.lstsq(shares, published, rcond=None)[0].astype("<f4")
    rows = (word.encode() + b" " + vector.tobytes() + b"\n" for word, vector in zip(words, vectors, strict=True))
    (path := tmp_path / "solved.bin").write_bytes(f"{len(words)} 300\n".encode() + b"".join(rows))
    model = find_static(f"word2vec:{path}")
    np.testing.assert_allclose(run(model, texts), published, atol=2e-5)
    assert set(model.describe()["missing_words"]) <= {"-", "--", "\u2013", "\u2014", "&", "+"}


def predicted(features: np.ndarray, published: np.ndarray) -> float:
    """R2 of ridge from word shares to the published means, 5 folds: how well the rule explains unseen sentences."""
    kernel = features.astype(float) @ features.T.astype(float)
    order, out = np.random.default_rng(0).permutation(len(kernel)), np.zeros_like(published)
    for fold in range(5):
        test, train = order[fold::5], np.delete(order, np.s_[fold::5])
        inner = kernel[np.ix_(train, train)] + 0.1 * np.trace(kernel) / len(kernel) * np.eye(len(train))
        out[test] = kernel[np.ix_(test, train)] @ np.linalg.solve(inner, published[train])
    return 1 - ((out - published) ** 2).sum() / ((published - published.mean(0)) ** 2).sum()


def test_published_means_speak_for_our_lookup_and_for_means(pereira, tmp_path):
    """Features of one-hot word vectors are shares of words; as we take them, they explain unseen sentences best."""
    texts, published = pereira
    words = sorted({word for found in word_lists(texts) for word in found})
    rows = (
        word.encode() + b" " + row.tobytes() for word, row in zip(words, np.eye(len(words), dtype="<f4"), strict=True)
    )
    (path := tmp_path / "onehot.bin").write_bytes(f"{len(words)} {len(words)}\n".encode() + b"".join(rows))
    ours = find_static(f"word2vec:{path}")
    mean = predicted(run(ours, texts), published)
    assert mean > predicted(run(ours, texts, "sum"), published) + 0.03
    assert mean > predicted(run(find_static(f"word2vec:{path}@exact"), texts), published) + 0.03
