"""Being asked to stop: at once, but never in the middle of what is being written."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED, TEMPORARY = 130, 75
"""Exit codes: a person stopped it; the machine is taken away, the same command goes on elsewhere."""
AGAIN = 0.01
"""Seconds after which a signal is raised again that came where Python swallows what is raised."""


class Stopping:
    """Whether a stop was asked for.

    Attributes:
        code: exit code of the signal that came; None so far.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self._held = 0

    def __call__(self) -> bool:
        """Whether to take up nothing more."""
        return self.code is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block that a signal does not cut: it ends the process after the block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self() and not self._held:
                raise SystemExit(self.code)

    def _handle(self, number: int, _: object) -> None:
        self.code = INTERRUPTED if number == signal.SIGINT else TEMPORARY
        if not self._held:
            raise Stopped(self.code, number)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM (what schedulers send before they kill) meanwhile; of the main thread alone."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        complain, main = sys.unraisablehook, threading.main_thread().ident

        def again(number: int) -> None:
            if sys.unraisablehook is swallowed:
                signal.pthread_kill(main, number)

        def swallowed(unraisable: sys.UnraisableHookArgs) -> None:
            if isinstance(unraisable.exc_value, Stopped):
                threading.Timer(AGAIN, again, [unraisable.exc_value.number]).start()
            else:
                complain(unraisable)

        sys.unraisablehook = swallowed
        try:
            yield
        finally:
            sys.unraisablehook = complain
            for number, handler in before.items():
                signal.signal(number, handler)


class Stopped(SystemExit):
    """A signal that ends the process; raised in a destructor or a weak reference's callback, it would be lost."""

    def __init__(self, code: int, number: int) -> None:
        super().__init__(code)
        self.number = number
