"""What the tests of notes and status share: tasks, results made by hand, an empty bucket."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jaxscore.batch.tasks import Job, Task
from jaxscore.store.places import Place


def a_task(key: str = "a" * 16, model: str = "gpt2", benchmark: str = "Pereira2018-encoding") -> Task:
    """A task of one job."""
    return Task(model, {}, (Job(model, benchmark, key),))


class Result:
    """A result made by hand: record, arrays, figure."""

    def __init__(self, place: Place, job: Job, score: float | None = 0.5, untrained: bool = False) -> None:
        stem = f"{job.benchmark}/{job.model.rpartition('/')[2]}.{job.key}"
        files = {f"{stem}.nc": b"arrays", f"{stem}.png": b"figure"}
        record = {
            "schema": 1,
            "model": {"name": job.model, "untrained": untrained, "seed": 3 if untrained else None},
            "result": {"chosen": {"chosen_score": score}},
            "seconds": {"extraction": 8.0, "regression": 1.5, "save": 0.5},
            "files": {name.rpartition("/")[2]: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        }
        self.name, self.content = f"{stem}.json", json.dumps(record).encode()
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        place.write_all(files | {self.name: self.content})


@contextmanager
def s3_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The url below which an empty bucket is served by a real S3 server; the environment names it meanwhile."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.session.Session().client("s3")
    name = f"scores-{uuid.uuid4()}"  # servers of one process share their buckets
    client.create_bucket(Bucket=name)
    try:
        yield f"s3://{name}/run"
    finally:
        client.close()
        server.stop()
