"""The numbers do not depend on what computes them: one processor, threads, or a mesh of eight devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity.regimes import GROUPS, SPLITS, UNEVEN, N, gaussian, repeated, responses

from jaxscore.errors import GridEdgeWarning, JaxscoreError
from jaxscore.regression import OLS, Ridge, RidgeCV, cross_validate
from jaxscore.regression.hardware import HOST_CHUNK, Hardware, choose_hardware, free_memory, processors
from jaxscore.regression.scores import SCORES

MESHES = [(1, 8), (2, 4), (8, 1)]
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}
SOLVERS = {
    "ols": OLS(),
    "ridge": Ridge(2.0),
    "loo": RidgeCV([0.1, 10.0, 1e3]),
    "loo for all": RidgeCV([0.1, 10.0, 1e3], per_neuroid=False),
    "inner": RidgeCV([0.1, 10.0, 1e3], select="grouped"),
    "gcv": RidgeCV([0.1, 10.0, 1e3], select="gcv"),
}


def problem(solver: str) -> dict[str, Any]:
    """Three layers and 13 voxels, neither divisible by eight, one voxel constant."""
    Y = np.hstack([responses(gaussian(20, seed)) for seed in range(3)])[:, :13]
    Y[:, 4] = 2.5
    layers = [gaussian(100), gaussian(12), repeated(20).astype(np.float32)]
    if solver in ("ols", "ridge"):
        return {"X": layers, "Y": Y, "folds": UNEVEN["of unequal sizes"], "inner": np.array([7, 0, 4])}
    # sizes that repeat: on devices, every new one is compiled
    return {"X": layers, "Y": Y, "folds": 3, "groups": np.arange(N) // 4 if solver == "inner" else None}


def run(solver: str, dtype: str, *, scores=("pearson", "r2"), **options) -> dict[str, np.ndarray]:
    """Every array of the result, by name."""
    options |= {"predictions": True, "dtype": dtype, "scores": scores}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridEdgeWarning)
        found = cross_validate(**problem(solver), solver=SOLVERS[solver], **options)
    predictions = {f"predictions {k}": values for k, values in enumerate(found.predictions)}
    others = {"inner r": found.inner_r, "pooled r2": found.pooled_r2, "alphas": found.alphas}
    return found.scores | predictions | {name: values for name, values in others.items() if values is not None}


def on_devices(folder: Path) -> None:
    """Run everything on meshes of eight devices, in a process of its own, and leave the results in a folder."""
    import jax

    def leave(name: str, solver: str, dtype: str, **options) -> None:
        try:
            np.savez(folder / f"{name}.npz", **run(solver, dtype, **options))
        except Exception:  # for the test that wants this file
            (folder / f"{name}.txt").write_text(traceback.format_exc())

    before = dict(jax.config.values) | {"x64": jax.config.jax_enable_x64}
    devices = np.array(jax.devices())
    for shape in MESHES:
        mesh = jax.sharding.Mesh(devices.reshape(shape), ("layer", "voxel"))
        for solver in SOLVERS:
            for dtype in TOLERANCES:
                leave(f"{shape[0]}x{shape[1]} {solver} {dtype}", solver, dtype, mesh=mesh)
    for solver in ("ols", "gcv"):
        leave(f"unasked {solver}", solver, "float32", scores=SCORES)
        leave(f"chunks {solver}", solver, "float64", mesh=mesh, chunk=5)
        hinted = jax.make_mesh((2, 4), ("layer", "voxel"))  # as the hint of a wrong mesh says
        leave(f"hinted {solver}", solver, "float32", mesh=hinted, scores=SCORES)
    after = dict(jax.config.values) | {"x64": jax.config.jax_enable_x64}
    mesh = choose_hardware().mesh
    facts = {"mesh": dict(mesh.shape), "untouched": before == after, "x64": after["x64"]}
    (folder / "facts.json").write_text(json.dumps(facts))


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("devices")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, str(folder)],
        env=os.environ | flags | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def assert_same(found: Path, expected: dict[str, np.ndarray], tolerance: float) -> None:
    """What devices left in a file is what the host gives; large values to their relative precision."""
    assert found.exists(), found.with_suffix(".txt").read_text()
    with np.load(found) as arrays:
        assert set(arrays) == set(expected)
        for name, values in expected.items():
            assert arrays[name].dtype == values.dtype
            scale = max(1.0, np.nanmax(np.abs(values)))
            np.testing.assert_allclose(arrays[name], values, rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", MESHES)
def test_eight_devices_give_the_numbers_of_the_host(results, shape, solver, dtype):
    assert_same(results / f"{shape[0]}x{shape[1]} {solver} {dtype}.npz", run(solver, dtype), TOLERANCES[dtype])


def test_all_devices_are_taken_unasked_and_the_configuration_is_left_alone(results):
    facts = json.loads((results / "facts.json").read_text())
    assert facts == {"mesh": {"layer": 1, "voxel": 8}, "untouched": True, "x64": False}


@pytest.mark.parametrize("solver", ["ols", "gcv"])
def test_meshes_of_any_making_and_chunks(results, solver):
    every = run(solver, "float32", scores=SCORES)
    assert_same(results / f"unasked {solver}.npz", every, 1e-6)
    assert_same(results / f"hinted {solver}.npz", every, 1e-6)
    assert_same(results / f"chunks {solver}.npz", run(solver, "float64"), 1e-12)


# --- choices ----------------------------------------------------------------------------------------------------------


def test_one_cpu_is_the_host():
    hardware = choose_hardware()
    assert hardware.mesh is None
    assert hardware.xp is np
    assert hardware.threads == processors() >= 1
    array = np.ones((2, 3))
    assert hardware.place(array) is array
    assert choose_hardware(threads=3, chunk=7) == Hardware(None, 3, 7)
    assert 2**20 < free_memory() < 2**50


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("chunk", [None, 1, 7, 5000])
@pytest.mark.parametrize("neuroids", [1, 2, 13, 1024, 100_003])
@pytest.mark.parametrize("bytes_each", [0, 4000, 2**40])
def test_chunks_cover_every_neuroid_once(neuroids, bytes_each, chunk, threads):
    neuroids = min(neuroids, 1024) if bytes_each == 2**40 else neuroids
    spans = Hardware(None, threads, chunk).chunks(neuroids, bytes_each)
    assert [0, *(span.stop for span in spans)] == [*(span.start for span in spans), neuroids]
    sizes = [span.stop - span.start for span in spans]
    assert min(sizes) > 0
    assert max(sizes) <= (chunk or HOST_CHUNK)
    if chunk is None:
        assert len(spans) >= min(threads, neuroids)
        assert max(sizes) == 1 or bytes_each < 2**40


def test_the_order_of_a_map_is_kept_and_errors_come_through():
    hardware = Hardware(None, 4, None)
    assert hardware.map(lambda k: k * k, range(50)) == [k * k for k in range(50)]
    with pytest.raises(ZeroDivisionError):
        hardware.map(lambda k: 1 // k, [1, 0])


def test_a_mesh_has_an_axis_for_layers_and_one_for_voxels():
    import jax

    with pytest.raises(JaxscoreError, match=r"axes \('x', 'y'\), expected \('layer', 'voxel'\)"):
        choose_hardware(mesh=jax.make_mesh((1, 1), ("x", "y")))
    mesh = jax.make_mesh((1, 1), ("voxel", "layer"))
    found = cross_validate([gaussian(20)], responses(gaussian(20)), SPLITS["shuffled"], mesh=mesh, dtype="float64").r
    expected = cross_validate([gaussian(20)], responses(gaussian(20)), SPLITS["shuffled"], dtype="float64").r
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert len(GROUPS) == N


if __name__ == "__main__":
    on_devices(Path(sys.argv[1]))
