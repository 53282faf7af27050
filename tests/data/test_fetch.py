"""Fetching from a real S3 endpoint and a real web server, both on this machine."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from jaxscore.data import fetch as module
from jaxscore.data.fetch import cached_path, default_cache, fetch
from jaxscore.data.remote import Patience
from jaxscore.errors import DataError, FetchError

BODY = bytes(range(256)) * 12_000  # twelve chunks
SHA256 = hashlib.sha256(BODY).hexdigest()
SHA1 = hashlib.sha1(BODY).hexdigest()
QUICK = Patience(connect=5, read=5, attempts=2, resumes=2, backoff=0)
FETCH_ONE = "import sys; from jaxscore.data.fetch import fetch; print(fetch(sys.argv[1]).sha256)"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path) -> Path:
    """An empty cache, no AWS settings of the machine, no proxy; returns the cache folder."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no_config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no_credentials"))
    monkeypatch.delenv("JAXSCORE_S3_SIGNED", raising=False)
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class _Pages(BaseHTTPRequestHandler):
    """/file is whole, /short declares more than it sends, /slow never ends; all else is 404."""

    def do_GET(self):
        self.server.requests.append(dict(self.headers))
        self.server.paths.append(self.path)
        page = self.path.rsplit("/", 1)[-1].split("?")[0]
        status = {"file": 200, "short": 200, "slow": 200, "private": 403, "broken": 500}.get(page, 404)
        body = self.server.body if status == 200 else b"no"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + (1000 if page in ("short", "slow") else 0)))
        self.send_header("ETag", '"tag-1"')
        self.end_headers()
        self.wfile.write(body)
        if page == "slow":
            self.wfile.flush()
            self.server.stop_slow.wait(30)

    def log_message(self, *args):
        pass


@pytest.fixture
def web() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    server.body, server.requests, server.paths, server.stop_slow = BODY, [], [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield server
    server.stop_slow.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(moto, monkeypatch):
    """A bucket "brain" with versions on the S3 endpoint that fetch uses; yields a client to fill it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.session.Session().client("s3", region_name="us-east-1", endpoint_url=moto, **keys)
    client.create_bucket(Bucket="brain")
    client.put_bucket_versioning(Bucket="brain", VersioningConfiguration={"Status": "Enabled"})
    yield client
    client.close()


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _subprocess(url: str) -> subprocess.Popen:
    root = str(Path(module.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root}
    return subprocess.Popen([sys.executable, "-c", FETCH_ONE, url], env=environment, stdout=subprocess.PIPE, text=True)


def test_s3_first_use_is_recorded_and_cached(s3, surroundings):
    etag = s3.put_object(Bucket="brain", Key="lab/assy.nc", Body=BODY, ACL="public-read")["ETag"].strip('"')
    calls = []
    got = fetch("s3://brain/lab/assy.nc", progress=lambda *call: calls.append(call))
    assert got.path.read_bytes() == BODY
    assert (got.sha256, got.etag, got.url) == (SHA256, etag, "s3://brain/lab/assy.nc")
    assert got.path == cached_path("s3://brain/lab/assy.nc")
    assert json.loads(Path(f"{got.path}.json").read_text()) == {"url": got.url, "sha256": SHA256, "etag": etag}
    assert _files(surroundings) == [got.path.name, f"{got.path.name}.json"]
    assert calls[-1] == ("assy.nc", len(BODY), len(BODY))
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert len(calls) == 12
    s3.delete_object(Bucket="brain", Key="lab/assy.nc")
    assert fetch("s3://brain/lab/assy.nc") == got
    assert fetch("s3://brain/lab/assy.nc", offline=True, sha256=SHA256.upper(), sha1=SHA1) == got


def test_s3_version(s3):
    first = s3.put_object(Bucket="brain", Key="v.nc", Body=b"first", ACL="public-read")["VersionId"]
    s3.put_object(Bucket="brain", Key="v.nc", Body=b"second", ACL="public-read")
    assert fetch(f"s3://brain/v.nc?versionId={first}").path.read_bytes() == b"first"
    assert fetch("s3://brain/v.nc").path.read_bytes() == b"second"


def test_s3_private_object_needs_signing(s3, monkeypatch, surroundings):
    s3.put_object(Bucket="brain", Key="private.nc", Body=BODY)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")  # credentials alone are not used
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(FetchError, match=r"Access to s3://brain/private.nc is denied .403[\s\S]*JAXSCORE_S3_SIGNED=1"):
        fetch("s3://brain/private.nc")
    assert _files(surroundings) == []
    monkeypatch.setenv("JAXSCORE_S3_SIGNED", "1")
    assert fetch("s3://brain/private.nc").sha256 == SHA256


def test_s3_signing_without_credentials(s3, monkeypatch):
    monkeypatch.setenv("JAXSCORE_S3_SIGNED", "1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(FetchError, match="Unable to locate credentials"):
        fetch("s3://brain/private.nc")


PROFILE = """
[profile lab]
region = eu-west-1
aws_access_key_id = LABKEY
aws_secret_access_key = secret
endpoint_url = {endpoint}
"""


@pytest.fixture
def profile(monkeypatch, tmp_path, web) -> None:
    """A profile "lab" whose endpoint is the web server."""
    (tmp_path / "aws").write_text(PROFILE.format(endpoint=web.url))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    monkeypatch.setenv("AWS_PROFILE", "lab")


def test_s3_profile(web, profile, monkeypatch):
    """Its endpoint always, its credentials and region where requests are signed."""
    assert fetch("s3://brain/file").sha256 == SHA256
    assert "Authorization" not in web.requests[0]
    monkeypatch.setenv("JAXSCORE_S3_SIGNED", "1")
    fetch("s3://brain/file?versionId=7")
    assert re.search(r"Credential=LABKEY/\d+/eu-west-1/s3/", web.requests[1]["Authorization"])
    assert web.paths == ["/brain/file", "/brain/file?versionId=7"]


def test_s3_region_and_endpoint_of_the_environment(web, profile, monkeypatch):
    """They go before those of a profile; AWS_ENDPOINT_URL serves as well as AWS_ENDPOINT_URL_S3."""
    monkeypatch.setenv("JAXSCORE_S3_SIGNED", "1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{web.url}/below")
    fetch("s3://brain/file")
    assert "/us-west-2/s3/" in web.requests[0]["Authorization"]
    assert web.paths == ["/below/brain/file"]


def test_s3_absent_profile(web, profile, monkeypatch, surroundings):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(FetchError, match=r"could not be fetched: .*nobody.*could not be found\n.*AWS settings"):
        fetch("s3://brain/file")
    assert _files(surroundings) == []


def _begin(url: str, etag: str, content: bytes) -> None:
    """What a download that was cut leaves; its name is explained in `jaxscore.data.download`."""
    path = cached_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f".{path.name}.{etag.encode().hex()}.part").write_bytes(content)


def test_s3_goes_on(s3, surroundings):
    etag = s3.put_object(Bucket="brain", Key="big.nc", Body=BODY, ACL="public-read")["ETag"].strip('"')
    _begin("s3://brain/big.nc", etag, BODY[:-1000])
    calls = []
    assert fetch("s3://brain/big.nc", progress=lambda *call: calls.append(call)).sha256 == SHA256
    assert calls == [("big.nc", len(BODY), len(BODY))]
    assert len(_files(surroundings)) == 2


def test_s3_joins_no_parts_of_two_versions(s3, surroundings):
    old = s3.put_object(Bucket="brain", Key="big.nc", Body=BODY[::-1], ACL="public-read")["ETag"].strip('"')
    s3.put_object(Bucket="brain", Key="big.nc", Body=BODY, ACL="public-read")
    _begin("s3://brain/big.nc", old, BODY[::-1][: 5 << 19])
    assert fetch("s3://brain/big.nc").sha256 == SHA256
    assert len(_files(surroundings)) == 2


def test_s3_unfinished_download_that_is_too_long(s3, surroundings):
    etag = s3.put_object(Bucket="brain", Key="big.nc", Body=BODY, ACL="public-read")["ETag"].strip('"')
    _begin("s3://brain/big.nc", etag, BODY + b"more")
    assert fetch("s3://brain/big.nc").sha256 == SHA256
    assert len(_files(surroundings)) == 2


@pytest.mark.parametrize("url", ["s3://brain/absent.nc", "s3://no-such-bucket/absent.nc"])
def test_s3_absent(s3, surroundings, url):
    with pytest.raises(FetchError, match=f"{url} does not exist .404 NoSuch"):
        fetch(url)
    assert _files(surroundings) == []


def test_s3_truncated(web, monkeypatch, surroundings):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", web.url)
    assert fetch("s3://brain/file").sha256 == SHA256  # the same server, whole
    with pytest.raises(FetchError, match=rf"s3://brain/short .*({len(BODY)}|{len(BODY) + 1000})"):
        fetch("s3://brain/short", patience=QUICK)
    assert len(_files(surroundings)) == 2


@pytest.mark.parametrize("url", ["s3://brain", "s3://brain/", "ftp://host/file", "gs://bucket/file"])
def test_unusable_address(url):
    with pytest.raises(FetchError) as caught:
        fetch(url)
    assert url in caught.value.message
    assert "s3" in caught.value.hint


def test_web(web):
    got = fetch(f"{web.url}/file", sha1=SHA1)
    assert (got.path.read_bytes(), got.sha256, got.etag) == (BODY, SHA256, "tag-1")
    assert fetch(f"{web.url}/file") == got
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("absent", r"does not exist \(404"),
        ("private", r"is denied \(403"),
        ("broken", "the server answered 500"),
        ("short", f"{len(BODY)} of {len(BODY) + 1000} bytes|IncompleteRead"),
    ],
)
def test_web_failures(web, surroundings, page, expected):
    with pytest.raises(FetchError, match=expected) as caught:
        fetch(f"{web.url}/{page}", patience=QUICK)
    assert f"{web.url}/{page}" in caught.value.message
    assert len(web.requests) == (1 if page in ("absent", "private") else 2)  # the others might be better next time
    assert _files(surroundings) == []


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_no_network(monkeypatch, surroundings, scheme):
    port = _closed_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    start = time.monotonic()
    with pytest.raises(FetchError, match="could not be fetched") as caught:
        fetch("s3://brain/file" if scheme == "s3" else f"http://127.0.0.1:{port}/file")
    assert time.monotonic() - start < 8
    assert "\n" not in caught.value.message
    assert "--data FILE" in caught.value.hint
    assert "jaxscore run" in caught.value.hint
    assert caught.value.__suppress_context__  # no trace of the network library
    assert _files(surroundings) == []


def test_offline(web, surroundings):
    url = f"{web.url}/file"
    with pytest.raises(FetchError) as caught:
        fetch(url, offline=True)
    assert url in caught.value.message
    assert all(way in caught.value.hint for way in ("without --offline", "--data FILE", "jaxscore run"))
    assert web.requests == []
    assert not surroundings.exists()  # asking makes no folder
    fetch(url)
    assert fetch(url, offline=True).sha256 == SHA256
    with pytest.raises(DataError, match=f"expected sha256 {'0' * 64}, got {SHA256}"):
        fetch(url, offline=True, sha256="0" * 64)
    assert fetch(url, offline=True).sha256 == SHA256


@pytest.mark.parametrize(("name", "wrong", "got"), [("sha256", "0" * 64, SHA256), ("sha1", "0" * 40, SHA1)])
def test_wrong_hash_keeps_nothing(web, surroundings, name, wrong, got):
    with pytest.raises(DataError, match=f"{web.url}/file .*expected {name} {wrong}, got {got}"):
        fetch(f"{web.url}/file", **{name: wrong})
    assert _files(surroundings) == []


def test_given_hash_replaces_an_older_file(web):
    url = f"{web.url}/file"
    web.body = b"older"
    assert fetch(url).path.read_bytes() == b"older"
    web.body = BODY
    with pytest.raises(DataError, match="expected sha1"):
        fetch(url, sha1="0" * 40)
    assert fetch(url).path.read_bytes() == b"older"  # a failure takes nothing away
    assert fetch(url, sha256=SHA256).path.read_bytes() == BODY
    assert fetch(url).sha256 == SHA256


def test_cached_file_changed_after_it_came(web):
    url = f"{web.url}/file"
    path = fetch(url).path
    path.write_bytes(b"tampered")
    with pytest.raises(DataError) as caught:
        fetch(url)
    assert SHA256 in caught.value.message
    assert hashlib.sha256(b"tampered").hexdigest() in caught.value.message
    assert f"Delete {path}" in caught.value.hint
    path.unlink()  # what the hint says
    assert fetch(url).path.read_bytes() == BODY


def test_source_changed_after_first_use(web):
    url = f"{web.url}/file"
    path = fetch(url).path
    path.unlink()
    web.body = b"replaced"
    now = hashlib.sha256(b"replaced").hexdigest()
    with pytest.raises(DataError, match=f"recorded sha256 {SHA256} .ETag tag-1., now sha256 {now}") as caught:
        fetch(url)
    assert not path.exists()
    assert f"delete {path}.json" in caught.value.hint
    Path(f"{path}.json").unlink()  # what the hint says
    assert fetch(url).sha256 == now


def test_record_lost_or_broken(web):
    url = f"{web.url}/file"
    path = fetch(url).path
    record = Path(f"{path}.json")
    record.write_text("{")
    with pytest.raises(DataError, match=r"not a record of a download[\s\S]*Delete"):
        fetch(url)
    record.unlink()
    assert fetch(url).etag is None
    assert json.loads(record.read_text())["sha256"] == SHA256
    assert len(web.requests) == 1


def test_local_files(tmp_path, surroundings):
    path = tmp_path / "my study #1.csv"
    path.write_bytes(BODY)
    for url in (str(path), path.as_uri()):
        got = fetch(url, sha1=SHA1, sha256=SHA256, offline=True)
        assert (got.path, got.sha256, got.etag, got.url) == (path, SHA256, None, url)
        with pytest.raises(DataError, match=f"expected sha1 {'0' * 40}, got {SHA1}"):
            fetch(url, sha1="0" * 40)
    with pytest.raises(FetchError, match="is not a file"):
        fetch(str(tmp_path))
    assert not surroundings.exists()


def test_cache_folder(web, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "elsewhere"))
    assert default_cache() == tmp_path / "elsewhere"
    assert fetch(f"{web.url}/file").path.is_relative_to(tmp_path / "elsewhere")
    assert fetch(f"{web.url}/file", cache=tmp_path / "given").path.is_relative_to(tmp_path / "given")
    monkeypatch.delenv("JAXSCORE_CACHE")
    assert default_cache().name == "jaxscore"


def test_threads_at_once(web, surroundings):
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: fetch(f"{web.url}/file"), range(8)))
    assert {got.sha256 for got in results} == {SHA256}
    assert len(_files(surroundings)) == 2
    assert len(web.requests) == 1


def test_processes_at_once(web, surroundings):
    running = [_subprocess(f"{web.url}/file") for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in running] == [SHA256] * 2
    assert len(_files(surroundings)) == 2
    assert len(web.requests) == 1  # the second waited, or came later


def test_killed_download_leaves_nothing_that_looks_complete(web, surroundings):
    url = f"{web.url}/slow"
    process = _subprocess(url)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in surroundings.rglob("*.part")):
        assert time.monotonic() < deadline, "the download never began"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert all(name.endswith((".part", ".lock")) for name in _files(surroundings))
    with pytest.raises(FetchError, match="not in the cache"):
        fetch(url, offline=True)


def test_disk_that_refuses_more(web, surroundings):
    """A real failure in the middle of a download: the system refuses to let the file grow past half of it."""
    resource = pytest.importorskip("resource")
    url = f"{web.url}/file"
    web.body = b"older"
    fetch(url)
    before = _files(surroundings)
    web.body = BODY
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BODY) // 2, limits[1]))
    try:
        with pytest.raises(
            FetchError, match=r"File too large\. Nothing that was there before is lost[\s\S]*Free some space"
        ):
            fetch(url, sha256=SHA256)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _files(surroundings) == before
    assert fetch(url).path.read_bytes() == b"older"


def test_full_disk(web, monkeypatch, surroundings):
    """The system call itself cannot be made to fail with ENOSPC without a file system of our own."""

    def sync_on_full_disk(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", sync_on_full_disk)
        with pytest.raises(FetchError, match=r"No space left on device[\s\S]*Free some space"):
            fetch(f"{web.url}/file")
    assert _files(surroundings) == []
    assert fetch(f"{web.url}/file").sha256 == SHA256


def test_cache_that_cannot_be_written(web, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FetchError, match="JAXSCORE_CACHE"):
        fetch(f"{web.url}/file", cache=tmp_path / "file")
