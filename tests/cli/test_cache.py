"""`jaxscore cache`: listed, summed, removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jaxscore.data.fetch import cached_path

URLS = ["s3://brain/Pereira2018.nc", "https://lab/stories.csv"]


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """Two downloads and two files of activations."""
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "activations").mkdir(parents=True)
    for i in range(2):
        (tmp_path / "cache" / "activations" / f"{i}123456789abcdef.h5").write_bytes(b"x" * 1500)
    for url in URLS:
        path = cached_path(url)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 2_000_000)
        path.with_name(f"{path.name}.json").write_text(json.dumps({"url": url, "sha256": "0", "etag": None}))
    return tmp_path / "cache"


def test_ls(cli, cache):
    part = cached_path("s3://brain/begun.nc")
    part.with_name(f".{part.name}.6f6e65.part").write_bytes(b"x" * 500)
    ran = cli("cache", "ls")
    assert ran.code == 0
    assert ran.err == f"{cache} (JAXSCORE_CACHE moves it)\n"
    rows = [line.split() for line in ran.out.splitlines()]
    assert [row[:3] for row in rows[:5]] == [
        ["downloads", "2", "MB"], ["downloads", "500", "B"], ["downloads", "2", "MB"],
        ["activations", "1.5", "kB"], ["activations", "1.5", "kB"],
    ]  # fmt: skip
    assert [row[5:] for row in rows[:4]] == [
        ["Pereira2018.nc", URLS[0]], ["begun.nc", "(unfinished)"], ["stories.csv", URLS[1]], ["0123456789abcdef.h5"],
    ]  # fmt: skip
    assert [" ".join(row) for row in rows[5:]] == [
        "downloads 4 MB in all, 3", "activations 3 kB in all, 2", "ceilings 0 B in all, 0", "compiled 0 B in all, 0",
        "weights 0 B in all, 0",
    ]  # fmt: skip


def test_empty(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "nothing"))
    assert len(cli("cache", "ls").out.splitlines()) == 5
    ran = cli("cache", "rm", "--all")
    assert (ran.code, ran.out) == (0, "")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("pattern", ["Pereira2018.nc", "Pereira*", URLS[0], "s3://*"])
def test_rm_by_pattern(cli, cache, pattern):
    ran = cli("cache", "rm", pattern)
    assert ran.code == 0
    assert ran.out.split() == ["downloads", "2", "MB", "Pereira2018.nc", URLS[0]]
    assert ran.err == f"removed 1, 2 MB, from {cache}\n"
    assert not cached_path(URLS[0]).exists()
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 2 + 2


def test_rm_by_kind(cli, cache):
    ran = cli("cache", "rm", "--kind", "activations")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["activations"] * 2
    assert all(cached_path(url).exists() for url in URLS)
    assert cli("cache", "rm", "*", "--kind", "downloads").out.count("\n") == 2


def test_rm_all(cli, cache):
    (cache / "mine.txt").touch()
    assert cli("cache", "rm", "--all").out.count("\n") == 4
    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["mine.txt"]


def test_folder_that_is_a_link(cli, cache, tmp_path):
    (cache / "activations").rename(tmp_path / "scratch")
    (cache / "activations").symlink_to(tmp_path / "scratch")
    ran = cli("cache", "rm", "--all")
    assert f"{cache / 'activations'} is a link: it is left alone" in ran.err
    assert len(list((tmp_path / "scratch").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("rm", "a pattern, a kind, or all"),
        ("rm --all Pereira*", "a pattern, a kind, or all"),
        ("rm --kind activation", "Did you mean 'activations'"),
        ("rm Pereira2018", "Did you mean 'Pereira2018.nc'"),
    ],
)
def test_words_that_do_not_fit(cli, cache, arguments, words):
    before = sorted(cache.rglob("*"))
    ran = cli("cache", *arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert sorted(cache.rglob("*")) == before
