"""Small things to run on a cluster in place of models: what a task does is its model's name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from jaxscore.batch.tasks import Outcome


def attempts(settings, task) -> int:
    """Note that the task was started, and by whom; count how often it was."""
    path = Path(settings.out) / task.jobs[0].key
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return len(path.read_text().splitlines())


def nap() -> None:
    """A minute, in which Python looks at signals."""
    for _ in range(1200):
        time.sleep(0.05)


def run(tasks, settings, stopping):
    """A runner that writes down every start."""
    (task,) = tasks
    count, what = attempts(settings, task), task.model
    if what == "dies" or (what.startswith("dies once") and count == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "taken away once" and count == 1:
        os.kill(os.getpid(), signal.SIGTERM)
        nap()
    if what == "wrong":
        raise KeyError("a defect")
    if what == "writes":
        with stopping.held():
            time.sleep(2)
            (Path(settings.out) / "written").touch()
    if what in ("dies once, waits", "writes"):
        nap()
    if what == "slow once" and count == 1:
        nap()
    time.sleep(0.3)
    state = "failed" if what == "fails" else "done"
    return [Outcome(job, state, notes=(str(os.getpid()), *held())) for job in task.jobs]


def held() -> tuple[str, ...]:
    """What the process was told to keep to."""
    return tuple(f"{name}={os.environ.get(name)}" for name in ("OMP_NUM_THREADS", "PJRT_NPROC", "JAX_PLATFORMS"))
