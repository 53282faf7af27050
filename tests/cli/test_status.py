"""`jaxscore status`: of a plan, of a folder, of what is neither."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from batch.notebook import Result

from jaxscore.batch.notes import Notes
from jaxscore.batch.plan import Plan, read_plan
from jaxscore.store.places import open_place

PLAN = """
out = "out"
models = ["sentence-length", "word-position", "random-embedding"]
benchmarks = ["Simulated2026-encoding"]
"""


@pytest.fixture
def plan(tmp_path) -> Plan:
    """Three jobs: one done, one failed twice, one waiting; the plan is plan.toml, its results go to out."""
    (tmp_path / "plan.toml").write_text(PLAN)
    found = read_plan("plan.toml")
    notes = Notes(open_place(found.out), "one")
    done, failed, _ = found.jobs
    result = Result(notes.place, done, score=0.1234)
    notes.finish(done, result.name, result.sha256, {})
    for _ in range(2):
        notes.fail(failed, "failed", "No such\nfile.", "Look for it.")
    return found


def columns(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_plan(cli, plan):
    ran = cli("status", "plan.toml")
    assert (ran.code, ran.err.strip()) == (0, plan.out)
    totals, _, failures = ran.out.partition("\n\n")
    assert columns(totals) == [
        ["done", "1"], ["running", "0"], ["failed", "1"], ["temporary", "0"], ["waiting", "1"],
        ["remaining", "about", "10", "s,", "1", "at", "a", "time"],
    ]  # fmt: skip
    head, reason, hint = failures.splitlines()
    assert head.startswith("failed  word-position  Simulated2026-encoding  ")
    assert head.endswith("  2 attempts")
    assert (reason, hint) == ("    No such file.", "    Look for it.")


def test_every_job(cli, plan):
    lines = columns(cli("status", "plan.toml", "--jobs").out)
    assert lines[0][:6] == ["done", "sentence-length", "Simulated2026-encoding", "0.123", "10", "s"]
    assert lines[1][:3] == ["failed", "word-position", "Simulated2026-encoding"]
    assert lines[1][-3:] == ["No", "such", "file."]
    assert lines[2] == ["waiting", "random-embedding", "Simulated2026-encoding"]
    assert len(lines) == 9


def test_json(cli, plan):
    found = json.loads(cli("status", "plan.toml", "--json").out)
    assert found["place"] == plan.out
    assert found["totals"] == {"done": 1, "running": 0, "failed": 1, "temporary": 0, "waiting": 1}
    assert (found["running"], found["remaining_seconds"]) == (0, 10.0)
    assert [row["state"] for row in found["jobs"]] == ["done", "failed", "waiting"]
    assert found["jobs"][1]["reason"] == "No such\nfile."


def test_folder(cli, plan):
    found = json.loads(cli("status", plan.out, "--json").out)
    assert {row["model"]: row["state"] for row in found["jobs"]} == {
        "sentence-length": "done",
        "word-position": "failed",
    }
    assert cli("status", plan.out).code == 0


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("none.toml", "none.toml"),
        ("none", "No batch has noted anything in none"),
        (".", "No batch"),
        ("gs://x", "gs://x"),
    ],
)
def test_what_is_none(cli, where, words):
    ran = cli("status", where)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert not Path("none").exists()


def test_without_jax(plan):
    code = """
import sys
from jaxscore.cli.app import main
try:
    main()
except SystemExit:
    pass
print(sorted({"jax", "flax", "torch", "transformers", "boto3", "matplotlib"} & sys.modules.keys()))
"""
    command = [sys.executable, "-c", code, "status", "plan.toml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
