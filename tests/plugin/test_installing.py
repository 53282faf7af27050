"""Plugin folders: written whole or not at all, found by text as brain-score finds them, removed without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.plugin import installing
from jaxscore.plugin.__main__ import main
from jaxscore.plugin.alignment import EmptyError, check_values, fold_rows, pairing
from jaxscore.registry import MODELS


def _found(package: Path, kind: str, identifier: str) -> list[str]:
    """brain-score's rule: the folders with a line that registers this name, once for each such line."""
    wanted = f"{kind.strip('s')}_registry['{identifier}']"
    return [
        folder.name
        for folder in (package / kind).iterdir()
        if folder.is_dir() and not folder.name.startswith((".", "_"))
        for line in (folder / "__init__.py").read_text(encoding="utf-8").splitlines()
        if wanted in line.replace('"', "'")
    ]


def _tree(package: Path) -> dict[str, bytes]:
    return {str(path.relative_to(package)): path.read_bytes() for path in package.rglob("*") if path.is_file()}


def test_install_and_uninstall(package, capsys, tmp_path):
    before = _tree(package)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.json").write_text("{}", encoding="utf-8")
    assert main(["install", "--python", sys.executable, "--model", "mine=own"]) == 0
    out = capsys.readouterr().out
    for kind in ("models", "metrics"):
        assert f"Wrote {package / kind / 'jaxscore'}" in out
    for name in (*MODELS, "mini", "mine"):
        assert _found(package, "models", f"jaxscore-{name}") == ["jaxscore"], name
    for name in ("linear_pearsonr", "ridge_pearsonr", "rdm", "cka"):
        assert _found(package, "metrics", f"jaxscore_{name}") == ["jaxscore"]
    text = (package / "models" / "jaxscore" / "__init__.py").read_text(encoding="utf-8")
    assert "model_registry['jaxscore-gpt2'] = lambda: subject('gpt2')\n" in text
    assert repr(str(tmp_path / "own")) in text
    compile(text, "models", "exec")
    assert installing.installed_python() == sys.executable
    assert main(["install", "--python", sys.executable]) == 0  # again: replaced
    assert not _found(package, "models", "jaxscore-mine")
    (package / "models" / "jaxscore" / "__pycache__").mkdir()
    assert main(["uninstall"]) == 0
    assert _tree(package) == before
    assert sorted(os.listdir(package / "models")) == ["theirs"]
    assert main(["uninstall"]) == 0  # nothing to do


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["install", "--python", "/no/such/python"], "does not start"),
        (["install"], "Which Python has jaxscore?"),
        (["install", "--python", sys.executable, "--model", "gpt2=x"], "has a model called 'gpt2'"),
        (["install", "--python", sys.executable, "--model", "a'b=x"], "no name for a model"),
        (["install", "--python", sys.executable, "--model", "x"], "is not NAME=PATH"),
        (["install", "--python", sys.executable, "--model", "x=./nowhere"], "no checkpoint in ./nowhere"),
        (["install", "--python", sys.executable, "--model", "x=site"], "no checkpoint in site"),
        (["check"], "the plugin is not installed"),
    ],
)
def test_wrong_calls_change_nothing(package, capsys, monkeypatch, arguments, message):
    monkeypatch.delenv("JAXSCORE_PYTHON", raising=False)
    before = _tree(package)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert _tree(package) == before


def test_paths_of_models_are_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "it's").mkdir()
    (tmp_path / "it's" / "config.json").write_text("{}", encoding="utf-8")
    found = installing.parse_models(["a=~/it's", "b=it's", "c=word2vec:v.txt@exact", "d=openai-community/gpt2@main"])
    vectors = f"word2vec:{tmp_path / 'v.txt'}@exact"
    checkpoint = str(tmp_path / "it's")
    assert found == {"a": checkpoint, "b": checkpoint, "c": vectors, "d": "openai-community/gpt2@main"}
    compile(installing.registrations(found)["models"], "models", "exec")


def test_a_note_that_is_none(package):
    installing.install(package, "python", {})
    (package / "models" / "jaxscore" / installing.NOTE).write_text("[]", encoding="utf-8")
    with pytest.raises(JaxscoreError, match="not written by jaxscore"):
        installing.uninstall(package)
    with pytest.raises(JaxscoreError, match="not installed"):
        installing.installed_python()


def test_a_folder_of_somebody_else_stays(package):
    theirs = package / "metrics" / "jaxscore"
    theirs.mkdir()
    (theirs / "__init__.py").write_text("# mine\n", encoding="utf-8")
    before = _tree(package)
    for action in (lambda: installing.install(package, "python", {}), lambda: installing.uninstall(package)):
        with pytest.raises(JaxscoreError, match="not written by jaxscore"):
            action()
    assert _tree(package) == before


def test_a_file_of_somebody_else_stays(package):
    installing.install(package, "python", {})
    (package / "models" / "jaxscore" / "notes.txt").write_text("mine", encoding="utf-8")
    before = _tree(package)
    for action in (lambda: installing.install(package, "python", {}), lambda: installing.uninstall(package)):
        with pytest.raises(JaxscoreError, match=r"did not write: notes\.txt"):
            action()
    assert _tree(package) == before


@pytest.mark.parametrize("again", [False, True])
def test_both_folders_or_neither(package, monkeypatch, again):
    if again:
        installing.install(package, "old", {})
    before, replace = _tree(package), os.replace

    def failing(source, target):
        if Path(target) == package / "metrics" / "jaxscore" and Path(source).joinpath("__init__.py").exists():
            note = json.loads((Path(source) / installing.NOTE).read_text(encoding="utf-8"))
            if note["python"] == "new":
                raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(JaxscoreError, match="No space left on device; nothing was changed"):
        installing.install(package, "new", {})
    assert _tree(package) == before
    assert not list(package.glob("*/.jaxscore-*"))


def test_without_brain_score(monkeypatch):
    with pytest.raises(JaxscoreError, match="no brain-score language"):
        installing.platform_folder()


def test_client_side_needs_little():
    """No JAX, typer, pydantic, jaxtyping, nor what else brain-score's environment lacks."""
    code = """
import sys
import jaxscore.subjects.artificial, jaxscore.plugin.remote, jaxscore.plugin.alignment, jaxscore.plugin.__main__
print(sorted({"jax", "flax", "typer", "pydantic", "jaxtyping", "transformers", "rich"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_pairing():
    source = np.array(list("cabd")), np.array([1, 0, 0, 1])
    target = np.array(list("abcd")), np.array([0, 0, 1, 1])
    assert pairing(source, target, coord="id", split_coord="story").tolist() == [1, 2, 0, 3]
    # repeated stimuli go together within their split
    source, target = (np.array(list("aa")), np.array([1, 0])), (np.array(list("aa")), np.array([0, 1]))
    assert pairing(source, target, coord="id", split_coord="story").tolist() == [1, 0]
    with pytest.raises(DataError, match="1 only in the second, such as 'b'"):
        pairing((np.array(["a"]), np.zeros(1)), (np.array(["a", "b"]), np.zeros(2)), coord="id", split_coord="story")
    with pytest.raises(DataError, match="different storys for id 'a'"):
        pairing((np.array(["a"]), np.zeros(1)), (np.array(["a"]), np.ones(1)), coord="id", split_coord="story")


def test_fold_rows_are_all_rows_of_the_values():
    values = np.array(["x", "y", "x", "z"], object)
    ((train, test),) = fold_rows(values, np.array(["x", "y", "z"], object), [(np.array([0]), np.array([1, 2]))])
    assert (train.tolist(), test.tolist()) == ([0, 2], [1, 3])


def test_values_that_no_regression_takes():
    with pytest.raises(DataError, match="2 values that are NaN or infinite, in 1 of its 3 neuroids"):
        check_values(np.array([[1.0, np.nan, 2.0], [1.0, np.inf, 2.0]]), "second")
    with pytest.raises(ValueError, match="Found array with") as caught:
        check_values(np.ones((3, 0)), "first")
    assert isinstance(caught.value, EmptyError)
    check_values(np.full((2, 2), np.finfo(np.float64).max), "first")
