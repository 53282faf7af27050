"""A worker run by this interpreter, and a folder laid out as brain-score language."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jaxscore.plugin.client import Client


@pytest.fixture(scope="session")
def worker():
    """One worker for all tests that do not end it."""
    worker = Client(sys.executable)
    yield worker
    worker.close()


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package that is found where brain-score language would be, with a plugin of its own."""
    folder = tmp_path / "site" / "brainscore_language"
    for kind, registry in (("models", "model_registry"), ("metrics", "metric_registry")):
        own = folder / kind / "theirs"
        own.mkdir(parents=True)
        (own / "__init__.py").write_text(f"{registry}['theirs'] = None\n", encoding="utf-8")
    (folder / "__init__.py").write_text("raise RuntimeError('finding it must not import it')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder
