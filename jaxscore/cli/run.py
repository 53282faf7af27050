"""`jaxscore run`: the main job."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

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
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", "-b", help="Identifier or card.toml; may be repeated.", show_default=False),
    ] = None,
    layers: Annotated[str | None, typer.Option(help="Names, numbers, ranges: drop,3,5-8.", show_default="all")] = None,
    pooling: Annotated[
        str | None, typer.Option(help="last, mean, sum, first or cls (first token read).", show_default="card's")
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Read in its passage, story, or sentence (none).", show_default="card's")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="chained (2021), parts (today's platform), joined (running text).", show_default="card's"),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(help="Longest input in tokens.", show_default="card's, 512; parts: the model's longest"),
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens between windows.", show_default="protocol's")] = None,
    bidirectional: Annotated[
        str | None,
        typer.Option(help="Bidirectional models see the prefix, or the full context.", show_default="card's"),
    ] = None,
    reduction: Annotated[
        str | None, typer.Option(help="Narrower layers: random:K, subsample:K, pca:K.", show_default="none")
    ] = None,
    regression: Annotated[
        str | None, typer.Option(help="ols, ridge:ALPHA, ridge-loo or ridge-gcv.", show_default="card's")
    ] = None,
    rcond: Annotated[float | None, typer.Option(help="Rank cut-off of ols.", show_default="card's, 1e-6")] = None,
    splits: Annotated[
        str | None, typer.Option(help="shuffled, contiguous or grouped (by passage).", show_default="card's")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Number of folds.", show_default="card's")] = None,
    bos: Annotated[str, typer.Option(help="Start token of each context: auto, never, always.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of untrained weights (folds keep the card's).")] = 0,
    untrained: Annotated[bool, typer.Option("--untrained", help="Freshly drawn weights.")] = False,
    dtype: Annotated[str, typer.Option(help="Of the weights: float32, bfloat16, float16.")] = "float32",
    batch_size: Annotated[int | None, typer.Option(help="Texts in a batch.", show_default="by device", min=1)] = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Local file in place of the card's source.", show_default=False)
    ] = None,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Where results go.")] = "jaxscore-results",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Compute again what is there.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record, one line per benchmark.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Seconds of each phase, paths of the regression.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
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
    choices = {
        "layers": layers, "pooling": pooling, "context": context, "protocol": protocol, "window": window,
        "stride": stride, "bidirectional": bidirectional, "reduction": reduction, "regression": regression,
        "rcond": rcond, "splits": splits, "folds": folds, "bos": bos, "batch_size": batch_size, "data": data,
        "out": out, "overwrite": overwrite, "offline": offline, "dtype": dtype,
    }  # fmt: skip
    for card in cards:
        _one(loaded, card, choices, as_json=as_json, quiet=quiet, verbose=verbose)


def _one(loaded, card, choices: dict, *, as_json: bool, quiet: bool, verbose: bool) -> None:
    from rich.console import Console

    from jaxscore.scoring import score

    errors = Console(stderr=True, quiet=quiet)
    with reporting(errors) as reporter:
        found = score(loaded, card, **choices, reporter=reporter)
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
