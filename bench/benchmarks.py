"""Every card that is shipped, at full size from `s3://` to a stored score: seconds and score of each with `mini`.

    python bench/benchmarks.py [--quick] [--json FILE]

Both buckets are mirrored on this machine (see `full_mirror`): real stimuli, published shapes, SIMULATED responses, so
that the scores say that the way is whole and nothing about brains. Alice2016 and the regions of Tuckute2024 are real.
Each card is timed in this process one after the other, in a fresh cache: download, all layers, ceilings, figure and
record. `--quick`: a few neuroids and stimuli.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, write
from full_mirror import LOCAL, PARTICIPANTS, REGIONS, Mirror, mirror
from measuring import memory

import jaxscore
from jaxscore.cards import known_cards
from jaxscore.progress import Reporter

MODEL = "mini"


def data_of(name: str, served: Mirror, shared: Path) -> dict[str, Any]:
    """What a person names with --data, for cards whose data are in neither bucket."""
    if name.startswith("Tuckute2024participant"):
        return {"data": served.folder / LOCAL / PARTICIPANTS}
    if name.startswith("Tuckute2024roi") or name == "Tuckute2024-recommended":
        return {"data": served.folder / LOCAL / REGIONS}
    return {"data": shared / "alice_brennan2016"} if name.startswith("Alice2016") else {}


def main() -> None:
    """Score card by card, print each as it is done, write the rows."""
    options, rows = arguments(__doc__.split("\n")[0]), []
    with mirror("small" if options.quick else "full") as served, tempfile.TemporaryDirectory() as out:
        for name in known_cards():
            start = time.perf_counter()
            given = data_of(name, served, options.shared)
            found = jaxscore.score(MODEL, served.card(name), out=out, reporter=Reporter(), **given)
            seconds = time.perf_counter() - start
            phases = " ".join(
                f"{phase} {value:.1f}" for phase, value in found.record["seconds"].items() if value >= 0.1
            )
            print(f"{name:<42}{seconds:>8.1f} s  score {found.value:>7.3f}  {phases}", flush=True)
            rows.append({"name": f"benchmark_seconds/{name}", "value": seconds, "unit": "s"})
            if np.isfinite(found.value):
                rows.append({"name": f"benchmark_score/{name}", "value": found.value, "unit": "of the ceiling"})
    rows.append({"name": "benchmarks_peak_gb", "value": memory("VmHWM"), "unit": "GiB"})
    write(rows, options.json)


if __name__ == "__main__":
    main()
