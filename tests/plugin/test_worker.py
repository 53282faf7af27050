"""Client and worker for real: what goes through, what is refused, and what remains when one of them ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import write_gpt2
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import ShuffleSplit

from jaxscore.errors import DataError, JaxscoreError, ModelError
from jaxscore.metrics.cka import linear_cka
from jaxscore.metrics.rdm import rdm_similarity
from jaxscore.plugin import client as client_module
from jaxscore.plugin.client import Client, client
from jaxscore.plugin.remote import RemoteReader
from jaxscore.plugin.wire import pack_error
from jaxscore.subjects.artificial import ArtificialSubject
from jaxscore.subjects.model_reader import ModelReader

PARTS = ["The otter follows", "the river,", "again and again."]


def _folds(stimuli: int, splits: int = 3) -> list:
    return list(ShuffleSplit(splits, train_size=0.8, random_state=1).split(np.zeros(stimuli)))


def _lists(folds: list) -> list:
    return [[part.tolist() for part in fold] for fold in folds]


def _pearson(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """brain-score's: norms are 1e-8 longer."""
    p, y = p - p.mean(0), y - y.mean(0)
    return (p * y).sum(0) / (np.linalg.norm(p, axis=0) + 1e-8) / (np.linalg.norm(y, axis=0) + 1e-8)


@pytest.mark.parametrize(("features", "solver"), [(12, "linear"), (90, "linear"), (12, "ridge"), (90, "ridge")])
def test_regression_is_that_of_scikit_learn(worker, features, solver):
    rng = np.random.default_rng(features)
    X, Y = rng.normal(size=(50, features)), rng.normal(size=(50, 6))
    Y[:, 0] += 3 * X[:, 0]
    Y[:, 5] = 1.0  # a constant gives 0
    folds = _folds(50)
    found = worker.ask("regress", {"X": X, "Y": Y}, folds=_lists(folds), solver=solver)[1]["r"]
    model = LinearRegression() if solver == "linear" else RidgeCV(alphas=np.logspace(-3, 3, 7))
    expected = [_pearson(model.fit(X[a], Y[a]).predict(X[b]), Y[b]) for a, b in folds]
    assert found.shape == (3, 6)
    np.testing.assert_allclose(found[:, :5], np.array(expected)[:, :5], rtol=0, atol=1e-9)
    assert (found[:, 5] == 0).all()


@pytest.mark.parametrize("solver", ["linear", "ridge"])
def test_weights_are_those_of_scikit_learn(worker, solver):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 4)).astype(np.float32), rng.normal(size=(40, 3))
    folds = _folds(40)
    found = worker.ask("regress", {"X": X, "Y": Y}, folds=_lists(folds), solver=solver, weights=True)[1]
    model = LinearRegression() if solver == "linear" else RidgeCV(alphas=np.logspace(-3, 3, 7))
    X = X.astype(np.float64)
    for split, (train, _) in enumerate(folds):
        model.fit(X[train], Y[train])
        np.testing.assert_allclose(found["coef"][split], model.coef_.T, rtol=0, atol=1e-9)  # [feature, neuroid]
        np.testing.assert_allclose(found["intercept"][split], model.intercept_, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("measure", "own"), [("rdm", rdm_similarity), ("cka", linear_cka)])
def test_resemblance_of_the_test_parts(worker, measure, own):
    rng = np.random.default_rng(0)
    X, Y = np.asfortranarray(rng.normal(size=(40, 9))), rng.normal(size=(40, 5)).astype(np.float32)
    folds = _folds(40)
    found = worker.ask("resemble", {"X": X, "Y": Y}, folds=_lists(folds), measure=measure)[1]["r"]
    np.testing.assert_allclose(found, own([X], Y, [test for _, test in folds])[0], rtol=0, atol=1e-12)


def test_digest_is_that_of_the_model_here(worker, tmp_path):
    here, there = ModelReader("mini"), RemoteReader("mini", worker=worker)
    layers = [there.last_layer, "encoder.h.1"]
    assert (there.name, there.last_layer) == (here.name, here.last_layer)
    wanted = {"surprisal": True, "next_words": True}
    ours, theirs = here.digest(PARTS, layers, **wanted), there.digest(PARTS, layers, **wanted)
    assert theirs.contexts == ours.contexts
    assert theirs.next_words == ours.next_words
    assert list(theirs.states) == list(ours.states) == ["encoder.h.1", there.last_layer]  # in the network's order
    for layer, states in ours.states.items():
        assert theirs.states[layer].dtype == states.dtype
        np.testing.assert_allclose(theirs.states[layer], states, rtol=0, atol=1e-5)
    np.testing.assert_allclose(theirs.surprisal, ours.surprisal, rtol=0, atol=1e-4)
    assert there.digest(PARTS[:1], layers[:1]).surprisal is None


def test_checkpoint_by_relative_path_and_two_models_in_turn(worker, tmp_path, monkeypatch):
    for seed in (1, 2):
        write_gpt2(tmp_path / f"m{seed}", seed=seed)
    first, second = (RemoteReader(f"m{seed}", worker=worker) for seed in (1, 2))
    monkeypatch.chdir("/")
    a, b, again = (r.digest(PARTS, ["encoder.h.1"]).states["encoder.h.1"] for r in (first, second, first))
    assert not np.allclose(a, b)
    np.testing.assert_array_equal(a, again)


def test_a_folder_called_as_a_model_is_none_without_a_checkpoint(worker, tmp_path):
    (tmp_path / "mini").mkdir()
    assert RemoteReader("mini", worker=worker).name == "mini"


def test_subject_over_the_worker(worker):
    subject = ArtificialSubject(RemoteReader("mini", worker=worker))
    subject.start_neural_recording("language_system", "fMRI")
    neural = subject.digest_text(PARTS)["neural"]
    assert neural.dims == ("presentation", "neuroid")
    assert list(neural["stimulus"].values) == PARTS


def test_errors_keep_class_message_and_hint(worker):
    with pytest.raises(ModelError, match="gpt3") as caught:
        RemoteReader("gpt3", worker=worker)
    assert caught.value.hint
    with pytest.raises(JaxscoreError, match=r"encoder\.h\.99"):
        RemoteReader("mini", worker=worker).check(["encoder.h.99"])
    with pytest.raises(DataError, match="NaN"):
        worker.ask(
            "resemble", {"X": np.full((9, 2), np.nan), "Y": np.ones((9, 2))}, folds=[[[], [0, 1, 2]]], measure="rdm"
        )
    with pytest.raises(JaxscoreError, match="Did you mean 'digest'"):
        worker.ask("digests")
    assert worker.ask("check", model="mini", options="{}", layers=[]) == ({}, {})  # it lives on


def test_defects_say_so_and_leave_a_traceback(worker, capfd):
    with pytest.raises(JaxscoreError, match=r"TypeError.*\n.*defect"):
        worker.ask("check", nonsense=1)
    deadline = time.monotonic() + 10
    said = ""
    while "Traceback" not in said and time.monotonic() < deadline:
        time.sleep(0.05)
        said += capfd.readouterr().err
    assert "Traceback" in said


def test_what_is_not_installed_is_no_defect():
    packed = pack_error(ModuleNotFoundError("No module named 'jax'"))
    assert "-m pip install jaxscore==" in packed["hint"]


def test_nothing_is_pickled(worker):
    with pytest.raises(DataError, match="type object"):
        worker.ask("regress", {"X": np.array([[None]])}, folds=[], solver="linear")


def test_files_are_private_and_do_not_stay():
    worker = Client(sys.executable)
    worker.ask("resemble", {"X": np.eye(9), "Y": np.eye(9)}, folds=[[[], list(range(9))]], measure="cka")
    folder = worker._folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(folder.iterdir())
    process = worker._process
    worker.close()
    assert not folder.exists()
    assert process.returncode is not None


def test_what_a_worker_prints_is_no_answer(tmp_path):
    """Python's print, and a write to descriptor 1 as C code does it, go to standard error."""
    code = "import os, jaxscore.plugin.worker as w\n"
    code += (
        "w.METHODS['noisy'] = lambda: (print('from Python'), os.write(1, b'from C\\n'), ({'ok': 1}, {}))[-1]\nw.main()"
    )
    question = b'{"method": "noisy", "arrays": {}, "values": {}}\n'
    (tmp_path / "files").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "files")], input=question, capture_output=True, timeout=60
    )
    assert done.stdout.splitlines()[1:] == [b'{"values": {"ok": 1}, "arrays": {}}']
    assert b"from Python" in done.stderr
    assert b"from C" in done.stderr
    assert done.returncode == 0
    assert not (tmp_path / "files").exists()


def _python(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_worker_that_dies_is_reported_and_replaced():
    worker = Client(sys.executable)
    worker.ask("check", model="mini", options="{}", layers=[])
    folder = worker._folder
    os.kill(worker._process.pid, signal.SIGSTOP)  # it cannot answer
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(JaxscoreError, match=r"by signal 9[\s\S]*too little memory"):
        _without_restart(worker)
    assert not folder.exists()
    assert worker.ask("check", model="mini", options="{}", layers=[]) == ({}, {})
    worker.close()


def _without_restart(worker: Client) -> None:
    """Ask as if the death had come after the question."""
    worker._process.poll = lambda: None
    worker.ask("check", model="mini", options="{}", layers=[])


def test_an_interrupted_question_does_not_answer_the_next(worker, monkeypatch):
    mine = Client(sys.executable)
    mine.ask("check", model="mini", options="{}", layers=[])
    exchange = mine._exchange

    def interrupted(question):
        mine._process.stdin.write(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr(mine, "_exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mine.ask("versions")
    assert mine._process is None
    monkeypatch.setattr(mine, "_exchange", exchange)
    assert mine.ask("check", model="mini", options="{}", layers=[]) == ({}, {})
    mine.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 'No module named jaxscore' >&2; exit 1", r"has no jaxscore[\s\S]*-m pip install jaxscore=="),
        ("echo 'Illegal instruction' >&2; exit 3", r"did not start[\s\S]*exit code 3[\s\S]*Illegal instruction"),
        (
            "echo No module named \\'jax\\' >&2; exit 1",
            r"has no jax, so no whole jaxscore[\s\S]*-m pip install jaxscore==",
        ),
        ("echo Welcome; cat >/dev/null", r"says 'Welcome', expected the answer of a worker"),
        ('echo \'{"version": "9.9"}\'; cat >/dev/null', r"has jaxscore 9\.9, this environment has"),
    ],
)
def test_a_python_without_the_right_jaxscore(tmp_path, body, message):
    with pytest.raises(JaxscoreError, match=message):
        Client(_python(tmp_path / "python", body)).ask("versions")


def test_a_python_that_is_not_there(tmp_path):
    with pytest.raises(JaxscoreError, match=r"does not start: No such file[\s\S]*install --python"):
        Client(tmp_path / "python").ask("versions")


def test_a_real_python_without_jaxscore(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True, timeout=60)
    with pytest.raises(JaxscoreError, match="has no jaxscore"):
        Client(tmp_path / "bare" / "bin" / "python").ask("versions")


def test_the_environment_here_does_not_leak(tmp_path, monkeypatch):
    """A NumPy and a jaxscore of brain-score's environment, on PYTHONPATH and in the current folder."""
    for name in ("numpy", "jaxscore"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    worker = Client(sys.executable)
    assert worker.ask("versions")[0]["numpy"] == np.__version__
    worker.close()


def test_packages_of_the_user_stay_hidden(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    with pytest.raises(JaxscoreError, match="-s -E -P -m"):
        Client(_python(tmp_path / "a python", 'echo "$@" >&2; exit 3')).ask("versions")


def test_it_ends_with_its_parent(tmp_path):
    code = f"""
import os, sys
from jaxscore.plugin.client import Client
worker = Client({sys.executable!r})
worker.ask("check", model="mini", options="{{}}", layers=[])
print(worker._process.pid, worker._folder, flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
"""
    for how in ("normal", "killed"):
        done = subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, timeout=120)
        process, folder = done.stdout.split()
        deadline = time.monotonic() + 20
        while (_lives(int(process)) or Path(folder).exists()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not _lives(int(process)), how
        assert not Path(folder).exists(), how


def test_a_fork_leaves_the_worker_to_its_parent():
    """The child reads with a worker of its own, and its end ends neither the parent's worker nor its files."""
    code = f"""
import os, sys
from jaxscore.plugin.client import Client
from jaxscore.plugin.remote import RemoteReader
from jaxscore.plugin.wire import pack_error
worker = Client({sys.executable!r})
reader = RemoteReader("mini", worker=worker)
before = worker._process.pid
child = os.fork()
found = reader.digest(["one", "two"], [reader.last_layer]).contexts
assert (worker._process.pid == before) == (child != 0)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert worker._folder.exists()
    reader.check([reader.last_layer])
    assert worker._process.pid == before
print(found)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "['one', 'one two']\n" * 2, done.stdout + done.stderr


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except OSError:
        return False


def test_which_python(monkeypatch):
    monkeypatch.setenv(client_module.VARIABLE, "/some/python")
    assert client().python == "/some/python"
    assert client() is client()
