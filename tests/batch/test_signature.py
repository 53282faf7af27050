"""The local files of a job, and what changes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from batch.notebook import Result
from conftest import toml

from jaxscore.batch.notes import Notes, local_signature
from jaxscore.batch.signature import changed
from jaxscore.batch.tasks import Job, Task
from jaxscore.errors import JaxscoreError
from jaxscore.store.places import open_place


def names(job: Job, **choices: object) -> set[str]:
    return {Path(path).name for path in signed(job, **choices)}


def signed(job: Job, **choices: object) -> dict:
    return local_signature(job, Task(job.model, choices, (job,)))


def job(model: str | Path, benchmark: str = "Pereira2018-encoding") -> Job:
    return Job(str(model), benchmark, "0123456789abcdef")


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A folder with the files of a checkpoint; what is in them does not matter here."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "training_args.bin"):
        (folder / name).write_text("{}")
    return folder


def test_checkpoint(checkpoint):
    assert names(job(checkpoint)) == {"checkpoint", "config.json", "tokenizer.json", "model.safetensors"}
    assert "model.safetensors" not in names(job(checkpoint), untrained=True)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_changed_file_of_a_checkpoint(checkpoint, file):
    before = signed(job(checkpoint))
    assert changed(before) is None
    os.utime(checkpoint / file)
    assert changed(before) == str(checkpoint / file)


def test_file_that_comes_to_a_checkpoint(checkpoint):
    before = signed(job(checkpoint))
    (checkpoint / "added_tokens.json").write_text("{}")
    assert changed(before) == str(checkpoint)


@pytest.mark.parametrize("spec", ["gpt2", "mini", "sentence-length", "EleutherAI/pythia-160m@step1000"])
def test_what_is_named_by_the_key(spec):
    assert signed(job(spec)) == {}


def test_word_vectors(tmp_path):
    (tmp_path / "vectors.txt").write_text("otter 1 2\n")
    before = signed(job(f"glove:{tmp_path / 'vectors.txt'}@exact"))
    assert before == signed(job("glove:vectors.txt"))
    (tmp_path / "vectors.txt").write_text("otter 1 2\nstone 1 2\n")
    assert changed(before) == str(tmp_path / "vectors.txt")


def test_card_and_its_data(study):
    card = study.write()
    assert names(job("gpt2", card)) == {"study.toml", "study.csv"}
    before = signed(job("gpt2", card))
    study.table.iloc[:-1].to_csv(study.folder / "study.csv")
    assert changed(before) == str(study.folder / "study.csv")


def test_data_in_place_of_a_cards(study):
    study.write()
    (study.folder / "study.csv").rename(study.folder / "other.csv")
    assert names(job("gpt2"), data="other.csv") == {"other.csv"}


def test_card_that_extends_another(study):
    study.write()
    (study.folder / "mine.toml").write_text(toml({"extends": "study", "identifier": "mine"}))
    assert names(job("gpt2", str(study.folder / "mine.toml"))) == {"mine.toml", "study.toml", "study.csv"}
    (study.folder / "far.toml").write_text(toml({"extends": "Pereira2018-encoding", "identifier": "far"}))
    before = signed(job("gpt2", str(study.folder / "far.toml")))
    assert {Path(path).name for path in before} == {"far.toml", "Pereira2018-encoding.toml"}
    (study.folder / "Pereira2018-encoding.toml").write_text("")  # a card beside it comes before a known one
    assert changed(before) == str(study.folder / "Pereira2018-encoding.toml")


def test_nothing_to_sign(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(JaxscoreError, match="no weights"):
        signed(job(tmp_path / "empty"))
    with pytest.raises(JaxscoreError, match="no card"):
        signed(job("gpt2", str(tmp_path / "none.toml")))


def test_done_until_a_file_changes(checkpoint, tmp_path):
    own, notes = job(checkpoint, "study"), Notes(open_place(tmp_path / "out"), "one")
    result = Result(notes.place, own)
    notes.finish(own, result.name, result.sha256, signed(own))
    assert notes.done(own).record
    os.utime(checkpoint / "model.safetensors")
    assert notes.done(own).record is None
    assert notes.done(own).problem == f"{checkpoint / 'model.safetensors'} has changed: computed again"
    assert notes.recorded(own)[1].record  # the result of the files as they were is there
