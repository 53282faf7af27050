"""Compiled programs on disk: a second command starts without compiling."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

LARGEST = 2**30
"""Bytes that compiled programs may take; the oldest go first."""


def keep_compilations() -> None:
    """Tell JAX, through its environment, to keep compiled programs in the cache; a person's own settings stand.

    Programs for a CPU hold its machine code, so that every kind of CPU has a folder of its own: clusters share homes.
    """
    from jaxscore.data.fetch import default_cache

    folder = default_cache() / "compiled" / hashlib.sha256(_cpu().encode()).hexdigest()[:12]
    for name, value in {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_COMPILATION_CACHE_MAX_SIZE": str(LARGEST),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }.items():
        os.environ.setdefault(name, value)


def _cpu() -> str:
    """What a program for this CPU depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))}))
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
