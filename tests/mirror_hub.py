"""A hub of models on this machine, which speaks as much of its protocol as its library asks for.

with serve({"lab/tiny": {"main": folder}}) as hub:
    hub.environment  # for another process
    hub.turn_to(monkeypatch)  # for this one
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BIG = (".safetensors", ".bin")


@dataclass
class Hub:
    """What the hub has, how it behaves, and what it was asked.

    Attributes:
        endpoint: its address.
        repos: repository -> revision -> folder.
        status: answer with this.
        trouble: part of the paths that are answered so.
        failures: how often, before it recovers; None for ever.
        sizes: whether it tells the sizes of files.
        stop: once set, the bodies of weights stop half-way until it is cleared.
        half_way: set once a body has stopped there.
        asked: "METHOD path" of every request.
        sent: the paths whose whole body was sent.
    """

    endpoint: str
    repos: Mapping[str, Mapping[str, Path]]
    status: int = 200
    trouble: str = ""
    failures: int | None = None
    sizes: bool = True
    stop: threading.Event = field(default_factory=threading.Event)
    half_way: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"HF_ENDPOINT": self.endpoint}

    def turn_to(self, monkeypatch) -> None:
        """As HF_ENDPOINT does, which is read once a process."""
        template = self.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", self.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)

    def commit(self, repo: str, revision: str) -> str:
        return hashlib.sha1(f"{repo} {self.repos[repo][revision]}".encode()).hexdigest()

    def find(self, repo: str, revision: str) -> tuple[str, Path] | None:
        """The commit and the folder of a revision or a commit."""
        for name, folder in self.repos.get(repo, {}).items():
            if revision in (name, commit := self.commit(repo, name)):
                return commit, folder
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def log_message(self, *args):
        pass

    def _answer(self) -> None:
        hub = self.server.hub
        hub.asked.append(f"{self.command} {self.path}")
        if hub.status != 200 and hub.trouble in self.path and hub.failures != 0:
            hub.failures = None if hub.failures is None else hub.failures - 1
            return self._send(hub.status)
        path, _, query = self.path.strip("/").partition("?")
        owner, name, kind, *rest = [*map(urllib.parse.unquote, path.removeprefix("api/models/").split("/")), ""]
        repo, revision = f"{owner}/{name}", rest[0] if rest and rest[0] else "main"
        if name == "gated" and not path.startswith("api/"):
            return self._send(403, headers={"X-Error-Code": "GatedRepo"})
        if repo not in hub.repos:
            return self._send(404, headers={"X-Error-Code": "RepoNotFound"})
        if (found := hub.find(repo, revision)) is None:
            return self._send(404, headers={"X-Error-Code": "RevisionNotFound"})
        commit, folder = found
        files = sorted(file for file in folder.iterdir() if file.is_file())
        if kind == "resolve":
            return self._file(commit, folder / rest[1])
        if kind == "tree":
            listed = [{"type": "file", "path": file.name} | self._about(file) for file in files]
            return self._send(200, json.dumps(listed).encode())
        about = [
            {"rfilename": file.name} | (self._about(file) if "blobs" in query and hub.sizes else {}) for file in files
        ]
        return self._send(200, json.dumps({"id": repo, "sha": commit, "siblings": about}).encode())

    def _about(self, file: Path) -> dict:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        about = {"size": file.stat().st_size, "oid": digest[:40], "blobId": digest[:40]}
        lfs = {"oid": digest, "sha256": digest, "size": file.stat().st_size, "pointerSize": 100}
        return about | ({"lfs": lfs} if file.suffix in BIG else {})

    def _file(self, commit: str, file: Path) -> None:
        if not file.is_file():
            return self._send(404, headers={"X-Error-Code": "EntryNotFound"})
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return self._send(200, file.read_bytes(), {"X-Repo-Commit": commit, "ETag": f'"{digest}"'}, file.suffix in BIG)

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, big: bool = False) -> None:
        hub = self.server.hub
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if big and hub.stop.is_set():
                hub.half_way.set()
                while hub.stop.is_set():
                    time.sleep(0.01)
            self.wfile.write(body[len(body) // 2 :])
        except OSError:  # whoever asked was killed
            self.close_connection = True
        else:
            hub.sent.append(self.path)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # connections are kept open by the library


@contextmanager
def serve(repos: Mapping[str, Mapping[str, Path]]) -> Iterator[Hub]:
    """Serve folders as repositories."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}", repos)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield server.hub
    finally:
        server.hub.stop.clear()
        server.shutdown()
        thread.join()
        server.server_close()
