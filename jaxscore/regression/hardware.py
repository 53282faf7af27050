"""Where the products with voxels run: BLAS on the host, or the devices of a mesh through XLA."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from jaxscore.errors import JaxscoreError

if TYPE_CHECKING:
    from jax.sharding import Mesh

HOST_CHUNK = 1024
"""Voxels per product on the host: the predictions of a few layers stay in the cache."""
AXES = ("layer", "voxel")


@dataclass(frozen=True)
class Hardware:
    """What computes, and in which portions.

    Attributes:
        mesh: None for BLAS of the host, else a mesh with axes "layer" and "voxel".
        threads: of the host: layers or chunks of voxels at the same time, each with one BLAS thread.
        chunk: neuroids per product, if a person set it.
    """

    mesh: Mesh | None
    threads: int
    chunk: int | None

    @property
    def xp(self) -> ModuleType:
        """The array module of the products: numpy or jax.numpy."""
        if self.mesh is None:
            return np
        import jax.numpy

        return jax.numpy

    def place(self, array: np.ndarray) -> np.ndarray:
        """Put an array where the products run, its last axis (neuroids) spread over the devices and padded to fit."""
        if self.mesh is None:
            return array
        import jax
        from jax.sharding import NamedSharding, PartitionSpec

        spare = -array.shape[-1] % self.mesh.shape["voxel"]
        array = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, spare)])
        axes = PartitionSpec(*[None] * (array.ndim - 1), "voxel")
        return jax.device_put(array, NamedSharding(self.mesh, axes))

    def constant(self, array: np.ndarray) -> np.ndarray:
        """Put an array where the products run, whole on every device."""
        if self.mesh is None:
            return array
        import jax
        from jax.sharding import NamedSharding, PartitionSpec

        return jax.device_put(array, NamedSharding(self.mesh, PartitionSpec()))

    def precision(self, dtype: str) -> AbstractContextManager:
        """JAX in float64 in this thread alone, where it computes and float64 is asked for."""
        if self.mesh is None or dtype != "float64":
            return nullcontext()
        import jax

        return jax.enable_x64(True)

    def map(self, function: Callable, items: Iterable) -> list:
        """Apply a function to items in threads of the host; BLAS has one thread in each."""
        # matrices of these sizes gain nothing from threads inside LAPACK
        with _one_blas_thread(), ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(function, items))

    def chunks(self, neuroids: int, bytes_each: int) -> list[slice]:
        """Equal chunks of neuroids, as many as memory asks for, and at least one for each worker.

        Args:
            neuroids: how many there are.
            bytes_each: working memory that one neuroid needs.
        """
        workers = self.threads if self.mesh is None else self.mesh.shape["voxel"]
        size = self.chunk or self._size(neuroids, max(bytes_each, 1))
        if self.mesh is None and not self.chunk:
            size = min(size, -(-neuroids // workers))
        count = -(-neuroids // size)
        if self.mesh is None and not self.chunk:
            count = min(neuroids, -(-count // workers) * workers)  # none waits for the last one
        size = -(-neuroids // count)
        return [slice(start, min(start + size, neuroids)) for start in range(0, neuroids, size)]

    def _size(self, neuroids: int, bytes_each: int) -> int:
        share = free_memory(self.mesh) / 4
        if self.mesh is None:
            return int(max(1, min(HOST_CHUNK, share / self.threads / bytes_each)))
        return int(max(1, min(neuroids, share / bytes_each)))


_LIMIT: dict[str, Any] = {"lock": Lock(), "users": 0, "limits": None}


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread; the limit is the process's, so the first in sets it and the last out lifts it."""
    with _LIMIT["lock"]:
        if not _LIMIT["users"]:
            _LIMIT["limits"] = threadpool_limits(1, "blas")
        _LIMIT["users"] += 1
    try:
        yield
    finally:
        with _LIMIT["lock"]:
            _LIMIT["users"] -= 1
            if not _LIMIT["users"]:
                _LIMIT["limits"].restore_original_limits()


def choose_hardware(
    *, mesh: Mesh | str | None = None, threads: int | None = None, chunk: int | None = None
) -> Hardware:
    """Take all local devices; a lone CPU is driven through BLAS.

    Args:
        mesh: devices to use instead, with axes "layer" and "voxel"; "host" for its BLAS, whatever devices there are.
        threads: of the host; by default the number of usable processors.
        chunk: neuroids per product; by default chosen from the free memory.

    Raises:
        JaxscoreError: for a mesh with other axes, or numbers under 1.
    """
    for name, value in (("threads", threads), ("chunk", chunk)):
        if value is not None and (not isinstance(value, Integral) or value < 1):
            raise JaxscoreError(
                f"{name} is {value!r}, expected a whole number of at least 1", f"Leave {name} out to have it chosen."
            )
    if isinstance(mesh, str):
        if mesh != "host":
            raise JaxscoreError(f"mesh is {mesh!r}, expected a mesh of devices or 'host'", 'mesh="host"')
        mesh = None
    elif mesh is None:
        import jax

        devices = jax.local_devices()
        if len(devices) > 1 or devices[0].platform != "cpu":
            mesh = jax.sharding.Mesh(np.array(devices)[None], AXES)
    elif set(getattr(mesh, "axis_names", ())) != set(AXES):
        raise JaxscoreError(
            f"The mesh has axes {getattr(mesh, 'axis_names', None)}, expected {AXES}",
            'jax.make_mesh((1, len(jax.devices())), ("layer", "voxel"))',
        )
    else:
        from jax.sharding import Mesh as AutoMesh

        # axes that the compiler may spread as it likes, whatever kind they came as
        mesh = AutoMesh(mesh.devices, mesh.axis_names)
    return Hardware(mesh, threads or processors(), chunk)


def free_memory(mesh: Mesh | None = None) -> float:
    """Bytes that are free on the host, or on the devices of a mesh together where they tell."""
    if mesh is not None:
        stats = [device.memory_stats() or {} for device in mesh.devices.flat]
        if all("bytes_limit" in s for s in stats):
            return float(sum(s["bytes_limit"] - s.get("bytes_in_use", 0) for s in stats))
    return host_memory() or 4.0 * 2**30


def host_memory() -> float | None:
    """Bytes that are free on the host, None where it does not say; pages that only hold copies of files are free."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return min(float(lines["MemAvailable"].split()[0]) * 1024, _group_memory())
    except (OSError, KeyError, ValueError):
        known = {"SC_AVPHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys()
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) if known else None


def _group_memory() -> float:
    """Bytes that the control group of this process leaves it, as SLURM and containers set them."""
    try:
        name = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        folder = Path("/sys/fs/cgroup" + name)
        return float((folder / "memory.max").read_text()) - float((folder / "memory.current").read_text())
    except (OSError, ValueError, StopIteration):  # "max": no limit
        return float("inf")


def processors() -> int:
    """How many processors this process may use: those it is bound to, at most OMP_NUM_THREADS where that is set."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(bound, int(asked)) if asked.isdigit() and int(asked) else bound
