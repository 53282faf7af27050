"""The lock of a file, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import jaxscore
from jaxscore.data.cache_lock import alone

HOLD = """
import sys, time
from pathlib import Path
from jaxscore.data.cache_lock import alone
with alone(Path(sys.argv[1]), stall=60) as only:
    print(only, flush=True)
    sys.stdin.readline()
"""
COUNT = """
import sys
from pathlib import Path
from jaxscore.data.cache_lock import alone
path = Path(sys.argv[1])
for _ in range(20):
    with alone(path, stall=60, watch=path.read_text) as only:
        assert only
        value = int(path.read_text())
        path.write_text(str(value + 1))
"""


def process(code: str, path: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(Path(jaxscore.__file__).parents[1])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment, **pipes)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `file`."""
    running = process(HOLD, tmp_path / "file")
    assert running.stdout.readline() == "True\n"
    yield running
    running.kill()
    running.communicate(timeout=30)


def test_nothing_is_left(tmp_path):
    with alone(tmp_path / "file", stall=1) as only:
        assert only
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_holder_without_progress(tmp_path, holder):
    start = time.monotonic()
    with alone(tmp_path / "file", stall=0.3) as only:
        assert not only
    assert 0.3 <= time.monotonic() - start < 5
    with alone(tmp_path / "other", stall=0) as only:  # another file is another lock
        assert only


def test_holder_with_progress_is_waited_for(tmp_path, holder):
    def release() -> None:
        time.sleep(1)
        holder.stdin.write("\n")
        holder.stdin.flush()

    thread = threading.Thread(target=release)
    thread.start()
    with alone(tmp_path / "file", stall=0.3, watch=time.monotonic) as only:
        assert only
    thread.join()


def test_killed_holder(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=30)
    assert (tmp_path / ".file.lock").exists()
    with alone(tmp_path / "file", stall=0) as only:
        assert only
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_inside_together(tmp_path):
    """Three processes count to sixty: without the lock, or with one that is lost as its file goes, they miscount."""
    (tmp_path / "file").write_text("0")
    running = [process(COUNT, tmp_path / "file") for _ in range(3)]
    assert [each.wait(timeout=60) for each in running] == [0, 0, 0]
    for each in running:
        each.communicate()
    assert (tmp_path / "file").read_text() == "60"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folder_that_is_none(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="directory"), alone(tmp_path / "file" / "below", stall=0):
        pass
