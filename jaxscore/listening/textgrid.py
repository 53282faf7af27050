"""Praat's TextGrid: words and their times.

Praat's text files, long or short, are a row of free-standing values: numbers, texts in double quotes (a quote in a text
is doubled) and flags in angle brackets. All else, such as `xmin =` or `intervals [1]:`, is for the human eye, and what
follows an exclamation mark is a comment. So one reader serves both forms. Source: Praat's manual, "TextGrid file
formats".
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxscore.errors import DataError, did_you_mean

VALUES = re.compile(
    r'!.*|"(?P<text>(?:[^"]|"")*)"|<(?P<flag>\w+)>|(?<!\S)(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)|\S+'
)
INTERVALS, POINTS = "IntervalTier", "TextTier"
BOMS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}


@dataclass(frozen=True)
class Tier:
    """A tier of a TextGrid.

    Attributes:
        name: of the tier.
        starts: of its intervals in seconds; of a point, its time.
        ends: likewise.
        texts: one each, without white space around it; empty where nothing is written.
    """

    name: str
    starts: Float[np.ndarray, " interval"]
    ends: Float[np.ndarray, " interval"]
    texts: list[str]

    def without(self, silences: Collection[str]) -> Tier:
        """The tier without the intervals whose text is one of `silences`."""
        kept = np.array([text not in silences for text in self.texts], bool)
        texts = [text for text, keep in zip(self.texts, kept, strict=True) if keep]
        return Tier(self.name, self.starts[kept], self.ends[kept], texts)


def read_textgrid(path: Path, name: str) -> Tier:
    """Read the tier called `name` of a TextGrid, in UTF-8 or UTF-16.

    Raises:
        DataError: if the file cannot be read, is no TextGrid in text form, or has not exactly one such tier.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "Check the path.") from error
    if content.startswith(b"ooBinaryFile"):
        raise DataError(f"{path} is a binary TextGrid", "Save it in Praat by Save as text file.")
    encoding = next((name for mark, name in BOMS.items() if content.startswith(mark)), "utf-8")
    try:
        tiers = list(_tiers(_values(content.decode(encoding))))
    except UnicodeError as error:
        raise DataError(
            f"{path} is not text in {encoding}: {error}", "Save it in Praat by Save as text file."
        ) from error
    except _FormError as error:
        raise DataError(f"{path} is no TextGrid: {error}", "Expected a TextGrid that Praat saved as text.") from None
    found = [tier for tier in tiers if tier.name == name]
    if len(found) != 1:
        names = [tier.name for tier in tiers]
        raise DataError(
            f"{path} has {len(found)} tiers {name!r}. {did_you_mean(name, names)}".strip(), f"Its tiers: {names}."
        )
    return found[0]


class _FormError(ValueError):
    """What stands where something else was expected."""


def _values(content: str) -> Iterator[str | float]:
    """The free-standing values: texts and numbers; a flag counts as a text in angle brackets."""
    for match in VALUES.finditer(content):
        if match["text"] is not None:
            yield match["text"].replace('""', '"')
        elif match["number"]:
            yield float(match["number"])
        elif match["flag"]:
            yield f"<{match['flag']}>"


def _tiers(values: Iterator[str | float]) -> Iterator[Tier]:
    if _text(values, "the type of file") not in ("ooTextFile", "ooTextFile short"):
        raise _FormError("it does not begin with 'ooTextFile'")
    if _text(values, "the class") != "TextGrid":
        raise _FormError("its object class is not 'TextGrid'")
    _times(values, 2)
    if _text(values, "whether there are tiers") != "<exists>":
        return
    for _ in range(_count(values)):
        kind, name = _text(values, "the class of a tier"), _text(values, "its name")
        if kind not in (INTERVALS, POINTS):
            raise _FormError(f"tier {name!r} is a {kind!r:.40}, expected {INTERVALS} or {POINTS}")
        _times(values, 2)
        times, texts, edges = [], [], 2 if kind == INTERVALS else 1
        for _ in range(_count(values)):
            times.append(_times(values, edges))
            texts.append(_text(values, "the text of an interval").strip())
        columns = np.array(times, np.float64).reshape(-1, edges)
        starts, ends = columns[:, 0], columns[:, -1]
        if (ends < starts).any() or (np.diff(starts) < 0).any():
            raise _FormError(f"the times of tier {name!r} do not increase")
        yield Tier(name, starts, ends, texts)


def _text(values: Iterator[str | float], what: str) -> str:
    value = next(values, None)
    if not isinstance(value, str):
        raise _FormError(f"expected {what}, a text, and found {'the end' if value is None else value}")
    return value


def _times(values: Iterator[str | float], count: int) -> list[float]:
    found = [next(values, None) for _ in range(count)]
    if not all(isinstance(value, float) and np.isfinite(value) for value in found):
        raise _FormError(f"expected {count} times and found {found!r:.80}")
    return found


def _count(values: Iterator[str | float]) -> int:
    value = next(values, None)
    if not isinstance(value, float) or not value.is_integer() or value < 0:
        raise _FormError(f"expected how many follow, and found {value!r:.80}")
    return int(value)
