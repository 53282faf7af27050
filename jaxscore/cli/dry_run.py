"""`jaxscore batch --dry-run`: the jobs, what is done already, and what would be downloaded; nothing is computed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from jaxscore.batch.plan import Plan
    from jaxscore.batch.status import Row
    from jaxscore.batch.tasks import Job
    from jaxscore.batch.weights import Size
    from jaxscore.store.places import Place


def dry_run(plan: Plan, *, offline: bool, as_json: bool, retry_failed: bool, overwrite: bool) -> None:
    """Print a line for each job, and what is to be fetched."""
    from jaxscore.batch.status import status_of
    from jaxscore.store.places import open_place

    place = open_place(plan.out)
    report = status_of(plan, place)
    rows = tuple(_looked_into(place, job, row) for job, row in zip(plan.jobs, report.rows, strict=True))
    report = replace(report, rows=rows)
    todo = {"waiting", "temporary"} | ({"failed"} if retry_failed or overwrite else set())
    todo |= {"done"} if overwrite else set()
    keys = {job.key for job, row in zip(plan.jobs, report.rows, strict=True) if row.state in todo}
    sizes = _sizes([task for task in plan.tasks if keys & {job.key for job in task.jobs}], offline=offline)
    known = [size.bytes for size in sizes.values() if size.bytes is not None]
    download = {"bytes": sum(known), "checkpoints": sum(map(bool, known)), "unknown": len(sizes) - len(known)}
    if as_json:
        typer.echo(json.dumps({"out": plan.out, **report.to_json(), "download": download}, ensure_ascii=False))
        return
    for row in report.rows:
        typer.echo(f"{row.state:<10} {row.model} on {row.benchmark}{f': {row.reason}' if row.reason else ''}")
    said = ", ".join(f"{count} {state}" for state, count in report.totals.items() if count)
    typer.echo(f"{len(plan.jobs)} jobs of {len(plan.tasks)} checkpoints: {said}; {len(keys)} would be computed")
    typer.echo(_described(download, sizes))


def _looked_into(place: Place, job: Job, row: Row) -> Row:
    """A job that was done, with all its files read: what is damaged or has changed would be computed again."""
    from jaxscore.batch.notes import Notes

    problem = Notes(place).done(job).problem if row.state == "done" else None
    return replace(row, state="waiting", reason=problem) if problem else row


def _sizes(tasks: list[Any], *, offline: bool) -> dict[tuple[str, bool], Size]:
    """What each checkpoint would bring, by model and whether only its configuration is wanted."""
    from jaxscore.batch.weights import download_sizes

    found = {}
    for untrained in (False, True):
        specs = [task.model for task in tasks if bool(task.choices.get("untrained")) == untrained]
        sizes = download_sizes(specs, untrained=untrained, offline=offline)
        found |= {(spec, untrained): size for spec, size in sizes.items()}
    return found


def _described(download: dict[str, int], sizes: dict[tuple[str, bool], Size]) -> str:
    from jaxscore.cli.check import amount

    text = f"to download: {amount(download['bytes'], 'B')} for {download['checkpoints']} checkpoints"
    if download["unknown"]:
        problem = next(size.problem for size in sizes.values() if size.bytes is None)
        text += f"; {download['unknown']} of unknown size: {problem.message if problem else 'the hub does not say'}"
    return text
