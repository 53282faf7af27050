"""`python -m jaxscore.plugin`: put jaxscore's models and metrics into the brain-score of this environment."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence

from jaxscore import __version__
from jaxscore.errors import JaxscoreError
from jaxscore.plugin import installing
from jaxscore.plugin.client import VARIABLE, Client, client


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m jaxscore.plugin", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("install", help="register models and metrics", allow_abbrev=False)
    one.add_argument("--python", default=os.environ.get(VARIABLE), help="interpreter that has all of jaxscore")
    one.add_argument(
        "--model", action="append", default=[], metavar="NAME=PATH", help="a checkpoint of your own, as jaxscore-NAME"
    )
    one.set_defaults(run=_install)
    commands.add_parser("uninstall", help="remove what install wrote").set_defaults(run=_uninstall)
    commands.add_parser("check", help="ask the other jaxscore whether it is there").set_defaults(run=_check)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except JaxscoreError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _install(given: argparse.Namespace) -> None:
    if not given.python:
        raise JaxscoreError("Which Python has jaxscore?", installing.COMMAND)
    own = installing.parse_models(given.model)
    package = installing.platform_folder()
    # links stay: a virtual environment's interpreter is one
    python = os.path.abspath(shutil.which(given.python) or given.python)
    _say(Client(python))
    for folder in installing.install(package, python, own):
        print(f"Wrote {folder}")
    print(f"Models are called {installing.PREFIX}NAME, metrics jaxscore_linear_pearsonr and so on.")


def _uninstall(given: argparse.Namespace) -> None:
    for folder in installing.uninstall(installing.platform_folder()):
        print(f"Removed {folder}")


def _check(given: argparse.Namespace) -> None:
    _say(client())


def _say(worker: Client) -> None:
    try:
        found, _ = worker.ask("versions")
    finally:
        worker.close()
    print(f"{worker.python} has jaxscore {__version__}: {json.dumps(found)}")


if __name__ == "__main__":
    raise SystemExit(main())
