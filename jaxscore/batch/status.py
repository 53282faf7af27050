"""What became of a batch so far, by its notes and records: a row for each job, totals, the time that remains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from jaxscore.batch.leases import Holder
from jaxscore.batch.notes import THREADS, Done, Notes
from jaxscore.batch.tasks import Job, State

if TYPE_CHECKING:
    from jaxscore.batch.plan import Plan
    from jaxscore.store.places import Place

_Named = tuple[str, str, Sequence[Job]]  # label and key of a task, and its jobs


@dataclass(frozen=True)
class Row:
    """A job.

    Attributes:
        model: as it is shown, "gpt2 --untrained --seed 1".
        benchmark: its identifier, or the path of its card.
        state: "running" where a live process has the task; a failure is shown until somebody tries again.
        reason: what went wrong, or why it waits although it was done.
        hint: what to type or to do next.
        attempts: how often it went wrong.
        score: of the layer chosen on inner folds.
        seconds: sum over the phases of a job that is done.
        host: machine that did it, or is at it, or where it went wrong.
        when: it was done, begun, or went wrong.
        task: key of its task; empty where only notes are known.
    """

    model: str
    benchmark: str
    state: State
    reason: str = ""
    hint: str = ""
    attempts: int = 0
    score: float | None = None
    seconds: float | None = None
    host: str = ""
    when: datetime | None = None
    task: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"when": self.when and self.when.isoformat()}


@dataclass(frozen=True)
class Report:
    """All jobs.

    Attributes:
        rows: in the order of the plan.
        running: processes that are at some task.
        remaining: seconds until all are done, None as long as that cannot be told.
    """

    rows: tuple[Row, ...]
    running: int
    remaining: float | None

    @property
    def totals(self) -> dict[State, int]:
        """Number of jobs in each state."""
        counted = Counter(row.state for row in self.rows)
        return {state: counted[state] for state in get_args(State)}

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        rows = [row.to_json() for row in self.rows]
        return {"totals": self.totals, "running": self.running, "remaining_seconds": self.remaining, "jobs": rows}


def status_of(plan: Plan, place: Place) -> Report:
    """The state of every job of a plan.

    Records are compared with their hashes; arrays are not read, and whether local files have changed is not asked: both
    are for the next `jaxscore batch` to find. The time that remains is

        (mean seconds of a task that is done) x (tasks that are not) / (processes that are at it, at least one)

    where failed jobs wait for nobody.

    Args:
        plan: what was asked for.
        place: where its results and notes are.

    Raises:
        StoreError: if the place cannot be reached.
    """
    found, running = _rows(place, [(task.label, task.key, task.jobs) for task in plan.tasks])
    return Report(tuple(row for rows in found for row in rows), running, _remaining(found, running))


def status_of_notes(place: Place) -> Report:
    """The same for all jobs that the notes of a place name; what else is planned they do not say.

    Raises:
        StoreError: if the place cannot be reached.
    """
    found, running = _rows(place, [(job.model, "", [job]) for job in Notes(place).jobs()])
    return Report(tuple(row for rows in found for row in rows), running, None)


def _rows(place: Place, tasks: Sequence[_Named]) -> tuple[list[list[Row]], int]:
    """The rows of each task, and how many processes are at some of them."""
    notes = Notes(place)
    holders = {job.key: holder for holder in notes.holders() for job in holder.jobs}
    at_these = {holders[job.key].token for _, _, jobs in tasks for job in jobs if job.key in holders}

    def rows(task: _Named) -> list[Row]:
        label, key, jobs = task
        return [replace(_row(notes, job, label, holders.get(job.key)), task=key) for job in jobs]

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(rows, tasks)), len(at_these)


def _row(notes: Notes, job: Job, label: str, holder: Holder | None) -> Row:
    noted = notes.recorded(job)
    problem = noted[1].problem if noted else None
    if noted and (record := noted[1].record):
        return _done(noted[0], record, label)
    failure = notes.failure(job)
    if holder and not (failure and failure.when >= holder.since):
        return Row(label, job.benchmark, "running", problem or "", host=holder.host, when=holder.since)
    if failure is None:
        return Row(label, job.benchmark, "waiting", problem or "")
    said = failure.model_dump(include={"state", "hint", "attempts", "host", "when"})
    return Row(label, job.benchmark, reason=failure.message, **said)


def _done(noted: Done, record: dict[str, Any], label: str) -> Row:
    about = record["model"]
    if label == noted.job.model and about["untrained"]:  # notes alone do not say it
        label += f" --untrained --seed {about['seed']}"
    score, seconds = record["result"]["chosen"]["chosen_score"], round(sum(record["seconds"].values()), 3)
    return Row(label, noted.job.benchmark, "done", score=score, seconds=seconds, host=noted.host, when=noted.when)


def _remaining(tasks: Sequence[Sequence[Row]], running: int) -> float | None:
    done = [sum(row.seconds for row in rows) for rows in tasks if all(row.state == "done" for row in rows)]
    if not done:
        return None
    left = sum(any(row.state not in ("done", "failed") for row in rows) for rows in tasks)
    return sum(done) / len(done) * left / max(1, running)
