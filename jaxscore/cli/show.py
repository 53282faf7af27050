"""`jaxscore show`: a benchmark's card, a model's origin, or a result that was written before."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxscore.errors import JaxscoreError, did_you_mean


def show(
    what: Annotated[
        str, typer.Argument(metavar="ID|RESULT", help="A benchmark, a card.toml, a model, or a result's file.")
    ],
) -> None:
    """Show a benchmark's card, a model, or a result (its .json, .nc or .png)."""
    from jaxscore.cards import known_cards, read_card
    from jaxscore.models.static import BASELINES
    from jaxscore.registry import MINI, MODELS

    path = Path(what)
    if what in known_cards() or path.suffix == ".toml":
        path = known_cards().get(what, path)
        read_card(path)  # an error names what is wrong with it
        typer.echo(path.read_text(encoding="utf-8").rstrip())
    elif path.suffix in (".json", ".nc", ".png"):
        _result(path)
    elif what == MINI:
        from jaxscore.models.hub import find_checkpoint

        typer.echo((find_checkpoint(MINI).folder / "README.md").read_text(encoding="utf-8").rstrip())
    elif what in BASELINES:
        typer.echo(f"{what}: {BASELINES[what]}. Score it: jaxscore run {what}")
    elif what in MODELS:
        typer.echo(f"{what}: {MODELS[what]} on the hub. Score it: jaxscore run {what}")
    else:
        raise JaxscoreError(
            f"Nothing is called {what!r}. {did_you_mean(what, [*known_cards(), MINI, *BASELINES, *MODELS])}".strip(),
            "Give a benchmark or model (`jaxscore ls`), a card.toml, or the .json of a result.",
        )


def _result(path: Path) -> None:
    from jaxscore.report.tables import render
    from jaxscore.scoring import reopen

    found = reopen(path)
    typer.echo(render(found.layers, color=sys.stdout.isatty()), nl=False)
    for name, value in {
        "scored": found.record["created"],
        "jaxscore": found.record["versions"]["jaxscore"],
        "model": f"{found.record['model']['source']} {found.record['model']['commit'] or ''}".strip(),
        "data": f"{found.record['benchmark']['data']['url']} sha256 {found.record['benchmark']['data']['sha256'][:12]}",
    }.items():
        typer.echo(f"{name:<10}{value}")
    for file in (found.paths.record, found.paths.arrays, found.paths.figure):
        typer.echo(str(file))
