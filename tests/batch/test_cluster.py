"""Tasks placed by Ray: a cluster of two nodes that loses one, a machine alone, Ctrl-C, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from jaxscore.batch.cluster import Resources, run_on_ray
from jaxscore.batch.stopping import INTERRUPTED
from jaxscore.batch.tasks import Job, Settings, Task
from jaxscore.errors import JaxscoreError

HERE = Path(__file__).resolve().parent
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
SMALL = [Task("quick", {}, (Job("quick", "any", "00"),))]


def case(name: str, folder: Path) -> dict:
    """What a case of ray_cases.py prints: one line, whatever dies on the way."""
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
    environment.pop("OMP_NUM_THREADS", None)  # Ray would offer as few processors
    done = subprocess.run(
        [sys.executable, HERE / "ray_cases.py", name, folder],
        capture_output=True, text=True, timeout=180, cwd=folder, env=environment, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory) -> dict:
    return case("two_nodes", tmp_path_factory.mktemp("two_nodes"))


@needs_ray
def test_every_task_ends_once_whatever_dies(two_nodes):
    found = two_nodes["deaths"]
    ends = ["done", "done", "failed", "failed", "done", "temporary"] + 5 * ["done"]
    assert list(found["states"].values()) == ends
    assert found["told"] == sorted(found["states"]), "each is told once"


@needs_ray
def test_only_what_dies_is_started_again(two_nodes):
    times = [len(pids) for pids in two_nodes["deaths"]["starts"].values()]
    assert times == [2, 2, 1, 1, 2, 3, 2, 2, 1, 1, 1]  # an error, foreseen or not, runs once
    pids = Counter(pid for started in two_nodes["deaths"]["starts"].values() for pid in started)
    assert set(pids.values()) == {1}, "a fresh process each"


@needs_ray
def test_a_task_that_keeps_dying_says_why(two_nodes):
    message = two_nodes["deaths"]["messages"]["05"]
    assert "died 3 times" in message
    assert "WorkerCrashedError" in message
    assert "KeyError: 'a defect'" in two_nodes["deaths"]["messages"]["03"]


@needs_ray
def test_a_process_keeps_to_its_processors(two_nodes):
    for note in two_nodes["deaths"]["notes"]:
        assert note[1:] == ["OMP_NUM_THREADS=1", "PJRT_NPROC=1", "JAX_PLATFORMS=cpu"]


@needs_ray
def test_a_cluster_that_cannot_is_told_at_once(two_nodes):
    refused = two_nodes["refused"]
    assert "asks for CPU 1, GPU 1, and no node has that" in refused["gpu"]
    assert "asks for CPU 3" in refused["cpus"]
    assert "CPU 1" in refused["cpus"].splitlines()[1]
    assert "and here is 0.0.1" in refused["version"]
    assert two_nodes["before"] == {}


@needs_ray
def test_an_interrupt_lets_a_task_finish_its_writing(tmp_path):
    found = case("interrupted", tmp_path / "interrupted")
    assert found["written"]
    assert found["code"] == INTERRUPTED
    assert [found["states"][key] for key in ("00", "01", "21")] == ["waiting"] * 3
    assert found["told"] == sorted(found["states"]), "each is told once"
    assert len(found["starts"]["00"]) == 1, "what was interrupted is not started again"
    assert len(found["starts"].keys() - set(found["before"])) <= 2, "what waits is taken back before its turn comes"


@needs_ray
def test_models_are_scored_and_nothing_is_left_behind(tmp_path, cli):
    told = case("scored", tmp_path / "scored")
    assert told["usage"] is False, "nothing is sent to Ray's makers"
    assert told["handler"] is True, "signals stay the caller's"
    found = told["outcomes"]
    assert [(each["job"]["model"], each["state"]) for each in found] == [("sentence-length", "done"), ("mini", "done")]
    ran = cli("run", "sentence-length", "--benchmark", "Simulated2026-encoding", "--json", "--quiet")
    here, there = json.loads(ran.out), json.loads(Path(found[0]["record"]).read_text("utf-8"))
    assert there["result"] == here["result"]


@needs_ray
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense", "'nonsense' is no address"),
        ("host:port", "'host:port' is no address"),
        ("127.0.0.1:9", "No Ray cluster answers at 127.0.0.1:9"),
        ("ray://127.0.0.1:9", "No Ray cluster answers at ray://127.0.0.1:9"),
    ],
)
def test_no_cluster_is_told_at_once(tmp_path, address, said):
    code = f"""
import sys
from jaxscore.batch.connection import connected
from jaxscore.errors import JaxscoreError
try:
    with connected({address!r}): pass
except JaxscoreError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert said in done.stdout, done.stderr


def test_without_ray(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(JaxscoreError, match=r"pip install 'jaxscore\[ray\]'"):
        run_on_ray(SMALL, Settings(str(tmp_path), "me"), Resources(), None)


def test_resources():
    asked = Resources(cpus=2, gpus=0.5, tpus=4, memory=2**30)
    assert asked.options() == {"num_cpus": 2, "num_gpus": 0.5, "resources": {"TPU": 4}, "memory": 2**30}
    assert asked.environment() == {
        "OMP_NUM_THREADS": "2", "PJRT_NPROC": "2", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.375",
    }  # fmt: skip
    assert "JAX_PLATFORMS" not in Resources(gpus=1).environment()
    assert Resources(cpus=0.5).environment()["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("wrong", [{"cpus": -1}, {"gpus": 1.5}, {"tpus": float("nan")}, {"cpus": 0}])
def test_resources_that_make_no_sense(wrong):
    with pytest.raises(JaxscoreError):
        Resources(**wrong)
