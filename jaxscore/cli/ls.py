"""`jaxscore ls`: the models and benchmarks there are."""

from __future__ import annotations

from typing import Annotated

import typer

from jaxscore.errors import JaxscoreError, did_you_mean

KINDS = ("models", "benchmarks")


def ls(
    kind: Annotated[str | None, typer.Argument(metavar="[models|benchmarks]", show_default=False)] = None,
) -> None:
    """List models or benchmarks; both without an argument."""
    if kind is not None and kind not in KINDS:
        raise JaxscoreError(
            f"Unknown list {kind!r}. {did_you_mean(kind, KINDS)}".strip(),
            "Type `jaxscore ls models` or `jaxscore ls benchmarks`.",
        )
    if kind in (None, "models"):
        from jaxscore.models.static import BASELINES, EMBEDDINGS
        from jaxscore.registry import MINI, MODELS

        files = {f"{kind}:FILE": f"word vectors of your own, usually {usual}" for kind, usual in EMBEDDINGS.items()}
        _rows({MINI: "comes with jaxscore", **BASELINES, **files, **MODELS})
        typer.echo(
            "Any other hub id (organisation/name, @revision) or local checkpoint folder works as well.", err=True
        )
    if kind is None:
        typer.echo()
    if kind in (None, "benchmarks"):
        from jaxscore.cards import known_cards, load_benchmark

        _rows({name: load_benchmark(name).title for name in known_cards()})
        typer.echo("Your own data: a card beside your file, --benchmark my_study.toml.", err=True)


def _rows(rows: dict[str, str]) -> None:
    width = max(map(len, rows)) + 2
    for name, text in rows.items():
        typer.echo(f"{name:<{width}}{text}")
