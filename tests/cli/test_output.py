"""What the command line prints, and where: the result on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from rich.cells import cell_len

import jaxscore

COMMAND = [sys.executable, "-m", "jaxscore"]


def _paths(out: str) -> list[Path]:
    return [Path(line) for line in out.splitlines() if re.search(r"\.(json|nc|png)$", line)]


def test_version(cli):
    assert cli("--version").out == f"jaxscore {jaxscore.__version__}\n"
    assert cli("--version").code == 0


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["ls", "-h"], ["show", "-h"]])
def test_help(cli, arguments):
    ran = cli(*arguments)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Usage: ")
    assert "jaxscore" in ran.out.splitlines()[0]
    assert max(map(cell_len, ran.out.splitlines())) <= 80


def test_help_lists_every_option_that_python_has(cli):
    from inspect import signature

    text = cli("run", "--help").out
    functions = {"model", "benchmark", "reporter", "on_stimuli", "on_activations"}
    options = set(signature(jaxscore.score).parameters) - functions
    assert [name for name in options if f"--{name.replace('_', '-')}" not in text] == []


def test_ls(cli):
    models, benchmarks, both = cli("ls", "models"), cli("ls", "benchmarks"), cli("ls")
    assert {ran.code for ran in (models, benchmarks, both)} == {0}
    assert both.out == f"{models.out}\n{benchmarks.out}"
    names = [line.split()[0] for line in models.out.splitlines()]
    assert names[0] == "mini"
    assert "gpt2" in names
    cards = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.toml"))
    assert [line.split()[0] for line in benchmarks.out.splitlines()] == cards
    assert {"Pereira2018-encoding", "Blank2014-ridge", "Simulated2026-encoding"} <= set(cards)
    assert "SIMULATED" in benchmarks.out


def test_show_prints_a_card_that_can_be_scored_again(cli, tmp_path):
    from jaxscore.cards import load_benchmark

    ran = cli("show", "Pereira2018-encoding")
    assert (ran.code, ran.err) == (0, "")
    (tmp_path / "copy.toml").write_text(ran.out, encoding="utf-8")
    assert load_benchmark("copy.toml").citation == load_benchmark("Pereira2018-encoding").citation
    assert cli("show", "copy.toml").out == ran.out


def test_show_tells_where_a_model_comes_from(cli):
    assert "openai-community/gpt2" in cli("show", "gpt2").out


def test_table_paths_and_progress(cli, tiny, study):
    ran = cli("run", tiny, "-b", study.write())
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "tiny on study"
    rows = [line[2:].split()[0] for line in lines if re.match(r"[→ ] \S+( +-?\d\.\d{3}){3} ", line)]
    assert rows == ["drop", "encoder.h.0", "encoder.h.1"]
    assert max(cell_len(line) for line in lines if line not in map(str, _paths(ran.out))) <= 80
    paths = _paths(ran.out)
    assert [path.suffix for path in paths] == [".json", ".nc", ".png"]
    assert all(path.is_file() for path in paths)
    shown = cli("show", paths[1])
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(ran.out[: ran.out.index("jaxscore-results")])
    assert _paths(shown.out) == paths


def test_long_names_fit(cli, tiny, study, tmp_path):
    import shutil

    folder = shutil.copytree(tiny, tmp_path / f"a-model-of-a-{'very-' * 20}long-name")
    study.card["identifier"] = f"A-study-of-a-{'very-' * 10}long-name"
    study.card["data"]["subject"] = "the mean of " + "very " * 20 + "many people"
    study.card["ceiling"]["source"] = "raw " * 50
    ran = cli("run", folder, "-b", study.write())
    assert ran.code == 0, ran.err
    paths = _paths(ran.out)
    assert len(paths) == 3
    assert all(path.is_file() for path in paths)
    assert max(cell_len(line) for line in ran.out.splitlines() if line not in map(str, paths)) <= 80


def test_json(cli, tiny, study):
    ran = cli("run", tiny, "-b", study.write(), "--json")
    assert ran.code == 0
    assert ran.out.count("\n") == 1
    record = json.loads(ran.out)
    stored = json.loads(Path(record["paths"]["record"]).read_text(encoding="utf-8"))
    assert record == stored | {"paths": record["paths"]}
    assert all(Path(path).is_file() for path in record["paths"].values())
    again = cli("run", tiny, "-b", study.write(), "--json")
    assert json.loads(again.out) == record
    assert "Already scored" in again.err


def test_json_of_several_benchmarks_is_a_line_each(cli, tiny, study):
    first = study.write()
    second = Path(first).with_name("other.toml")
    second.write_text(Path(first).read_text().replace('"study"', '"other"', 1))
    ran = cli("run", tiny, "-b", first, "-b", second, "--json", "-q")
    assert [json.loads(line)["benchmark"]["identifier"] for line in ran.out.splitlines()] == ["study", "other"]


def test_quiet_leaves_stderr_empty(tiny, study):
    """In a process of its own: libraries may write past Python's sys.stderr."""
    command = [*COMMAND, "run", str(tiny), "-b", study.write(), "--quiet"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(_paths(done.stdout)) == 3


def test_verbose_explains_on_stderr(cli, tiny, study):
    ran = cli("run", tiny, "-b", study.write(), "-v")
    plain = cli("run", tiny, "-b", study.write())
    assert ran.out == plain.out
    assert "seconds: download" in ran.err
    assert all(word in ran.err for word in ("regression", "device: ", "all encoder.h.1: ", "rank "))


def test_nothing_is_styled_where_nobody_looks(cli, tiny, study):
    ran = cli("run", tiny, "-b", study.write())
    assert "\x1b" not in ran.out + ran.err


def test_simulated_is_said(cli, tiny):
    ran = cli("run", tiny, "-b", "Simulated2026-encoding")
    assert "SIMULATED" in ran.out
    shown = cli("show", _paths(ran.out)[0])
    assert "SIMULATED" in shown.out


def test_reader_that_goes_away(tiny):
    """`jaxscore ls | head -0`."""
    end, start = os.pipe()
    os.close(end)
    try:
        done = subprocess.run([*COMMAND, "ls"], stdout=start, stderr=subprocess.PIPE, text=True, timeout=60)
    finally:
        os.close(start)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert "rror" not in done.stderr


def test_interrupt(tiny, study):
    """Control-C while it works: one line, the customary exit code, nothing half-written."""
    environment = os.environ | {"JAXSCORE_CACHE": str(study.folder / "cache")}
    command = [*COMMAND, "run", str(tiny), "-b", study.write(), "--quiet"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (study.folder / "jaxscore-results").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.lstrip().startswith("jaxscore: interrupted")
    assert "Traceback" not in err
    assert not [path for path in study.folder.glob("jaxscore-results/**/*") if path.is_file()]


def test_demonstration():
    """`jaxscore run`, alone: the embedded pair, without network, in a process of its own."""
    start = time.monotonic()
    done = subprocess.run([*COMMAND, "run"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 60
    assert done.stdout.startswith("mini on Simulated2026-encoding\n")
    assert "SIMULATED" in done.stdout
    assert all(path.is_file() for path in _paths(done.stdout))
    assert max(map(cell_len, done.stdout.splitlines())) <= 80
