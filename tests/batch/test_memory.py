"""A hundred checkpoints take no more memory than a few."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from conftest import write_gpt2

SCRIPT = """
import os, sys
from jaxscore.batch.local import run_tasks
from jaxscore.batch.plan import make_plan
from jaxscore.batch.tasks import Settings

pages, size = [], os.sysconf("SC_PAGE_SIZE")
def tell(task, outcomes):
    assert [outcome.state for outcome in outcomes] == ["done"], outcomes
    pages.append(int(open("/proc/self/statm").read().split()[1]) * size / 2**20)
plan = make_plan(["runs/*"], sys.argv[1:], {}, "out")
run_tasks(plan.tasks, Settings("out", "tests"), tell)
print(pages)
"""


def test_a_hundred_checkpoints(study, tmp_path):
    for i in range(100):
        write_gpt2(tmp_path / f"runs/checkpoint-{i}", width=64, seed=i)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, study.write()], cwd=tmp_path, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    resident = json.loads(done.stdout.splitlines()[-1])
    assert len(resident) == 100
    assert len(list(Path(tmp_path, "out/study").glob("*.json"))) == 100
    # one leaked checkpoint of 0.5 MB each would be 40 MB
    assert max(resident[-10:]) < max(resident[10:20]) + 12, resident
