"""Data sets of the hub, from a server on this machine that speaks as much of its protocol as its library asks for."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jaxscore.data.fetch import cached_path, fetch
from jaxscore.errors import DataError, FetchError

BODY = b"item,response\na,1\n"
SHA256 = hashlib.sha256(BODY).hexdigest()
COMMITS = {"main": "a" * 40, "v2": "b" * 40, "refs%2Fpr%2F1": "c" * 40}
URL = "hf://datasets/lab/study/tables/responses.csv"


class _Hub(BaseHTTPRequestHandler):
    """One data set, lab/study, with one file; lab/gated and lab/private are refused."""

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        if self.path.startswith("/api/"):  # what the library asks for itself
            self.send_response(404)
            self.end_headers()
            return b""
        self.server.paths.append(self.path)
        datasets, owner, name, _, revision, *path = self.path.strip("/").split("/")
        status, code = 200, None
        if name in ("gated", "private"):
            status, code = (403, "GatedRepo") if name == "gated" else (401, "RepoNotFound")
        elif (datasets, owner, name) != ("datasets", "lab", "study"):
            status, code = 404, "RepoNotFound"
        elif revision not in self.server.commits:
            status, code = 404, "RevisionNotFound"
        elif path != ["tables", "responses.csv"]:
            status, code = 404, "EntryNotFound"
        if self.server.broken:
            status, code = 500, None
        body = self.server.body if status == 200 else b""
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", self.server.commits.get(revision, "0" * 40))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return body

    def log_message(self, *args):
        pass


def _turn_to(endpoint: str, monkeypatch) -> None:
    """As HF_ENDPOINT does, which is read once a process."""
    path = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", endpoint + path)


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.body, server.commits, server.paths, server.broken = BODY, dict(COMMITS), [], False
    _turn_to(f"http://127.0.0.1:{server.server_port}", monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_file(hub, tmp_path):
    calls = []
    got = fetch(URL, progress=lambda *call: calls.append(call))
    assert (got.sha256, got.etag, got.url) == (SHA256, COMMITS["main"], URL)
    assert got.path.read_bytes() == BODY
    assert got.path.suffix == ".csv"
    assert got.path.is_relative_to(tmp_path / "hub")
    assert calls[-1] == ("responses.csv", len(BODY), len(BODY))
    assert all(path == "/datasets/lab/study/resolve/main/tables/responses.csv" for path in hub.paths)
    asked = len(hub.paths)
    assert fetch(URL, offline=True, sha256=SHA256) == got
    assert len(hub.paths) == asked


@pytest.mark.parametrize(("revision", "commit"), [("v2", "b" * 40), ("refs%2Fpr%2F1", "c" * 40)])
def test_revision(hub, revision, commit):
    got = fetch(f"hf://datasets/lab/study@{revision}/tables/responses.csv")
    assert got.etag == commit
    assert hub.paths[0] == f"/datasets/lab/study/resolve/{revision}/tables/responses.csv"


def test_trust_on_first_use(hub):
    fetch(URL)
    record = cached_path(URL).with_name(cached_path(URL).name + ".json")
    assert json.loads(record.read_text()) == {"url": URL, "sha256": SHA256, "etag": COMMITS["main"]}
    hub.body, hub.commits["main"] = b"item,response\na,2\n", "d" * 40
    now = hashlib.sha256(hub.body).hexdigest()
    with pytest.raises(DataError, match=f"has changed: recorded sha256 {SHA256} .*, now sha256 {now}"):
        fetch(URL)
    assert fetch(URL, sha256=now).sha256 == now  # vouched for
    with pytest.raises(DataError, match=f"expected sha256 {SHA256}, got {now}"):
        fetch(URL, sha256=SHA256)
    record.unlink()  # what the hint says
    assert fetch(URL).sha256 == now


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("hf://datasets/lab/absent/x.csv", "The hub has no data set lab/absent"),
        ("hf://datasets/lab/private/x.csv", "private data set needs `hf auth login`"),
        ("hf://datasets/lab/gated/x.csv", "lab/gated is gated"),
        ("hf://datasets/lab/study@v9/x.csv", "has no revision 'v9'"),
        ("hf://datasets/lab/study/x.csv", "hf://datasets/lab/study/x.csv does not exist"),
        ("hf://datasets/lab/study", "Expected hf://datasets/OWNER/NAME"),
        ("hf://lab/study/x.csv", "Expected hf://datasets/OWNER/NAME"),
        ("hf://datasets/lab/st--udy/x.csv", "Expected hf://datasets/OWNER/NAME"),
        ("hf://datasets/lab/study/a/../../x.csv", "Expected hf://datasets/OWNER/NAME"),
    ],
)
def test_refusals(hub, url, words):
    with pytest.raises(FetchError, match=words.replace("(", r"\(").replace("[", r"\[")) as caught:
        fetch(url)
    assert "\n" not in caught.value.message
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_offline(hub):
    with pytest.raises(FetchError, match=f"{URL} is not in the hub's cache and --offline forbids"):
        fetch(URL, offline=True)
    assert hub.paths == []


def test_no_hub(hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the library waits 23 s between its six tries
    hub.broken = True
    with pytest.raises(FetchError, match="the hub cannot be reached"):
        fetch(URL)
    _turn_to("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(FetchError, match=r"the hub cannot be reached \(Connect"):
        fetch(URL)


def test_folder_that_cannot_be_written(hub, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(FetchError, match=r"Not a directory[\s\S]*HF_HOME"):
        fetch(URL)


def test_bar_of_the_hub_is_not_drawn(hub, capfd):
    assert Path(fetch(URL).path).is_file()
    assert capfd.readouterr() == ("", "")
