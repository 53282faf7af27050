"""Readers of word vectors: every format written by hand, fastText's n-grams computed another way, damage refused."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxscore.errors import ModelError
from jaxscore.models.word_vectors import (
    BINARY,
    FASTTEXT,
    HEADED,
    HEADLESS,
    hash_ngram,
    ngrams,
    read_vectors,
    vector_format,
)

Table = dict[str, np.ndarray]


def table(words: list[str], dim: int = 8, seed: int = 0) -> Table:
    values = np.random.default_rng(seed).normal(size=(len(words), dim)).astype(np.float32)
    return dict(zip(words, values, strict=True))


def text(vectors: Table, *, header: bool, end: str = "\n") -> bytes:
    lines = [" ".join([word, *map(repr, map(float, vector))]) for word, vector in vectors.items()]
    first = [f"{len(vectors)} {len(next(iter(vectors.values())))}"] if header else []
    return "".join(line + end for line in first + lines).encode()


def binary(vectors: Table, *, newline: bool) -> bytes:
    dim = len(next(iter(vectors.values())))
    rows = [word.encode() + b" " + struct.pack(f"<{dim}f", *vector) for word, vector in vectors.items()]
    return f"{len(vectors)} {dim}\n".encode() + b"".join(row + b"\n" * newline for row in rows)


FORMATS: dict[str, tuple[str, Callable[[Table], bytes]]] = {
    "word2vec binary, newlines": (BINARY, lambda vectors: binary(vectors, newline=True)),
    "word2vec binary, none": (BINARY, lambda vectors: binary(vectors, newline=False)),
    "word2vec text": (HEADED, lambda vectors: text(vectors, header=True)),
    "fastText .vec": (HEADED, lambda vectors: text(vectors, header=True, end=" \n")),
    "GloVe text": (HEADLESS, lambda vectors: text(vectors, header=False)),
}
WORDS = ["the", ",", "caf\u00e9", "\u6771\u4eac", "</s>", "\U0001f642", "2", "10:30", "na\u00efve", "soft\u00adhyphen"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_words_asked_for(tmp_path, kind, packed):
    """The name says nothing: content decides."""
    name, write = FORMATS[kind]
    vectors = table(WORDS)
    path = tmp_path / "vectors.dat"
    path.write_bytes(gzip.compress(write(vectors)) if packed else write(vectors))
    assert vector_format(path) == name
    found = read_vectors(path, {"the", "caf\u00e9", "\u6771\u4eac", "2", "absent", "th", "The"})
    assert set(found) == {"the", "caf\u00e9", "\u6771\u4eac", "2"}
    for word, vector in found.items():
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, vectors[word])


TOKENS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), blacklist_characters="\x1c"),
    min_size=1,
    max_size=8,
)


@given(data=st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", FORMATS)
def test_any_table_survives(tmp_path, kind, data):
    """Whatever the words, the width and the float32: what was written is read."""
    dim = data.draw(st.integers(8, 20))
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    words = data.draw(st.lists(TOKENS, min_size=1, max_size=8, unique=True))
    vectors = {word: np.array(data.draw(st.lists(numbers, min_size=dim, max_size=dim)), np.float32) for word in words}
    wanted = data.draw(st.sets(st.sampled_from(words)))
    name, write = FORMATS[kind]
    (path := tmp_path / "v").write_bytes(write(vectors))
    assert vector_format(path) == name
    found = read_vectors(path, wanted | {"not there"})
    assert set(found) == wanted
    for word in wanted:
        np.testing.assert_array_equal(found[word], vectors[word])


def test_words_with_spaces_and_doubles(tmp_path):
    """GloVe 840B has tokens such as ". . ." and "at name@domain.com"; of a repeated word the first counts."""
    rows = ["at 1 2 3", "at name@domain.com 4 5 6", ". . . 7 8 9", "at 10 11 12", "\u00a0 1 1 1", "\x85x 2 2 2"]
    (path := tmp_path / "glove").write_text("\n".join(rows), encoding="utf-8")
    found = read_vectors(path, {"at", ". . .", "name@domain.com", "\x85x"})
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "at": [1, 2, 3],
        ". . .": [7, 8, 9],
        "\x85x": [2, 2, 2],
    }


def test_short_numbers_before_foreign_words_are_still_text(tmp_path):
    """Only bytes of the first row's numbers tell text from binary."""
    (path := tmp_path / "v.vec").write_text("2 3\na 1 2 3\n\u00e9\u00e9\u00e9 4 5 6\n", encoding="utf-8")
    assert vector_format(path) == HEADED
    assert read_vectors(path, {"\u00e9\u00e9\u00e9"})["\u00e9\u00e9\u00e9"].tolist() == [4, 5, 6]


def test_memory_does_not_grow_with_the_file(tmp_path):
    """100,000 rows, 40 MB as binary: at most a few chunks are ever held."""
    (path := tmp_path / "big.bin").write_bytes(
        b"100000 100\n" + b"".join(b"w%d " % i + bytes(400) for i in range(100_000))
    )
    tracemalloc.start()
    found = read_vectors(path, {"w0", "w50000", "w99999"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 3
    assert peak < 16e6


DAMAGED = {
    "truncated text": (lambda: text(table(WORDS), header=True)[:-40], "line 11"),
    "missing rows": (
        lambda: text(table(WORDS), header=True).rsplit(b"\n", 2)[0] + b"\n",
        "9 rows where the header says 10",
    ),
    "more rows": (lambda: text(table(WORDS), header=True) + text(table(["x"]), header=False), "11 rows where"),
    "too wide": (lambda: b"2 3\na 1 2 3\nb 1 2 3 4\n", "line 3: 4 numbers where 3"),
    "too narrow": (lambda: b"a 1 2 3\nc 1 2 3\nb 1 2\n", "line 3: 2 numbers where 3"),
    "too wide, no header": (lambda: b"a 1 2 3\nb 1 2 3 4\n", "line 2: 4 numbers where 3"),
    "wrong width in the header": (lambda: b"2 2\na 1 2 3\nb 1 2 3\n", "line 2: 3 numbers where 2"),
    "no number": (lambda: b"a 1 2 3\nthe 1 two 3\n", "line 2: 'two' is not a number"),
    "not finite": (lambda: b"a 1 2 3\nthe 1 nan 3\n", "line 2: the vector of 'the' is not finite"),
    "too large": (lambda: b"a 1 2 3\nthe 1 1e300 3\n", "line 2: the vector of 'the' is not finite"),
    "blank line": (lambda: b"a 1 2 3\n\nthe 1 1 3\n", "line 2: 0 numbers"),
    "truncated binary": (lambda: binary(table(WORDS), newline=False)[:-1], "row 10: the file ends here"),
    "binary goes on": (lambda: binary(table(WORDS), newline=True) + b"x", "row 11: data go on"),
    "wrong width in a binary header": (
        lambda: binary(table(WORDS), newline=True).replace(b"10 8", b"10 9", 1),
        "the header says 10 rows of 9",
    ),
    "truncated gzip": (lambda: gzip.compress(text(table(WORDS * 9), header=True))[:-20], "cannot be read"),
    "nothing": (lambda: b"", "has no word vectors"),
    "no columns": (lambda: b"3 0\n", "has no word vectors"),
    "prose": (lambda: b"Once upon a time\nthere was a file.\n", "has no word vectors"),
    "noise": (lambda: np.random.default_rng(0).bytes(5000), "has no word vectors"),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), "unzip"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_refused_by_file_and_line(tmp_path, case):
    write, message = DAMAGED[case]
    (path := tmp_path / "vectors").write_bytes(write())
    with pytest.raises(ModelError) as error:
        read_vectors(path, {"the", "x"})
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_absent_files_are_refused(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            read_vectors(path, {"the"})


@given(cut=st.integers(0, 1000), kind=st.sampled_from(sorted(FORMATS)))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cut_file_with_a_header_is_never_read(tmp_path, cut, kind):
    """Wherever it ends; only the newline at the very end may be missing, and in text digits of the last number."""
    name, write = FORMATS[kind]
    whole = write(table(WORDS))
    spare = {HEADED: len(whole.rstrip().rsplit(b" ", 1)[1]) + 2, BINARY: 2, HEADLESS: len(whole)}[name]
    (path := tmp_path / "cut").write_bytes(whole[: min(cut, len(whole) - spare - 1)])
    if name != HEADLESS:
        with pytest.raises(ModelError):
            read_vectors(path, {"the"})


# fastText's binary model


def reference_hash(piece: bytes) -> int:
    """FNV-1a as C++ does it where char is signed: int8 -> int32 (sign) -> uint32."""
    value = np.array([2166136261], np.uint32)
    for byte in np.frombuffer(piece, np.int8).astype(np.int32).astype(np.uint32):
        value = (value ^ byte) * np.array([16777619], np.uint32)
    return int(value[0])


def reference_ngrams(word: str, minn: int, maxn: int) -> list[bytes]:
    """Over bytes, skipping UTF-8's continuation bytes (10xxxxxx) as starting points."""
    marked, found = f"<{word}>".encode(), []
    starts = [i for i, byte in enumerate(marked) if byte & 0xC0 != 0x80] + [len(marked)]
    for a in range(len(starts) - 1):
        for n in range(1, maxn + 1):
            if a + n < len(starts) and n >= minn and not (n == 1 and (a == 0 or a + n == len(starts) - 1)):
                found.append(marked[starts[a] : starts[a + n]])
    return found


def fasttext(
    words: list[str], dim: int = 5, bucket: int = 50, minn: int = 2, maxn: int = 4, **change: int
) -> tuple[bytes, np.ndarray]:
    """A model file of fastText and its input matrix; the last word may be a label."""
    option = {"magic": 793712314, "version": 12, "model": 2, "pruned": -1, "quantised": 0, "labels": 0} | change
    matrix = np.random.default_rng(3).normal(size=(len(words) - option["labels"] + bucket, dim)).astype("<f4")
    args = [dim, 5, 5, 1, 5, 1, 2, option["model"], bucket, minn, maxn, 100]
    content = struct.pack("<2i12id", option["magic"], option["version"], *args, 1e-4)
    known = len(words) - option["labels"]
    content += struct.pack("<3i2q", len(words), known, option["labels"], 1000, option["pruned"])
    for row, word in enumerate(words):
        content += word.encode() + b"\0" + struct.pack("<qb", 10, row >= known)
    content += struct.pack("<b2q", option["quantised"], *matrix.shape) + matrix.tobytes()
    return content + struct.pack("<b2q", 0, 2, dim) + bytes(8 * dim), matrix


@given(word=st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=12), low=st.integers(0, 4))
@settings(deadline=None)
def test_ngrams_and_hashes_are_those_of_the_reference(word, low):
    for high in (0, 1, 3, 6):
        pieces = ngrams(word, low, high)
        assert [piece.encode() for piece in pieces] == reference_ngrams(word, low, high)
        assert [hash_ngram(piece) for piece in pieces] == [reference_hash(piece.encode()) for piece in pieces]


def test_known_hashes():
    """FNV-1a's published values for "" and "a", "foobar"; beyond ASCII the signed char makes another value."""
    assert (hash_ngram(""), hash_ngram("a"), hash_ngram("foobar")) == (0x811C9DC5, 0xE40C292C, 0xBF9CF968)
    unsigned = 2166136261
    for byte in "\u00e9".encode():
        unsigned = (unsigned ^ byte) * 16777619 % 2**32
    assert hash_ngram("\u00e9") != unsigned


def test_fasttext_words_are_means_of_their_rows(tmp_path):
    words = ["</s>", "the", "caf\u00e9", "\u6771\u4eac", "__label__x"]
    content, matrix = fasttext(words, labels=1)
    (path := tmp_path / "model.bin").write_bytes(content)
    assert vector_format(path) == FASTTEXT
    found = read_vectors(path, {"the", "caf\u00e9", "\u6771\u4eac", "</s>", "caf\u00e9s", "__label__x"})
    for word, vector in found.items():
        rows = [words.index(word)] if word in words[:4] else []
        rows += [4 + reference_hash(piece) % 50 for piece in reference_ngrams(word, 2, 4)] if word != "</s>" else []
        np.testing.assert_allclose(vector, matrix[rows].astype(float).mean(axis=0), atol=1e-7)
        assert vector.dtype == np.float32
    assert len(found) == 6
    assert set(read_vectors(path, {"the", "thee"}, subwords=False)) == {"the"}


def test_fasttext_without_ngrams_knows_its_vocabulary_only(tmp_path):
    for options in ({"maxn": 0}, {"bucket": 0}, {"version": 11, "model": 3}):
        content, matrix = fasttext(["the", "a"], **options)
        (path := tmp_path / "model.bin").write_bytes(content)
        found = read_vectors(path, {"the", "unknown"})
        assert set(found) == {"the"}
        np.testing.assert_array_equal(found["the"], matrix[0])


def test_what_fasttext_files_are_refused(tmp_path):
    path = tmp_path / "model.ftz"
    whole = fasttext(["the", "a"])[0]
    for content, message in {
        fasttext(["the"], quantised=1)[0]: "quantised or pruned",
        fasttext(["the"], pruned=3)[0]: "quantised or pruned",
        fasttext(["the"], version=13)[0]: "version 13",
        whole + b"x": "bytes are expected",
        whole.replace(struct.pack("<2q", 52, 5), struct.pack("<2q", 52, 6)): "52 x 6 where 52 x 5",
        gzip.compress(whole): "gunzip model.ftz",
    }.items():
        path.write_bytes(content)
        with pytest.raises(ModelError, match=message) as error:
            read_vectors(path, {"the"})
        assert "model.ftz" in str(error.value)
    for cut in range(4, len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModelError):
            read_vectors(path, {"the"})


def test_other_words_are_not_parsed(tmp_path):
    """A word that is not wanted costs no parsing: its numbers may even be none, and only their count is checked."""
    path = tmp_path / "v"
    path.write_text("a 1 2\nskipped x y\n")
    assert set(read_vectors(path, {"a"})) == {"a"}
