"""Cases that need Ray, each in a process of its own: `python ray_cases.py CASE FOLDER` prints what happened as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import jaxscore
from jaxscore.batch import cluster
from jaxscore.batch.cluster import Resources, run_on_ray
from jaxscore.batch.plan import make_plan
from jaxscore.batch.stopping import Stopping
from jaxscore.batch.tasks import Job, Settings, Task
from jaxscore.errors import JaxscoreError

KINDS = ["slow once", "dies once", "fails", "wrong", "taken away once", "dies", "slow once", "slow once"]


def small(models: list[str]) -> list[Task]:
    """Tasks numbered 00, 01, ..."""
    cluster.RUNNER = "ray_small:run"
    return [Task(model, {}, (Job(model, "any", f"{i:02d}"),)) for i, model in enumerate(models)]


def starts(folder: Path) -> dict[str, list[int]]:
    """Processes that started each task, by its number."""
    return {path.name: [int(line) for line in path.read_text().split()] for path in sorted(folder.glob("[0-9][0-9]"))}


def soon(condition) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def run(folder: Path, tasks: list[Task], address: str | None, resources=None, stopping=None) -> dict:
    """Run tasks and tell all about them."""
    told: list[str] = []

    def tell(task, _) -> None:
        told.append(task.jobs[0].key)

    outcomes = run_on_ray(tasks, Settings(str(folder), "me"), resources or Resources(), address, tell, stopping)
    return {
        "states": {outcome.job.key: outcome.state for outcome in outcomes},
        "messages": {outcome.job.key: outcome.message for outcome in outcomes},
        "notes": [outcome.notes for outcome in outcomes if outcome.notes],
        "told": sorted(told),
        "starts": starts(folder),
    }


def two_nodes(folder: Path) -> dict:
    """On a cluster of two nodes."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        os.environ["RAY_ADDRESS"] = found.address
        return {"refused": refused(folder), "before": starts(folder), "deaths": deaths(folder, found)}
    finally:
        found.shutdown()


def refused(folder: Path) -> dict:
    """What a cluster cannot do is said at once."""
    said = {}
    for name, resources, version in [
        ("gpu", Resources(gpus=1), jaxscore.__version__),
        ("cpus", Resources(cpus=3), jaxscore.__version__),
        ("version", Resources(), "0.0.1"),
    ]:
        real, jaxscore.__version__ = jaxscore.__version__, version
        try:
            run(folder, small(["quick"]), "auto", resources)
        except JaxscoreError as error:
            said[name] = str(error)
        jaxscore.__version__ = real
    return said


def deaths(folder: Path, found) -> dict:
    """A process and then a node are killed while tasks run there; other tasks end by themselves in every way."""
    second = found.add_node(num_cpus=1)
    cluster.RETRIES = 2

    def kill() -> None:
        soon(lambda: "00" in starts(folder))
        os.kill(starts(folder)["00"][0], signal.SIGKILL)
        soon(lambda: {"06", "07"} <= starts(folder).keys())  # each has a node
        pids = [starts(folder)[key][0] for key in ("06", "07")]
        found.remove_node(second, allow_graceful=False)
        for pid in pids:  # and the other one's process
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        return run(folder, small(KINDS + 3 * ["quick"]), found.address)
    finally:
        killer.join()


def interrupted(folder: Path) -> dict:
    """Ctrl-C, which a terminal sends to the whole group: one task writes, one waits, the others are not started."""
    stopping, before = Stopping(), []

    def interrupt() -> None:
        soon(lambda: "00" in starts(folder) and len(starts(folder).get("01", [])) == 2)
        time.sleep(0.5)
        before.extend(starts(folder))
        os.killpg(0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with stopping.listening():
        found = run(folder, small(["writes", "dies once, waits"] + 20 * ["quick"]), None, stopping=stopping)
    return found | {"written": (folder / "written").exists(), "code": stopping.code, "before": before}


def scored(folder: Path) -> dict:
    """Models in place of small things: a baseline and `mini`; and what is left behind."""
    before = signal.getsignal(signal.SIGTERM)
    plan = make_plan(["sentence-length", "mini"], ["Simulated2026-encoding"], {}, "results")
    outcomes = run_on_ray(plan.tasks, Settings(plan.out, "me", offline=True), Resources(), None)
    from ray._common.usage import usage_lib

    return {
        "outcomes": [outcome.to_json() for outcome in outcomes],
        "handler": signal.getsignal(signal.SIGTERM) == before,
        "usage": usage_lib.usage_stats_enabled(),
    }


if __name__ == "__main__":
    case, folder = sys.argv[1:]
    print(json.dumps(globals()[case](Path(folder))))
