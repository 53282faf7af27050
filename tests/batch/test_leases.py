"""Leases, with real processes, on a folder and on S3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batch.notebook import a_task, s3_bucket

import jaxscore
from jaxscore.batch import leases
from jaxscore.batch.leases import EXPIRES, Holder, alive, machine
from jaxscore.batch.notes import Notes
from jaxscore.batch.tasks import Task
from jaxscore.errors import StoreError
from jaxscore.store.places import open_place

# Claims a task for each line, and holds what it got until its input ends.
CLAIM = """
import json, sys
from jaxscore.batch.notes import Notes
from jaxscore.batch.tasks import Task
from jaxscore.store.places import open_place
held, places = [], {}
print("ready", flush=True)
for line in sys.stdin:
    where, owner, task = json.loads(line)
    place = places.setdefault(where, open_place(where))
    held.append(Notes(place, owner).claim(Task.from_json(task)))
    print(held[-1] is not None, flush=True)
"""


class Claimer:
    """Another process."""

    def __init__(self, owner: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(jaxscore.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.owner = owner
        self.process = subprocess.Popen([sys.executable, "-c", CLAIM], env=environment, **pipes)

    def ask(self, where: Path | str, task: Task) -> None:
        self.process.stdin.write(json.dumps([str(where), self.owner, task.to_json()]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> bool:
        return self.process.stdout.readline() == "True\n"

    def claim(self, where: Path | str, task: Task) -> bool:
        self.ask(where, task)
        return self.answer()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def claimers() -> Iterator[Callable[[int], list[Claimer]]]:
    """So many processes, ready and each of a batch of its own."""
    running = []

    def start(count: int) -> list[Claimer]:
        new = [Claimer(f"batch {len(running) + i}") for i in range(count)]
        running.extend(new)
        assert [each.process.stdout.readline() for each in new] == ["ready\n"] * count
        return new

    yield start
    for each in running:
        each.end()


@pytest.fixture
def bucket(monkeypatch) -> Iterator[str]:
    with s3_bucket(monkeypatch) as url:
        yield url


def lease_file(out: Path, task: Task) -> Path:
    return out / ".jobs" / f"{task.key}.lease.json"


def make_old(path: Path, seconds: float = EXPIRES + 10) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def pretend(path: Path, **changes: object) -> None:
    """Change what a lease says, and let it be as if it had just been written."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def test_one_has_it_until_it_gives_it_back(tmp_path):
    task, place = a_task(), open_place(tmp_path)
    lease = Notes(place, "one").claim(task)
    (said,) = Notes(place).holders()
    assert (said.owner, said.pid, said.task, said.jobs) == ("one", os.getpid(), "gpt2", task.jobs)
    assert Notes(place, "two").claim(task) is None
    assert Notes(place, "two").claim(a_task("b" * 16)) is not None  # another task is another lease
    lease.release()
    assert not lease.lost
    assert Notes(place, "two").claim(task) is not None


def test_killed_process_keeps_nobody_out(tmp_path, claimers):
    (holder,), task, place = claimers(1), a_task(), open_place(tmp_path)
    assert holder.claim(tmp_path, task)
    assert Notes(place, "two").claim(task) is None
    holder.process.kill()  # SIGKILL, and nobody has buried it yet: a zombie is dead too
    until(lambda: not alive(holder.process.pid, json.loads(lease_file(tmp_path, task).read_text())["started"]))
    assert Notes(place).holders() == []
    lease = Notes(place, "two").claim(task)
    assert lease is not None
    assert [each.owner for each in Notes(place).holders()] == ["two"]
    assert sorted(place.names(".jobs/")) == [f".jobs/{task.key}.lease.json"]  # and no heir
    lease.release()


def test_killed_process_on_s3(bucket, claimers):
    (holder,), task, place = claimers(1), a_task(), open_place(bucket)
    assert holder.claim(bucket, task)
    assert Notes(place, "two").claim(task) is None
    holder.end()
    lease = Notes(place, "two").claim(task)
    assert lease is not None
    assert Notes(place, "three").claim(task) is None
    lease.release()
    assert place.names(".jobs/") == []


def test_number_of_a_dead_process_given_to_another(tmp_path, claimers):
    (holder,), task = claimers(1), a_task()
    assert holder.claim(tmp_path, task)
    pretend(lease_file(tmp_path, task), started=1)
    assert Notes(open_place(tmp_path), "two").claim(task) is not None


def test_another_machine_is_trusted_as_long_as_it_shows_life(tmp_path, claimers):
    (holder,), task, notes = claimers(1), a_task(), Notes(open_place(tmp_path), "two")
    assert holder.claim(tmp_path, task)
    holder.end()
    path = lease_file(tmp_path, task)
    pretend(path, machine="elsewhere")
    make_old(path, EXPIRES - 20)
    assert notes.claim(task) is None
    make_old(path)
    assert notes.claim(task) is not None


def test_old_lease_is_taken_over_and_its_owner_finds_out(tmp_path, monkeypatch):
    task, place = a_task(), open_place(tmp_path)
    monkeypatch.setattr(leases, "BEAT", 0.5)
    slow = Notes(place, "one").claim(task)
    make_old(lease_file(tmp_path, task))
    new = Notes(place, "two").claim(task)
    assert new is not None
    until(lambda: slow.lost)
    slow.release()
    assert [each.owner for each in Notes(place).holders()] == ["two"]
    assert not new.lost
    new.release()
    assert place.names(".jobs/") == []


def test_same_owner_goes_on_at_once(tmp_path):
    task, place = a_task(), open_place(tmp_path)
    Notes(place, "one").claim(task)
    assert Notes(place, "one").claim(task) is not None


def test_sign_of_life(tmp_path, monkeypatch):
    task, place = a_task(), open_place(tmp_path)
    monkeypatch.setattr(leases, "BEAT", 0.05)
    lease = Notes(place, "one").claim(task)
    make_old(lease_file(tmp_path, task))
    until(lambda: place.age(f".jobs/{task.key}.lease.json") < 5)
    assert Notes(place, "two").claim(task) is None
    lease.release()


def test_place_that_is_down_for_a_moment(tmp_path, monkeypatch):
    """Its folder gives way to a file: nothing can be read or written, and the lease lives on."""
    out, away, task = tmp_path / "out", tmp_path / "away", a_task()
    place = open_place(out)
    monkeypatch.setattr(leases, "BEAT", 0.02)
    lease = Notes(place, "one").claim(task)
    out.rename(away)
    out.touch()
    with pytest.raises(StoreError):
        place.write("probe", b"")
    time.sleep(0.3)
    out.unlink()
    make_old(away / ".jobs" / lease_file(out, task).name)
    away.rename(out)
    until(lambda: place.age(f".jobs/{task.key}.lease.json") < 5)
    assert not lease.lost
    lease.release()


def test_damaged_lease_ends_by_its_age(tmp_path):
    task, notes = a_task(), Notes(open_place(tmp_path), "two")
    path = lease_file(tmp_path, task)
    path.parent.mkdir()
    path.write_text('{"owner": "on')
    assert notes.claim(task) is None
    make_old(path)
    assert notes.claim(task) is not None


def test_heir_that_died(tmp_path):
    """Killed between being noted as heir and taking over: it keeps nobody out either."""
    task, place = a_task(), open_place(tmp_path)
    Notes(place, "one").claim(task)
    path = lease_file(tmp_path, task)
    pretend(path, machine=machine(), started=1)
    heir = path.with_name(path.name.replace("lease", "heir"))
    heir.write_bytes(path.read_bytes())
    lease = Notes(place, "two").claim(task)
    assert lease is not None
    assert not heir.exists()


@pytest.mark.parametrize(("kind", "racing", "count"), [("folder", 8, 12), ("s3", 3, 4)])
def test_one_of_many_wins(tmp_path, request, claimers, kind, racing, count):
    """They race for tasks that nobody has, and for those of a dead process."""
    where = tmp_path if kind == "folder" else request.getfixturevalue("bucket")
    dead, *racers = claimers(racing + 1)
    tasks = [a_task(f"{i:016x}") for i in range(count)]
    for task in tasks[1::2]:
        assert dead.claim(where, task)
    dead.end()
    for task in tasks:
        for racer in racers:
            racer.ask(where, task)
    won = [[racer.answer() for _ in tasks] for racer in racers]
    assert [sum(each) for each in zip(*won, strict=True)] == [1] * count


def test_holder_is_read_as_it_was_written():
    found = Holder.model_validate_json(leases._ours(a_task(), "one"))
    assert (found.owner, found.machine, found.pid) == ("one", machine(), os.getpid())
    assert found.since.tzinfo is not None
