"""Several processes write at once, to one folder and one bucket: every result is there once, and whole."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread

from jaxscore.errors import StoreError
from jaxscore.store.places import Place, open_place
from jaxscore.store.records import Paths, examine, read_arrays, result_paths, save_result

PROCESSES, ROUNDS = 4, 3


def layers(value: float) -> xr.Dataset:
    """A table of one layer."""
    names = ("score", "error", "r", "ceiling")
    known = {
        "model": "tiny", "benchmark": "bench", "splits": "3 folds", "error_over": "subjects", "ceiling_source": "none",
    }  # fmt: skip
    return xr.Dataset({name: ("layer", [value]) for name in names}, {"layer": ["drop"]}, known)


def arrays(value: float) -> xr.Dataset:
    """Correlations, one of them missing, beside what netCDF can hold besides."""
    r = np.random.default_rng(7).normal(value, 1, (1, 1, 3, 50)).astype(np.float32)
    r[0, 0, 0, 0] = np.nan
    return xr.Dataset(
        {"r": (("layer", "part", "fold", "neuroid"), r), "score": ("layer", [value])},
        {"layer": ["drop"], "neuroid_id": ("neuroid", [f"n{i}" for i in range(50)])},
        {"benchmark": "bench"},
    )


def save(place: Place, model: str, value: float, **more: object) -> dict:
    """Save a result whose record has the value too."""
    paths = result_paths(place, "bench", model, "0123456789abcdef")
    return save_result(paths, {"value": value} | more, arrays(value), layers(value))


# Processes that take each step together. The same: all write one result; contested: all write other content under one
# name, as no two versions of jaxscore may, and devices whose last digits differ will; own: each writes its own.
WRITERS = f"""
import json, multiprocessing, sys, time
import boto3, h5netcdf, matplotlib.image, xarray
import jaxscore.report.plots
from jaxscore.store import records
from jaxscore.store.places import open_place
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_writers import save

def write(where, number, barrier, done):
    told, draw, pictures = [], records._drawn, dict()

    def together(layers):
        value = layers["score"].item()
        pictures[value] = pictures.get(value) or draw(layers)
        barrier.wait()  # nothing is left to do but to write
        return pictures[value]

    records._drawn = together
    for url in where:
        place = open_place(url)
        for k in range({ROUNDS}):
            barrier.wait()
            told.append(place.create("leases/%d" % k, b"%d" % number))
            save(place, "same", 0.5, created=time.time())
            save(place, "contested-%d" % k, 0.1 * number, created=time.time())
        save(place, "own-%d" % number, 0.1 * number, created=time.time())
    done.put((number, told))

context = multiprocessing.get_context("fork")
barrier, done = context.Barrier({PROCESSES}), context.SimpleQueue()
processes = [context.Process(target=write, args=(sys.argv[1:], i, barrier, done)) for i in range({PROCESSES})]
for process in processes:
    process.start()
for process in processes:
    process.join(60)
assert [process.exitcode for process in processes] == [0] * {PROCESSES}
print(json.dumps(sorted(done.get() for _ in processes)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_processes_that_write_at_once(tmp_path, s3):
    before = {url: open_place(url) for url in (str(tmp_path / "shared"), s3)}
    done = subprocess.run([sys.executable, "-c", WRITERS, *before], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = dict(json.loads(done.stdout))
    assert len(told) == PROCESSES
    results = ["same", *(f"contested-{k}" for k in range(ROUNDS)), *(f"own-{i}" for i in range(PROCESSES))]
    for n, place in enumerate(before.values()):
        for k in range(ROUNDS):
            (creator,) = [number for number in told if told[number][n * ROUNDS + k]]
            assert place.read(f"leases/{k}") == b"%d" % creator
        expected = {f"bench/{name}.0123456789abcdef{end}" for name in results for end in (".json", ".nc", ".png")}
        assert set(place.names("bench/")) == expected
        for name in results:
            paths = result_paths(place, "bench", name, "0123456789abcdef")
            found = examine(paths)
            assert found.problem is None
            assert read_arrays(paths)["score"].item() == found.record["value"]  # of one writer, all three
        value = examine(result_paths(place, "bench", "own-3", "0123456789abcdef")).record["value"]
        assert value == pytest.approx(0.3)
        # as another process, at another time, writes it
        names = [f"bench/same.0123456789abcdef{end}" for end in (".nc", ".png")]
        written = [place.read(name) for name in names]
        save(place, "same", 0.5)
        assert [place.read(name) for name in names] == written


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """The files of a result."""
    place = open_place(tmp_path_factory.mktemp("results"))
    save(place, "tiny", 0.25, seconds={"regression": 1.0})
    return {name: place.read(name) for name in place.names()}


@pytest.fixture
def saved(place, files) -> Paths:
    """A result in both kinds of places."""
    place.write_all(files)
    return result_paths(place, "bench", "tiny", "0123456789abcdef")


def test_saved_and_read(place):
    save(place, "tiny", 0.25, seconds={"regression": 1.0})
    saved = result_paths(place, "bench", "tiny", "0123456789abcdef")
    record = examine(saved).record
    assert record["value"] == 0.25
    assert record["seconds"].keys() == {"regression", "save"}
    assert json.loads(saved.place.read(f"{saved.stem}.json")) == record
    assert list(record["files"]) == ["tiny.0123456789abcdef.nc", "tiny.0123456789abcdef.png"]
    xr.testing.assert_identical(read_arrays(saved), arrays(0.25))
    assert imread(BytesIO(saved.place.read(f"{saved.stem}.png")), format="png").shape == (1080, 1920, 4)


def test_only_seconds_and_times_differ(saved):
    """Byte for byte."""
    names = [f"{saved.stem}{end}" for end in (".json", ".nc", ".png")]
    first = [saved.place.read(name) for name in names]
    save(saved.place, "tiny", 0.25, seconds={"regression": 9.0})
    second = [saved.place.read(name) for name in names]
    assert second[1:] == first[1:]
    records = [json.loads(content[0]) for content in (first, second)]
    assert [record.pop("seconds")["regression"] for record in records] == [1.0, 9.0]
    assert json.dumps(records[0]) == json.dumps(records[1])


@pytest.mark.parametrize(
    ("end", "content", "reason"),
    [
        (".json", b"", "not a whole record"),
        (".json", b'{"schema": 1, "val', "not a whole record"),
        (".json", b"\xff", "not a whole record"),
        (".json", b"[" * 100_000, "not a whole record"),
        (".json", b"null", "not a whole record"),
        (".json", b"{}", "not a whole record"),
        (".json", b'{"schema": 1, "files": {}}', "not a whole record"),
        (".json", b'{"schema": 2}', "schema 2, this version reads 1"),
        (".nc", None, "missing"),
        (".png", None, "missing"),
        (".nc", b"", "sha256 differs"),
        (".png", b"PNG", "sha256 differs"),
    ],
)
def test_damage_is_named(saved, end, content, reason):
    name = f"{saved.stem}{end}"
    if content is None:
        saved.place.remove(name)
    else:
        saved.place.write(name, content)
    found = examine(saved)
    assert found.record is None
    assert found.problem.startswith(f"{saved.place.at(name)} is ")
    assert reason in found.problem
    assert "\n" not in found.problem


def test_no_record_is_no_result(saved):
    saved.place.remove(f"{saved.stem}.json")
    found = examine(saved)
    assert (found.record, found.problem) == (None, None)


def test_a_folder_in_the_place_of_a_record(tmp_path):
    paths = result_paths(open_place(tmp_path), "bench", "tiny", "0123456789abcdef")
    paths.record.mkdir(parents=True)
    assert examine(paths).problem == f"{paths.record} cannot be read: Is a directory"
    with pytest.raises(StoreError, match="cannot be written"):
        save(paths.place, "tiny", 0.25)


@pytest.mark.parametrize("content", [None, b"", b"CDF", b"\x89HDF\r\n\x1a\n"])
def test_arrays_that_cannot_be_read(saved, content):
    name = f"{saved.stem}.nc"
    saved.place.remove(name) if content is None else saved.place.write(name, content)
    with pytest.raises(StoreError, match=r"\.nc cannot be read"):
        read_arrays(saved)
