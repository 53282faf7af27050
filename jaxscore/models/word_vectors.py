"""Vectors of words from the files that word2vec, GloVe and fastText publish; only the words asked for are kept.

The format is told from the content: a magic number (fastText's binary model), a header "count dimension" followed by
text or by float32 (word2vec, fastText's .vec), or neither (GloVe). Files are read from start to end in constant memory.
"""

from __future__ import annotations

import gzip
import io
import math
import mmap
import re
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Float

from jaxscore.errors import ModelError

BINARY, HEADED, HEADLESS, FASTTEXT = "word2vec binary", "text with header", "GloVe text", "fastText binary"
FASTTEXT_MAGIC, FASTTEXT_VERSIONS, FASTTEXT_SUPERVISED = 793712314, (11, 12), 3
SENTENCE_END = "</s>"  # a row of fastText's dictionary that has no n-grams
LONGEST_LINE = 1 << 20  # bytes; 4,096 dimensions with all digits are a tenth of it
CHUNK = 1 << 22  # bytes read at once

Vector = Float[np.ndarray, " feature"]


class Layout(NamedTuple):
    """What the first bytes say: the format, and the number of rows and columns (None where they do not say it)."""

    kind: str
    count: int | None = None
    dim: int | None = None


class Subwords(NamedTuple):
    """A fastText model: how words fall into n-grams, where the wanted words are, and where the matrix begins."""

    bucket: int
    minn: int
    maxn: int
    words: int
    rows: dict[str, int]
    offset: int
    shape: tuple[int, int]


def vector_format(path: str | Path) -> str:
    """The format of a file: "word2vec binary", "text with header", "GloVe text" or "fastText binary".

    Raises:
        ModelError: if it is none of these, or cannot be read.
    """
    with _opened(Path(path)) as file:
        return _layout(file, Path(path)).kind


def read_vectors(path: str | Path, wanted: Iterable[str], *, subwords: bool = True) -> dict[str, Vector]:
    """Read the vectors of some words; of a word that is there twice, the first.

    Args:
        path: word2vec (binary or text), GloVe text or fastText's .vec, each also compressed by gzip; or fastText's
            .bin, where a word's vector is the mean of its own row and those of its n-grams (Bojanowski et al. 2017).
        wanted: the words, spelled as in the file.
        subwords: whether a fastText model composes words outside its vocabulary from their n-grams.

    Returns:
        Float32 vectors of the words that were found.

    Raises:
        ModelError: for a file that cannot be read, is of none of these formats, quantised (.ftz), truncated or damaged;
            it names the file and the line or row. Numbers are parsed only in the rows that are wanted; every line's
            number of columns is checked.
    """
    path = Path(path)
    with _opened(path) as file:
        layout = _layout(file, path)
        if layout.kind != FASTTEXT:
            keys = {word.encode(): word for word in wanted}
            rows = _binary_rows if layout.kind == BINARY else _text_rows
            found: dict[str, Vector] = {}
            for place, key, vector in rows(file, path, layout, keys.keys()):
                if not np.isfinite(vector).all():
                    raise _damaged(path, place, f"the vector of {keys[key]!r} is not finite")
                found.setdefault(keys[key], vector)
            return found
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                model = _subwords(data, path, set(wanted))
            except struct.error:
                raise _damaged(path, f"byte {len(data)}", "the file ends within the header or dictionary") from None
    words = (word for word in sorted(wanted) if subwords or word in model.rows)
    return _composed(path, model, words)


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """The file's bytes, through gzip if its content says so."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if packed else nullcontext(file) as stream:
                yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise ModelError(f"{path} cannot be read: {error}", "Give a complete file of word vectors.") from None


def _damaged(path: Path, place: str, what: str) -> ModelError:
    return ModelError(
        f"{path}, {place}: {what}", "The file is damaged or incomplete: fetch it again, compare its hash."
    )


def _layout(file: io.BufferedIOBase, path: Path) -> Layout:
    """Tell the format and leave `file` before the first row."""
    start = file.read(4)
    file.seek(0)
    if start == struct.pack("<i", FASTTEXT_MAGIC):
        if isinstance(file, gzip.GzipFile):
            raise ModelError(f"{path} is a compressed fastText model", f"Decompress it first: gunzip {path.name}")
        return Layout(FASTTEXT)
    line = file.readline(LONGEST_LINE)
    if header := re.fullmatch(rb"(\d{1,18}) (\d{1,6})\s*", line):
        count, dim = int(header[1]), int(header[2])
        begin, row = file.tell(), file.read(4096 + 2 * dim)
        file.seek(begin)
        # text has at least two bytes a number, so these belong to the first row; of float32 they hardly ever are ASCII
        numbers = row[row.find(b" ") + 1 :][: 2 * dim - 1]
        if dim:
            return Layout(HEADED if re.fullmatch(rb"[\t\r\n -~]*", numbers) else BINARY, count, dim)
    fields = line.rstrip().split(b" ")
    dim = next((i for i, field in enumerate(reversed(fields[1:])) if not _is_number(field)), len(fields) - 1)
    if header or not dim:
        raise ModelError(
            f"{path} has no word vectors: it begins with {start + line[4:40]!r}",
            "Give word2vec (.bin, .txt), GloVe (.txt) or fastText (.vec, .bin) vectors, plain or gzip-compressed"
            + (f"; extract it first: unzip {path.name}" if start[:2] == b"PK" else "."),
        )
    file.seek(0)
    return Layout(HEADLESS, None, dim)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


Rows = Iterator[tuple[str, bytes, Vector]]  # (place in the file, word, vector)


def _text_rows(file: io.BufferedIOBase, path: Path, layout: Layout, wanted: Collection[bytes]) -> Rows:
    """Wanted rows of text; a token may hold spaces (GloVe 840B has some), so columns count from the right."""
    count, dim = layout.count, cast(int, layout.dim)
    begins = {word.split(b" ")[0] for word in wanted}
    first, number = (1 if count is None else 2), 0
    for number, line in enumerate(file, start=1):
        row, place = line.rstrip(), f"line {number + first - 1}"
        extra = row.count(b" ") - dim
        if extra and (extra < 0 or _is_number(row.split(b" ", extra + 1)[extra])):
            raise _damaged(path, place, f"{dim + extra} numbers where {dim} are expected")
        if row[: row.index(b" ")] not in begins:
            continue
        word, *numbers = row.rsplit(b" ", dim)
        if word not in wanted:
            continue
        try:
            with np.errstate(over="ignore"):
                yield place, word, np.array(numbers, "S").astype(np.float32)
        except ValueError:
            odd = next((field for field in numbers if not _is_number(field)), numbers[0])
            raise _damaged(path, place, f"{odd.decode(errors='replace')!r} is not a number") from None
    if count is not None and number != count:
        raise _damaged(path, f"line {number + 1}", f"{number} rows where the header says {count}")


def _binary_rows(file: io.BufferedIOBase, path: Path, layout: Layout, wanted: Collection[bytes]) -> Rows:
    """Wanted rows of word2vec's binary form: the word, a space, float32, and in some files a newline."""
    count, dim = cast(int, layout.count), cast(int, layout.dim)
    size, buffer, at = 4 * dim, b"", 0
    for number in range(1, count + 1):
        gap = buffer.find(b" ", at)
        if gap < 0 or gap + 1 + size > len(buffer):
            buffer, at = buffer[at:] + file.read(CHUNK + size), 0
            gap = buffer.find(b" ")
            if gap < 0 or gap + 1 + size > len(buffer):
                raise _damaged(path, f"row {number}", f"the file ends here; the header says {count} rows of {dim}")
        word = buffer[at:gap].removeprefix(b"\n")
        at = gap + 1 + size
        if word in wanted:
            yield f"row {number}", word, np.frombuffer(buffer, "<f4", dim, gap + 1).astype(np.float32)
    if (buffer[at:] + file.read(2)).removeprefix(b"\n"):
        raise _damaged(path, f"row {count + 1}", f"data go on where the header says {count} rows of {dim}")


def _subwords(data: mmap.mmap, path: Path, wanted: set[str]) -> Subwords:
    """Read fastText's options and dictionary, and check that both matrices fit the file."""
    _, version, dim, *options, _ = struct.unpack_from("<14id", data)
    model, bucket, minn, maxn = options[6:10]
    if version not in FASTTEXT_VERSIONS:
        raise ModelError(f"{path} is a fastText model of version {version}, expected {FASTTEXT_VERSIONS}")
    entries, words, _, _, pruned = struct.unpack_from("<3i2q", data, at := 64)
    at, rows = at + 28, {}
    keys = {word.encode(): word for word in wanted}
    for row in range(entries):
        end = data.find(b"\0", at)
        if end < 0:
            raise _damaged(path, f"dictionary entry {row + 1}", f"the file ends here; {entries} entries are expected")
        if row < words and (word := keys.get(data[at:end])) is not None:
            rows[word] = row
        at = end + 10  # the terminator, a count (8 bytes) and a type (1)
    if pruned >= 0 or data[at : at + 1] == b"\1":
        raise ModelError(
            f"{path} is a quantised or pruned fastText model (.ftz), whose vectors are approximations",
            "Give the full model (.bin) or its vectors as text (.vec).",
        )
    height, width = struct.unpack_from("<2q", data, at + 1)
    offset = at + 17
    if (height, width) != (words + bucket, dim) or min(dim, words, bucket) < 0 or not dim:
        raise _damaged(path, f"byte {at}", f"a matrix of {height} x {width} where {words + bucket} x {dim} is expected")
    outputs = struct.unpack_from("<2q", data, offset + 4 * height * width + 1)
    if len(data) != (expected := offset + 4 * height * width + 17 + 4 * math.prod(outputs)):
        raise _damaged(path, f"byte {len(data)}", f"the file ends here; {expected} bytes are expected")
    plain = version == 11 and model == FASTTEXT_SUPERVISED  # these were trained without n-grams, whatever maxn says
    return Subwords(bucket, minn, 0 if plain else maxn, words, rows, offset, (height, width))


def _composed(path: Path, model: Subwords, words: Iterable[str]) -> dict[str, Vector]:
    """Means over the rows of each word: its own, if it has one, and those of its n-grams."""
    matrix = np.memmap(path, "<f4", "r", model.offset, model.shape)
    found = {}
    for word in words:
        own = [model.rows[word]] if word in model.rows else []
        pieces = ngrams(word, model.minn, model.maxn) if model.bucket and word != SENTENCE_END else []
        if rows := own + [model.words + hash_ngram(piece) % model.bucket for piece in pieces]:
            found[word] = np.asarray(matrix[rows]).mean(axis=0, dtype=np.float64).astype(np.float32)
            if not np.isfinite(found[word]).all():
                raise _damaged(path, "matrix", f"the vector of {word!r} is not finite")
    return found


def ngrams(word: str, minn: int, maxn: int) -> list[str]:
    """Character n-grams of "<word>" as fastText takes them: minn to maxn characters, never a lone boundary sign."""
    marked = f"<{word}>"
    return [
        marked[i : i + n]
        for i in range(len(marked))
        for n in range(max(minn, 1), min(maxn, len(marked) - i) + 1)
        if n > 1 or 0 < i < len(marked) - 1
    ]


def hash_ngram(piece: str) -> int:
    """32-bit FNV-1a over UTF-8, each byte sign-extended to 32 bits first (char is signed in fastText's releases)."""
    value = 2166136261
    for byte in piece.encode():
        value = (value ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619 & 0xFFFFFFFF
    return value
