"""Downloads that break off, from a real server on this machine that knows ranges and makes every fault once."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import jaxscore
from jaxscore.data.download import CHUNK, unfinished
from jaxscore.data.fetch import Fetched, cached_path, fetch
from jaxscore.data.remote import Patience
from jaxscore.errors import DataError, FetchError, TemporaryFetchError

BODY = random.Random(1).randbytes(5 << 20)
OTHER = random.Random(2).randbytes(5 << 20)
HALF = len(BODY) // 2
SHA256 = hashlib.sha256(BODY).hexdigest()
QUICK = Patience(connect=5, read=5, attempts=3, resumes=6, backoff=0)
ONCE = Patience(connect=5, read=5, attempts=1, resumes=1, backoff=0)
FETCH_ONE = "import sys; from jaxscore.data.fetch import fetch; print(fetch(sys.argv[1]).sha256)"


class _Faulty(BaseHTTPRequestHandler):
    """One file, with ranges; each request takes the next of the server's faults."""

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, int):
            self.send_response(fault)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self._start()
        if start is None or start >= len(server.body):
            self.send_response(200 if start is None else 416)
            start = 0 if start is None else len(server.body)
        else:
            self.send_response(206)
            where = start + (1 if fault == "shifted" else 0)
            self.send_header("Content-Range", f"bytes {where}-{len(server.body) - 1}/{len(server.body)}")
        self.send_header("Content-Length", str(len(server.body) - start))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        rest = server.body[start:]
        self._send(rest if fault in (None, "shifted") else rest[: len(rest) // 2 + 1], fault)

    def _start(self) -> int | None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        fits = self.headers.get("If-Range") in (None, self.server.etag)
        return int(asked[1]) if asked and fits and self.server.ranges else None

    def _send(self, content: bytes, fault: str | None) -> None:
        self.server.sent += len(content)
        self.wfile.write(content)
        if fault == "slow":
            self.server.go_on.wait(30)
        if fault == "reset":  # the connection is torn down, not closed
            time.sleep(0.1)  # what is under way would go with it
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def log_message(self, *args):
        pass


class _Server(ThreadingHTTPServer):
    """Whoever hangs up is no error here."""

    def handle_error(self, request, client_address):
        assert isinstance(sys.exc_info()[1], OSError)


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Faulty)
    server.body, server.etag, server.ranges, server.faults = BODY, '"one"', True, []
    server.requests, server.sent, server.go_on = [], 0, threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/file.nc"
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


def names(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def whole(got: Fetched, cache: Path, content: bytes = BODY) -> None:
    """All of the file is there, and nothing else."""
    assert got.path.read_bytes() == content
    assert got.sha256 == hashlib.sha256(content).hexdigest()
    assert names(cache) == [got.path.name, f"{got.path.name}.json"]


def begin(url: str, content: bytes, etag: str = "one") -> Path:
    """Write what a download that broke off leaves."""
    path = cached_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{etag.encode().hex()}.part")
    part.write_bytes(content)
    return part


def subprocess_of(url: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(Path(jaxscore.__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", FETCH_ONE, url], env=environment, stdout=subprocess.PIPE, text=True)


def until(happens, what: str) -> None:
    deadline = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.parametrize(
    "faults", [["cut"], ["reset"], ["cut", "cut", "cut"], ["cut", 503, "reset", 429, "cut"], [500]]
)
def test_faults_that_pass(server, cache, faults):
    server.faults = list(faults)
    whole(fetch(server.url, patience=QUICK), cache)
    assert len(server.requests) == len(faults) + 1
    resumed = [request for request in server.requests if "Range" in request]
    assert len(resumed) == (0 if faults == [500] else len(faults))
    assert all(request["If-Range"] == '"one"' for request in resumed)
    # what had come is not sent again, but for the last byte and what a torn connection takes with it
    assert server.sent <= len(BODY) + len(resumed) + faults.count("reset") * CHUNK


def test_slow_server(server, cache):
    server.faults = ["slow"]
    whole(fetch(server.url, patience=Patience(read=0.3, backoff=0)), cache)
    assert len(server.requests) == 2


def test_patience_ends(server, cache):
    """Three tries without any byte; six without a new one; each new byte counts afresh."""
    server.faults = [503] * 9
    start = time.monotonic()
    with pytest.raises(TemporaryFetchError, match="the server answered 503"):
        fetch(server.url, patience=Patience(attempts=3, backoff=0.1))
    assert time.monotonic() - start >= 0.1 + 0.2
    assert len(server.requests) == 3
    server.requests.clear()
    server.faults = ["cut", 503, 503, 503, 503, "cut", *[503] * 6]
    with pytest.raises(TemporaryFetchError, match="the server answered 503"):
        fetch(server.url, patience=QUICK)
    assert len(server.requests) == 6 + 5


def test_a_later_call_goes_on(server, cache):
    server.faults = ["cut"]
    with pytest.raises(FetchError, match="came incomplete") as caught:
        fetch(server.url, patience=ONCE)
    assert "goes on where this one stopped" in caught.value.hint
    (part,) = unfinished(cached_path(server.url))
    assert names(cache) == [part.name]
    assert part.read_bytes() == BODY[: part.stat().st_size]
    with pytest.raises(FetchError, match="not in the cache"):
        fetch(server.url, offline=True)
    whole(fetch(server.url), cache)
    assert int(server.requests[1]["Range"][6:-1]) == HALF
    assert server.sent == len(BODY) + 1


@pytest.mark.parametrize("etag", ['"two"', None, 'W/"one"'])
def test_parts_of_two_versions_are_never_joined(server, cache, etag):
    begin(server.url, OTHER[:HALF])
    server.etag = etag
    whole(fetch(server.url), cache)


@pytest.mark.parametrize("etag", [None, 'W/"one"', '"' + "e" * 200 + '"'])
def test_without_a_usable_etag_nothing_is_kept(server, cache, etag):
    server.etag, server.faults = etag, ["cut"]
    with pytest.raises(FetchError, match="came incomplete") as caught:
        fetch(server.url, patience=ONCE)
    assert "goes on" not in caught.value.hint
    assert names(cache) == []
    server.faults = ["cut"]
    whole(fetch(server.url, patience=QUICK), cache)


def test_server_that_knows_no_ranges(server, cache):
    server.ranges, server.faults = False, ["cut", "cut"]
    whole(fetch(server.url, patience=QUICK), cache)
    server.faults = ["cut"] * 9
    with pytest.raises(FetchError, match="came incomplete"):
        fetch(server.url, patience=QUICK, sha256="0" * 64)
    assert len(server.requests) == 3 + 3  # no more than from a server that says nothing
    assert len(names(cache)) == 2


def test_server_that_answers_with_another_part(server, cache):
    begin(server.url, BODY[:HALF])
    server.faults = ["shifted"]
    whole(fetch(server.url, patience=ONCE), cache)
    assert ["Range" in request for request in server.requests] == [True, False]


def test_unfinished_download_that_was_whole(server, cache):
    """Somebody was killed between the last byte and the rename: one byte is enough."""
    begin(server.url, BODY)
    whole(fetch(server.url), cache)
    assert server.sent == 1


def test_unfinished_download_that_is_too_long(server, cache):
    begin(server.url, BODY + b"more")
    whole(fetch(server.url), cache)


def test_wrong_hash_throws_the_unfinished_download_away(server, cache):
    part = begin(server.url, OTHER[:HALF])  # damaged on the disk
    with pytest.raises(DataError, match=f"expected sha256 {SHA256}, got") as caught:
        fetch(server.url, sha256=SHA256)
    assert "try again" in caught.value.hint
    assert not part.exists()
    assert names(cache) == []
    whole(fetch(server.url, sha256=SHA256), cache)


@pytest.mark.parametrize("status", [403, 404])
def test_refusal_takes_nothing_away(server, cache, status):
    part = begin(server.url, BODY[:HALF])
    server.faults = [status]
    with pytest.raises(FetchError, match=str(status)) as caught:
        fetch(server.url)
    assert not isinstance(caught.value, TemporaryFetchError)
    assert len(server.requests) == 1
    assert names(cache) == [part.name]


def test_disk_that_refuses_more_keeps_nothing(server, cache):
    resource = pytest.importorskip("resource")
    begin(server.url, BODY[: 1 << 20])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, limits[1]))
    try:
        with pytest.raises(FetchError, match=r"File too large\. Nothing that was there before is lost"):
            fetch(server.url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(cache) == []


def test_killed_process_blocks_nobody_and_its_part_is_used(server, cache):
    server.faults = ["slow"]
    process = subprocess_of(server.url)
    until(lambda: any(part.stat().st_size for part in unfinished(cached_path(server.url))), "it never began")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    start = time.monotonic()
    whole(fetch(server.url), cache)
    assert time.monotonic() - start < 10
    assert "Range" in server.requests[1]


def test_a_process_that_stands_still_is_not_waited_for(server, cache):
    """Both end with the right file, each by itself."""
    server.faults = ["slow"]
    process = subprocess_of(server.url)
    until(lambda: any(part.stat().st_size for part in unfinished(cached_path(server.url))), "it never began")
    process.send_signal(signal.SIGSTOP)
    calls = []
    got = fetch(server.url, patience=Patience(stall=0.3), progress=lambda *call: calls.append(call))
    assert got.sha256 == SHA256
    assert calls[0][1] < len(BODY)
    assert calls[0][2] is None  # what the other one had
    assert "Range" not in server.requests[1]
    server.go_on.set()
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=30)[0].strip() == SHA256
    whole(fetch(server.url, offline=True), cache)


def test_file_system_without_locks(server, cache, monkeypatch):
    """No such file system is at hand: the system call is made to answer as there."""

    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    part = begin(server.url, OTHER[:HALF])
    server.faults = ["cut"]
    got = fetch(server.url, patience=QUICK)
    assert got.path.read_bytes() == BODY
    assert "Range" not in server.requests[0]  # the part may be another's
    assert "Range" in server.requests[1]  # this one is our own
    assert part.exists()
    server.faults = ["cut"]
    with pytest.raises(FetchError, match="came incomplete"):
        fetch(f"{server.url}?again", patience=ONCE)
    assert not unfinished(cached_path(f"{server.url}?again"))
