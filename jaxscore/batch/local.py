"""Tasks on one machine, one after the other: the next checkpoint is brought while the present one computes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Thread

from jaxscore.batch.preparing import Desk, Ready, Work
from jaxscore.batch.stopping import Stopping
from jaxscore.batch.tasks import Outcome, Settings, Task
from jaxscore.extract.activations import Activations, looked_up
from jaxscore.models import LanguageModel
from jaxscore.opened import closing
from jaxscore.progress import Reporter
from jaxscore.store.records import save_result

Tell = Callable[[Task, list[Outcome]], None]


def run_tasks(
    tasks: Sequence[Task],
    settings: Settings,
    tell: Tell = lambda task, outcomes: None,
    stopping: Stopping | None = None,
) -> list[Outcome]:
    """Score checkpoints one after the other.

    Checkpoints of one architecture share their compiled programs; benchmarks are read once; the features of all
    benchmarks of a checkpoint come from one pass. What a job does never ends the batch: it becomes an outcome.

    Args:
        tasks: in the order in which they are done.
        settings: where results go, and how.
        tell: called with the outcomes of each task.
        stopping: asked between tasks; guards what is being written.

    Returns:
        An outcome for every job.

    Raises:
        StoreError: if results cannot be written at all.
    """
    stopping = stopping or Stopping()
    desk, outcomes = Desk(settings), []
    try:
        for ready in _ahead(desk, tasks, stopping):
            with ready.stack:
                if not stopping():
                    compute(desk, ready, stopping)
            found = [ready.outcomes.get(job.key, Outcome(job, "waiting")) for job in ready.task.jobs]
            outcomes += found
            tell(ready.task, found)
    finally:
        desk.close()
    told = {outcome.job.key for outcome in outcomes}
    return outcomes + [Outcome(job, "waiting") for task in tasks for job in task.jobs if job.key not in told]


def _ahead(desk: Desk, tasks: Sequence[Task], stopping: Stopping) -> Iterator[Ready]:
    """Tasks that are ready, the next one being prepared meanwhile; none is taken up after a stop."""
    following = [_begin(desk, task) for task in tasks[:1]]
    try:
        for next_task in [*tasks[1:], None]:
            if not following:
                return
            ready = following.pop().result()
            if next_task is not None and not stopping():
                following.append(_begin(desk, next_task))
            yield ready
    finally:
        for left in following:
            if left.done():
                left.result().stack.close()


def _begin(desk: Desk, task: Task) -> Future[Ready]:
    """Prepare a task in a thread that holds up no one who leaves."""
    future: Future[Ready] = Future()

    def work() -> None:
        try:
            gc.collect()  # figures and tokenizers of the last task hold themselves in cycles, and memory with them
            ready = desk.prepare(task)
            if desk.closed:  # nobody waits for it any more
                ready.stack.close()
            future.set_result(ready)
        except BaseException as error:
            future.set_exception(error)

    Thread(target=work, daemon=True, name="prepare").start()
    return future


def compute(desk: Desk, ready: Ready, stopping: Stopping) -> None:
    """One pass for all benchmarks of a task, then one after the other; outcomes are put into `ready`."""
    if not ready.work:
        return
    reporter = Reporter()
    try:
        read = _read(desk, ready, reporter)
    except Exception as error:
        for work in ready.work:
            ready.outcomes[work.job.key] = desk.failed(work.job, error)
        return
    finally:
        ready.weights = None
    share = {name: value / len(ready.work) for name, value in reporter.seconds.items()}
    for work in ready.work:
        if stopping():
            return
        try:
            own = Reporter()
            own.seconds |= share
            ready.outcomes[work.job.key] = _score(desk, ready, work, read.pop(work.job.key), own, stopping)
        except Exception as error:
            ready.outcomes[work.job.key] = desk.failed(work.job, error)


def _read(desk: Desk, ready: Ready, reporter: Reporter) -> dict[str, Activations]:
    """What every benchmark gets of the pass, by the key of its job."""
    model, settings = ready.model, desk.settings
    if not isinstance(model, LanguageModel):
        with reporter.phase("extraction"):
            return {work.job.key: looked_up(model, work.request, work.layers) for work in ready.work}
    with reporter.phase("load"):
        transformer = ready.transformer()
    with reporter.phase("extraction"):
        found = ready.union.read(
            model,
            transformer,
            [work.layers for work in ready.read],
            batch_size=settings.batch_size,
            tensor=settings.tensor,
        )
    return {work.job.key: own for work, own in zip(ready.read, found, strict=True)}


def _score(desk: Desk, ready: Ready, work: Work, read: Activations, reporter: Reporter, stopping: Stopping) -> Outcome:
    task = ready.task
    asked = {"model": ready.model.name, "benchmark": work.opened.published.identifier} | dict(task.choices)
    record, arrays, layers = work.opened.compare(ready.model, read, asked, work.in_force, reporter)
    with stopping.held():
        save_result(work.paths, record | closing(reporter), arrays, layers)
        return desk.finished(work)
