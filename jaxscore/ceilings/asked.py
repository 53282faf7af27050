"""A ceiling that a person asks for: the same call on the command line and in Python."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jaxscore.cards import Card, load_benchmark
from jaxscore.cards.parts import Ceiling
from jaxscore.data.source import open_source
from jaxscore.errors import JaxscoreError, StoreError
from jaxscore.options import Options
from jaxscore.progress import Reporter

if TYPE_CHECKING:
    import xarray as xr


def ceiling_of(
    benchmark: str | Path | Card,
    *,
    method: str | None = None,
    over: str | None = None,
    subsets: int | None = None,
    held_out: int | None = None,
    bootstraps: int | None = None,
    seed: int | None = None,
    splits: str | None = None,
    folds: int | None = None,
    regression: str | None = None,
    data: str | Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    offline: bool = False,
    reporter: Reporter | None = None,
) -> tuple[xr.Dataset, list[Path]]:
    """The noise ceiling of a benchmark, computed with its own metric and splits.

    Args:
        benchmark: an identifier, the path of a card, or a card.
        method: "extrapolation" to infinitely many subjects, "holdout" of each subject in turn, "split-half" or
            "test-retest" of repetitions, "subject-halves" of the mean over subjects; by default the card's, or
            extrapolation.
        over: extrapolation over "subjects" or "electrodes".
        subsets: random subsets for each number of subjects; all by default.
        held_out: random held-out subjects of each subset; all by default.
        bootstraps: of each curve.
        seed: of all draws.
        splits: as for `jaxscore.score`, like `folds`, `regression` and `data`.
        folds: number of folds.
        regression: "ols", "ridge:ALPHA", "ridge-loo" or "ridge-gcv".
        data: a local file in place of the card's source.
        out: folder for table and figure; None writes nothing.
        overwrite: compute again even if it is in the cache.
        offline: never use the network.
        reporter: receives the phases.

    Returns:
        The ceiling, see `jaxscore.ceilings.estimate.estimate`; and the files that were written: NetCDF and PNG.

    Raises:
        JaxscoreError: for what cannot be computed; the message says what to change.
    """
    from jaxscore.ceilings.find import computed
    from jaxscore.data.material import load_material
    from jaxscore.metrics.targets import Targets
    from jaxscore.result import protocol_of

    reporter = reporter or Reporter()
    card = benchmark if isinstance(benchmark, Card) else load_benchmark(benchmark)
    options = Options(splits=splits, folds=folds, regression=regression, data=str(data) if data else None)
    options.check(card)
    card = options.in_force(card)
    given = {"method": method, "over": over, "subsets": subsets, "held_out": held_out, "bootstraps": bootstraps}
    card = card.model_copy(update={"ceiling": _asked(card.ceiling, given | {"seed": seed})})
    with reporter.phase("download"):
        source = open_source(card, offline=offline, progress=reporter.received)
    with reporter.phase("read data"):
        material = load_material(card, source)
    targets = Targets.of(card, material.assembly, 1)
    found, kept = computed(card, material, targets, protocol_of(card), source, reporter, overwrite=overwrite)
    return found, [] if out is None else _written(found, kept.stem, card, out)


def _asked(ceiling: Ceiling, given: dict[str, Any]) -> Ceiling:
    """The card's ceiling as one that is computed."""
    asked = ceiling.model_dump() | {"kind": "computed", "method": ceiling.method or "extrapolation"}
    try:
        return Ceiling(**asked | {name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise JaxscoreError(f"--{name} {first['input']!r}: {first['msg']}", "Type `jaxscore ceiling --help`.") from None


def _written(found: xr.Dataset, key: str, card: Card, out: Path) -> list[Path]:
    """NetCDF and PNG, both or none."""
    from jaxscore.data.fetch import atomic_path
    from jaxscore.report.ceilings import plot_ceiling

    stem = out / card.identifier / f"ceiling-{card.ceiling.method}.{key}"
    arrays, figure = (stem.with_name(f"{stem.name}{suffix}") for suffix in (".nc", ".png"))
    try:
        with ExitStack() as stack:
            temporary = {path: stack.enter_context(atomic_path(path)) for path in (figure, arrays)}
            temporary[arrays].write_bytes(bytes(found.to_netcdf(engine="h5netcdf")))
            plot_ceiling(found, temporary[figure])
    except OSError as error:
        raise StoreError(
            f"The ceiling cannot be written to {os.fspath(out)}: {error.strerror or error}. It is in the cache.",
            "Free some space, or name another folder with --out FOLDER.",
        ) from None
    return [arrays, figure]
