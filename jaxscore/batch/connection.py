"""Ray: what a task asks of a node, how a cluster is found, and how many tasks it has room for."""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from jaxscore.errors import JaxscoreError

OBJECTS = 2**27
"""Bytes of the object store of a Ray of this machine: outcomes are all that passes."""
ANSWER = 10.0
"""Seconds that a cluster has to answer; Ray itself would try for minutes."""
JAX_SHARE = 0.75
"""What JAX takes of a GPU's memory."""


@dataclass(frozen=True)
class Resources:
    """What a task has to itself while it runs.

    Attributes:
        cpus: processors, and so threads; a fraction lets several tasks share one.
        gpus: whole ones, or a fraction of one.
        tpus: chips.
        memory: bytes that the tasks of a node may not promise twice; None: not counted.
    """

    cpus: float = 1
    gpus: float = 0
    tpus: float = 0
    memory: int | None = None

    def __post_init__(self) -> None:
        for name in ("cpus", "gpus", "tpus"):
            value = getattr(self, name)
            if not 0 <= value < math.inf or (value > 1 and value != int(value)):
                raise JaxscoreError(
                    f"{name} is {value:g}, expected a whole number, or a share of one", f"Give --{name} 1 or 2, or 0.5."
                )
        if not self.needs:
            raise JaxscoreError("A task that needs nothing: all of them would run at once", "Give --cpus 1.")

    @property
    def needs(self) -> dict[str, float]:
        """What is more than 0, by Ray's names."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "TPU": self.tpus, "memory": self.memory}
        return {name: value for name, value in asked.items() if value}

    def options(self) -> dict[str, Any]:
        """Options of a remote function."""
        chips = {"resources": {"TPU": self.tpus}} if self.tpus else {}
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self.memory} | chips

    def environment(self) -> dict[str, str]:
        """What holds a process to them: the threads of BLAS and of XLA, the platform, the share of a GPU's memory."""
        threads = str(max(1, int(self.cpus)))
        held = {"OMP_NUM_THREADS": threads, "PJRT_NPROC": threads}
        if not self.gpus and not self.tpus:
            held["JAX_PLATFORMS"] = "cpu"  # Ray hides no GPU from a task that asked for none
        elif 0 < self.gpus < 1:
            held["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{JAX_SHARE * self.gpus:.3f}"
        return held

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in self.needs.items())


@contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Ray, connected: to a cluster, or to one of this machine that ends with the block. Nothing is sent to anyone.

    Args:
        address: None for this machine alone; "auto" (RAY_ADDRESS, or what runs here), HOST:PORT or ray://HOST:PORT.

    Raises:
        JaxscoreError: Ray is not installed, no cluster answers, or its Python or Ray is another version.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # Ray would tell of dead processes on stdout
    try:
        import ray
    except ImportError:
        raise JaxscoreError("Ray is not installed", "pip install 'jaxscore[ray]'") from None
    term = signal.getsignal(signal.SIGTERM)
    try:
        _join(ray, address)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, term)  # Ray takes it
    try:
        yield ray
    finally:
        ray.shutdown()


def _join(ray: ModuleType, address: str | None) -> None:
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None:
        from jaxscore.regression.hardware import processors

        ray.init("local", num_cpus=processors(), include_dashboard=False, object_store_memory=OBJECTS, **quiet)
        return
    named = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    if named != "auto":
        _knock(named)
    try:
        ray.init(named, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ImportError) as error:
        said = " ".join(str(error).split())
        hint = "Start a cluster by `ray start --head`, or leave out the address for this machine alone."
        if "ersion mismatch" in said:
            hint = "Install the same versions of Ray and Python here and on every node."
        elif "ray[client]" in said:
            hint = "pip install 'ray[client]', or run on a node of the cluster with --ray auto."
        raise JaxscoreError(f"No connection to the Ray cluster {named!r}: {said}", hint) from None


def _knock(address: str) -> None:
    """Raise JaxscoreError unless something listens at HOST:PORT."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise JaxscoreError(
            f"{address!r} is no address of a Ray cluster",
            "Give auto, HOST:PORT (6379 unless chosen) or ray://HOST:PORT.",
        )
    try:
        socket.create_connection((host, port), timeout=ANSWER).close()
    except OSError as error:
        raise JaxscoreError(
            f"No Ray cluster answers at {address}: {error}",
            "Start one by `ray start --head`, or use --ray local for this machine alone.",
        ) from None


def room(ray: ModuleType, resources: Resources) -> int:
    """How many tasks fit on the nodes that are alive, others' tasks not counted."""
    return sum(
        int(min(node["Resources"].get(name, 0) / need for name, need in resources.needs.items()) + 1e-9)
        for node in ray.nodes()
        if node["Alive"]
    )


def inventory(ray: ModuleType) -> str:
    """What the nodes have, for people: "node1: CPU 8, GPU 1; node2: CPU 8"."""
    kinds = ("CPU", "GPU", "TPU", "memory")
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return "; ".join(
        f"{node['NodeManagerHostname']}: "
        + ", ".join(f"{kind} {node['Resources'][kind]:g}" for kind in kinds if kind in node["Resources"])
        for node in nodes
    )
