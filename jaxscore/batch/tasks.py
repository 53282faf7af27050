"""What a batch is made of: jobs (a checkpoint on a benchmark), tasks (a checkpoint with all its jobs), outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from jaxscore.provenance import content_key

State = Literal["done", "running", "failed", "temporary", "waiting"]


@dataclass(frozen=True)
class Job:
    """One result: a checkpoint on a benchmark.

    Attributes:
        model: what `jaxscore.load_model` takes; the absolute path of a local folder.
        benchmark: an identifier, or the absolute path of a card.
        key: names everything that was asked, and the version of jaxscore.
    """

    model: str
    benchmark: str
    key: str


@dataclass(frozen=True)
class Task:
    """A checkpoint and all its jobs, which share one pass: what one process does at a time.

    Attributes:
        model: of all its jobs.
        choices: options of `jaxscore.score`, `untrained`, `seed` and `dtype` included; only those that were given.
        jobs: one for each benchmark.
    """

    model: str
    choices: Mapping[str, Any]
    jobs: tuple[Job, ...]

    @cached_property
    def key(self) -> str:
        """Names the task by its jobs."""
        return content_key(sorted(job.key for job in self.jobs))

    @property
    def label(self) -> str:
        """The model as it is shown: "gpt2", "gpt2 --untrained --seed 1"."""
        seed = f" --seed {self.choices['seed']}" if "seed" in self.choices else ""
        return self.model + (f" --untrained{seed}" if self.choices.get("untrained") else "")

    def to_json(self) -> dict[str, Any]:
        """As plain values, for another process."""
        return {"model": self.model, "choices": dict(self.choices), "jobs": [asdict(job) for job in self.jobs]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Task:
        """What `to_json` gave."""
        return cls(content["model"], content["choices"], tuple(Job(**job) for job in content["jobs"]))


@dataclass(frozen=True)
class Settings:
    """How tasks are run; nothing here changes a score.

    Attributes:
        out: folder or s3:// url of the results.
        owner: names this batch: leases of one owner are taken over at once.
        offline: never use the network.
        overwrite: compute again what is there.
        retry_failed: compute again what failed.
        keep_weights: leave downloaded weights where they are.
        batch_size: texts in a batch.
        tensor: devices that share the weights of one model; None: as few as they fit on.
    """

    out: str
    owner: str
    offline: bool = False
    overwrite: bool = False
    retry_failed: bool = False
    keep_weights: bool = False
    batch_size: int | None = None
    tensor: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: which.
        state: "done", "failed" (the same would happen again), "temporary" (the next run tries again), "running"
            (another process is at it) or "waiting" (interrupted before its turn).
        resumed: whether the result was there already.
        record: where the record is, for "done".
        score: of the layer chosen on inner folds, None where there is none.
        seconds: wall time of extraction, regression and saving.
        notes: what a person should know: a damaged result that was made again.
        message: what went wrong.
        hint: what to type or to do next.
    """

    job: Job
    state: State
    resumed: bool = False
    record: str | None = None
    score: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    message: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain values, for another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Outcome:
        """What `to_json` gave."""
        return cls(**dict(content) | {"job": Job(**content["job"]), "notes": tuple(content["notes"])})
