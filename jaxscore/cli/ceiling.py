"""`jaxscore ceiling`: the noise ceiling of a benchmark, computed from its own responses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxscore.cli.bars import reporting


def ceiling(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", help="Identifier or card.toml.")],
    method: Annotated[
        str | None,
        typer.Option(help="extrapolation, holdout, split-half, test-retest or subject-halves.", show_default="card's"),
    ] = None,
    over: Annotated[
        str | None, typer.Option(help="Extrapolate over subjects or electrodes.", show_default="card's")
    ] = None,
    subsets: Annotated[
        int | None, typer.Option(help="Random subsets for each number of subjects.", show_default="card's, all", min=1)
    ] = None,
    held_out: Annotated[
        int | None, typer.Option(help="Random held-out subjects of a subset.", show_default="card's, all", min=1)
    ] = None,
    bootstraps: Annotated[int | None, typer.Option(help="Of each curve.", show_default="card's, 100", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Of all draws.", show_default="card's, 0")] = None,
    splits: Annotated[str | None, typer.Option(help="As for run.", show_default="card's")] = None,
    folds: Annotated[int | None, typer.Option(help="As for run.", show_default="card's")] = None,
    regression: Annotated[str | None, typer.Option(help="As for run.", show_default="card's")] = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Local file in place of the card's source.", show_default=False)
    ] = None,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Where table and figure go.")] = "jaxscore-results",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Compute again what is there.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as one line.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Compute the noise ceiling of BENCHMARK with its own metric and splits: a table per subject and a figure."""
    from rich.console import Console

    from jaxscore.ceilings.asked import ceiling_of
    from jaxscore.report.ceilings import render_ceiling

    choices = {
        "method": method, "over": over, "subsets": subsets, "held_out": held_out, "bootstraps": bootstraps,
        "seed": seed, "splits": splits, "folds": folds, "regression": regression, "data": data,
    }  # fmt: skip
    with reporting(Console(stderr=True, quiet=quiet)) as reporter:
        found, paths = ceiling_of(
            benchmark, out=Path(out), overwrite=overwrite, offline=offline, reporter=reporter, **choices
        )
    if as_json:
        attrs = {name: value.item() if hasattr(value, "item") else value for name, value in found.attrs.items()}
        attrs = {name: None if value != value else value for name, value in attrs.items()}  # JSON has no NaN
        typer.echo(json.dumps(attrs | {"paths": [str(path) for path in paths]}, ensure_ascii=False))
        return
    typer.echo(render_ceiling(found, color=sys.stdout.isatty()), nl=False)
    for path in paths:
        typer.echo(str(path))
