"""Activations on disk: used where they fit, ignored where they are damaged, never half-written."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import jaxscore
from jaxscore.extract.cache import activations_path, read_activations, write_activations

STATES = np.random.default_rng(0).normal(size=(3, 50, 16)).astype(np.float32)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "own cache"))
    return tmp_path / "own cache"


@pytest.fixture
def score(tiny, study, cache):
    card = study.write()
    return lambda **options: jaxscore.score(str(tiny), card, out=None, **options)


def _extracted(found) -> bool:
    return "extraction" in found.record["seconds"]


def test_round_trip(cache):
    path = activations_path("0123")
    assert path.is_relative_to(cache)
    assert read_activations(path, [0]) is None
    assert not cache.exists()  # asking makes no folder
    write_activations(path, STATES, {"start": [1]}, {"model": "x"})
    states, notes = read_activations(path, [2, 0])
    np.testing.assert_array_equal(states, STATES[[2, 0]])
    assert notes == {"start": [1]}
    with h5py.File(path) as file:
        assert file.attrs["model"] == "x"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_damage_is_seen(cache, place):
    path = activations_path("0123")
    write_activations(path, STATES, {}, {})
    content = bytearray(path.read_bytes())
    at = {"start": 3, "middle": len(content) // 2, "end": len(content) - 5}[place]
    content[at] ^= 0xFF
    path.write_bytes(content)
    found = read_activations(path, [0, 1, 2])
    if found is not None:  # a byte that means nothing
        np.testing.assert_array_equal(found[0], STATES)
    else:
        write_activations(path, STATES, {}, {})
        np.testing.assert_array_equal(read_activations(path, [1])[0], STATES[[1]])
    assert place == "end" or found is None


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n"])
def test_other_files_are_ignored(cache, content):
    path = activations_path("0123")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert read_activations(path, [0]) is None


def test_another_regression_needs_no_second_pass(score):
    first, second = score(), score(regression="ols")
    assert _extracted(first)
    assert not _extracted(second)
    assert not {"tokenise", "load"} & second.record["seconds"].keys()
    assert not _extracted(score(layers="1", splits="grouped", folds=4))


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "mean"},
        {"context": "sentence"},
        {"bos": "always"},
        {"dtype": "bfloat16"},
        {"untrained": True},
        {"untrained": True, "seed": 2},
    ],
    ids=str,
)
def test_what_changes_the_states_needs_a_pass(score, options):
    score()
    if options.get("seed"):
        score(untrained=True)
    assert _extracted(score(**options))


def test_changed_text_needs_a_pass(score, study):
    score()
    study.table.loc[4, "sentence"] = "Another text."
    study.write()
    assert _extracted(score())
    study.table.loc[4, "a"] += 1
    study.write()
    assert not _extracted(score())  # responses are no part of it


def test_one_layer_first_then_all(score):
    score(layers="1")
    found = score()
    assert not _extracted(found)
    assert found.layers.sizes["layer"] == 3


def test_a_damaged_file_is_redone(score, cache):
    first = score()
    (path,) = cache.rglob("*.h5")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    second = score()
    assert _extracted(second)
    np.testing.assert_allclose(second.layers["r"], first.layers["r"], atol=1e-6)
    assert not _extracted(score())


def test_a_file_that_cannot_be_read(score, cache):
    first = score()
    (path,) = cache.rglob("*.h5")
    path.unlink()
    path.mkdir()
    np.testing.assert_allclose(score().layers["r"], first.layers["r"], atol=1e-6)
    os.rmdir(path)
