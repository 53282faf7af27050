"""What is noted of jobs beside the results, below `.jobs/`: done, failed and why; and who is at a task.

    .jobs/TASKKEY.lease.json    a process is at it, see `jaxscore.batch.leases`
    .jobs/JOBKEY.done.json      its record, the record's hash, and the local files it was made from
    .jobs/JOBKEY.failed.json    why, how often, where and when

Notes save work and tell people what happened; the results are what counts. A note that is damaged is no note.
"""

from __future__ import annotations

import hashlib
import json
import platform
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from jaxscore.batch.leases import FOLDER, Holder, Lease, claim, holder
from jaxscore.batch.signature import Signature, changed, local_signature
from jaxscore.batch.tasks import Job, Task
from jaxscore.store.places import Place
from jaxscore.store.records import Found, Paths, examine

__all__ = ["Done", "Failure", "Holder", "Lease", "Notes", "local_signature"]

AGAIN = "computed again"
THREADS = 16  # reading is waiting, for a network file system or S3


class _Note(BaseModel):
    model_config = ConfigDict(frozen=True)

    job: Job
    host: str
    when: datetime


class Done(_Note):
    """A job that was done.

    Attributes:
        job: which.
        host: on which machine.
        when: by that machine's clock.
        record: name of its record in the place.
        sha256: of the record.
        local: the local files that it was made from.
    """

    record: str
    sha256: str
    local: Signature


class Failure(_Note):
    """A job that went wrong.

    Attributes:
        job: which.
        host: on which machine.
        when: the last time, by that machine's clock.
        state: "failed": the same would happen again; "temporary": it may pass.
        message: what went wrong.
        hint: what to type or to do next.
        attempts: how often it went wrong.
    """

    state: Literal["failed", "temporary"]
    message: str
    hint: str
    attempts: int


Note = TypeVar("Note", Done, Failure, Holder)
NAMES = {Done: "done", Failure: "failed"}


class Notes:
    """The notes of a place.

    Args:
        place: where the results are.
        owner: the batch that leases are taken for; whoever only reads needs none.
    """

    def __init__(self, place: Place, owner: str = "") -> None:
        self.place = place
        self.owner = owner

    def claim(self, task: Task) -> Lease | None:
        """Take a task; None if another live process has it. See `jaxscore.batch.leases.claim`.

        Raises:
            StoreError: as of all methods here, if the place cannot be reached or written.
        """
        return claim(self.place, task, self.owner)

    def finish(self, job: Job, record_name: str, sha256: str, local: Signature) -> None:
        """Note a job as done; that it failed before is forgotten.

        Args:
            job: which.
            record_name: of its record in the place, "BENCHMARK/MODEL.KEY.json".
            sha256: of the record's bytes.
            local: what `local_signature` gave before the files were read.
        """
        self._write(Done(job=job, **_here(), record=record_name, sha256=sha256, local=local))
        self.place.remove(_name(job, Failure))

    def fail(self, job: Job, state: Literal["failed", "temporary"], message: str, hint: str) -> None:
        """Note why a job went wrong, and that it did once more."""
        before = self.failure(job)
        attempts = before.attempts + 1 if before else 1
        self._write(Failure(job=job, **_here(), state=state, message=message, hint=hint, attempts=attempts))

    def failure(self, job: Job) -> Failure | None:
        """Why a job went wrong the last time."""
        return self._read(job, Failure)

    def clear(self, job: Job) -> None:
        """Forget what is noted of a job. Its result stays."""
        for kind in NAMES:
            self.place.remove(_name(job, kind))

    def done(self, job: Job) -> Found:
        """The record of a job, if its result is whole, the one that was noted, and made from the files as they are now.

        Returns:
            The record and None; or None and what is damaged or has changed; or None twice where nothing is noted.
        """
        if (noted := self._read(job, Done)) is None:
            return Found(None, None)
        paths = self._paths(noted)
        found = examine(paths)
        if found.record is None:
            return Found(None, f"{found.problem or f'{paths.record} is gone'}: {AGAIN}")
        if path := changed(noted.local):
            return Found(None, f"{path} has changed: {AGAIN}")
        return self._record(noted)

    def recorded(self, job: Job) -> tuple[Done, Found] | None:
        """The same by the record alone: arrays are not read, local files, which may be elsewhere, not looked at.

        Returns:
            The note, and what `done` says of the record; None where nothing is noted.
        """
        noted = self._read(job, Done)
        return noted and (noted, self._record(noted))

    def noted(self, job: Job) -> Done | None:
        """The note of a job that was done, whatever became of its result."""
        return self._read(job, Done)

    def jobs(self) -> list[Job]:
        """All jobs that a note or a lease names, each once, by model and benchmark."""
        with ThreadPoolExecutor(THREADS) as threads:
            named = threads.map(self._named, self.place.names(f"{FOLDER}/"))
        found = {job.key: job for jobs in named for job in jobs}
        return sorted(found.values(), key=lambda job: (job.model, job.benchmark, job.key))

    def holders(self) -> list[Holder]:
        """Who is at some task."""
        names = [name for name in self.place.names(f"{FOLDER}/") if name.endswith(".lease.json")]
        return [found for name in names if (found := holder(self.place, name, self.owner))]

    def _named(self, name: str) -> tuple[Job, ...]:
        """The jobs of a file; none if it is no note or damaged."""
        kind = {"done": Done, "failed": Failure, "lease": Holder}.get(name.split(".")[-2])
        note = self._parsed(name, kind) if kind else None
        return () if note is None else note.jobs if isinstance(note, Holder) else (note.job,)

    def _record(self, noted: Done) -> Found:
        content = self.place.read(noted.record)
        where = self.place.at(noted.record)
        if content is None:
            return Found(None, f"{where} is gone: {AGAIN}")
        if hashlib.sha256(content).hexdigest() != noted.sha256:
            return Found(None, f"{where} is not the record that was noted, or is damaged: {AGAIN}")
        return Found(json.loads(content), None)

    def _paths(self, noted: Done) -> Paths:
        return Paths(self.place, noted.record.removesuffix(".json"))

    def _write(self, note: _Note) -> None:
        self.place.write(_name(note.job, type(note)), note.model_dump_json(indent=1).encode())

    def _read(self, job: Job, kind: type[Note]) -> Note | None:
        return self._parsed(_name(job, kind), kind)

    def _parsed(self, name: str, kind: type[Note]) -> Note | None:
        content = self.place.read(name)
        try:
            return None if content is None else kind.model_validate_json(content)
        except ValidationError:
            return None


def _name(job: Job, kind: type[_Note]) -> str:
    return f"{FOLDER}/{job.key}.{NAMES[kind]}.json"


def _here() -> dict[str, Any]:
    return {"host": platform.node(), "when": datetime.now(UTC)}
