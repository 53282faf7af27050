"""`jaxscore perplexity`: the numbers of the Python calls, as a table and as JSON; what is refused before any work."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
from conftest import sentences
from rich.cells import cell_len

from jaxscore.behaviour.accuracy import next_word_accuracy
from jaxscore.behaviour.next_word import perplexity
from jaxscore.behaviour.readout import readout

TEXT, OTHER = (" ".join(sentences(count, seed)) for count, seed in ((12, 0), (5, 1)))


@pytest.fixture
def files(tmp_path):
    for name, text in {"a.txt": "\ufeff" + TEXT, "b.txt": OTHER}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / "a.txt", tmp_path / "b.txt"


def test_help_loads_no_jax_and_fits_a_terminal():
    code = "import atexit, sys; atexit.register(lambda: print('jax' in sys.modules))"
    code += "; from jaxscore.cli.app import main; main()"
    command = [sys.executable, "-c", code, "perplexity", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert (done.stderr, lines[-1]) == ("", "False")
    assert max(map(cell_len, lines)) <= 80


def test_a_row_a_file(cli, tiny, files):
    ran = cli("perplexity", tiny, *files, "--window", 64, "--stride", 32, "--accuracy", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    rows = [line.split() for line in ran.out.splitlines() if ".txt" in line]
    for (name, *cells), text in zip(rows, (TEXT, OTHER), strict=True):
        found = perplexity(tiny, text, window=64, stride=32)
        named = next_word_accuracy(tiny, text, window=64, stride=32)
        bits = (found.bits_per_token, found.bits_per_word, found.bits_per_character)
        assert cells == [str(found.tokens), f"{found.perplexity:.2f}", *(f"{x:.3f}" for x in (*bits, named.accuracy))]
        assert name in ("a.txt", "b.txt")
    assert max(map(cell_len, ran.out.splitlines())) <= 80


def test_json(cli, tiny, files):
    ran = cli("perplexity", tiny, *files, "--bos", "always", "--json", "--quiet")
    found = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["file"] for row in found] == list(map(str, files))
    for row, text in zip(found, (TEXT, OTHER), strict=True):
        expected = perplexity(tiny, text, bos="always")
        derived = ("perplexity", "bits_per_token", "bits_per_word", "bits_per_character")
        measured = asdict(expected) | {name: getattr(expected, name) for name in derived}
        assert {name: value for name, value in row.items() if name != "file"} == {"model": "tiny"} | measured


def test_readout(cli, tiny, files):
    train, test = files
    expected = readout(tiny, TEXT, OTHER, OTHER)
    ran = cli("perplexity", tiny, test, "--readout", train, test, "--quiet")
    assert ran.out.splitlines()[-1] == (
        f"readout of encoder.h.1: test perplexity {expected.perplexity:.2f}, {expected.loss:.4f} nats or "
        f"{expected.bits:.4f} bits a token, after {len(expected.validation_perplexity)} epochs"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mini", "none.txt"], "none.txt cannot be read"),
        (["mini", "latin.txt"], "latin.txt is not text in UTF-8"),
        (["mini", "a.txt", "b.txt", "--readout", "a.txt", "b.txt"], "--readout tests one text, 2 files were given"),
        (["mini", "a.txt", "--stride", "0"], "both count tokens"),
        (["mini", "a.txt", "--bos", "sometimes"], "bos: 'sometimes' is unknown"),
        (["mini", "a.txt", "--window", "20", "--stride", "30"], "some would never be read"),
        (["sentence-length", "a.txt"], "no tokens to predict"),
        (["minni", "a.txt"], "minni"),
    ],
)
def test_what_is_refused(cli, files, arguments, message):
    (files[0].parent / "latin.txt").write_bytes("é".encode("latin-1"))
    ran = cli("perplexity", *arguments, "--offline", "--quiet")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
