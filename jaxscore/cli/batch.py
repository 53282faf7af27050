"""`jaxscore batch`: many checkpoints on many benchmarks, that can be killed and repeated."""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxscore.cli import choices
from jaxscore.errors import JaxscoreError, TemporaryFetchError, TemporaryStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from jaxscore.batch.plan import Plan
    from jaxscore.batch.stopping import Stopping
    from jaxscore.batch.tasks import Outcome, Settings, Task

OUT = "jaxscore-results"
STOPPED = "jaxscore: interrupted; nothing half-written is left, run the same command again to go on"
SYMBOLS = {"done": "✓", "failed": "✗", "temporary": "…", "running": "↻", "waiting": " "}


def batch(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="PLAN.toml|MODEL...",
            help="A plan, or models; patterns: EleutherAI/pythia-70m@step{1000..143000..1000}, 'runs/checkpoint-*'.",
            show_default=False,
        ),
    ],
    benchmark: choices.Benchmarks = None,
    layers: choices.Layers = None,
    pooling: choices.Pooling = None,
    context: choices.Context = None,
    protocol: choices.Protocol = None,
    window: choices.Window = None,
    stride: choices.Stride = None,
    bidirectional: choices.Bidirectional = None,
    reduction: choices.Reduction = None,
    regression: choices.Regression = None,
    rcond: choices.Rcond = None,
    splits: choices.Splits = None,
    folds: choices.Folds = None,
    bos: Annotated[
        str | None, typer.Option(help="Start token of each context: auto, never, always.", show_default="auto")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of untrained weights.", show_default="0")] = None,
    untrained: choices.Untrained = False,
    dtype: Annotated[
        str | None, typer.Option(help="Of the weights: float32, bfloat16, float16.", show_default="float32")
    ] = None,
    data: choices.Data = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Where results go; s3://BUCKET/PREFIX as well.", show_default="jaxscore-results"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the jobs, what is done, and what would be downloaded.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only every N-th checkpoint: 1/8 to 8/8.", show_default=False)
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Place tasks by Ray: local, auto, or HOST:PORT of a cluster.", show_default=False
        ),
    ] = None,
    cpus: Annotated[float | None, typer.Option(help="Of each task, with --ray.", show_default="1", min=0)] = None,
    gpus: Annotated[float | None, typer.Option(help="Of each task, with --ray.", show_default="0", min=0)] = None,
    tpus: Annotated[float | None, typer.Option(help="Of each task, with --ray.", show_default="0", min=0)] = None,
    batch_size: choices.BatchSize = None,
    tensor: choices.Tensor = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Compute again what failed.")] = False,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Leave downloaded checkpoints in the hub's cache.")
    ] = False,
    overwrite: choices.Overwrite = False,
    offline: choices.Offline = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each job.")] = False,
    quiet: choices.Quiet = False,
    debug: choices.Debug = False,
) -> None:
    """Score many checkpoints on many benchmarks. Killed at any moment, the same command goes on where it was.

    Exit codes: 0 all is done, 1 some jobs failed, 2 the command is wrong, 75 the same command has more to do (a network
    that was away, a machine that was taken), 130 interrupted.
    """
    asked = {
        "layers": layers, "pooling": pooling, "context": context, "protocol": protocol, "window": window,
        "stride": stride, "bidirectional": bidirectional, "reduction": reduction, "regression": regression,
        "rcond": rcond, "splits": splits, "folds": folds, "bos": bos, "seed": seed,
        "untrained": untrained or None, "dtype": dtype, "data": data,
    }  # fmt: skip
    plan = _plan(models, benchmark or [], {k: v for k, v in asked.items() if v is not None}, out, shard)
    resources = {name: value for name, value in (("cpus", cpus), ("gpus", gpus), ("tpus", tpus)) if value is not None}
    if resources and not ray:
        raise JaxscoreError(
            f"--{next(iter(resources))} says what Ray gives to a task, and --ray is not there", "Add --ray local."
        )
    from rich.console import Console

    errors = Console(stderr=True, quiet=quiet, highlight=False, markup=False, soft_wrap=True)
    if dry_run:
        from jaxscore.cli.dry_run import dry_run as foresee

        foresee(plan, offline=offline, as_json=as_json, retry_failed=retry_failed, overwrite=overwrite)
        return
    from jaxscore.batch.tasks import Settings

    owner = uuid.uuid4().hex[:12]
    settings = Settings(plan.out, owner, offline, overwrite, retry_failed, keep_weights, batch_size, tensor)
    if not as_json:
        errors.print(f"{len(plan.jobs)} jobs of {len(plan.tasks)} checkpoints; results go to {plan.out}")
    raise typer.Exit(_run(plan, settings, ray, resources, errors, as_json=as_json))


def _plan(models: list[str], benchmarks: list[str], asked: dict[str, Any], out: str | None, shard: str | None) -> Plan:
    """The jobs, from a plan or from the command line."""
    from jaxscore.batch import plan as plans
    from jaxscore.cli.run import DEFAULT

    if any(model.endswith(".toml") for model in models):
        if len(models) > 1:
            raise JaxscoreError(f"{len(models)} plans and models at once: {', '.join(models)}", "Give one plan.")
        if benchmarks or asked:
            given = ", ".join(
                f"--{name.replace('_', '-')}" for name in [*(["benchmark"] if benchmarks else []), *asked]
            )
            raise JaxscoreError(
                f"{models[0]} is a plan, which says itself what is scored: {given} would change it",
                "Write it into the plan: benchmarks = [...], and under [options] the others.",
            )
        found = plans.read_plan(models[0])
        found = replace(found, out=out) if out else found
    else:
        found = plans.make_plan(models, benchmarks or [DEFAULT], asked, out or OUT)
    return plans.shard(found, shard) if shard else found


def _run(
    plan: Plan, settings: Settings, ray: str | None, resources: dict[str, float], errors: Console, *, as_json: bool
) -> int:
    """Run, tell, and say how it ended."""
    from jaxscore.batch.stopping import INTERRUPTED, TEMPORARY, Stopping

    stopping, total = Stopping(), len(plan.jobs)
    seen: list[Outcome] = []

    def tell(task: Task, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            seen.append(outcome)
            if as_json:
                print(json.dumps(outcome.to_json(), ensure_ascii=False), flush=True)
            else:
                _line(errors, f"{len(seen)}/{total}", task, outcome)

    with stopping.listening():
        try:
            _place(plan, settings, ray, resources, tell, stopping)
        except (TemporaryStoreError, TemporaryFetchError) as error:
            typer.echo(f"jaxscore: {error}", err=True)
            return TEMPORARY
        except (SystemExit, KeyboardInterrupt):
            code = stopping.code or INTERRUPTED
            typer.echo(STOPPED, err=True)
            if any(thread.name == "prepare" for thread in threading.enumerate()):
                sys.stdout.flush()
                os._exit(code)  # Python would wait for a download that nobody needs any more
            return code
    counts = Counter(outcome.state for outcome in seen)
    if not as_json:
        _summary(plan, seen, counts)
    if stopping():
        typer.echo(STOPPED, err=True)
    if counts["temporary"] or counts["waiting"] or counts["running"]:
        return stopping.code or TEMPORARY
    return 1 if counts["failed"] else 0


def _place(
    plan: Plan,
    settings: Settings,
    ray: str | None,
    resources: dict[str, float],
    tell: Callable[[Task, list[Outcome]], None],
    stopping: Stopping,
) -> None:
    if ray is None:
        from jaxscore.batch.local import run_tasks

        run_tasks(plan.tasks, settings, tell, stopping)
        return
    from jaxscore.batch.cluster import Resources, run_on_ray

    address = None if ray == "local" else ray
    run_on_ray(plan.tasks, settings, Resources(**resources), address, tell, stopping)


def _line(errors: Console, place: str, task: Task, outcome: Outcome) -> None:
    """One job as it ends."""
    if outcome.state == "done":
        score = "no score" if outcome.score is None else f"{outcome.score:.3f}"
        said = f"{score}{'  was there already' if outcome.resumed else f'  {sum(outcome.seconds.values()):.1f} s'}"
    else:
        said = f"{outcome.state}: {outcome.message}"
    errors.print(f"{SYMBOLS[outcome.state]} {place} {task.label} on {_benchmark(outcome.job.benchmark)}: {said}")
    for note in outcome.notes:
        errors.print(f"  {note}")


def _benchmark(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _summary(plan: Plan, seen: list[Outcome], counts: Counter[str]) -> None:
    """What is there now, and what to type next."""
    said = ", ".join(f"{counts[state]} {state}" for state in SYMBOLS if counts[state])
    typer.echo(f"{len(plan.jobs)} jobs: {said}")
    for outcome in seen:
        if outcome.state in ("failed", "temporary"):
            typer.echo(
                f"{outcome.state}: {outcome.job.model} on {_benchmark(outcome.job.benchmark)}: {outcome.message}"
            )
            if outcome.hint:
                typer.echo(f"  {outcome.hint}")
    if counts["failed"]:
        typer.echo("Failed jobs are not tried again by themselves: add --retry-failed.")
    if counts["running"]:
        typer.echo("Another process is at some of them: `jaxscore status` tells which.")
    if counts["temporary"] or counts["waiting"]:
        typer.echo("Run the same command again to go on.")
    if counts["done"]:
        typer.echo(f"jaxscore table {plan.out}    # all results as one table")
