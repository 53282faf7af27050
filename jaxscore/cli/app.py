"""The command line: a thin layer over the same calls as in Python. Data go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Annotated, NoReturn

import typer

from jaxscore import __version__
from jaxscore.cli import batch, cache, ceiling, check, extract, fetch, ls, perplexity, run, show, status, table
from jaxscore.cli.compilation import keep_compilations
from jaxscore.errors import JaxscoreError

app = typer.Typer(
    name="jaxscore",
    help="Score language models against human brain recordings: every layer, fold and voxel in one pass.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("batch")(batch.batch)
app.command("status")(status.status)
app.command("table")(table.table)
app.command("ceiling")(ceiling.ceiling)
app.command("fetch")(fetch.fetch)
app.command("perplexity")(perplexity.perplexity)
app.add_typer(cache.app, name="cache")
app.command("extract")(extract.extract)
app.command("check")(check.check)
app.command("ls")(ls.ls)
app.command("show")(show.show)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jaxscore {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; errors of the input end with one message and exit code 2."""
    arguments = sys.argv[1:]
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that torch is not there is no news
    keep_compilations()
    debug = "--debug" in arguments  # accepted anywhere on the line
    main_thread = threading.current_thread() is threading.main_thread()  # the only one that may handle signals
    previous = signal.signal(signal.SIGINT, _interrupted) if main_thread else None
    try:
        app([argument for argument in arguments if argument != "--debug"])
    except JaxscoreError as error:
        if debug:
            raise
        _complain(str(error))
        sys.exit(2)
    except BrokenPipeError:  # `jaxscore ls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        _complain(f"{type(error).__name__}: {error}\nThis is a defect of jaxscore. Add --debug for the traceback.")
        sys.exit(1)
    finally:
        if main_thread:
            signal.signal(signal.SIGINT, previous)


def _interrupted(*_: object) -> NoReturn:
    _complain("interrupted; nothing half-written is left, run the same command again to go on")
    sys.exit(130)


def _complain(message: str) -> None:
    typer.echo(f"jaxscore: {message}", err=True)
