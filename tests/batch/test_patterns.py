"""Patterns: braces as bash expands them, wildcards for checkpoint folders, and names that are none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxscore.batch.patterns import MOST, expand, find_models, natural
from jaxscore.errors import JaxscoreError, ModelError

BASH = shutil.which("bash")


def checkpoints(folder: Path, *names: str) -> None:
    """Folders that count as checkpoints."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")


@pytest.fixture
def study(tmp_path) -> Path:
    """A folder with checkpoints, beside others that are none, below the one of the working directory."""
    study = tmp_path / "study"
    checkpoints(study, "runs/checkpoint-2", "runs/checkpoint-10", "runs/checkpoint-1", "runs/b/last", "runs/a/last")
    checkpoints(study, "odd{1}[x]", "mini", "gpt2-xl")
    (study / "runs" / "checkpoint-3-log").mkdir()
    (study / "runs" / "checkpoint-notes.txt").write_text("")
    (study / "empty").mkdir()
    (study / "v.txt").write_text("the 1 2\n")
    return study


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("gpt2", ["gpt2"]),
        ("gpt2{,-medium}", ["gpt2", "gpt2-medium"]),
        ("{b,a,b}", ["b", "a", "b"]),  # in the order of the person, merged later
        ("s{1..3}", ["s1", "s2", "s3"]),
        ("s{3..1}", ["s3", "s2", "s1"]),
        ("s{-1..1}", ["s-1", "s0", "s1"]),
        ("s{1000..4000..1500}", ["s1000", "s2500", "s4000"]),
        ("s{01..10..3}", ["s01", "s04", "s07", "s10"]),
        ("s{8..011}", ["s008", "s009", "s010", "s011"]),
        ("{a..c}", ["a", "b", "c"]),
        ("s{0,1,{2..4..2}}", ["s0", "s1", "s2", "s4"]),
        ("{a,b}@{1,2}", ["a@1", "a@2", "b@1", "b@2"]),
        ("m{-{70,160}m,}", ["m-70m", "m-160m", "m"]),
    ],
)
def test_braces(pattern, names):
    assert expand(pattern) == names


@pytest.mark.skipif(not BASH, reason="there is no bash to compare with")
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "m-", "{1..3}", "{02..6..2}", "{x,y}", "{p,{7..5},q}", "@r"]), min_size=1, max_size=4
    )
)
def test_braces_are_those_of_bash(parts):
    pattern = "".join(parts)
    told = subprocess.run([BASH, "-c", f"printf '%s\\n' {pattern}"], capture_output=True, text=True, check=True)
    assert expand(pattern) == told.stdout.split()


def test_a_pythia_run():
    found = find_models("EleutherAI/pythia-160m@step{0,1,2,4,8,16,32,64,128,256,512,{1000..143000..1000}}", Path.cwd())
    assert len(found) == len(set(found)) == 154
    assert found[0] == "EleutherAI/pythia-160m@step0"
    assert found[-1] == "EleutherAI/pythia-160m@step143000"


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("", "stands for '', which is no name"),
        ("  ", "stands for '  ', which is no name"),
        ("{,}", "stands for '', which is no name"),
        ("gpt2 ", "spaces at an end"),
        ("{gpt2, mini}", "' mini', which is no name"),
        ("gpt2{-medium}", "neither a list nor a range"),
        ("step{1..3", "neither a list nor a range"),
        ("step{1...3}", "neither a list nor a range"),
        ("step{1..3..x}", "neither a list nor a range"),
        ("step{1..1000000000}", f"more than {MOST:,} models"),
        ("{1..100}{1..100}{1..100}", f"more than {MOST:,} models"),
        ("{a,b}" * 400, f"more than {MOST:,} models"),
        ("{a," * 2000 + "b" + "}" * 2000, "too deep"),
    ],
    ids=lambda text: text[:24],
)
def test_braces_that_are_refused(pattern, what):
    with pytest.raises(JaxscoreError) as caught:
        expand(pattern)
    assert what in caught.value.message
    assert caught.value.hint
    assert len(str(caught.value)) < 3000


def test_as_many_as_there_may_be():
    assert len(expand(f"s{{1..{MOST}}}")) == MOST


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("runs/checkpoint-*", ["runs/checkpoint-1", "runs/checkpoint-2", "runs/checkpoint-10"]),
        ("./runs/checkpoint-?", ["runs/checkpoint-1", "runs/checkpoint-2"]),
        ("runs/checkpoint-[12]", ["runs/checkpoint-1", "runs/checkpoint-2"]),
        ("runs/checkpoint-{10,2}", ["runs/checkpoint-10", "runs/checkpoint-2"]),  # braces keep the order
        ("{runs/b/*,runs/a/*}", ["runs/b/last", "runs/a/last"]),
        ("runs/*/", ["runs/checkpoint-1", "runs/checkpoint-2", "runs/checkpoint-10"]),
        ("runs/**/last", ["runs/a/last", "runs/b/last"]),
        ("runs/../runs/checkpoint-2/", ["runs/checkpoint-2"]),
        ("odd{1}[x]", ["odd{1}[x]"]),  # a folder is taken as it is spelled
        ("gpt2-xl", ["gpt2-xl"]),  # and before a name, as in `jaxscore run`
    ],
)
def test_local_checkpoints(study, pattern, names):
    assert find_models(pattern, study) == [str(study / name) for name in names]
    assert find_models(str(study / pattern), Path("/")) == [str(study / name) for name in names]


def test_home(study, monkeypatch):
    monkeypatch.setenv("HOME", str(study))
    assert find_models("~/runs/checkpoint-[2]", Path("/")) == [str(study / "runs/checkpoint-2")]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("mini", ["mini"]),  # of the package, whatever the folders are called
        ("sentence-length", ["sentence-length"]),
        (
            "EleutherAI/pythia-{70m,160m}@step{1,2}",
            [f"EleutherAI/pythia-{n}m@step{i}" for n in (70, 160) for i in (1, 2)],
        ),
        ("pythia-70m@step1", ["pythia-70m@step1"]),
        ("{mini,runs/checkpoint-1,gpt2}", ["mini", "STUDY/runs/checkpoint-1", "gpt2"]),
        ("glove:v.txt", ["glove:STUDY/v.txt"]),
        ("{glove,fasttext}:v.txt@exact", ["glove:STUDY/v.txt@exact", "fasttext:STUDY/v.txt@exact"]),
    ],
)
def test_names(study, pattern, names):
    assert find_models(pattern, study) == [name.replace("STUDY", str(study)) for name in names]


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("gtp2", ["Unknown model 'gtp2'", "Did you mean 'gpt2'"]),
        ("gpt2{,-mediun}", ["'gpt2-mediun'", "'gpt2-medium'"]),
        ("pythia-160@step{1,2}", ["'pythia-160@step1'", "'pythia-160m'"]),
        ("skip-thoughts", ["cannot be scored"]),
        ("Eleuther AI/pythia-70m", ["neither a local folder nor a hub id"]),
        ("a/b/c", ["Unknown model 'a/b/c'"]),
        ("./runs/checkpoint-7", ["STUDY/runs/checkpoint-7"]),
        ("~nobody-of-that-name/x", ["Unknown model", "~nobody-of-that-name/x"]),
        ("runs", ["STUDY/runs is a folder without config.json"]),
        ("empty", ["STUDY/empty is a folder without config.json"]),
        ("runs/checkpoint-3-log", ["folder without config.json"]),
        (
            "runs/checkpoint-{1..4}",
            ["runs/checkpoint-3, runs/checkpoint-4 are none", "STUDY/runs has a, b, checkpoint-1"],
        ),
        ("runs/check-*", ["'runs/check-*' matches no local checkpoint", "STUDY/runs has a, b, checkpoint-1", "braces"]),
        ("rusn/*", ["STUDY has empty, gpt2-xl, mini, odd{1}[x], runs, v.txt"]),
        ("empty/*", ["STUDY/empty has nothing"]),
        ("EleutherAI/pythia-*", ["matches no local checkpoint", "on the hub in braces"]),
        ("runs/checkpoint-*-log", ["matches runs/checkpoint-3-log, but no checkpoint"]),
        ("glove:w.txt", ["there is no file 'STUDY/w.txt'"]),
        ("glove:*.txt", ["there is no file 'STUDY/*.txt'"]),
        ("glove", ["names no file of vectors"]),
    ],
)
def test_names_that_are_refused(study, pattern, parts):
    with pytest.raises(JaxscoreError) as caught:
        find_models(pattern, study)
    for part in parts:
        assert part.replace("STUDY", str(study)) in str(caught.value)


def test_a_checkpoint_of_another_folder_is_not_taken_by_accident(study, monkeypatch):
    monkeypatch.chdir(study)
    assert find_models("gpt2-xl", study) == [str(study / "gpt2-xl")]
    with pytest.raises(ModelError, match="'gpt2-xl' is a checkpoint of the working directory, but not of"):
        find_models("gpt2-xl", study / "runs")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "./" + "y" * 5000])
def test_names_that_no_file_can_have(tmp_path, name):
    with pytest.raises(ModelError, match="Unknown model"):
        find_models(name, tmp_path)


@given(st.lists(st.integers(0, 2000), unique=True), st.sampled_from(["", "-last"]))
def test_natural_order_is_that_of_the_numbers(numbers, end):
    names = [f"checkpoint-{number}{end}" for number in numbers]
    assert sorted(names, key=natural) == [f"checkpoint-{number}{end}" for number in sorted(numbers)]


def test_natural_order_of_unlike_names():
    assert sorted(["n10", "10", "n9b2", "n9a10", "n", "m²", "9"], key=natural) == [
        "9",
        "10",
        "m²",
        "n",
        "n9a10",
        "n9b2",
        "n10",
    ]


def test_a_folder_that_cannot_be_listed(study):
    (study / "empty").chmod(0)
    if os.access(study / "empty", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(JaxscoreError, match="matches no local checkpoint"):
        find_models("empty/*", study)
