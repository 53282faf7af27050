"""Eight simulated devices give the scores of one, side by side and with the weights shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

EIGHT = "--xla_force_host_platform_device_count=8"


def _layers(folder, *arguments: str, flags: str = "") -> dict[str, list[float]]:
    """Score and r of every layer; the activations of one run are no other's."""
    environment = os.environ | {"XLA_FLAGS": flags, "JAXSCORE_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "jaxscore", "run", "--quiet", "--json", "--out", str(folder / "out"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["device"]["count"] == (8 if flags else 1)
    return {name: [row[name] for row in record["result"]["layers"]] for name in ("score", "r")}


@pytest.mark.parametrize("tensor", ["1", "2", "8"])
def test_eight_devices(tmp_path, tensor):
    model = ["mini", "-b", "Simulated2026-encoding"]
    one = _layers(tmp_path / "one", *model)
    eight = _layers(tmp_path / "eight", *model, "--tensor", tensor, flags=EIGHT)
    for name, values in one.items():
        assert eight[name] == pytest.approx(values, abs=1e-6)
