"""Tasks on one machine: what each gives alone, one compilation, failures that stay where they are, memory."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from threading import Event, Thread, Timer

import jax
import numpy as np
import pytest
from conftest import toml, write_gpt2

import jaxscore
from jaxscore.batch.local import run_tasks
from jaxscore.batch.plan import make_plan
from jaxscore.batch.preparing import Desk
from jaxscore.batch.tasks import Settings
from jaxscore.store.places import open_place

EMBEDDED = "Simulated2026-encoding"


@pytest.fixture
def checkpoints(tmp_path) -> list[Path]:
    """Three steps of a training."""
    return [write_gpt2(tmp_path / f"run/checkpoint-{10 * i}", seed=i) for i in (1, 2, 3)]


def settings(out: Path, **changes) -> Settings:
    return Settings(str(out), "tests", **changes)


def records(out: Path) -> dict[str, dict]:
    """Every record without its times."""
    found = {}
    for path in out.rglob("*.json"):
        if ".jobs" not in path.parts:
            record = json.loads(path.read_text())
            found[str(path.relative_to(out))] = {k: v for k, v in record.items() if k not in ("seconds", "created")}
    return found


def test_as_each_by_itself(checkpoints, study, tmp_path):
    study.card["context"]["protocol"] = "joined"
    study.card["pooling"] = "mean"
    plan = make_plan([f"{tmp_path}/run/*"], [study.write(), EMBEDDED], {"layers": "1-2"}, str(tmp_path / "out"))
    told = []
    outcomes = run_tasks(plan.tasks, settings(tmp_path / "out"), lambda task, found: told.append((task.model, found)))
    assert [outcome.state for outcome in outcomes] == ["done"] * 6
    assert [Path(model).name for model, _ in told] == ["checkpoint-10", "checkpoint-20", "checkpoint-30"]
    for outcome in outcomes:
        alone = jaxscore.score(outcome.job.model, outcome.job.benchmark, layers="1-2", out=tmp_path / "alone")
        stored = json.loads(Path(outcome.record).read_text())
        assert Path(outcome.record).name == alone.paths.record.name  # one content, one name
        assert outcome.score == pytest.approx(alone.value, abs=1e-5)
        np.testing.assert_allclose(
            [row["score"] for row in stored["result"]["layers"]], alone.layers["score"].values, atol=1e-5
        )
        assert {**stored["in_force"]} == {**alone.record["in_force"]}
        assert stored["model"] == alone.record["model"]
        assert stored["seconds"]["extraction"] > 0


def test_again_is_nothing_to_do(checkpoints, study, tmp_path):
    plan = make_plan([str(checkpoints[0])], [study.write()], {}, str(tmp_path / "out"))
    (first,) = run_tasks(plan.tasks, settings(tmp_path / "out"))
    when = Path(first.record).stat().st_mtime_ns
    (again,) = run_tasks(plan.tasks, settings(tmp_path / "out"))
    assert again.resumed
    assert again.score == first.score
    assert Path(first.record).stat().st_mtime_ns == when
    (over,) = run_tasks(plan.tasks, settings(tmp_path / "out", overwrite=True))
    assert not over.resumed
    assert Path(first.record).stat().st_mtime_ns > when


def test_what_run_scored_is_not_scored_again(checkpoints, study, tmp_path):
    alone = jaxscore.score(checkpoints[0], study.write(), out=tmp_path / "out")
    plan = make_plan([str(checkpoints[0])], [study.write()], {}, str(tmp_path / "out"))
    (found,) = run_tasks(plan.tasks, settings(tmp_path / "out"))
    assert (found.state, found.resumed, found.record) == ("done", True, str(alone.paths.record))


def test_changed_weights_are_scored_anew(checkpoints, study, tmp_path):
    plan = make_plan([str(checkpoints[0])], [study.write()], {}, str(tmp_path / "out"))
    (before,) = run_tasks(plan.tasks, settings(tmp_path / "out"))
    shutil.copy(checkpoints[1] / "model.safetensors", checkpoints[0])
    (after,) = run_tasks(plan.tasks, settings(tmp_path / "out"))
    assert not after.resumed
    assert after.record != before.record
    assert "has changed" in after.notes[0]


@pytest.mark.parametrize("spoilt", ["truncated record", "another digit", "another byte", "no picture"])
def test_what_is_damaged_is_named_and_made_again(checkpoints, study, tmp_path, spoilt):
    plan = make_plan([str(checkpoints[0])], [study.write()], {}, str(tmp_path / "out"))
    (before,) = run_tasks(plan.tasks, settings(tmp_path / "out"))
    path = Path(before.record)
    whole = {name: path.with_suffix(name).read_bytes() for name in (".json", ".nc", ".png")}
    if spoilt == "truncated record":
        path.write_bytes(whole[".json"][:100])
    elif spoilt == "another digit":  # still a record, and still of its files
        path.write_bytes(
            whole[".json"]
            .replace(b'"chosen_score": 0.', b'"chosen_score": 1.')
            .replace(b'"chosen_score": -0.', b'"chosen_score": 1.')
        )
        assert path.read_bytes() != whole[".json"]
    elif spoilt == "another byte":
        path.with_suffix(".nc").write_bytes(whole[".nc"][:-1] + bytes([whole[".nc"][-1] ^ 1]))
    else:
        path.with_suffix(".png").unlink()
    (after,) = run_tasks(plan.tasks, settings(tmp_path / "out"))
    suffix = {"truncated record": ".json", "another digit": ".json", "another byte": ".nc", "no picture": ".png"}[
        spoilt
    ]
    assert not after.resumed
    assert path.with_suffix(suffix).name in after.notes[0]
    assert path.with_suffix(".nc").read_bytes() == whole[".nc"]
    assert path.with_suffix(".png").read_bytes() == whole[".png"]


def test_a_failure_stays_where_it_is(checkpoints, study, tmp_path):
    (checkpoints[1] / "model.safetensors").write_bytes(b"nonsense")
    broken = tmp_path / "broken.toml"
    broken.write_text(toml(study.card | {"identifier": "broken", "data": study.card["data"] | {"stimulus_id": "none"}}))
    plan = make_plan([str(path) for path in checkpoints], [study.write(), str(broken)], {}, str(tmp_path / "out"))
    found = run_tasks(plan.tasks, settings(tmp_path / "out"))
    assert [o.state for o in found] == ["done", "failed", "failed", "failed", "done", "failed"]
    assert "none" in found[1].message
    assert "model.safetensors" in found[2].message
    again = run_tasks(plan.tasks, settings(tmp_path / "out"))
    assert [(o.state, o.resumed) for o in again] == [(o.state, True) for o in found]
    shutil.copy(checkpoints[0] / "model.safetensors", checkpoints[1])
    mended = run_tasks(plan.tasks, settings(tmp_path / "out", retry_failed=True))
    assert [o.state for o in mended] == ["done", "failed", "done", "failed", "done", "failed"]


def test_surprisal_and_states_of_one_model(checkpoints, study, tmp_path):
    study.card |= {"metric": "surprisal", "identifier": "times"}
    for name in ("splits", "regression"):
        study.card.pop(name)
    times = shutil.copy(study.write(), tmp_path / "times.toml")
    plan = make_plan([str(checkpoints[0])], [str(times), EMBEDDED], {}, str(tmp_path / "out"))
    found = run_tasks(plan.tasks, settings(tmp_path / "out"))
    assert [o.state for o in found] == ["done", "done"], found
    for outcome in found:
        alone = jaxscore.score(checkpoints[0], outcome.job.benchmark, out=None)
        assert outcome.score == pytest.approx(alone.value, abs=1e-5)


class _Compiled(logging.Handler):
    """Counts what XLA compiles."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "Finished XLA compilation" in record.getMessage():
            self.names.append(record.getMessage())


def test_one_compilation_for_all_checkpoints(checkpoints, study, tmp_path):
    plan = make_plan([str(path) for path in checkpoints], [study.write(), EMBEDDED], {}, str(tmp_path / "out"))
    handler, after = _Compiled(), []
    logger = logging.getLogger("jax._src.dispatch")
    level = logger.level
    logger.addHandler(handler)
    try:
        with jax.log_compiles():
            run_tasks(plan.tasks, settings(tmp_path / "out"), lambda *_: after.append(len(handler.names)))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert after[0] > 0, "the count sees compilations"
    assert after[1:] == [after[0]] * 2, handler.names[after[0] :]


def test_nothing_is_left_behind(checkpoints, study, tmp_path):
    plan = make_plan([str(path) for path in checkpoints], [study.write()], {}, str(tmp_path / "out"))
    run_tasks(plan.tasks, settings(tmp_path / "out"))
    names = open_place(tmp_path / "out").names()
    assert sorted(Path(name).suffix for name in names) == sorted([".json", ".nc", ".png"] * 3 + [".json"] * 3)
    assert all(name.endswith(".done.json") for name in names if name.startswith(".jobs/"))
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_stop_waits_for_a_lease_that_is_being_written(tmp_path, monkeypatch):
    (task,) = make_plan(["mini"], [EMBEDDED], {}, str(tmp_path / "out")).tasks
    desk, writing, written = Desk(settings(tmp_path / "out")), Event(), Event()
    create = type(desk.place).create

    def slow(*arguments) -> bool:
        writing.set()
        assert written.wait(60)
        return create(*arguments)

    monkeypatch.setattr(type(desk.place), "create", slow)
    preparing = Thread(target=desk.prepare, args=[task])
    preparing.start()
    assert writing.wait(60)
    Timer(0.2, written.set).start()
    desk.close()
    assert written.is_set()
    assert not list((tmp_path / "out").rglob("*.lease.json"))
    preparing.join()
    assert desk.prepare(task).outcomes[task.jobs[0].key].state == "running", "nothing is taken after that"
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
