"""What is noted of jobs: done, and damaged since; failed, and how often."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest
from batch.notebook import Result, s3_bucket

from jaxscore.batch.notes import Failure, Notes
from jaxscore.batch.tasks import Job
from jaxscore.store.places import Place, open_place


@pytest.fixture
def bucket(monkeypatch) -> Iterator[str]:
    with s3_bucket(monkeypatch) as url:
        yield url


@pytest.fixture
def place(tmp_path) -> Place:
    return open_place(tmp_path / "out")


JOB = Job("gpt2", "study", "0123456789abcdef")


def test_done(place):
    notes, result = Notes(place, "one"), Result(place, JOB)
    assert (notes.done(JOB).record, notes.done(JOB).problem) == (None, None)
    notes.fail(JOB, "temporary", "no network", "")
    notes.finish(JOB, result.name, result.sha256, {})
    assert notes.done(JOB).record == json.loads(result.content)
    assert notes.done(JOB).problem is None
    assert notes.failure(JOB) is None  # what is done has not failed
    notes.clear(JOB)
    assert notes.done(JOB).record is None
    assert place.names(".jobs/") == []
    assert place.read(result.name) == result.content


@pytest.mark.parametrize("suffix", ["json", "nc", "png"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "gone"])
def test_damaged_result_is_named(place, suffix, damage):
    notes, result = Notes(place, "one"), Result(place, JOB)
    notes.finish(JOB, result.name, result.sha256, {})
    name = result.name.replace(".json", f".{suffix}")
    content = place.read(name)
    if damage == "gone":
        place.remove(name)
    else:
        place.write(name, content[:-3] if damage == "truncated" else content.replace(b"r", b"R").replace(b"5", b"6"))
    found = notes.done(JOB)
    assert found.record is None
    assert f"{place.at(name)}" in found.problem
    assert found.problem.endswith(": computed again")
    _, found = notes.recorded(JOB)  # which looks at nothing but the record
    assert (found.record is None) == (suffix == "json")


def test_one_digit_of_a_record(place):
    """Still JSON, and still fits its files: only the noted hash tells."""
    notes, result = Notes(place, "one"), Result(place, JOB, score=0.5)
    notes.finish(JOB, result.name, result.sha256, {})
    place.write(result.name, result.content.replace(b"0.5", b"0.7"))
    assert "study/gpt2.0123456789abcdef.json" in notes.done(JOB).problem


def test_failures_are_counted(place):
    notes = Notes(place, "one")
    assert notes.failure(JOB) is None
    notes.fail(JOB, "temporary", "no network", "try again")
    notes.fail(JOB, "failed", "no weights", "save them")
    found = notes.failure(JOB)
    assert isinstance(found, Failure)
    assert (found.state, found.message, found.hint, found.attempts) == ("failed", "no weights", "save them", 2)
    assert found.host == os.uname().nodename
    assert abs(found.when.timestamp() - time.time()) < 60
    assert notes.jobs() == [JOB]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": "failed"}', b"\xff\xfe"])
def test_damaged_notes_are_none(place, content):
    notes, result = Notes(place, "one"), Result(place, JOB)
    notes.finish(JOB, result.name, result.sha256, {})
    notes.fail(JOB, "failed", "no weights", "")
    for name in place.names(".jobs/"):
        place.write(name, content)
    assert (notes.done(JOB).record, notes.failure(JOB), notes.recorded(JOB), notes.jobs()) == (None, None, None, [])
    notes.fail(JOB, "failed", "no weights", "")
    assert notes.failure(JOB).attempts == 1


def test_notes_on_s3(bucket):
    place = open_place(bucket)
    notes, result = Notes(place, "one"), Result(place, JOB)
    notes.fail(JOB, "failed", "no weights", "")
    notes.finish(JOB, result.name, result.sha256, {})
    assert notes.done(JOB).record == json.loads(result.content)
    assert notes.failure(JOB) is None
    assert notes.jobs() == [JOB]
