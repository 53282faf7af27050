"""`jaxscore batch` and `jaxscore status`: what a person types, exit codes, signals, killing and going on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import write_gpt2

EMBEDDED = "Simulated2026-encoding"
BASELINES = ["sentence-length", "word-position", "random-embedding"]


def complaint(ran, *words: str) -> None:
    assert ran.code == 2, ran
    assert ran.out == ""
    flat = " ".join(ran.err.split())
    assert [word for word in words if word not in flat] == [], ran.err


def test_models_on_the_command_line(cli, study):
    ran = cli("batch", *BASELINES[:2], "-b", study.write(), "-b", EMBEDDED)
    assert ran.code == 0, ran
    assert ran.out.startswith("4 jobs: 4 done\n")
    assert "4/4 word-position on Simulated2026-encoding: 0." in ran.err
    again = cli("batch", *BASELINES[:2], "-b", study.write(), "-b", EMBEDDED, "--json")
    rows = [json.loads(line) for line in again.out.splitlines()]
    assert [(row["state"], row["resumed"]) for row in rows] == [("done", True)] * 4
    table = cli("table", "jaxscore-results", "--chosen")
    assert table.code == 0
    assert len(table.out.splitlines()) == 5


def test_a_plan_from_dry_run_to_status(cli, study, tmp_path):
    write_gpt2(tmp_path / "runs/checkpoint-1")
    write_gpt2(tmp_path / "runs/checkpoint-2", seed=1)
    study.write()
    (tmp_path / "plan.toml").write_text(
        'out = "scores"\nmodels = ["runs/*", {name = "runs/checkpoint-{1,2}", untrained = true, seeds = [0, 1]}]\n'
        'benchmarks = ["study.toml"]\n[options]\nlayers = "1"\n'
    )
    dry = cli("batch", "plan.toml", "--dry-run")
    assert dry.code == 0, dry
    assert dry.out.count("waiting") == 7
    assert "6 jobs of 6 checkpoints: 6 waiting; 6 would be computed" in dry.out
    assert "to download: 0 B for 0 checkpoints" in dry.out
    assert not (tmp_path / "scores").exists(), "nothing is written"
    parts = [cli("batch", "plan.toml", "--shard", f"{i}/2", "--quiet") for i in (1, 2)]
    assert [part.code for part in parts] == [0, 0], parts
    assert [part.out.splitlines()[0] for part in parts] == ["3 jobs: 3 done"] * 2
    status = cli("status", "plan.toml")
    assert status.code == 0, status
    assert "6" in status.out
    assert "done" in status.out
    after = json.loads(cli("batch", "plan.toml", "--dry-run", "--json").out)
    assert after["totals"]["done"] == 6
    assert len(list((tmp_path / "scores/study").glob("*.json"))) == 6


def test_failures_have_their_exit_code(cli, study, tmp_path):
    write_gpt2(tmp_path / "good")
    (write_gpt2(tmp_path / "bad") / "model.safetensors").write_bytes(b"nonsense")
    ran = cli("batch", tmp_path / "bad", tmp_path / "good", "-b", study.write())
    assert ran.code == 1, ran
    assert "1 done, 1 failed" in ran.out
    assert "damaged weights" in ran.out
    assert "--retry-failed" in ran.out
    again = cli("batch", tmp_path / "bad", tmp_path / "good", "-b", study.write(), "--json")
    assert again.code == 1
    assert [json.loads(line)["resumed"] for line in again.out.splitlines()] == [True, True]


def test_what_may_pass_has_another(cli, study, tmp_path):
    ran = cli("batch", "gpt2", "sentence-length", "-b", study.write())
    assert ran.code == 75, ran
    assert "1 done, 1 temporary" in ran.out
    assert "Run the same command again" in ran.out
    assert "hub cannot be reached" in ran.out
    dry = cli("batch", "gpt2", "-b", study.write(), "--dry-run")
    assert dry.code == 0, dry
    assert "1 of unknown size" in dry.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["batch", "mini", "-b", "Pereira2018-encodin"], ["Pereira2018-encoding"]),
        (["batch", "minu", "-b", EMBEDDED], ["Unknown model 'minu'", "'mini'"]),
        (["batch", "nowhere.toml"], ["There is no plan nowhere.toml"]),
        (["batch", "mini", "-b", EMBEDDED, "--shard", "0/4"], ["expected I/N", "SLURM_ARRAY_TASK_ID"]),
        (["batch", "mini", "-b", EMBEDDED, "--gpus", "1"], ["--ray local"]),
        (["batch", "mini", "-b", EMBEDDED, "--pooling", "lst"], ["'last'"]),
        (["status", "nowhere.toml"], ["nowhere.toml"]),
    ],
)
def test_wrong_commands(cli, arguments, words):
    complaint(cli(*arguments), *words)


def test_a_plan_says_itself_what_is_scored(cli, study, tmp_path):
    study.write()
    (tmp_path / "plan.toml").write_text('models = ["mini"]\nbenchmarks = ["study.toml"]\n')
    complaint(cli("batch", "plan.toml", "--pooling", "mean"), "--pooling would change it", "[options]")
    complaint(cli("batch", "plan.toml", "mini"), "2 plans and models at once")


def _start(folder: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "jaxscore", "batch", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _contents(out: Path) -> dict[str, object]:
    """Every file of the results; records without their times."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        if not path.is_file() or ".jobs" in path.parts:
            continue
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            found[str(path.relative_to(out))] = {k: v for k, v in record.items() if k not in ("seconds", "created")}
        else:
            found[str(path.relative_to(out))] = path.read_bytes()
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_ends_it_at_once_and_nothing_is_lost(tmp_path, number, code):
    process = _start(tmp_path, *BASELINES, "mini", "-b", EMBEDDED, "--out", "out")
    for line in process.stderr:
        if "1/4" in line:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, (out, err)
    assert "run the same command again" in err
    assert not list((tmp_path / "out").rglob("*.part"))
    assert not list((tmp_path / "out").rglob("*.lease.json"))
    process = _start(tmp_path, *BASELINES, "mini", "-b", EMBEDDED, "--out", "out")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)
    assert "was there already" in err
    assert len(_contents(tmp_path / "out")) == 12


def test_killed_at_random_the_set_of_results_is_the_same(tmp_path):
    for i in range(3):
        write_gpt2(tmp_path / f"runs/checkpoint-{i}", seed=i)
    arguments = ["runs/*", *BASELINES[:1], "-b", EMBEDDED]
    start = time.monotonic()
    process = _start(tmp_path, *arguments, "--out", "whole")
    assert process.wait(timeout=120) == 0, process.communicate()
    process.communicate()
    length, draw = time.monotonic() - start, random.Random(6)
    for _ in range(4):
        process = _start(tmp_path, *arguments, "--out", "killed")
        time.sleep(draw.uniform(0.3, 1.0) * length)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    process = _start(tmp_path, *arguments, "--out", "killed")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)
    whole = _contents(tmp_path / "whole")
    assert len(whole) == 12
    assert _contents(tmp_path / "killed") == whole
