"""Checkpoints of the hub, from a server on this machine: what is fetched, and what is said where it cannot be."""

from __future__ import annotations

import shutil
import socket
import time

import pytest
from mirror_hub import serve

from jaxscore.errors import FetchError, ModelError, TemporaryFetchError
from jaxscore.models.hub import find_checkpoint, patterns


@pytest.fixture
def hub(tiny, tmp_path, monkeypatch):
    old = shutil.copytree(tiny, tmp_path / "old")
    (old / "model.safetensors").rename(old / "pytorch_model.bin")
    both = shutil.copytree(tiny, tmp_path / "both")
    (both / "pytorch_model.bin").write_bytes(b"x" * 1000)
    (both / "README.md").write_text("About it.")
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("A data set.")
    repos = {"main": both, "old": old, "other": other}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with serve({"lab/tiny": repos, "lab/gated": repos}) as hub:
        hub.turn_to(monkeypatch)
        yield hub


def names(checkpoint) -> set[str]:
    return {path.name for path in checkpoint.folder.iterdir()}


def test_download(hub, tiny):
    found = find_checkpoint("lab/tiny")
    assert (found.name, found.source, found.commit) == ("lab--tiny", "lab/tiny", hub.commit("lab/tiny", "main"))
    assert names(found) == {path.name for path in tiny.iterdir()}  # neither README nor .bin
    hub.asked.clear()
    assert find_checkpoint("lab/tiny", offline=True) == found
    assert hub.asked == []


def test_bin_files_where_there_is_nothing_else(hub):
    found = find_checkpoint("lab/tiny@old")
    assert (found.name, found.commit) == ("lab--tiny@old", hub.commit("lab/tiny", "old"))
    assert "pytorch_model.bin" in names(found)
    assert find_checkpoint("lab/tiny@old", offline=True) == found


def test_configuration_alone(hub):
    found = find_checkpoint("lab/tiny", weights=False)
    assert "config.json" in names(found)
    assert not {"model.safetensors", "pytorch_model.bin"} & names(found)
    with pytest.raises(FetchError, match="not on this machine and --offline forbids"):
        find_checkpoint("lab/tiny", offline=True)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["model.safetensors", "pytorch_model.bin"], "model.safetensors"),
        (["model-00001-of-00002.safetensors"], "model.safetensors"),
        (["adapter_model.safetensors", "pytorch_model.bin"], "pytorch_model.bin"),
        ([], "pytorch_model.bin"),
    ],
)
def test_patterns(listed, expected):
    assert expected in patterns(listed, weights=True)
    assert len(set(patterns(listed, weights=True)) & {"model.safetensors", "pytorch_model.bin"}) == 1
    assert not {"model.safetensors", "pytorch_model.bin"} & set(patterns(listed, weights=False))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("lab/absent", "The hub has no model 'lab/absent'"),
        ("lab/tiny@v9", "lab/tiny has no revision 'v9'"),
        ("lab/gated", "lab/gated is gated"),
    ],
)
def test_final(hub, spec, words):
    with pytest.raises(FetchError, match=words) as caught:
        find_checkpoint(spec)
    assert not isinstance(caught.value, TemporaryFetchError)
    assert caught.value.__suppress_context__


def test_refusal(hub):
    hub.status = 403
    with pytest.raises(FetchError, match=r"the hub refuses it .403[\s\S]*hf auth login") as caught:
        find_checkpoint("lab/tiny")
    assert not isinstance(caught.value, TemporaryFetchError)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_trouble(hub, status, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    hub.status = status
    with pytest.raises(TemporaryFetchError, match=f"the hub cannot be reached .{status}"):
        find_checkpoint("lab/tiny")


def test_no_hub(hub, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        hub.endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    hub.turn_to(monkeypatch)
    with pytest.raises(TemporaryFetchError, match=r"the hub cannot be reached .ConnectError"):
        find_checkpoint("lab/tiny")


def test_library_told_to_stay_offline(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match="HF_HUB_OFFLINE forbids") as caught:
        find_checkpoint("lab/tiny")
    assert not isinstance(caught.value, TemporaryFetchError)


def test_no_checkpoint(hub):
    with pytest.raises(ModelError, match=r"lab/tiny has no config\.json"):
        find_checkpoint("lab/tiny@other")


def test_folder_that_cannot_be_written(hub, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(FetchError, match=r"cannot be saved: .*Not a directory[\s\S]*HF_HOME"):
        find_checkpoint("lab/tiny")
