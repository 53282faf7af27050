"""`jaxscore status`: what became of a batch so far."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from jaxscore.errors import JaxscoreError

if TYPE_CHECKING:
    from jaxscore.batch.status import Report, Row


def status(
    where: Annotated[
        str,
        typer.Argument(metavar="PLAN.toml|FOLDER|s3://...", help="A plan, or where the results of a batch go."),
    ],
    out: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where results go, if not where the plan says.", show_default=False),
    ] = None,
    jobs: Annotated[bool, typer.Option("--jobs", help="A line for every job, not only for those that failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Tell how many jobs are done, running, failed and waiting, why they failed, and how long the rest takes.

    Reads notes and records only. Of a folder it knows the jobs that were begun, of a plan those that wait as well.
    """
    report, place = _report(where, out)
    if as_json:
        typer.echo(json.dumps({"place": place} | report.to_json(), ensure_ascii=False))
        return
    if jobs:
        _table(report.rows)
    for state, count in report.totals.items():
        typer.echo(f"{state:<12}{count:>6}")
    if report.remaining is not None:
        from jaxscore.cli.check import duration

        typer.echo(f"{'remaining':<12}about {duration(report.remaining)}, {max(1, report.running)} at a time")
    if not jobs:
        _failures(report)
    typer.echo(place, err=True)


def _report(where: str, out: str | None) -> tuple[Report, str]:
    """The report, and where the results are."""
    from jaxscore.batch.status import status_of, status_of_notes
    from jaxscore.store.places import open_place

    if where.endswith(".toml"):
        from jaxscore.batch.plan import read_plan

        plan = read_plan(where)
        place = out or plan.out
        return status_of(plan, open_place(place)), place
    if out:
        raise JaxscoreError(f"{where} is where results go, and so is --out {out}", "Give one, or a plan with --out.")
    report = status_of_notes(open_place(where))
    if not report.rows:
        raise JaxscoreError(
            f"No batch has noted anything in {where}", "Give a plan.toml, or the folder or s3:// url of its results."
        )
    return report, where


def _table(rows: tuple[Row, ...]) -> None:
    """Columns as wide as what is in them; the reason last, as it is longest."""
    from jaxscore.report.tables import printable

    cells = [[printable(cell) for cell in _cells(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(row: Row) -> tuple[str, ...]:
    from jaxscore.cli.check import duration
    from jaxscore.report.tables import three_decimals

    score = "" if row.score is None else three_decimals(row.score)
    seconds = "" if row.seconds is None else duration(row.seconds)
    return row.state, row.model, row.benchmark, score, seconds, row.host, _time(row), row.reason


def _failures(report: Report) -> None:
    """What went wrong, or was damaged, and what to do about it."""
    from jaxscore.report.tables import printable

    for row in report.rows:
        if row.reason:
            tries = f"{row.attempts} attempts" if row.attempts > 1 else ""
            head = [row.state, row.model, row.benchmark, row.host, _time(row), tries]
            typer.echo("\n" + printable("  ".join(filter(None, head))))
            for line in filter(None, (row.reason, row.hint)):
                typer.echo(f"    {printable(line)}")


def _time(row: Row) -> str:
    return row.when.astimezone().strftime("%Y-%m-%d %H:%M") if row.when else ""
