"""`jaxscore run`: the main job."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from jaxscore.cli import choices
from jaxscore.cli.bars import no_hub_bars, reporting
from jaxscore.registry import MINI

EMBEDDED = "Simulated2026-encoding"
DEFAULT = "Pereira2018-encoding"

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="A name (`jaxscore ls models`), a checkpoint folder, a hub id with an optional @revision, or glove:FILE.",
        show_default=False,
    ),
]


def run(
    model: Model = None,
    benchmark: choices.Benchmarks = None,
    layers: choices.Layers = None,
    pooling: choices.Pooling = None,
    context: choices.Context = None,
    protocol: choices.Protocol = None,
    window: choices.Window = None,
    stride: choices.Stride = None,
    bidirectional: choices.Bidirectional = None,
    reduction: choices.Reduction = None,
    regression: choices.Regression = None,
    rcond: choices.Rcond = None,
    splits: choices.Splits = None,
    folds: choices.Folds = None,
    bos: choices.Bos = "auto",
    seed: choices.Seed = 0,
    untrained: choices.Untrained = False,
    dtype: choices.Dtype = "float32",
    batch_size: choices.BatchSize = None,
    tensor: choices.Tensor = None,
    data: choices.Data = None,
    out: choices.Out = "jaxscore-results",
    overwrite: choices.Overwrite = False,
    offline: choices.Offline = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record, one line per benchmark.")] = False,
    quiet: choices.Quiet = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Seconds of each phase, paths of the regression.")
    ] = False,
    debug: choices.Debug = False,
) -> None:
    """Score MODEL on brain benchmarks, every layer at once.

    `jaxscore run MODEL` scores it on Pereira2018-encoding. `jaxscore run` alone is a demonstration that needs no
    network: the embedded model `mini` on the embedded, SIMULATED benchmark.
    """
    names = benchmark or [DEFAULT if model else EMBEDDED]
    from jaxscore.cards import load_benchmark
    from jaxscore.models import load_model

    cards = [load_benchmark(name) for name in names]  # a typing error is found before anything is loaded
    if quiet:
        no_hub_bars()
    loaded = load_model(model or MINI, untrained=untrained, seed=seed, dtype=dtype, offline=offline)
    asked = {
        "layers": layers, "pooling": pooling, "context": context, "protocol": protocol, "window": window,
        "stride": stride, "bidirectional": bidirectional, "reduction": reduction, "regression": regression,
        "rcond": rcond, "splits": splits, "folds": folds, "bos": bos, "batch_size": batch_size, "tensor": tensor,
        "data": data, "out": out, "overwrite": overwrite, "offline": offline, "dtype": dtype,
    }  # fmt: skip
    for card in cards:
        _one(loaded, card, asked, as_json=as_json, quiet=quiet, verbose=verbose)


def _one(loaded, card, asked: dict, *, as_json: bool, quiet: bool, verbose: bool) -> None:
    from rich.console import Console

    from jaxscore.scoring import score

    errors = Console(stderr=True, quiet=quiet)
    with reporting(errors) as reporter:
        found = score(loaded, card, **asked, reporter=reporter)
    for note in reporter.notes:
        errors.print(note, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if found.resumed:
        errors.print("Already scored: nothing was computed (--overwrite computes it again).", style="dim")
    if as_json:
        paths = {
            "record": str(found.paths.record),
            "arrays": str(found.paths.arrays),
            "figure": str(found.paths.figure),
        }
        typer.echo(json.dumps(found.record | {"paths": paths}, ensure_ascii=False))
    else:
        from jaxscore.report.tables import render

        typer.echo(render(found.layers, color=sys.stdout.isatty()), nl=False)
        for path in (found.paths.record, found.paths.arrays, found.paths.figure):
            typer.echo(str(path))
    if verbose:
        _explain(errors, found.record)


def _explain(console, record: dict) -> None:
    seconds = ", ".join(f"{name} {value:.2f}" for name, value in record["seconds"].items())
    console.print(f"seconds: {seconds}", highlight=False, soft_wrap=True)
    console.print(f"device: {record['device']}", highlight=False, soft_wrap=True)
    for part, rows in record["result"]["regression"].items():
        for row in rows:
            condition = "full rank not reached" if row["condition"] is None else f"condition <= {row['condition']:.1e}"
            console.print(
                f"{part} {row['layer']}: {row['paths']}, rank {row['rank'][0]}-{row['rank'][1]}, {condition}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
