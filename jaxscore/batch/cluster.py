"""Several machines: Ray places each task in a fresh process with its devices, and starts it again when that dies."""

from __future__ import annotations

import os
import pkgutil
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from types import ModuleType
from typing import Any

import jaxscore
from jaxscore.batch.connection import Resources, connected, inventory, room
from jaxscore.batch.stopping import INTERRUPTED, Stopping
from jaxscore.batch.tasks import Outcome, Settings, Task
from jaxscore.errors import JaxscoreError, TemporaryStoreError
from jaxscore.store.places import open_place
from jaxscore.store.records import check_writable

__all__ = ["Resources", "run_on_ray"]

RUNNER = "jaxscore.batch.local:run_tasks"
"""What a process calls with its task."""
RETRIES = 5
"""How often a task is started again after its process or its node died."""
AHEAD = 4
"""Tasks that Ray has beyond those that fit, so that no node waits for the next one."""
TICK = 0.5
"""Seconds between two looks at whether to stop."""
GRACE = 60.0
"""Seconds that interrupted tasks have to finish what they are writing."""
PATIENCE = 600.0
"""Seconds to wait for another node, when the last one that fits is gone."""

Tell = Callable[[Task, list[Outcome]], None]


def run_on_ray(
    tasks: Sequence[Task],
    settings: Settings,
    resources: Resources,
    address: str | None,
    tell: Tell = lambda task, outcomes: None,
    stopping: Stopping | None = None,
) -> list[Outcome]:
    """Run tasks where Ray places them; it means what `jaxscore.batch.local.run_tasks` means.

    A task whose process or node dies starts again, `RETRIES` times; one that ends with an error of its own does not.
    When a stop is asked for, or at Ctrl-C, tasks that wait are given up, and those that run finish what they are
    writing, for `GRACE` seconds at most; a second Ctrl-C does not wait for that.

    Args:
        tasks: no two share a job.
        settings: `out` is within reach of every node.
        resources: of each task.
        address: None for a Ray of this machine alone; "auto" (RAY_ADDRESS, or the Ray that runs here), HOST:PORT or
            ray://HOST:PORT for a cluster.
        tell: called with the outcomes of each task.
        stopping: asked every half second; a signal that it took ends the waiting at once.

    Returns:
        An outcome for every job, in the order of the tasks: "waiting" where a task was given up, "temporary" where its
        processes kept dying.

    Raises:
        JaxscoreError: Ray is not installed, no cluster answers, no node has the resources, or versions differ.
    """
    check_writable(open_place(settings.out))
    with connected(address) as ray:
        if not room(ray, resources):
            raise JaxscoreError(
                f"A task asks for {resources}, and no node has that", f"There are {inventory(ray) or 'no nodes'}."
            )
        remote = ray.remote(max_calls=1, max_retries=RETRIES, **resources.options())(work)
        out = settings.out if "://" in settings.out else os.path.abspath(settings.out)  # a worker is somewhere else
        fixed = (asdict(settings) | {"out": out}, resources.environment(), jaxscore.__version__, RUNNER)
        flight = _Flight(ray, resources, tuple(tasks), tell, stopping or Stopping())
        return flight.run(lambda task: remote.remote(task.to_json(), *fixed))


def work(task: Mapping, settings: Mapping, environment: Mapping[str, str], version: str, runner: str) -> dict[str, Any]:
    """Run one task in this process, which is its own, and give plain values.

    Args:
        task: of `Task.to_json`.
        settings: fields of `Settings`.
        environment: variables that hold from here on.
        version: of jaxscore where the batch was started.
        runner: "module:function" that runs tasks.

    Returns:
        `version` and `host` of this process, and `outcomes`; none where the versions differ.
    """
    found = {"version": jaxscore.__version__, "host": socket.gethostname(), "outcomes": []}
    if version != jaxscore.__version__:
        return found
    os.environ.update(environment)
    from jaxscore.cli.compilation import keep_compilations

    keep_compilations()
    own, stopping = Task.from_json(task), Stopping()
    try:
        with stopping.listening():
            ended = pkgutil.resolve_name(runner)([own], Settings(**settings), stopping=stopping)
    except SystemExit:  # after what was being written
        if stopping.code != INTERRUPTED:
            raise  # the node is taken away: Ray starts the task elsewhere
        ended = [Outcome(job, "waiting") for job in own.jobs]
    except Exception as error:  # nothing is raised that Ray would have to carry
        state = "temporary" if isinstance(error, TemporaryStoreError) else "failed"
        message = error.message if isinstance(error, JaxscoreError) else f"{type(error).__name__}: {error}"
        hint = error.hint if isinstance(error, JaxscoreError) else ""
        ended = [Outcome(job, state, message=f"{found['host']}: {message}", hint=hint) for job in own.jobs]
    return found | {"outcomes": [outcome.to_json() for outcome in ended]}


class _Flight:
    """Tasks on their way: which wait here, which Ray has, which have ended."""

    def __init__(
        self, ray: ModuleType, resources: Resources, tasks: tuple[Task, ...], tell: Tell, stopping: Stopping
    ) -> None:
        self.ray, self.resources, self.tasks, self.tell, self.stopping = ray, resources, tasks, tell, stopping
        self.waiting = deque(range(len(tasks)))
        self.flying: dict[Any, int] = {}
        self.ended: dict[int, list[Outcome]] = {}
        self.fitted = time.monotonic()

    def run(self, start: Callable[[Task], Any]) -> list[Outcome]:
        """All outcomes, told one task at a time; `start` hands a task to Ray."""
        left: dict[str, Any] = {"state": "waiting"}
        with suppress(KeyboardInterrupt, SystemExit):  # of a signal, which `stopping` remembers
            while (self.waiting or self.flying) and not self.stopping():
                if not self._fill(start):
                    left = {"state": "temporary", "message": f"no node with {self.resources} is left"}
                    break
                self._land(TICK, 1)
        with suppress(KeyboardInterrupt, SystemExit):  # the second one
            self._interrupt()
        for index, task in enumerate(self.tasks):
            if index not in self.ended:
                self._end(index, [Outcome(job, **left) for job in task.jobs])
        return [outcome for index in range(len(self.tasks)) for outcome in self.ended[index]]

    def _fill(self, start: Callable[[Task], Any]) -> bool:
        """Hand over as many tasks as fit and a few more; False once nothing has fitted for long."""
        fit, now = room(self.ray, self.resources), time.monotonic()
        while self.waiting and len(self.flying) < fit + AHEAD:
            with self.stopping.held():
                index = self.waiting.popleft()
                self.flying[start(self.tasks[index])] = index
        if fit:
            self.fitted = now
        return now - self.fitted < PATIENCE

    def _land(self, seconds: float, count: int) -> None:
        """Wait until `count` tasks have ended, and take what they gave."""
        ready, _ = self.ray.wait(list(self.flying), num_returns=count, timeout=seconds)
        with self.stopping.held():
            for ref in ready:
                index = self.flying.pop(ref)
                if outcomes := self._outcomes(ref, self.tasks[index]):
                    self._end(index, outcomes)

    def _end(self, index: int, outcomes: list[Outcome]) -> None:
        self.ended[index] = outcomes
        self.tell(self.tasks[index], outcomes)

    def _interrupt(self) -> None:
        """Take back what does not run yet; what runs finishes its writing."""
        for ref in reversed(self.flying):  # those that wait first, or one would start where another ends
            self.ray.cancel(ref)
        if self.flying:
            self._land(GRACE, len(self.flying))

    def _outcomes(self, ref: Any, task: Task) -> list[Outcome]:
        """What a task that ended gave; nothing if it was taken back."""
        errors = self.ray.exceptions
        try:
            found = self.ray.get(ref)
        except errors.TaskCancelledError:
            return []
        except errors.RayTaskError as error:  # `work` itself raises nothing
            said = str(error).strip().splitlines()[-1]
            return self._unfit(task, f"A node of the cluster cannot load jaxscore: {said}")
        except errors.RayError as error:
            said = str(error).strip().partition("\n")[0]
            message = f"its process died {RETRIES + 1} times, the last time of {type(error).__name__}: {said}"
            hint = "Memory may be short: let fewer tasks share a node (--cpus), or give a smaller --batch-size."
            return [Outcome(job, "temporary", message=message, hint=hint) for job in task.jobs]
        if found["version"] != jaxscore.__version__:
            here = jaxscore.__version__
            return self._unfit(task, f"{found['host']} has jaxscore {found['version']}, and here is {here}")
        return [Outcome.from_json(content) for content in found["outcomes"]]

    def _unfit(self, task: Task, message: str) -> list[Outcome]:
        """What a node that cannot run tasks gave: an error if it is the first thing that comes, else one task's."""
        hint = f"Install jaxscore {jaxscore.__version__} on every node, in the Python that runs Ray there."
        if not self.ended:
            raise JaxscoreError(message, hint)
        return [Outcome(job, "temporary", message=message, hint=hint) for job in task.jobs]
