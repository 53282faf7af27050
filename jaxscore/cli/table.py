"""`jaxscore table`: all results below folders as one table."""

from __future__ import annotations

import io
import json
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from jaxscore.errors import JaxscoreError, StoreError

if TYPE_CHECKING:
    import pandas as pd

    from jaxscore.store.places import Place

DEFAULT = "jaxscore-results"
SUFFIXES = (".csv", ".parquet")


def table(
    where: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FOLDER|s3://...]...", help="Where results are.", show_default=DEFAULT),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where to: .csv or .parquet.", show_default="prints CSV"),
    ] = None,
    chosen: Annotated[
        bool, typer.Option("--chosen", help="One row a result: the chosen layer, with its nested score.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Also compare all files with the hashes in their records.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """One tidy table of all results: a row for each result and layer.

    Records that are damaged are named and left out; the exit code is then 1, as it is where there are no results.

    jaxscore table --chosen

    jaxscore table jaxscore-results s3://bucket/results --out results.parquet
    """
    if out is not None:
        _check_out(out, as_json=as_json, overwrite=overwrite)
    from jaxscore.store.table import read_results

    wheres = where or [DEFAULT]
    found = read_results(wheres, chosen=chosen, check=check)
    if out is not None:
        _write(found.table, out)
    elif as_json:
        typer.echo(_lines(found.table), nl=False)
    else:
        typer.echo(found.table.to_csv(index=False), nl=False)
    for problem in found.damaged:
        typer.echo(f"left out: {problem}", err=True)
    if found.table.empty:
        typer.echo(f"There are no {'whole ' if found.damaged else ''}results in {', '.join(wheres)}.", err=True)
    if found.damaged:
        typer.echo("The command that made a result makes it again where it is damaged.", err=True)
    if found.damaged or found.table.empty:
        raise typer.Exit(1)


def _check_out(out: str, *, as_json: bool, overwrite: bool) -> None:
    """Raise JaxscoreError for a file that cannot or may not be written, before any record is read."""
    if as_json:
        raise JaxscoreError("--json prints, --out writes a file: only one can be", "Leave out one of them.")
    stem, suffix = os.path.splitext(out)
    if suffix.lower() not in SUFFIXES:
        raise JaxscoreError(
            f"--out {out} ends in {suffix or 'nothing'}, expected {' or '.join(SUFFIXES)}", f"Type --out {stem}.csv."
        )
    if suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise JaxscoreError(
            f"--out {out} needs pyarrow, which is not installed",
            f"Type pip install 'jaxscore[parquet]', or --out {stem}.csv.",
        )
    place, name = _placed(out)
    if not overwrite and place.read(name) is not None:
        raise StoreError(
            f"{out} is there already, nothing was written", "Give another --out, or add --overwrite to replace it."
        )


def _write(found: pd.DataFrame, out: str) -> None:
    """Write the file, atomically."""
    if out.lower().endswith(".parquet"):
        buffer = io.BytesIO()
        found.to_parquet(buffer, index=False, engine="pyarrow")
        content = buffer.getvalue()
    else:
        content = found.to_csv(index=False).encode()
    place, name = _placed(out)
    place.write(name, content)
    typer.echo(f"{len(found)} rows\n{out}")


def _placed(out: str) -> tuple[Place, str]:
    """The folder of a file, and its name there."""
    from jaxscore.store.places import open_place

    folder, _, name = out.rpartition("/")
    return open_place(folder or ("/" if out.startswith("/") else ".")), name


def _lines(found: pd.DataFrame) -> str:
    """A JSON object a row, null where a value is missing."""
    rows = found.astype(object).where(found.notna(), None).to_dict("records")
    return "".join(json.dumps(row, ensure_ascii=False, default=lambda time: time.isoformat()) + "\n" for row in rows)
