"""Leases: who is at a task now. One that dies, on whatever machine, keeps nobody out for longer than `EXPIRES`.

A lease only saves the same work from being done twice. What is right does not hang on it: results are named by content
and written whole, so the rare task that two processes run (a machine that slept, a place that was unreachable for
longer than `EXPIRES`, a lease taken over in the instant in which it is refreshed) costs time and changes nothing.
"""

from __future__ import annotations

import os
import platform
import threading
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from jaxscore.batch.tasks import Job, Task
from jaxscore.errors import StoreError
from jaxscore.store.places import Place

FOLDER = ".jobs"
BEAT = 15.0  # seconds between two signs of life
EXPIRES = 90.0  # seconds without one, by the place's own clock
ROUNDS = 3  # of a claim: another may release, or die, in between


class Holder(BaseModel):
    """Who has a task.

    Attributes:
        owner: the batch.
        machine: see `machine`.
        pid: the process.
        started: when it started, as the system counts; None where the system does not say.
        host: the machine's name, for people.
        since: when the lease was taken, by that machine's clock.
        task: the label of the task.
        jobs: all of the task.
        token: tells this lease from any other.
    """

    model_config = ConfigDict(frozen=True)

    owner: str
    machine: str
    pid: PositiveInt
    started: int | None
    host: str
    since: datetime
    task: str
    jobs: tuple[Job, ...]
    token: str


class Lease:
    """A task that is ours; a thread says so every `BEAT` seconds until it is released or lost."""

    def __init__(self, place: Place, name: str, content: bytes) -> None:
        self._place, self._name, self._content = place, name, content
        self._lost = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"lease {name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether another process has taken the task over: what is computed here is then computed there too."""
        return self._lost

    def release(self) -> None:
        """Give the task back; nothing is removed that is no longer ours. A place that is down does not matter."""
        self._over.set()
        self._thread.join(timeout=BEAT)
        with suppress(StoreError):
            if self._place.read(self._name) == self._content:
                self._place.remove(self._name)

    def _live(self) -> None:
        while not self._over.wait(BEAT) and not self._lost:
            with suppress(Exception):  # the place is down for a moment: the job goes on, and so does this
                self._refresh()

    def _refresh(self) -> None:
        there = self._place.read(self._name)
        if there == self._content:
            self._place.write(self._name, self._content)
        elif there is not None or not self._place.create(self._name, self._content):
            self._lost = True


def lease_name(key: str) -> str:
    """Where the lease of a task lies."""
    return f"{FOLDER}/{key}.lease.json"


def claim(place: Place, task: Task, owner: str) -> Lease | None:
    """Take a task, or None if another live process has it.

    A lease is taken over from a process of the same owner, from one of this machine that is dead, and from any that
    gave no sign of life for `EXPIRES` seconds.

    Raises:
        StoreError: if the place cannot be reached.
    """
    name, content = lease_name(task.key), _ours(task, owner)
    for _ in range(ROUNDS):
        if place.create(name, content):
            return Lease(place, name, content)
        seen = place.read(name)
        if seen is None:  # released since
            continue
        if _held(place, name, seen, owner):
            return None
        if _succeed(place, name, seen, content, owner):
            return Lease(place, name, content)
    return None


def holder(place: Place, name: str, owner: str = "") -> Holder | None:
    """Who has the lease of that name: None if nobody has, or nobody who is in the way of `owner`."""
    content = place.read(name)
    return _parsed(content) if content is not None and _held(place, name, content, owner) else None


def _succeed(place: Place, name: str, seen: bytes, content: bytes, owner: str) -> bool:
    """Put our lease in the place of a dead one; of those who try, only the one that is noted as heir may."""
    heir = name.replace(".lease.", ".heir.")
    if not place.create(heir, content):
        other = place.read(heir)
        if other is not None and not _held(place, heir, other, owner):
            place.remove(heir)  # it died before it could take over
        return False
    try:
        if place.read(name) != seen:  # there was an heir before us
            return False
        place.write(name, content)
        return True
    finally:
        place.remove(heir)


def _held(place: Place, name: str, content: bytes, owner: str) -> bool:
    """Whether a lease keeps a process of `owner` out."""
    found = _parsed(content)
    if found is not None:
        if found.owner == owner:
            return False
        if found.machine == machine() and not alive(found.pid, found.started):
            return False
    age = place.age(name)
    return age is not None and age <= EXPIRES


def _ours(task: Task, owner: str) -> bytes:
    found = Holder(
        owner=owner, machine=machine(), pid=os.getpid(), started=_started(os.getpid()), host=platform.node(),
        since=datetime.now(UTC), task=task.label, jobs=task.jobs, token=uuid.uuid4().hex,
    )  # fmt: skip
    return found.model_dump_json(indent=1).encode()


def _parsed(content: bytes) -> Holder | None:
    """None for a damaged one, which only its age can end."""
    try:
        return Holder.model_validate_json(content)
    except ValidationError:
        return None


@cache
def machine() -> str:
    """Names this machine and its process ids: those of a container, or of before a restart, are others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def alive(pid: int, started: int | None) -> bool:
    """Whether a process of this machine lives and is the one that started then, and not a later one of its number."""
    if os.name != "posix":  # signal 0 is no question there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and somebody else's
        pass
    return _started(pid) == started


def _started(pid: int) -> int | None:
    """Clock ticks from the start of the system to that of a process; 0 for one that is dead and not yet buried."""
    try:
        # the second field is the program's name in parentheses, and may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return 0 if fields[0] in "ZX" else int(fields[19])
