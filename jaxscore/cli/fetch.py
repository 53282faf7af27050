"""`jaxscore fetch`: what benchmarks need, brought to this machine before a run; or any file by its url."""

from __future__ import annotations

from typing import Annotated

import typer

from jaxscore.cli.bars import reporting
from jaxscore.errors import JaxscoreError


def fetch(
    what: Annotated[
        list[str], typer.Argument(metavar="ID|CARD.TOML|URL...", help="Benchmarks (`jaxscore ls benchmarks`), or urls.")
    ],
    sha256: Annotated[
        str | None, typer.Option(metavar="HASH", help="Expected hash of the one url.", show_default=False)
    ] = None,
    sha1: Annotated[
        str | None, typer.Option(metavar="HASH", help="Expected hash of the one url.", show_default=False)
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Fetch nothing: check that all of it is here and unchanged.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Fetch all that benchmarks need, or what is behind urls (s3, https, hf).

    Prints the sha256 and the path of each file, as `sha256sum --check` reads them. An unfinished download goes on where
    it stopped.
    """
    from rich.console import Console

    from jaxscore.cards import load_benchmark
    from jaxscore.data.download_wanted import Wanted, bring, needed

    if (sha256 or sha1) and not (len(what) == 1 and "://" in what[0]):
        raise JaxscoreError("--sha256 and --sha1 are the hashes of one url", "Name one url, or leave them out.")
    wanted = [
        file
        for each in what
        for file in ([Wanted(each, sha256, sha1)] if "://" in each else needed(load_benchmark(each)))
    ]
    here = []
    try:
        with reporting(Console(stderr=True, quiet=quiet)) as reporter:
            for found in bring(wanted, offline=offline, progress=reporter.received):
                here.append(found)
    finally:  # below the bars, and also what came before an error
        for found in here:
            typer.echo(f"{found.sha256}  {found.path}")
