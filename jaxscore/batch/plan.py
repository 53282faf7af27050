"""The plan of a batch: models x benchmarks under common options, checked before anything runs."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxscore import __version__
from jaxscore.batch.asked import ModelEntry, check
from jaxscore.batch.patterns import absolute, find_models
from jaxscore.batch.tasks import Job, Task
from jaxscore.cards import Card, known_cards, load_benchmark
from jaxscore.errors import JaxscoreError
from jaxscore.models.static import find_static
from jaxscore.options import Options
from jaxscore.provenance import content_key


@dataclass(frozen=True)
class Plan:
    """What a batch computes.

    Attributes:
        out: folder or s3:// url of the results.
        tasks: in the order that was asked for; each checkpoint, and each draw of untrained weights, once.
    """

    out: str
    tasks: tuple[Task, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All results, in the order of the tasks."""
        return tuple(job for task in self.tasks for job in task.jobs)


def read_plan(path: str | Path) -> Plan:
    """Read and check a plan; its models and cards are relative to its folder, `out` to the working directory.

    Raises:
        JaxscoreError: for anything that could not be scored as it is written; names file, key and reason.
    """
    path = Path(path).expanduser()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise JaxscoreError(f"There is no plan {path}", "Check the path; the README shows a plan.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise JaxscoreError(f"{path}: not readable as TOML: {error}", "The README shows a plan.") from None
    return _planned(content, Path(os.path.abspath(path)).parent, str(path))


def make_plan(models: Sequence[str], benchmarks: Sequence[str], choices: Mapping[str, Any], out: str) -> Plan:
    """The plan of a command line; paths are relative to the working directory.

    Args:
        models: patterns of models, as in a plan.
        benchmarks: identifiers and paths of cards.
        choices: options of `jaxscore run` that change a score; None: not given.
        out: folder or s3:// url of the results.

    Raises:
        JaxscoreError: for anything that could not be scored.
    """
    given = {name: value for name, value in choices.items() if value is not None}
    content = {"out": out, "models": list(models), "benchmarks": list(benchmarks), "options": given}
    return _planned(content, Path.cwd(), None)


def shard(plan: Plan, part: str) -> Plan:
    """Every N-th task from the I-th on, so that large models, which stand together, are spread.

    Args:
        plan: of all parts.
        part: "I/N", I from 1 to N. The N parts are the plan, and share nothing.

    Raises:
        JaxscoreError: for anything else.
    """
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", part)
    index, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= index <= count:
        raise JaxscoreError(
            f"--shard {part!r} is no part of the plan: expected I/N with I from 1 to N, as 2/8",
            "In a SLURM array that starts at 0: --shard $((SLURM_ARRAY_TASK_ID + 1))/$SLURM_ARRAY_TASK_COUNT; "
            "in one that starts at 1: --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT.",
        )
    return Plan(plan.out, plan.tasks[index - 1 :: count])


def _planned(content: Mapping[str, Any], folder: Path, file: str | None) -> Plan:
    """The plan of what was asked; local paths are relative to `folder`."""
    asked = check(content, file)
    choices = asked.options.model_dump(exclude_unset=True)
    if (data := choices.get("data")) and "://" not in data:
        choices["data"] = absolute(data, folder)
        with _named(file, "options.data"):
            _check_there(choices["data"], folder)
    cards: dict[str, Card] = {}
    for i, text in enumerate(asked.benchmarks):
        with _named(file, f"benchmarks[{i}]"):
            own = text not in known_cards() and text.endswith(".toml")
            name = absolute(text, folder) if own else text
            cards[name] = load_benchmark(name)
    about = _in_force(cards, choices, file)
    tasks: dict[str, Task] = {}
    for i, entry in enumerate(asked.models):
        with _named(file, f"models[{i}]"):
            for model in find_models(entry.name, folder):
                for drawn in _draws(entry, model, choices):
                    task = _task(model, drawn, about)
                    tasks.setdefault(task.key, task)
    return Plan(asked.out, tuple(tasks.values()))


def _check_there(path: str, folder: Path) -> None:
    if not os.path.exists(path):
        raise JaxscoreError(f"There is no file or folder {path}", f"Check the path; it is relative to {folder}.")


def _in_force(cards: Mapping[str, Card], choices: Mapping[str, Any], file: str | None) -> dict[str, Any]:
    """What each benchmark is with the options put in, as plain values; every option is checked against every card."""
    mine = {name: value for name, value in choices.items() if name in Options.__dataclass_fields__}
    for name, value in mine.items():  # one by one, so that the error can say which
        with _named(file, f"options.{name}"):
            one = Options(**{name: value})
            for card in cards.values():
                one.check(card)
                one.in_force(card)
    options = Options(**mine)
    return {
        name: options.in_force(card).model_dump(mode="json", exclude={"title", "citation"})
        for name, card in cards.items()
    }


def _draws(entry: ModelEntry, model: str, choices: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The choices of each task of a model: one for each seed."""
    untrained = choices.get("untrained", False) if entry.untrained is None else entry.untrained
    rest = {name: value for name, value in choices.items() if name != "untrained"}
    if entry.seeds and not untrained and model != "random-embedding":
        raise JaxscoreError(
            f"seeds: {model} is read as it was trained, so that all seeds would give one score",
            "Add untrained = true, or leave out seeds.",
        )
    for seed in entry.seeds or [None]:
        drawn = rest | ({"untrained": True} if untrained else {}) | ({} if seed is None else {"seed": seed})
        find_static(model, untrained=untrained, seed=drawn.get("seed", 0))  # refuses what cannot be untrained
        yield drawn


def _task(model: str, choices: dict[str, Any], about: Mapping[str, Any]) -> Task:
    """A checkpoint with its jobs, each named by everything that was asked."""
    common = {"jaxscore": __version__, "model": model, "choices": choices}
    jobs = [
        Job(model, name, content_key(common | {"benchmark": name, "protocol": protocol}))
        for name, protocol in about.items()
    ]
    return Task(model, choices, tuple(jobs))


@contextmanager
def _named(file: str | None, key: str) -> Iterator[None]:
    """Put file and key before an error's message; a command line has neither."""
    try:
        yield
    except JaxscoreError as error:
        if file is None:
            raise
        raise type(error)(f"{file}: {key}: {error.message}", error.hint) from None
