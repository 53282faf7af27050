"""Killed at any moment, or refused by the disk: nothing is left that passes for a result, and nothing is lost."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import jaxscore
from jaxscore.store.records import find_result, paths_of

# Imports once, then runs one command line per job in a forked process (JAX has not begun to work before the fork). A
# job says at which call of a step that changes the disk the process is to be killed, before or after the step takes
# place; or after how many seconds; or how far the system lets a file grow; or that no more is done than to save a
# stored result under another name.
SERVER = """
import json, os, pathlib, resource, signal, sys, tempfile, threading, time, warnings
import h5netcdf, jax, matplotlib.pyplot, transformers
import jaxscore.cli.app, jaxscore.scoring, jaxscore.models.transformer, jaxscore.extract.passes
import jaxscore.metrics.measure, jaxscore.report.plots, jaxscore.data.benchmark
from jaxscore.report import plots
from jaxscore.store.records import paths_of, save_result

matplotlib.use("agg")
matplotlib.pyplot.figure().savefig(os.devnull, format="png")  # finds its fonts once

def wrap(owner, name, job, steps):
    original = getattr(owner, name)
    def step(*args, **kwargs):
        steps.append(name)
        now = len(steps) == job.get("kill_at") or steps.count(name) == job.get("kill_" + name)
        if now and not job.get("after"):
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, step)

def child(job, out, err):
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    steps = []
    for owner, name in [(os, "replace"), (os, "fsync"), (plots, "plot_layers")]:
        wrap(owner, name, job, steps)
    if job.get("limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    sys.argv = ["jaxscore", *job["arguments"]]
    code = 0
    try:
        if stored := job.get("save"):
            found = jaxscore.scoring.reopen(stored)
            save_result(paths_of(pathlib.Path(job["to"])), found.record, found.arrays, found.layers)
        else:
            jaxscore.cli.app.main()
    except SystemExit as error:
        code = error.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    if not job.get("limit"):
        os.write(2, ("steps: " + " ".join(steps)).encode())
    os._exit(code)

warnings.filterwarnings("ignore", message="os.fork")
for line in sys.stdin:
    job = json.loads(line)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        pid = os.fork()
        if not pid:
            child(job, out, err)
        if "delay" in job:
            threading.Timer(job["delay"], os.kill, (pid, signal.SIGKILL)).start()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        seconds = time.monotonic() - start
        out.seek(0), err.seek(0)
        answer = {"code": code, "out": out.read().decode(), "err": err.read().decode(), "seconds": seconds}
    print(json.dumps(answer), flush=True)
"""
KILLED = -9


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[..., dict[str, Any]]]:
    pytest.importorskip("resource")
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(*arguments: str, **job: Any) -> dict[str, Any]:
        job |= {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield run
    process.stdin.close()
    process.wait(timeout=30)
    process.stdout.close()


@pytest.fixture
def command(tiny, study) -> list[str]:
    return ["run", str(tiny), "-b", study.write(), "--quiet"]


def _whole(out: Path) -> list[dict]:
    """Every record below a folder that a later run would take for a result; its files must open and agree with it."""
    stems = {path.with_suffix("") for path in out.rglob("*") if path.suffix in (".json", ".nc", ".png")}
    found = []
    for stem in stems:
        paths = paths_of(stem.with_name(stem.name + ".json"))
        if record := find_result(paths):
            with xr.open_dataset(paths.arrays) as arrays:
                assert [row["r"] for row in record["result"]["layers"]] == pytest.approx(
                    arrays["median_r"].values.tolist()
                )
            found.append(record)
    return found


def _scores(record: dict) -> list[float]:
    return [row["score"] for row in record["result"]["layers"]]


@pytest.mark.parametrize("replacing", [False, True])
def test_killed_at_every_step_of_saving(server, tiny, study, tmp_path, replacing):
    """Before each step in turn, and after the last: leftovers pile up, and must disturb nothing."""
    stored = jaxscore.score(str(tiny), study.write(), out="stored")
    other = jaxscore.score(str(tiny), study.write(), out="stored", regression="ols")
    out, target = tmp_path / "out", str(tmp_path / "out" / "study" / "tiny.0123456789abcdef.json")

    def save(result: jaxscore.Score, **job) -> dict[str, Any]:
        return server(save=str(result.paths.record), to=target, **job)

    complete = save(other)
    steps = complete["err"].split("steps: ")[1].split()
    assert steps.count("replace") == 3
    assert steps[-1] == "replace"
    assert steps.count("fsync") == 3
    assert "plot_layers" in steps
    if not replacing:
        for path in (out / "study").iterdir():
            path.unlink()
    expected = _scores(other.record)
    for number in range(1, len(steps) + 1):
        assert save(stored, kill_at=number)["code"] == KILLED
        # replacing: the older result, whole, or none
        assert [_scores(record) for record in _whole(out)] in ([[], [expected]] if replacing else [[]])
    assert save(stored, kill_at=len(steps), after=True)["code"] == KILLED
    expected = _scores(stored.record)
    assert [_scores(record) for record in _whole(out)] == [expected]
    assert save(other)["code"] == 0
    assert [_scores(record) for record in _whole(out)] == [_scores(other.record)]


def test_killed_then_run_again(server, command, tmp_path):
    """The whole command, killed before the record is in place: the next run redoes it, the one after finds it."""
    assert server(*command, kill_replace=3)["code"] == KILLED
    assert _whole(tmp_path / "jaxscore-results") == []
    assert server(*command)["code"] == 0
    (record,) = _whole(tmp_path / "jaxscore-results")
    last = server(*command)
    assert (last["code"], last["err"]) == (0, "steps: ")  # nothing is written again
    assert _whole(tmp_path / "jaxscore-results") == [record]


def test_killed_at_random_moments(server, tmp_path, monkeypatch):
    """The embedded pair, killed at moments spread over the whole run, the cache of activations included."""
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "jaxscore-results"
    seconds = server("run", "-q", "--out", "expected")["seconds"]
    (expected,) = _whole(tmp_path / "expected")
    for path in (tmp_path / "cache").rglob("*.h5"):
        path.unlink()
    rng = random.Random(2026)
    killed = 0
    for k in range(6):
        done = server("run", "-q", "--overwrite", delay=seconds * (k + rng.random()) / 6)
        killed += done["code"] == KILLED
        for record in _whole(out):
            assert _scores(record) == pytest.approx(_scores(expected), abs=1e-6)
    assert killed >= 2
    assert server("run", "-q")["code"] == 0
    (record,) = _whole(out)
    assert _scores(record) == pytest.approx(_scores(expected), abs=1e-6)


@pytest.mark.parametrize("limit", [200, 8_000, 40_000])
def test_disk_that_refuses_a_result(server, cli, command, tmp_path, limit):
    """The system lets no file grow past the limit: one message, and the older result is untouched."""
    assert cli(*command).code == 0
    out = tmp_path / "jaxscore-results"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert len(before) == 3
    assert max(map(len, before.values())) > limit
    done = server(*command, "--overwrite", limit=limit)
    assert (done["code"], done["out"]) == (2, "")
    assert done["err"].startswith("jaxscore: Results cannot be written to")
    assert "File too large. What was there before is untouched." in done["err"]
    assert "--out FOLDER" in done["err"]
    assert "Traceback" not in done["err"]
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert "Already scored" in cli(*command[:-1]).err


def test_no_room_for_the_cache_is_no_reason_to_lose_a_score(tiny, study, monkeypatch, tmp_path):
    expected = jaxscore.score(str(tiny), study.write(), out="one")
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "a file"))
    found = jaxscore.score(str(tiny), study.write(), out="two")
    np.testing.assert_allclose(found.layers["r"], expected.layers["r"], atol=1e-6)
