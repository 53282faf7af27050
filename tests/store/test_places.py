"""Folders and buckets do the same: whole or not there, one creator, ages by their own clock."""

from __future__ import annotations

import copy
import errno
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from jaxscore.errors import StoreError, TemporaryStoreError
from jaxscore.store.places import Bucket, Folder, open_place, refused


def test_nothing_is_there_at_first(place):
    assert place.read("a/b.json") is None
    assert place.age("a/b.json") is None
    assert place.names() == place.names("a/") == []
    place.remove("a/b.json")


def test_what_is_written_is_read(place):
    content = bytes(range(256)) * 1000
    place.write("a/b.json", b"old")
    place.write("a/b.json", content)
    place.write("top", b"")
    assert place.read("a/b.json") == content
    assert place.read("top") == b""
    place.remove("a/b.json")
    assert place.read("a/b.json") is None
    assert place.names() == ["top"]


def test_names(place):
    for name in ("b/2.json", "b/1.json", "b/1.nc", "bc/1", ".jobs/x", "ünï +%&", "b/.1.nc.7-ab.part"):
        place.write(name, b"")
    assert place.names() == [".jobs/x", "b/1.json", "b/1.nc", "b/2.json", "bc/1", "ünï +%&"]
    assert place.names("b/") == ["b/1.json", "b/1.nc", "b/2.json"]
    assert place.names("b") == ["b/1.json", "b/1.nc", "b/2.json", "bc/1"]
    assert place.names("b/1.n") == ["b/1.nc"]
    assert place.names("c") == place.names("c/d") == place.names("top/x") == []


def test_places_below_each_other(place):
    place.write("a/b/c", b"1")
    below = open_place(str(place.at("a")))
    assert below.names() == ["b/c"]
    assert below.read("b/c") == b"1"
    assert str(below.at("b/c")) == str(place.at("a/b/c"))


def test_one_of_many_creates(place):
    """Eight threads, ten times: one is told so, and what is there is its own."""
    start = threading.Barrier(8)

    def attempt(number: int) -> list[bool]:
        made = []
        for k in range(10):
            start.wait()
            made.append(place.create(f"leases/{k}", b"the same %d" % (number // 2)))
        return made

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(attempt, range(8)))
    for k in range(10):
        (winner,) = [number for number in range(8) if made[number][k]]
        assert place.read(f"leases/{k}") == b"the same %d" % (winner // 2)
    assert place.names() == sorted(f"leases/{k}" for k in range(10))
    place.remove("leases/3")
    assert place.create("leases/3", b"again")


def test_creator_whose_answer_was_lost(s3, monkeypatch):
    """The server writes the object and then fails: boto3 tries again and is told that there is one. It is ours."""
    from moto.s3.responses import S3Response

    original, tries = S3Response.put_object, []

    def fails_once(self):
        tries.append(self.path)
        answer = original(self)
        return answer if len(tries) > 1 else (503, {}, "")

    monkeypatch.setattr(S3Response, "put_object", fails_once)
    assert open_place(s3).create("lease", b"x")
    assert len(tries) == 2
    assert not open_place(s3).create("lease", b"x")


def test_age_of_what_was_just_written(place):
    place.write("a/lease", b"")
    assert 0 <= place.age("a/lease") < 10
    assert place.names() == ["a/lease"]


def test_age_by_the_clock_of_the_file_system(tmp_path, monkeypatch):
    place = Folder(tmp_path)
    place.write("lease", b"")
    written = (tmp_path / "lease").stat().st_mtime
    os.utime(tmp_path / "lease", (written, written - 100))
    monkeypatch.setattr("time.time", lambda: 0.0)  # a machine whose clock is wrong
    assert 100 <= place.age("lease") < 110
    os.utime(tmp_path / "lease", (written, written + 100))
    assert place.age("lease") == 0
    assert os.listdir(tmp_path) == ["lease"]


def test_age_by_the_clock_of_s3(s3):
    from moto.s3.models import s3_backends

    place = open_place(s3)
    place.write("lease", b"")
    _, bucket, *key = s3.replace("//", "/").split("/")
    (backend,) = [each for each in s3_backends["123456789012"].values() if bucket in each.buckets]
    backend.buckets[bucket].keys["/".join([*key, "lease"])].last_modified -= timedelta(seconds=100)
    assert 99 <= place.age("lease") < 110


def test_check(place):
    place.check()
    assert place.names() == []
    if isinstance(place, Folder):
        assert os.listdir(place.path) == []


def test_a_file_where_a_folder_is_wanted(tmp_path):
    (tmp_path / "file").write_text("")
    place = Folder(tmp_path / "file" / "results")
    assert (place.read("a"), place.names(), place.age("a")) == (None, [], None)
    place.remove("a")
    for act in (place.check, lambda: place.write("a", b""), lambda: place.create("a", b"")):
        with pytest.raises(StoreError, match=r"cannot be written to .*untouched") as caught:
            act()
        assert not isinstance(caught.value, TemporaryStoreError)
        assert "--out FOLDER" in caught.value.hint


def test_nothing_changes_if_one_of_several_is_refused(tmp_path):
    place = Folder(tmp_path)
    place.write("a", b"old")
    with pytest.raises(StoreError, match="File name too long"):
        place.write_all({"a": b"new", "b": b"new", "c" * 250: b""})
    assert place.read("a") == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, TemporaryStoreError),
        (errno.EIO, TemporaryStoreError),
        (errno.ESTALE, TemporaryStoreError),
        (errno.EACCES, StoreError),
        (errno.EROFS, StoreError),
    ],
)
def test_what_may_pass(number, kind):
    assert type(refused(Path("x"), OSError(number, os.strerror(number)))) is kind


def test_a_bucket_that_is_not_there(s3):
    place = open_place("s3://nobody-has-this/x")
    for act in (place.check, place.names, lambda: place.read("a"), lambda: place.create("a", b"")):
        with pytest.raises(StoreError, match=r"s3://nobody-has-this/x/.* 404 NoSuchBucket") as caught:
            act()
        assert not isinstance(caught.value, TemporaryStoreError)
        assert "bucket exists" in caught.value.hint


def test_no_answer_may_pass(s3, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(TemporaryStoreError, match="cannot be reached") as caught:
        open_place(s3).read("a")
    assert "same command" in caught.value.hint


@pytest.mark.parametrize("status", [500, 503, 403])
def test_a_server_in_trouble(s3, monkeypatch, status):
    from moto.s3.responses import S3Response

    monkeypatch.setattr(S3Response, "put_object", lambda self: (status, {}, ""))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreError, match=str(status)) as caught:
        open_place(s3).write("a", b"")
    assert isinstance(caught.value, TemporaryStoreError) == (status >= 500)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("AWS_ENDPOINT_URL_S3", "localhost", "Invalid endpoint"),
        ("AWS_PROFILE", "nobody", "config profile"),
    ],
)
def test_settings_that_are_wrong(s3, monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=message) as caught:
        open_place(s3).check()
    assert not isinstance(caught.value, TemporaryStoreError)
    assert "AWS settings" in caught.value.hint


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("results", Folder(Path("results"))),
        (Path("/a/b"), Folder(Path("/a/b"))),
        ("s3://bucket", Bucket("s3://bucket")),
        ("s3://bucket/a/b/", Bucket("s3://bucket/a/b")),
        (Path("s3://bucket/a"), Bucket("s3://bucket/a")),
    ],
)
def test_open_place(where, place):
    assert open_place(where) == place
    assert hash(open_place(where)) == hash(place)


@pytest.mark.parametrize("where", ["s3://", "s3:", "gs://bucket/x", "https://host/x", Path("gs://bucket")])
def test_other_urls(where):
    with pytest.raises(StoreError) as caught:
        open_place(where)
    assert "Expected" in caught.value.hint


def test_copies_have_connections_of_their_own(place):
    place.write("a", b"1")
    other = copy.deepcopy(place)
    assert other == place
    assert other.read("a") == b"1"


def test_a_folder_without_hard_links(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    place = open_place(tmp_path)
    assert place.create("a/lease", b"one")
    assert not place.create("a/lease", b"two")
    assert place.read("a/lease") == b"one"
