"""Both kinds of places, the bucket behind a real S3 server."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import boto3
import pytest

from jaxscore.store.places import Folder, Place, open_place

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of a server with an empty bucket "results"."""
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    lock, put = threading.Lock(), S3Response.put_object

    def alone(self):  # this server looks first and writes then; S3 does both at once
        with lock:
            return put(self)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "put_object", alone)
        server.start()
        host, port = server.get_host_and_port()
        with pytest.MonkeyPatch.context() as environment:
            for name, value in (KEYS | {"AWS_ENDPOINT_URL_S3": f"http://{host}:{port}"}).items():
                environment.setenv(name, value)
            client = boto3.session.Session().client("s3")
            client.create_bucket(Bucket="results")
            client.close()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch) -> str:
    """A prefix of its own, as an s3:// url; the environment names its server."""
    for name, value in (KEYS | {"AWS_ENDPOINT_URL_S3": s3_server}).items():
        monkeypatch.setenv(name, value)
    return f"s3://results/{uuid.uuid4().hex}/below"


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path) -> Place:
    """A place that is not there yet."""
    if request.param == "folder":
        return Folder(tmp_path / "not" / "there yet")
    return open_place(request.getfixturevalue("s3"))
