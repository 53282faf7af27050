"""TextGrids in Praat's long and short form and in its encodings; anything else is a DataError."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxscore.errors import DataError
from jaxscore.listening.textgrid import read_textgrid

WORDS = [(0.0, 0.5, "sp"), (0.5, 0.75, 'say "hé" ! 3'), (0.75, 1.25, " and "), (1.25, 2.0, "")]
POINTS = [(0.1, "x"), (1.5, "")]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def short() -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "2", "<exists>", "2"]
    lines += ['"TextTier"', '"tones"', "0", "2", str(len(POINTS))]
    lines += [line for time, mark in POINTS for line in (str(time), quoted(mark))]
    lines += ['"IntervalTier"', '"word"', "0", "2", str(len(WORDS))]
    lines += [line for a, b, text in WORDS for line in (str(a), str(b), quoted(text))]
    return "\n".join(lines) + "\n"


def long() -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", "xmax = 2 ", "tiers? <exists> "]
    lines += [
        "size = 2 ! two tiers: 17",
        "item []: ",
        "    item [1]:",
        '        class = "TextTier"',
        '        name = "tones"',
    ]
    lines += ["        xmin = 0", "        xmax = 2", f"        points: size = {len(POINTS)}"]
    for i, (time, mark) in enumerate(POINTS, start=1):
        lines += [f"        points [{i}]:", f"            number = {time}", f"            mark = {quoted(mark)}"]
    lines += [
        "    item [2]:",
        '        class = "IntervalTier" ',
        '        name = "word" ',
        "        xmin = 0 ",
        "        xmax = 2 ",
    ]
    lines += [f"        intervals: size = {len(WORDS)} "]
    for i, (a, b, text) in enumerate(WORDS, start=1):
        lines += [f"        intervals [{i}]:", f"            xmin = {a} ", f"            xmax = {b} "]
        lines += [f"            text = {quoted(text)} "]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("form", [long, short])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be with mark"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_forms_and_encodings(tmp_path, form, encoding, ends):
    text = form().replace("\n", ends)
    content = ("\ufeff" + text).encode("utf-16-be") if encoding.endswith("mark") else text.encode(encoding)
    (tmp_path / "a.TextGrid").write_bytes(content)
    tier = read_textgrid(tmp_path / "a.TextGrid", "word")
    assert tier.texts == ["sp", 'say "hé" ! 3', "and", ""]
    assert list(zip(tier.starts, tier.ends, strict=True)) == [(a, b) for a, b, _ in WORDS]
    words = tier.without({"sp", ""})
    assert words.texts == ['say "hé" ! 3', "and"]
    assert words.starts.tolist() == [0.5, 0.75]
    tones = read_textgrid(tmp_path / "a.TextGrid", "tones")
    assert tones.texts == ["x", ""]
    assert tones.starts.tolist() == tones.ends.tolist() == [0.1, 1.5]


def test_tiers_may_be_empty_or_absent(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text('"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "word" 0 1 0')
    assert read_textgrid(path, "word").without({""}).texts == []
    path.write_text('"ooTextFile" "TextGrid" 0 1 <absent>')
    with pytest.raises(DataError, match="0 tiers 'word'"):
        read_textgrid(path, "word")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"ooTextFile"', '"ooBinaryFile"', "does not begin with 'ooTextFile'"),
        ('"TextGrid"', '"PitchTier"', "not 'TextGrid'"),
        ('"IntervalTier"', '"SomeTier"', "is a 'SomeTier'"),
        ("0.75\n1.25", "0.75\n", "expected 2 times"),
        ("0.75\n1.25", "0.75\n0.5", "do not increase"),
        ("0.75\n1.25", "0.75\n1e999", "expected 2 times"),
        ("\n4\n", "\n5\n", "expected 2 times"),
        ("\n4\n", "\n-4\n", "how many follow"),
        ("\n4\n", "\n4.5\n", "how many follow"),
        ("\n4\n", "\n1e300\n", "expected 2 times"),
        ('"word"', '"words"', "Did you mean 'words'"),
        ('"tones"', '"word"', "2 tiers 'word'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, old, new, message):
    assert short().count(old) == 1
    path = tmp_path / "a.TextGrid"
    path.write_text(short().replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_textgrid(path, "word")
    assert str(path) in caught.value.message


def test_files_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "a.TextGrid"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_textgrid(path, "word")
    path.write_bytes(b"ooBinaryFile\x08TextGrid\x00\x00")
    with pytest.raises(DataError, match="binary TextGrid"):
        read_textgrid(path, "word")
    path.write_bytes(short().encode("latin-1"))
    with pytest.raises(DataError, match="not text in utf-8"):
        read_textgrid(path, "word")


@given(st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_read_or_refused(tmp_path, data):
    content = bytearray(
        data.draw(st.sampled_from([long(), short()])).encode(data.draw(st.sampled_from(["utf-8", "utf-16"])))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=8))
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    try:
        tier = read_textgrid(path, "word")
    except DataError:
        return
    assert len(tier.texts) == len(tier.starts) == len(tier.ends)
    assert np.isfinite(tier.starts).all()
    assert (tier.ends >= tier.starts).all()
