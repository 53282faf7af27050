"""The jaxscore of another environment, from here: a child process that starts when it is first asked."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np

from jaxscore import __version__
from jaxscore.errors import JaxscoreError
from jaxscore.plugin.wire import read_arrays, unpack_error, write_arrays

VARIABLE = "JAXSCORE_PYTHON"
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__")
"""What makes an interpreter import from the environment of another one."""
TAIL = 12
"""Last lines of a dead worker that an error shows."""


def client() -> Client:
    """The worker of this process, of the interpreter that JAXSCORE_PYTHON names, else of the installed one.

    Raises:
        JaxscoreError: if neither is set.
    """
    python = os.environ.get(VARIABLE)
    if not python:
        from jaxscore.plugin.installing import installed_python

        python = installed_python()
    return _client(python)


@cache
def _client(python: str) -> Client:
    return Client(python)


class Client:
    """One worker, started at the first question and again after it died; after a fork the child starts its own.

    Args:
        python: interpreter of an environment with all of jaxscore.
    """

    def __init__(self, python: str | Path) -> None:
        self.python = os.fspath(python)
        self._clear()

    def _clear(self) -> None:
        self._owner = os.getpid()
        self._lock = Lock()
        self._process: subprocess.Popen | None = None
        self._folder: Path | None = None
        self._said = bytearray()
        self._listener: Thread | None = None

    def _leave_to_parent(self) -> None:
        """In the child of a fork: the worker, its files and the lock are those of the parent."""
        if self._owner != os.getpid():
            if self._process is not None:
                self._process.returncode = 0  # nothing to wait for here
                atexit.unregister(self.close)
            self._clear()

    def ask(
        self, method: str, arrays: Mapping[str, np.ndarray] | None = None, **values: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Have the worker compute.

        Args:
            method: one of those of `jaxscore.plugin.worker`.
            arrays: its arrays.
            **values: its other arguments, as JSON has them.

        Returns:
            Its answer, values and arrays.

        Raises:
            JaxscoreError: what the worker raised, of the same class; or that it did not start, or died.
        """
        self._leave_to_parent()
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._end()
                self._start()
            try:
                files = write_arrays(self._folder, "asked", arrays or {})
                answer = self._exchange({"method": method, "arrays": files, "values": values})
            except BaseException:
                self._end()  # an answer that nobody waits for would be taken for the next one
                raise
            if "error" in answer:
                raise unpack_error(answer)
            return answer["values"], read_arrays(self._folder, answer["arrays"])

    def close(self) -> None:
        """End the worker and remove its files; the next question starts another."""
        self._leave_to_parent()
        with self._lock:
            self._end()

    def _start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="jaxscore-"))
        atexit.register(self.close)
        self._said = bytearray()
        surroundings = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        # -E and -P: no module of this environment or of the current folder; -I would hide a user's own packages too
        command = [self.python, "-E", "-P", "-m", "jaxscore.plugin.worker", str(self._folder)]
        if os.environ.get("PYTHONNOUSERSITE"):  # -E would hide it
            command.insert(1, "-s")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            # a session of its own: Ctrl-C comes here first, and here the worker is ended
            self._process = subprocess.Popen(command, env=surroundings, start_new_session=True, **pipes)
        except OSError as error:
            self._end()
            raise JaxscoreError(
                f"jaxscore's Python {self.python} does not start: {error.strerror}",
                f"Set {VARIABLE}, or run: python -m jaxscore.plugin install --python PYTHON",
            ) from None
        self._listener = Thread(target=_listen, args=(self._process.stderr, self._said), daemon=True)
        self._listener.start()
        try:
            version = self._exchange(None)["version"]
            if version != __version__:
                raise JaxscoreError(
                    f"{self.python} has jaxscore {version}, this environment has {__version__}",
                    f"{self.python} -m pip install jaxscore=={__version__}",
                )
        except BaseException:
            self._end()
            raise

    def _exchange(self, question: dict[str, Any] | None) -> dict[str, Any]:
        """Send a line and read one; JaxscoreError if the worker is gone."""
        try:
            if question is not None:
                self._process.stdin.write(json.dumps(question).encode() + b"\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            raise self._death(started=question is not None)
        try:
            return json.loads(line)
        except ValueError:
            raise JaxscoreError(
                f"{self.python} says {line.decode(errors='replace').strip()!r:.80}, expected the answer of a worker",
                "Name the interpreter itself, not a script around it that prints.",
            ) from None

    def _death(self, *, started: bool) -> JaxscoreError:
        code = self._process.wait()
        self._listener.join(timeout=5)
        said = self._said.decode(errors="replace").strip().splitlines()
        missing = re.search(r"No module named '?([\w.]+)", "\n".join(said))
        if missing and not started:
            what = "" if missing[1].startswith("jaxscore") else f"no {missing[1]}, so no whole "
            return JaxscoreError(
                f"{self.python} has {what or 'no '}jaxscore {__version__}",
                f"{self.python} -m pip install jaxscore=={__version__}",
            )
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        what = "died while it computed" if started else "did not start"
        last = "\n".join(said[-TAIL:]) or "(nothing)"
        hint = "Killed by the system: it had too little memory. Use a smaller model or machine with more."
        if code != -9:
            hint = f"Try it alone: {self.python} -E -P -m jaxscore show mini"
        return JaxscoreError(f"jaxscore's worker {what}: it ended {how}. Its last lines:\n{last}", hint)

    def _end(self) -> None:
        process, folder, self._process, self._folder = self._process, self._folder, None, None
        if process is not None:
            process.kill()  # it keeps nothing that would be lost
            process.wait()
            self._listener.join(timeout=5)
            for pipe in (process.stdin, process.stdout, process.stderr):
                with suppress(BrokenPipeError):
                    pipe.close()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
            atexit.unregister(self.close)


def _listen(pipe: Any, said: bytearray) -> None:
    """Pass on what the worker says (progress, warnings) and keep its end."""
    while True:
        try:  # not through the pipe's buffer: its lock would be held, for closing it and for a fork
            chunk = os.read(pipe.fileno(), 4096)
        except (OSError, ValueError):  # closed
            return
        if not chunk:
            return
        said += chunk
        del said[:-16384]
        try:
            sys.stderr.write(chunk.decode(errors="replace"))
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # nobody to hear it
            pass
