"""What every script in bench/ shares: arguments, rows, and a word on the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


def arguments(description: str) -> argparse.Namespace:
    """Parse --quick, --json and --shared."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smaller problem, under 50 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--shared", type=Path, default=SHARED, metavar="FOLDER", help="folder of the real data")
    return parser.parse_args()


def machine() -> str:
    """Processor, cores that may be used, and memory."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GiB"


def commit() -> str:
    """The commit that is measured, with a + where the tree differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def write(rows: list[dict], path: Path | None) -> None:
    """Print rows {name, value, unit, peer} as a table; with a path, write them there with machine and commit."""
    for row in rows:
        peer = f"  against {row['peer']}" if row.get("peer") else ""
        value = f"{row['value']:.3f}" if abs(row["value"]) >= 1e-3 or not row["value"] else f"{row['value']:.1e}"
        print(f"{row['name']:<32}{value:>12} {row['unit']}{peer}")
    if path:
        about = {"machine": machine(), "commit": commit()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{"peer": None} | row | about for row in rows], indent=2) + "\n")
