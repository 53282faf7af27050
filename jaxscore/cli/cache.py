"""`jaxscore cache`: what lies in the cache folder, and taking it away."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jaxscore.cli.check import amount
from jaxscore.errors import JaxscoreError, did_you_mean

if TYPE_CHECKING:
    from jaxscore.data.cache_contents import Entry

app = typer.Typer(
    help="Show or remove what jaxscore keeps: downloads, activations, ceilings, compiled programs, weights.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("ls")
def ls() -> None:
    """List what is in the cache, and the sum of each kind."""
    from jaxscore.data.cache_contents import KINDS

    cache, entries = _open()
    width = max((len(_name(entry)) for entry in entries), default=0)
    for entry in entries:
        when = datetime.fromtimestamp(entry.when).strftime("%Y-%m-%d %H:%M")
        line = f"{entry.kind:<12} {amount(entry.size, 'B'):>8}  {when}  {_name(entry):<{width}}  {entry.url}"
        typer.echo(line.rstrip())
    for kind in KINDS:
        sizes = [entry.size for entry in entries if entry.kind == kind]
        typer.echo(f"{kind:<12} {amount(sum(sizes), 'B'):>8}  in all, {len(sizes)}")
    typer.echo(f"{cache} (JAXSCORE_CACHE moves it)", err=True)


@app.command("rm")
def rm(
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="[PATTERN]", help="Name or url, with * and ? if you like.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="downloads, activations, ceilings, compiled or weights.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that jaxscore keeps there.")] = False,
) -> None:
    """Remove what fits from the cache, without asking, and say what it was."""
    from jaxscore.data.cache_contents import KINDS, remove

    if (pattern or kind) if everything else not (pattern or kind):
        raise JaxscoreError(
            "Say what is to be removed: a pattern, a kind, or all",
            "Type `jaxscore cache rm PATTERN|--kind KIND|--all`.",
        )
    if kind is not None and kind not in KINDS:
        hint = f"Known: {', '.join(KINDS)}."
        raise JaxscoreError(f"Unknown kind {kind!r}. {did_you_mean(kind, KINDS)}".strip(), hint)
    cache, entries = _open()
    chosen = [each for each in entries if kind in (None, each.kind) and (pattern is None or each.matches(pattern))]
    if pattern and not chosen:
        known = dict.fromkeys(each.name for each in entries)
        raise JaxscoreError(
            f"Nothing in {cache} fits {pattern!r}. {did_you_mean(pattern, known)}".strip(),
            "`jaxscore cache ls` lists what is there.",
        )
    for entry in chosen:
        remove(entry)
        typer.echo(f"{entry.kind:<12} {amount(entry.size, 'B'):>8}  {_name(entry)}  {entry.url}".rstrip())
    typer.echo(f"removed {len(chosen)}, {amount(sum(each.size for each in chosen), 'B')}, from {cache}", err=True)


def _open() -> tuple[Path, list[Entry]]:
    """The cache folder and what is in it."""
    from jaxscore.data.cache_contents import contents, linked
    from jaxscore.data.fetch import default_cache

    cache = default_cache()
    for folder in linked(cache):
        typer.echo(f"{folder} is a link: it is left alone", err=True)
    return cache, contents(cache)


def _name(entry: Entry) -> str:
    return entry.name if entry.whole else f"{entry.name} (unfinished)"
