"""Forty jobs on a Ray cluster of two nodes, one of which is killed half-way: all are done, and none twice.

    python bench/cluster.py [--quick] [--json FILE]

A baseline and copies of `mini` on the embedded, simulated benchmark, each task in a fresh process, all results in one
folder. Nodes have one processor each, and no cluster of several machines was at hand: both run here. Needs the extra
`ray`. `--quick`: eight jobs.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from common import arguments, write

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}


def plan(folder: Path, count: int):
    """A job for each of `count` models: baselines, and copies of `mini`."""
    import jaxscore.models.mini
    from jaxscore.batch.plan import make_plan

    mini = Path(jaxscore.models.mini.__file__).parent
    models = ["sentence-length", "word-position"]
    for number in range(count - len(models)):
        copy = folder / "checkpoints" / f"mini-{number:02d}"
        shutil.copytree(mini, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        models.append(str(copy))
    return make_plan(models, ["Simulated2026-encoding"], {}, str(folder / "results"))


def main() -> None:
    asked = arguments(__doc__.splitlines()[0])
    from ray.cluster_utils import Cluster

    from jaxscore.batch.cluster import Resources, run_on_ray
    from jaxscore.batch.tasks import Settings

    count = 8 if asked.quick else 40
    with tempfile.TemporaryDirectory() as temporary:
        jobs = plan(Path(temporary), count)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        second = cluster.add_node(num_cpus=1)
        told: list[str] = []

        def tell(task, outcomes) -> None:
            told.extend(outcome.job.key for outcome in outcomes)
            print(len(told), task.label, *(outcome.message or outcome.state for outcome in outcomes), file=sys.stderr)
            if len(told) == count // 2:
                cluster.remove_node(second, allow_graceful=False)

        try:
            began = time.perf_counter()
            outcomes = run_on_ray(
                jobs.tasks, Settings(jobs.out, "bench", offline=True), Resources(), cluster.address, tell
            )
            seconds = time.perf_counter() - began
        finally:
            cluster.shutdown()
        records = list(Path(jobs.out).glob("Simulated2026-encoding/*.json"))
    done = {outcome.job.key for outcome in outcomes if outcome.state == "done"}
    twice = len(told) - len(set(told)) + len(records) - len(done)
    rows = [("ray_jobs_done", len(done), "jobs"), ("ray_jobs_twice", twice, "jobs"), ("ray_seconds", seconds, "s")]
    write([{"name": name, "value": float(value), "unit": unit} for name, value, unit in rows], asked.json)


if __name__ == "__main__":
    main()
