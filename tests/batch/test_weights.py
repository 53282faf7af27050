"""Weights that are borrowed: from a hub on this machine, by this process, by two, by one that is killed."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from mirror_hub import serve

from jaxscore.batch.weights import Size, borrowed, download_sizes
from jaxscore.data.cache_contents import contents, remove
from jaxscore.errors import FetchError, JaxscoreError, ModelError, TemporaryFetchError
from jaxscore.models.hub import find_checkpoint
from jaxscore.models.language_model import LanguageModel

STEPS = [f"step{i}000" for i in range(1, 4)]


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Where borrowed weights lie."""
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def hub(tiny, tmp_path, cache, monkeypatch):
    """The tiny checkpoint as main and as a branch with a slash, and three that differ."""
    from safetensors.numpy import load_file, save_file

    revisions = {"main": tiny, "refs/pr/1": tiny}
    for scale, name in enumerate(STEPS, 2):
        revisions[name] = shutil.copytree(tiny, tmp_path / "steps" / name)
        weights = load_file(tiny / "model.safetensors")
        weights["wte.weight"] = np.float32(scale) * weights["wte.weight"]
        save_file(weights, revisions[name] / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(time, "sleep", lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.01)))  # patience
    with serve({"lab/tiny": revisions, "lab/gated": revisions}) as hub:
        hub.turn_to(monkeypatch)
        yield hub


def weights_sent(hub) -> int:
    return sum(path.endswith("model.safetensors") for path in hub.sent)


def begin(hub, tmp_path, spec: str, code: str = "print('has it', flush=True); sys.stdin.read()") -> subprocess.Popen:
    """Another process that borrows."""
    script = f"import sys; from jaxscore.batch.weights import borrowed\nwith borrowed({spec!r}) as found:\n    {code}"
    environment = os.environ | hub.environment | {"HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes)


def test_borrowed(hub, cache, tmp_path, tiny):
    with borrowed("lab/tiny@step2000") as found:
        assert (found.name, found.source) == ("lab--tiny@step2000", "lab/tiny")
        assert found.commit == hub.commit("lab/tiny", "step2000")
        assert found.folder == cache / f"lab--tiny@step2000-{found.commit}"
        model = LanguageModel(found)
        assert model.fingerprint == LanguageModel(find_checkpoint(str(tmp_path / "steps" / "step2000"))).fingerprint
        loaded = model.transformer()
    assert list(cache.iterdir()) == []
    assert not (tmp_path / "hub").exists()
    with borrowed(str(tiny)) as found:
        plain = LanguageModel(found).transformer()
    tables = [np.asarray(each.params["embed"]["tokens"]) for each in (loaded, plain)]
    np.testing.assert_array_equal(tables[0], 3 * tables[1])


def test_names_are_those_of_find_checkpoint(hub, cache):
    for spec in ("lab/tiny@step1000", "lab/tiny@refs/pr/1"):
        with borrowed(spec) as found:
            assert found.folder.parent == cache
        usual = find_checkpoint(spec)
        assert (found.name, found.source, found.commit) == (usual.name, usual.source, usual.commit)
        assert not found.folder.exists()
    with borrowed("lab/tiny") as found:  # the same commit
        assert (found.name, found.folder) == ("lab--tiny", usual.folder)


def test_no_bars(hub, capfd):
    for keep in (False, True):
        with borrowed("lab/tiny", keep=keep):
            pass
    assert capfd.readouterr() == ("", "")


def test_untrained_takes_no_weights(hub):
    with borrowed("lab/tiny", untrained=True) as found:
        assert {"config.json", "tokenizer.json"} <= {path.name for path in found.folder.iterdir()}
        assert LanguageModel(found, untrained=True).fingerprint
    assert weights_sent(hub) == 0
    assert not found.folder.exists()


def test_removed_after_an_error(hub, cache):
    def fail():
        with borrowed("lab/tiny") as found:
            assert (found.folder / "model.safetensors").exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(cache.iterdir()) == []


def test_what_is_in_the_cache_is_used_and_stays(hub, cache):
    usual = find_checkpoint("lab/tiny@step1000")
    before = weights_sent(hub)
    with borrowed("lab/tiny@step1000") as found:
        assert found == usual
    hub.status = 503
    with borrowed("lab/tiny@step1000") as found:  # the hub is not needed
        assert found == usual
    hub.asked.clear()
    with borrowed("lab/tiny@step1000", offline=True) as found:
        assert found == usual
    assert hub.asked == []
    assert weights_sent(hub) == before
    assert (usual.folder / "model.safetensors").exists()
    assert not cache.exists()


def test_configuration_in_the_cache_is_not_a_checkpoint(hub, cache):
    find_checkpoint("lab/tiny", weights=False)
    with borrowed("lab/tiny") as found:
        assert found.folder.parent == cache
        assert (found.folder / "model.safetensors").exists()


def test_branch_that_has_moved(hub, tmp_path):
    old = find_checkpoint("lab/tiny")
    hub.repos["lab/tiny"]["main"] = tmp_path / "steps" / "step3000"
    with borrowed("lab/tiny") as found:
        assert found.commit == hub.commit("lab/tiny", "main") != old.commit
    assert old.folder.exists()


def test_keep(hub, cache):
    with borrowed("lab/tiny", keep=True) as found:
        pass
    assert found == find_checkpoint("lab/tiny", offline=True)
    assert not cache.exists()


def test_what_needs_no_hub(hub, tiny):
    with borrowed(str(tiny)) as found:
        assert found == find_checkpoint(str(tiny))
    with borrowed("mini") as found:
        assert found == find_checkpoint("mini")
    with borrowed("sentence-length") as found:
        assert found is None
    assert (found, hub.asked) == (None, [])
    assert (tiny / "config.json").exists()
    with pytest.raises(ModelError, match="Unknown model"), borrowed("nonsense"):
        pass


def test_killed_and_resumed(hub, cache, tmp_path, tiny):
    hub.stop.set()
    with begin(hub, tmp_path, "lab/tiny") as process:
        assert hub.half_way.wait(20)
        end = time.monotonic() + 10
        (folder,) = (path for path in cache.iterdir() if path.is_dir())
        while not list(folder.rglob("config.json.metadata")) and time.monotonic() < end:
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGKILL)
    hub.stop.clear()
    assert list(folder.rglob("*.incomplete"))
    (entry,) = (entry for entry in contents(cache.parent) if entry.kind == "weights")
    assert (entry.name, entry.place) == (folder.name, folder)
    done = [path.name for path in folder.iterdir() if path.is_file()]
    stat = (folder / "config.json").stat()
    (folder / "config.json").write_bytes(b"")  # as after a machine that went down
    os.utime(folder / "config.json", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    hub.sent.clear()
    with borrowed("lab/tiny") as found:
        assert found.folder == folder
        assert not list(folder.rglob("*.incomplete"))
        assert LanguageModel(found).fingerprint == LanguageModel(find_checkpoint(str(tiny))).fingerprint
    sent = [Path(path).name for path in hub.sent if "/resolve/" in path]
    assert sorted(set(sent) & set(done)) == ["config.json"]
    assert list(cache.iterdir()) == []


def test_two_processes_and_two_of_one(hub, cache, tmp_path, tiny):
    with begin(hub, tmp_path, "lab/tiny") as other:
        assert other.stdout.readline() == "has it\n"
        (theirs,) = (path for path in cache.iterdir() if path.is_dir())
        with borrowed("lab/tiny") as ours, borrowed("lab/tiny") as again:
            assert len({theirs, ours.folder, again.folder}) == 3
            entries = {entry.place: entry for entry in contents(cache.parent)}
            assert entries.keys() == {theirs, ours.folder, again.folder}
            for entry in entries.values():
                with pytest.raises(JaxscoreError, match="in use"):
                    remove(entry)
            other.communicate("")
            assert other.returncode == 0
            assert not theirs.exists()
            for found in (ours, again):
                content = (found.folder / "model.safetensors").read_bytes()
                assert content == (tiny / "model.safetensors").read_bytes()
    assert list(cache.iterdir()) == []


def test_two_processes_fetch_at_once(hub, cache, tmp_path):
    hub.stop.set()
    code = "from jaxscore.models import LanguageModel; print(LanguageModel(found).fingerprint)"
    processes = [begin(hub, tmp_path, "lab/tiny@step1000", code) for _ in range(2)]
    assert hub.half_way.wait(20)
    hub.stop.clear()
    outputs = [process.communicate("")[0].strip() for process in processes]
    expected = LanguageModel(find_checkpoint(str(tmp_path / "steps" / "step1000"))).fingerprint
    assert outputs == [expected] * 2
    assert list(cache.iterdir()) == []


def test_without_locks(hub, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with borrowed("lab/tiny") as ours, borrowed("lab/tiny") as again:
        assert ours.folder != again.folder
        assert all((found.folder / "model.safetensors").exists() for found in (ours, again))
    assert list(cache.iterdir()) == []


def test_leftovers_are_removed_by_name(hub, cache):
    left = cache / f"lab--tiny@main-{'a' * 40}.2"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"x" * 7)
    (cache / "mine").mkdir()
    (entry,) = contents(cache.parent)
    assert (entry.kind, entry.size, entry.place) == ("weights", 7, left)
    remove(entry)
    assert [path.name for path in cache.iterdir()] == ["mine"]


@pytest.mark.parametrize("status", [429, 503])
def test_temporary(hub, cache, status):
    hub.status = status
    with pytest.raises(TemporaryFetchError, match=f"hub cannot be reached .{status}"), borrowed("lab/tiny"):
        pass
    assert len(hub.asked) < 10
    hub.failures = 2
    with borrowed("lab/tiny") as found:
        assert found.folder.parent == cache


def test_trouble_in_the_middle_keeps_what_came(hub, cache):
    hub.status, hub.trouble = 503, "resolve/" + hub.commit("lab/tiny", "main") + "/model.safetensors"
    with pytest.raises(TemporaryFetchError, match="hub cannot be reached"), borrowed("lab/tiny"):
        pass
    (left,) = (path for path in cache.iterdir() if path.is_dir())
    came = {path.name for path in left.iterdir() if path.is_file()}
    assert "model.safetensors" not in came
    assert "config.json" in came
    assert download_sizes(["lab/tiny"]) == {
        "lab/tiny": Size(
            sum(file.stat().st_size for file in hub.repos["lab/tiny"]["main"].iterdir() if file.name not in came)
        )
    }
    hub.status = 200
    hub.sent.clear()
    with borrowed("lab/tiny") as found:
        assert found.folder == left
    assert not came & {Path(path).name for path in hub.sent}
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "words"), [("lab/absent", "no model"), ("lab/tiny@v9", "no revision 'v9'"), ("lab/gated", "is gated")]
)
def test_final(hub, cache, spec, words):
    with pytest.raises(FetchError, match=words) as caught, borrowed(spec):
        pass
    assert not isinstance(caught.value, TemporaryFetchError)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_disk_that_refuses_more(hub, cache):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(FetchError, match=r"lab/tiny cannot be saved: .*File too large"), borrowed("lab/tiny"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(cache.iterdir()) == []


def test_full_disk(hub, cache, monkeypatch):
    """The system call itself cannot be made to fail with ENOSPC without a file system of our own."""

    def move_on_full_disk(source, target, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "move", move_on_full_disk)
    with pytest.raises(TemporaryFetchError, match=r"cannot be saved: .*No space left[\s\S]*Free some space"):
        borrowed("lab/tiny").__enter__()
    assert list(cache.iterdir()) == []


def size_of(folder: Path, *, weights: bool = True) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if weights or path.suffix != ".safetensors")


def test_download_sizes(hub, tiny, cache, tmp_path):
    find_checkpoint("lab/tiny@step2000")
    find_checkpoint("lab/tiny@step3000", weights=False)
    hub.asked.clear()
    specs = ["mini", str(tiny), "sentence-length", "lab/tiny", *(f"lab/tiny@{step}" for step in STEPS), "lab/tiny"]
    sizes = download_sizes(specs)
    here = dict.fromkeys(["mini", str(tiny), "sentence-length", "lab/tiny@step2000"], Size(0))
    assert sizes == here | {
        "lab/tiny": Size(size_of(tiny)),
        "lab/tiny@step1000": Size(size_of(tmp_path / "steps" / "step1000")),
        "lab/tiny@step3000": Size((tiny / "model.safetensors").stat().st_size),
    }
    assert len(hub.asked) == len(set(hub.asked)) == 4
    assert download_sizes(["lab/tiny"], untrained=True) == {"lab/tiny": Size(size_of(tiny, weights=False))}
    assert not cache.exists()


def test_sizes_that_nobody_knows(hub):
    find_checkpoint("lab/tiny@step2000")
    specs = ["lab/absent", "lab/tiny@v9", "nonsense", "lab/tiny", "lab/tiny@step2000"]
    sizes = download_sizes(specs)
    problems = {spec: type(size.problem) for spec, size in sizes.items() if size.bytes is None}
    assert problems == {"lab/absent": FetchError, "lab/tiny@v9": FetchError, "nonsense": ModelError}
    offline = download_sizes(specs[3:], offline=True)
    assert offline["lab/tiny@step2000"] == Size(0)
    assert "--offline forbids" in str(offline["lab/tiny"].problem)
    hub.sizes = False  # as some mirrors
    assert download_sizes(["lab/tiny"]) == {"lab/tiny": Size(None)}
    with borrowed("lab/tiny") as found:
        assert LanguageModel(found).fingerprint


def test_sizes_of_many_without_a_hub(hub, monkeypatch):
    find_checkpoint("lab/tiny@step2000")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        hub.endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    hub.turn_to(monkeypatch)
    start = time.monotonic()
    sizes = download_sizes([*(f"lab/tiny@step{i}" for i in range(154)), "lab/tiny@step2000"])
    assert time.monotonic() - start < 10
    assert sizes.pop("lab/tiny@step2000") == Size(0)
    assert {(size.bytes, type(size.problem)) for size in sizes.values()} == {(None, TemporaryFetchError)}


def test_no_jax():
    heavy = {"jax", "torch", "transformers", "pandas", "huggingface_hub"}
    code = f"import sys, jaxscore.batch.weights; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
