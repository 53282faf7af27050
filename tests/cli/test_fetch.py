"""`jaxscore fetch`: from a real S3 endpoint, until a run needs no network any more."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from mirror import BL, NN, serve
from mirror_ceilings import write_2021

from jaxscore.data.nested import write_nested

BENCHMARK = "Fedorenko2016v3-encoding"


def write_bucket(folder: Path) -> None:
    """What that benchmark reads: 12 sentences of 8 words, the words in the stimulus set alone; 3 x 2 electrodes."""
    rng, count = np.random.default_rng(0), 96
    words = rng.choice(["otter", "hears", "a", "melody", "in", "the", "harbour"], count)
    table = pd.DataFrame({"stimulus_id": np.arange(count), "sentence_id": np.arange(count) // 8, "word": words})
    table.attrs["name"] = "words"
    coords = {name: ("presentation", table[name].to_numpy()) for name in ("stimulus_id", "sentence_id")}
    coords |= {"subject_UID": ("neuroid", np.repeat([1, 2, 3], 2)), "neuroid_id": ("neuroid", np.arange(6))}
    assembly = xr.DataArray(rng.normal(size=(count, 6)), coords, ("presentation", "neuroid"))
    write_nested(folder, "Fedorenko2016v3", assembly, table)
    write_2021(folder, BENCHMARK, assembly, "neuroid", seed=0)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    for place in (NN, BL):
        (folder / place).mkdir(parents=True)
    write_bucket(folder / NN)
    with serve(folder) as mirror:
        yield mirror


@pytest.fixture
def online(served, monkeypatch, tmp_path):
    """The mirror where `s3://` leads to, and an empty cache."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", served.endpoint)
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    return served


def lines(out: str) -> dict[str, Path]:
    """Hash and path of each line, checked against the files."""
    found = {digest: Path(path) for digest, _, path in (line.partition("  ") for line in out.splitlines())}
    for digest, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    return found


def test_a_benchmark_runs_without_network_afterwards(cli, online, monkeypatch):
    """Its responses with their nested stimulus set, its ceiling with the nested ones of its electrodes."""
    ran = cli("fetch", BENCHMARK)
    assert (ran.code, ran.err) == (0, "")
    names = [path.name[17:] for path in lines(ran.out).values()]
    assert names == [
        "Fedorenko2016v3.nc", "Fedorenko2016v3-stimulus_set.csv", "Fedorenko2016v3-encoding-ceiling.nc",
        "Fedorenko2016v3-encoding-ceiling-raw.nc",
    ]  # fmt: skip
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert cli("fetch", BENCHMARK, "--offline").out == ran.out
    assert cli("fetch", BENCHMARK).out == ran.out  # nothing is fetched twice
    run = cli("run", "sentence-length", "-b", BENCHMARK, "--offline", "--quiet")
    assert run.code == 0, run.err


def test_the_output_is_what_sha256sum_reads(cli, online, tmp_path):
    if not shutil.which("sha256sum"):
        pytest.skip("there is no sha256sum on this machine")
    ran = cli("fetch", BENCHMARK, "s3://brainio-language/Fedorenko2016v3-encoding-ceiling-raw-raw.nc", "-q")
    done = subprocess.run(["sha256sum", "--check", "--quiet"], input=ran.out, text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_offline_checks_only(cli, online, tmp_path):
    ran = cli("fetch", BENCHMARK, "--offline")
    assert (ran.code, ran.out) == (2, "")
    assert "s3://brainio-language/Fedorenko2016v3.nc is not in the cache" in ran.err
    assert not (tmp_path / "cache").exists()
    path = next(iter(lines(cli("fetch", BENCHMARK).out).values()))
    path.write_bytes(b"changed")
    ran = cli("fetch", BENCHMARK, "--offline")
    assert (ran.code, ran.out) == (2, "")
    assert "was changed: recorded sha256" in ran.err


def test_url(cli, online):
    url = "s3://brainio-language/Fedorenko2016v3-stimulus_set.csv"
    content = (online.folder / "brainio-language" / "Fedorenko2016v3-stimulus_set.csv").read_bytes()
    sha256, sha1 = hashlib.sha256(content).hexdigest(), hashlib.sha1(content).hexdigest()
    ran = cli("fetch", url, "--sha256", sha256, "--sha1", sha1)
    assert ran.code == 0, ran.err
    assert list(lines(ran.out)) == [sha256]
    ran = cli("fetch", url, "--sha1", "0" * 40)
    assert (ran.code, ran.out) == (2, "")
    assert f"expected sha1 {'0' * 40}, got {sha1}" in ran.err


def test_own_card(cli, study, tmp_path):
    ran = cli("fetch", study.write(), "--offline")
    assert ran.code == 0, ran.err
    assert list(lines(ran.out).values()) == [tmp_path / "study.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("Pereira2018-encodng", "Did you mean 'Pereira2018-encoding'"),
        ("absent.toml", "no card absent.toml"),
        ("Pereira2018-encoding --sha1 00", "--sha256 and --sha1 are the hashes of one url"),
        ("s3://a/b s3://a/c --sha256 00", "--sha256 and --sha1 are the hashes of one url"),
        ("gs://a/b", "gs:// is unknown"),
    ],
)
def test_words_that_do_not_fit(cli, arguments, words):
    ran = cli("fetch", *arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_what_came_before_an_error_is_said(cli, online):
    ran = cli("fetch", BENCHMARK, "s3://brainio-language/absent.nc")
    assert ran.code == 2
    assert len(lines(ran.out)) == 4
    assert "s3://brainio-language/absent.nc does not exist (404" in ran.err
