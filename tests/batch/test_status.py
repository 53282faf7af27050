"""What is said of a batch: each state, totals, the time that remains."""

from __future__ import annotations

import json
import platform

import pytest
from batch.notebook import Result, s3_bucket

from jaxscore.batch import leases
from jaxscore.batch.notes import Notes
from jaxscore.batch.plan import Plan
from jaxscore.batch.status import Report, status_of, status_of_notes
from jaxscore.batch.tasks import Job, Task
from jaxscore.store.places import Place, open_place

BENCHMARKS = ("Pereira2018-encoding", "study")


def a_plan(*models: str) -> Plan:
    """Two benchmarks for each model."""
    jobs = [[Job(model, name, f"{model}-{name}") for name in BENCHMARKS] for model in models]
    return Plan("out", tuple(Task(found[0].model, {}, tuple(found)) for found in jobs))


@pytest.fixture
def place(tmp_path) -> Place:
    return open_place(tmp_path / "out")


def finish(place: Place, job: Job, **about: object) -> Result:
    result = Result(place, job, **about)
    Notes(place, "one").finish(job, result.name, result.sha256, {})
    return result


def states(report: Report) -> list[str]:
    return [row.state for row in report.rows]


def test_nothing_yet(place, tmp_path):
    report = status_of(a_plan("a", "b"), place)
    assert report.totals == {"done": 0, "running": 0, "failed": 0, "temporary": 0, "waiting": 4}
    assert [(row.model, row.benchmark) for row in report.rows] == [(m, b) for m in "ab" for b in BENCHMARKS]
    assert report.remaining is None
    assert not (tmp_path / "out").exists()  # asking leaves no trace
    assert status_of_notes(place).rows == ()


def test_each_state(place):
    plan, notes = a_plan("a", "b", "c", "d"), Notes(place, "one")
    a, b, c, _ = plan.tasks
    for job in a.jobs:
        finish(place, job, score=0.25)
    lease = notes.claim(b)
    finish(place, b.jobs[0])
    notes.fail(c.jobs[0], "failed", "no weights", "save them")
    notes.fail(c.jobs[1], "temporary", "no network", "")
    report = status_of(plan, place)
    assert states(report) == ["done", "done", "done", "running", "failed", "temporary", "waiting", "waiting"]
    assert report.totals == {"done": 3, "running": 1, "failed": 1, "temporary": 1, "waiting": 2}
    first, running, failed = (report.rows[i] for i in (0, 3, 4))
    assert (first.score, first.seconds, first.host, first.task) == (0.25, 10.0, platform.node(), a.key)
    assert (running.host, report.running) == (platform.node(), 1)
    assert (failed.reason, failed.hint, failed.attempts) == ("no weights", "save them", 1)
    json.dumps(report.to_json(), allow_nan=False)
    lease.release()
    assert states(status_of(plan, place))[3] == "waiting"


def test_killed_process_is_not_running(place):
    """Its lease is there; a number that no process of this machine has."""
    plan, notes = a_plan("a"), Notes(place, "one")
    notes.claim(plan.tasks[0])
    name = leases.lease_name(plan.tasks[0].key)
    content = json.loads(place.read(name))
    place.write(name, json.dumps(content | {"pid": 2**22 + 1}).encode())
    assert states(status_of(plan, place)) == ["waiting", "waiting"]
    assert states(status_of_notes(place)) == ["waiting", "waiting"]


def test_failed_before_and_tried_again(place):
    """A failure of this very attempt is one; an older one is what the attempt is for."""
    plan, notes = a_plan("a"), Notes(place, "one")
    older, newer = plan.jobs
    notes.fail(older, "failed", "no weights", "")
    notes.claim(plan.tasks[0])
    notes.fail(newer, "failed", "no weights", "")
    assert states(status_of(plan, place)) == ["running", "failed"]


def test_damaged_record_waits_with_the_reason(place):
    plan = a_plan("a")
    result = finish(place, plan.jobs[0])
    place.write(result.name, result.content[:-20])
    row = status_of(plan, place).rows[0]
    assert row.state == "waiting"
    assert result.name in row.reason
    assert row.reason.endswith(": computed again")


def test_remaining_time(place):
    """A task of two jobs takes 20 seconds here: they share one pass, whose seconds are theirs in equal parts."""
    plan, notes = a_plan("a", "b", "c", "d", "e"), Notes(place, "one")
    finish(place, plan.tasks[0].jobs[0])
    assert status_of(plan, place).remaining is None  # no task is done
    finish(place, plan.tasks[0].jobs[1])
    assert status_of(plan, place).remaining == pytest.approx(80)
    notes.claim(plan.tasks[1])
    assert status_of(plan, place).remaining == pytest.approx(80)
    notes.claim(plan.tasks[2])
    assert status_of(plan, place).remaining == pytest.approx(40)
    notes.claim(Task("z", {}, (Job("z", "study", "z"),)))  # of another plan
    assert status_of(plan, place).remaining == pytest.approx(40)
    for job in plan.tasks[4].jobs:
        notes.fail(job, "failed", "no weights", "")
    assert status_of(plan, place).remaining == pytest.approx(30)  # who failed is not waited for
    for job in plan.jobs[:8]:
        finish(place, job)
    assert status_of(plan, place).remaining == 0


def test_notes_alone(place):
    plan, notes = a_plan("b", "a"), Notes(place, "one")
    finish(place, plan.jobs[0], untrained=True)
    notes.fail(plan.jobs[1], "failed", "no weights", "")
    notes.claim(plan.tasks[1])
    report = status_of_notes(place)
    shown = [(row.model, row.benchmark, row.state) for row in report.rows]
    assert shown == [
        ("a", BENCHMARKS[0], "running"), ("a", BENCHMARKS[1], "running"),
        ("b --untrained --seed 3", BENCHMARKS[0], "done"), ("b", BENCHMARKS[1], "failed"),
    ]  # fmt: skip
    assert (report.running, report.remaining) == (1, None)


def test_on_s3(monkeypatch):
    with s3_bucket(monkeypatch) as url:
        place, plan = open_place(url), a_plan("a", "b")
        finish(place, plan.jobs[0])
        Notes(place, "one").fail(plan.jobs[1], "failed", "no weights", "")
        lease = Notes(place, "one").claim(plan.tasks[1])
        assert states(status_of(plan, place)) == ["done", "failed", "running", "running"]
        assert states(status_of_notes(place)) == ["done", "failed", "running", "running"]
        lease.release()


def test_a_layer_without_a_score(place):
    plan = a_plan("a")
    finish(place, plan.jobs[0], score=None)
    assert status_of(plan, place).rows[0].score is None
