"""A batch that is killed at random and started again, until it ends by itself: what is there then, against a quiet run.

    python bench/kills.py [--quick] [--json FILE]

Six checkpoints of the embedded model's shape and two baselines on two benchmarks, the embedded one and one that extends
it: 16 results. SIGKILL comes at a random time within the length of a quiet run, and the next start goes on in the same
folder, with the same cache of compiled programs. Now and then, and whenever a folder is complete, a record is truncated
or a byte of a file of arrays flipped instead: that start, which is not killed, has to name the file. Every start that
ends by itself has to leave the complete set of results, byte-equal to that of the quiet run apart from `seconds` and
`created` of the records. 50 kills; `--quick`: 5.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batch import change
from common import ROOT, arguments, machine, write

MODELS = [f"step-{number}" for number in range(1, 7)]
COMMAND = ["batch", *MODELS, "sentence-length", "random-embedding", "-b", "Simulated2026-encoding", "-b", "second.toml"]
SECOND = 'identifier = "Simulated2026-second"\nextends = "Simulated2026-encoding"\n\n[regression]\nalpha = 10.0\n'
DAMAGED = 0.15  # of the starts on a folder that is not complete
PATIENCE = 300.0  # seconds, for a start that is not killed


def prepare(folder: Path) -> None:
    """Checkpoints and the second card."""
    mini = ROOT / "jaxscore" / "models" / "mini"
    for seed, name in enumerate(MODELS):
        (folder / name).mkdir()
        for path in [*mini.glob("*.json"), mini / "model.safetensors"]:
            shutil.copy(path, folder / name)
        change(folder / name / "model.safetensors", "transformer.wte.weight", seed)
    (folder / "second.toml").write_text(SECOND)


class Batch:
    """The same command in the same folder, again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.environment = os.environ | {"JAXSCORE_CACHE": str(folder / "cache"), "JAX_PLATFORMS": "cpu"}

    def start(self, seconds: float | None = None) -> str | None:
        """Run it and kill it after so many seconds: what it said, or None if it was killed."""
        said = self.folder / "said.txt"
        with said.open("w") as file:
            command = [sys.executable, "-m", "jaxscore", *COMMAND, "--out", str(self.out)]
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=file, stderr=file)
            try:
                code = process.wait(PATIENCE if seconds is None else seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                if seconds is None:
                    raise SystemExit(f"no end after {PATIENCE:.0f} s:\n{said.read_text()[-3000:]}") from None
                return None
        if code:
            raise SystemExit(f"ended with {code}:\n{said.read_text()[-3000:]}")
        return said.read_text()

    def results(self) -> dict[str, bytes]:
        """Every file that is there but notes and what a killed process left unfinished; records without times."""
        paths = (path for path in self.out.glob("[!.]*/*") if not path.name.startswith("."))
        return {path.relative_to(self.out).as_posix(): _content(path) for path in paths}

    def damage(self, rng: random.Random) -> Path | None:
        """Truncate a record, or flip a byte of a file of arrays; None where there is none yet."""
        records = sorted(self.out.glob("[!.]*/*.json"))
        if not records:
            return None
        path = rng.choice(records).with_suffix(rng.choice([".json", ".nc"]))
        content = bytearray(path.read_bytes())
        place = rng.randrange(len(content))
        if path.suffix == ".json":
            del content[place:]
        else:
            content[place] ^= 255
        path.write_bytes(content)
        return path


def _content(path: Path) -> bytes:
    if path.suffix != ".json":
        return path.read_bytes()
    record = json.loads(path.read_bytes())
    del record["seconds"], record["created"]
    return json.dumps(record, sort_keys=True).encode()


def main() -> None:
    """Run quietly, then kill, compare, print."""
    options = arguments(__doc__.split("\n")[0])
    wanted, rng = 5 if options.quick else 50, random.Random(0)
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        batch = Batch(Path(name))
        prepare(batch.folder)
        start = time.perf_counter()
        batch.start()
        length, expected = time.perf_counter() - start, batch.results()
        print(f"  a quiet run: {length:.1f} s, {len(expected)} files")
        shutil.rmtree(batch.out)
        kills, equal, named, complete, hurt = 0, [], [], False, None
        while kills < wanted or not hurt:
            hurt = batch.damage(rng) if complete or rng.random() < DAMAGED else None
            said = batch.start(rng.uniform(0, length) if hurt is None and kills < wanted else None)
            if said is None:
                kills += 1
                continue
            equal.append(batch.results() == expected)
            if hurt:
                named.append(str(hurt) in said)
                shutil.rmtree(batch.out)
            complete = not hurt
            print(f"  {kills} kills: {'the same set' if equal[-1] else 'ANOTHER SET'}", flush=True)
            if hurt:
                print(f"    {hurt.relative_to(batch.out)} was damaged: {'named' if named[-1] else 'NOT NAMED'}")
    write(
        [
            {"name": "kills", "value": kills, "unit": f"in {len(equal)} sets"},
            {"name": "kills_sets_equal", "value": sum(equal) / len(equal), "unit": "of the sets", "peer": "goal 1"},
            {
                "name": "kills_damaged_named",
                "value": sum(named) / len(named),
                "unit": f"of {len(named)} damaged files",
                "peer": "goal 1",
            },
        ],
        options.json,
    )


if __name__ == "__main__":
    main()
