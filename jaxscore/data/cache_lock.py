"""One process at a time fetches a file; the others wait, but never for one that is dead or stands still."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

POLL = 0.1  # seconds


@contextmanager
def alone(path: Path, *, stall: float, watch: Callable[[], object] = lambda: None) -> Iterator[bool]:
    """Yield whether this is the only process at work on `path`, as far as locks can tell.

    The system holds the lock (flock) and drops it with the process, however that ends. Where the file system knows no
    locks, or the holder stands still, the answer is False: work then under a name of your own.

    Args:
        path: what is worked on; the lock is a hidden, empty file beside it, which goes when the block is left.
        stall: seconds to wait for a holder without any progress.
        watch: what changes as the holder makes progress.

    Raises:
        OSError: if the folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    descriptor = _acquire(lock, stall, watch)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with suppress(OSError):
                lock.unlink()  # before it is released: see _acquire
            os.close(descriptor)


def _acquire(lock: Path, stall: float, watch: Callable[[], object]) -> int | None:
    """The descriptor of the lock, held; None without one."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return None
    seen, since = object(), time.monotonic()
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(descriptor, lock):
                return descriptor
            held = False  # the last holder removed this file while it was opened here
        except BlockingIOError:
            held = True
        except OSError:  # no locks on this file system
            os.close(descriptor)
            return None
        os.close(descriptor)
        if not held:
            continue
        if (now := watch()) != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since >= stall:
            return None
        time.sleep(POLL)


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one that has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
