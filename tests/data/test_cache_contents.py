"""What is counted as ours in a cache folder, and that nothing else is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jaxscore.data.cache_contents import contents, linked, remove
from jaxscore.data.fetch import cached_path
from jaxscore.errors import JaxscoreError

URL = "s3://brain/lab/assy.nc"
KEY = "0123456789abcdef"


def write(path: Path, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def download(cache: Path, url: str, size: int = 10) -> Path:
    """A file as `fetch` leaves it."""
    path = write(cached_path(url, cache), size)
    path.with_name(f"{path.name}.json").write_text(json.dumps({"url": url, "sha256": "00", "etag": None}))
    return path


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture
def cache(tmp_path) -> Path:
    """One of each kind."""
    cache = tmp_path / "cache"
    download(cache, URL, 1000)
    write(cache / "activations" / f"{KEY}.h5", 200)
    write(cache / "ceilings" / f"{KEY}.nc", 30)
    for i in range(3):
        write(cache / "compiled" / "0123456789ab" / f"jit_{i}-cache", 4)
    return cache


def test_kinds(cache):
    record = (cached_path(URL, cache).with_name(cached_path(URL, cache).name + ".json")).stat().st_size
    found = [(entry.kind, entry.name, entry.size, entry.url, entry.whole) for entry in contents(cache)]
    assert found == [
        ("downloads", "assy.nc", 1000 + record, URL, True),
        ("activations", f"{KEY}.h5", 200, "", True),
        ("ceilings", f"{KEY}.nc", 30, "", True),
        ("compiled", "0123456789ab", 12, "", True),
    ]
    assert contents(cache / "absent") == []


def test_when(cache):
    os.utime(cache / "activations" / f"{KEY}.h5", (1e9, 1e9))
    assert contents(cache)[1].when == 1e9


def test_everything_of_a_download_is_one_entry(cache):
    path = cached_path(URL, cache)
    write(path.with_name(f".{path.name}.6f6e65.part"), 5)
    write(path.with_name(f".{path.name}.123-abcdef01.part"), 5)
    write(path.with_name(f".{path.name}.json.123-abcdef01.part"), 5)
    write(path.with_name(f".{path.name}.lock"), 0)
    begun = cached_path("s3://brain/begun.nc", cache)
    write(begun.with_name(f".{begun.name}.6f6e65.part"), 5)
    first, second, *_ = contents(cache)
    assert (first.name, first.whole, len(first.paths)) == ("assy.nc", True, 6)
    assert (second.name, second.whole, second.size) == ("begun.nc", False, 5)
    remove(first)
    remove(second)
    assert list((cache / "data").iterdir()) == []


def test_json_files_and_records_of_files_elsewhere(cache):
    """A record is told from a file by what is in it; the hub's files have a record only."""
    download(cache, "https://lab/table.json")
    hub = "hf://datasets/lab/study/x.csv"
    download(cache, hub).unlink()
    entries = {entry.url: entry for entry in contents(cache) if entry.kind == "downloads"}
    assert {url: (entry.name, len(entry.paths), entry.whole) for url, entry in entries.items()} == {
        URL: ("assy.nc", 2, True),
        "https://lab/table.json": ("table.json", 2, True),
        hub: ("x.csv", 1, True),
    }


def test_patterns(cache):
    entry = contents(cache)[0]
    path = cached_path(URL, cache)
    assert all(entry.matches(each) for each in ("assy.nc", "assy*", "*.nc", URL, "s3://brain/*", path.name))
    assert not any(entry.matches(each) for each in ("assy", "ASSY.NC", "nc", "s3://", ""))


def test_strangers_are_neither_listed_nor_removed(cache, tmp_path):
    """Somebody may have named a folder that has other things in it."""
    strangers = [
        write(cache / "data" / "my_study.csv"),
        write(cache / "data" / "notes" / "a.txt"),
        write(cache / "activations" / "mine.h5"),
        write(cache / "compiled" / "program"),
        write(cache / "thesis.tex"),
        write(cache / ".profile"),
    ]
    for entry in contents(cache):
        remove(entry)
    assert everything(cache) == {str(path.relative_to(cache)) for path in strangers}


def test_links_are_not_followed(cache, tmp_path):
    outside = write(tmp_path / "outside" / f"{KEY[::-1]}.h5")
    (cache / "activations" / f"{KEY[::-1]}.h5").symlink_to(outside)
    (cache / "compiled" / "0123456789ab" / "folder").symlink_to(tmp_path / "outside")
    (cache / "compiled" / "ba9876543210").symlink_to(tmp_path / "outside")
    for entry in contents(cache):
        assert entry.size < 2000
        remove(entry)
    assert everything(cache) == set()
    assert outside.exists()


def test_folder_that_is_a_link_is_left_alone(cache, tmp_path):
    elsewhere = tmp_path / "scratch"
    (cache / "activations").rename(elsewhere)
    (cache / "activations").symlink_to(elsewhere)
    assert "activations" not in {entry.kind for entry in contents(cache)}
    assert linked(cache) == [cache / "activations"]
    assert (elsewhere / f"{KEY}.h5").exists()


def test_cache_that_is_a_link_itself(cache, tmp_path):
    (tmp_path / "link").symlink_to(cache)
    entries = contents(tmp_path / "link")
    assert len(entries) == 4
    remove(entries[0])
    assert not cached_path(URL, cache).exists()


def test_what_is_gone_already(cache):
    first, *_ = contents(cache)
    remove(first)
    remove(first)  # another process was faster


def test_refusal_of_the_system(cache):
    """Whoever cannot be refused by permissions can by a file where a folder was."""
    (entry,) = [entry for entry in contents(cache) if entry.kind == "activations"]
    entry.place.unlink()
    entry.place.parent.rmdir()
    entry.place.parent.touch()
    with pytest.raises(JaxscoreError, match=r"Not a directory\.\nCheck the permissions"):
        remove(entry)
