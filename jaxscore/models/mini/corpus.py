"""The text that `mini` is trained on: WikiText-2 articles as ordinary English, split by article."""

from __future__ import annotations

import re

TITLE = re.compile(r"(?m)^ = (?!=)(.+?) = *$")
"""First line of an article, ` = Title = `; deeper headings have more signs, ` = = Section = = `."""

REPAIRS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^((= )+)(.+?)( =)+$", r"\3"),  # headings become plain lines
        (r" @([-,.])@ ", r"\1"),
        (r" '(s|t|m|re|ve|ll|d)\b", r"'\1"),
        (r"(?<=s) '(?= )", "'"),
        (r"(?<!\S)\" (.+?) \"(?!\S)", r'"\1"'),
        (r"(?<!\S)' ([^']+?) '(?!\S)", r"'\1'"),
        (r" (\.{2,}|[,.;:!?%)\]\u00b0\u2032\u2033])", r"\1"),
        (r"(?<!\S)([(\[$£]) ", r"\1"),
        (r"(?<=[\"'(\[])([(\[$£]) ", r"\1"),
        (r"(?<=\d) \u2013 (?=\d)", "\u2013"),
        (r" / ", "/"),
    )
)
"""What undoes WikiText's tokenisation, in this order, on one line."""


def detokenise(line: str) -> str:
    """Return a line of WikiText as ordinary English: `lobsters , " red @-@ tipped "` -> `lobsters, "red-tipped"`."""
    line = line.strip()
    for pattern, replacement in REPAIRS:
        line = pattern.sub(replacement, line)
    return line


def articles(text: str) -> list[str]:
    """Cut a WikiText file at the titles of its articles and detokenise each; empty lines are dropped."""
    starts = [match.start() for match in TITLE.finditer(text)]
    pieces = [text[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return ["\n".join(filter(None, map(detokenise, piece.split("\n")))) for piece in pieces]


def split(text: str, fraction: float = 0.9) -> tuple[list[str], list[str]]:
    """Return the first `fraction` of the articles for training and the others, held out."""
    found = articles(text)
    cut = round(fraction * len(found))
    return found[:cut], found[cut:]
