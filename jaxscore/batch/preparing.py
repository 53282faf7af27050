"""All of a task that comes before its pass: what is done, the benchmarks, the checkpoint, its weights, the windows."""

from __future__ import annotations

import hashlib
import json
import math
import traceback
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from jaxscore.batch.notes import Lease, Notes
from jaxscore.batch.signature import Signature, benchmark_signature, model_signature
from jaxscore.batch.tasks import Job, Outcome, Settings, Task
from jaxscore.batch.weights import borrowed
from jaxscore.cards import load_benchmark
from jaxscore.errors import JaxscoreError, TemporaryFetchError, TemporaryStoreError
from jaxscore.extract.activations import Request, read_for
from jaxscore.extract.union import Union
from jaxscore.models import LanguageModel, StaticModel
from jaxscore.models.checkpoint import dtype_of, parameter_shapes
from jaxscore.models.hub import CONFIG_FILES, is_checkpoint
from jaxscore.models.static import find_static
from jaxscore.opened import Opened
from jaxscore.options import Options
from jaxscore.provenance import content_key
from jaxscore.regression.hardware import host_memory
from jaxscore.store.places import PASSING, Place, open_place
from jaxscore.store.records import Paths, check_writable, examine, result_paths

if TYPE_CHECKING:
    from jaxscore.models.transformer import Transformer

OF_MODEL = ("untrained", "seed", "dtype")
"""Choices that say what the model is; the others say how it is scored."""
SHARE = 0.4
"""Share of the free memory that the weights of the next checkpoint may take while the present one computes."""
KEPT = 3
"""Tokenizers whose windows are kept, beside the newest."""
PATIENCE = 5.0
"""Seconds that whoever stops waits for a place that takes long to write."""


@dataclass(frozen=True)
class Work:
    """A job that is to be computed.

    Attributes:
        job: which.
        opened: its benchmark.
        request: what is to be read.
        layers: states that are compared; none for surprisal.
        in_force: everything that the score depends on.
        paths: of the result.
        local: signature of the local files, taken before they are read.
        notes: what a person should know.
    """

    job: Job
    opened: Opened
    request: Request
    layers: list[int]
    in_force: dict[str, Any]
    paths: Paths
    local: Signature
    notes: tuple[str, ...] = ()


@dataclass
class Ready:
    """A task that can be computed.

    Attributes:
        task: which.
        outcomes: of the jobs that are settled, by key.
        work: the others.
        model: the model, None where nothing is left to do.
        read: the works, done or not, whose texts the pass reads: always all that can be read, since how texts are put
            together shows in the last digit.
        union: their windows, for a language model.
        weights: read already; None where two models do not fit the memory.
        stack: gives back the lease and the weights.
    """

    task: Task
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    work: list[Work] = field(default_factory=list)
    model: LanguageModel | StaticModel | None = None
    read: list[Work] = field(default_factory=list)
    union: Union | None = None
    weights: Transformer | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def transformer(self) -> Transformer:
        """The weights, read now if they were not."""
        return self.weights or _weights(self)


class Desk:
    """What outlives a task: where results go, benchmarks that are open, windows of a tokenizer.

    Args:
        settings: of the batch.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.place: Place = open_place(settings.out)
        check_writable(self.place)
        self.notes = Notes(self.place, settings.owner)
        self._opened: dict[tuple[str, Options], tuple[Opened, Signature] | Exception] = {}
        self._unions: dict[str, Union] = {}  # of the last tokenizers
        self._leases: list[Lease] = []
        self._writing = RLock()  # of notes and leases, by the thread that prepares and the one that computes
        self.closed = False

    def close(self) -> None:
        """Note and take nothing more, wait for what is being written, and give back the leases that are left."""
        came = self._writing.acquire(timeout=PATIENCE)
        self.closed = True
        if came:
            self._writing.release()
        for lease in list(self._leases):  # of a task that was being prepared
            lease.release()

    def settled(self, task: Task) -> dict[str, Outcome]:
        """Outcomes of jobs that need no computing: done, or failed for good; and what is damaged, as "waiting"."""
        found: dict[str, Outcome] = {}
        for job in task.jobs if not self.settings.overwrite else ():
            whole, noted = self.notes.done(job), self.notes.noted(job)
            if whole.record and noted:
                found[job.key] = done(job, whole.record, str(self.place.at(noted.record)), resumed=True)
                continue
            failure = self.notes.failure(job)
            outlived = failure and noted and failure.when < noted.when  # it was done after that
            if failure and failure.state == "failed" and not outlived and not self.settings.retry_failed:
                found[job.key] = Outcome(job, "failed", True, message=failure.message, hint=failure.hint)
            elif whole.problem:
                found[job.key] = Outcome(job, "waiting", notes=(f"{whole.problem}.",))
        return found

    def prepare(self, task: Task) -> Ready:
        """Everything before the pass; what fails becomes an outcome."""
        ready = Ready(task)
        try:
            self._prepare(ready)
        except (Exception, SystemExit) as error:
            ready.work.clear()
            for job in task.jobs:
                self._fail(ready, job, error)
        return ready

    def _fail(self, ready: Ready, job: Job, error: BaseException) -> None:
        """Note what went wrong with a job, unless it is settled."""
        if job.key not in ready.outcomes:
            ready.outcomes[job.key] = self.failed(job, error)

    def _prepare(self, ready: Ready) -> None:
        task = ready.task
        before = self.settled(task)
        damaged = {key: outcome.notes for key, outcome in before.items() if outcome.state == "waiting"}
        ready.outcomes = {key: outcome for key, outcome in before.items() if key not in damaged}
        if len(ready.outcomes) == len(task.jobs):
            return
        lease = self._claim(task)
        if lease is None:
            for job in task.jobs:
                ready.outcomes.setdefault(job.key, Outcome(job, "running", message="another process is at it"))
            return
        ready.stack.callback(self._release, lease)
        own = model_signature(task)  # before the files are read
        ready.model = model = self._model(ready)
        for job in task.jobs:
            try:
                work = self._work(job, model, task, own, damaged.get(job.key, ()))
                ready.read.append(work)
                if job.key not in ready.outcomes:
                    self._look_up(ready, work)
            except Exception as error:
                self._fail(ready, job, error)
        if ready.work and isinstance(model, LanguageModel):
            self._read(ready, model)

    def _look_up(self, ready: Ready, work: Work) -> None:
        """Take a result that is there, from another batch or `jaxscore run`; else it is to be computed."""
        found = examine(work.paths) if not self.settings.overwrite and not self._spoilt(work) else None
        if found and found.record:
            ready.outcomes[work.job.key] = self.finished(work, resumed=True)
            return
        notes = (f"{found.problem}: computed again.",) if found and found.problem else work.notes
        ready.work.append(replace(work, notes=notes))

    def _spoilt(self, work: Work) -> bool:
        """Whether this very result was noted and is no longer what was noted."""
        noted, now = self.notes.recorded(work.job) or (None, None)
        return noted is not None and noted.record == f"{work.paths.stem}.json" and now.record is None

    def _claim(self, task: Task) -> Lease | None:
        with self._writing:
            lease = None if self.closed else self.notes.claim(task)
            if lease:
                self._leases.append(lease)
            return lease

    def _release(self, lease: Lease) -> None:
        lease.release()
        self._leases.remove(lease)

    def _model(self, ready: Ready) -> LanguageModel | StaticModel:
        task, settings = ready.task, self.settings
        asked = {name: task.choices[name] for name in OF_MODEL if name in task.choices}
        if not is_checkpoint(task.model):
            static = find_static(task.model, **{k: v for k, v in asked.items() if k != "dtype"})
            if static:
                return static
        lent = borrowed(
            task.model, untrained=asked.get("untrained", False), offline=settings.offline, keep=settings.keep_weights
        )
        return LanguageModel(ready.stack.enter_context(lent), **asked)

    def _work(
        self, job: Job, model: LanguageModel | StaticModel, task: Task, own: Signature, notes: tuple[str, ...]
    ) -> Work:
        opened, local = self._open(job, task)
        opened.check(model, task.choices.get("dtype", "float32"))
        in_force = opened.in_force(model)
        request = opened.request(model)
        if request.pooling is None and isinstance(model, LanguageModel):
            from jaxscore.extract.passes import check_head

            check_head(model.arch)
        layers = [] if request.pooling is None else opened.layers(model)
        paths = result_paths(self.place, opened.published.identifier, model.name, content_key(in_force))
        return Work(job, opened, request, layers, in_force, paths, own | local, notes)

    def _open(self, job: Job, task: Task) -> tuple[Opened, Signature]:
        """The benchmark, opened once, and its files as they were then; a final error is met once as well."""
        options = Options(**{name: value for name, value in task.choices.items() if name not in OF_MODEL})
        key = job.benchmark, options
        if key not in self._opened:
            try:
                local = benchmark_signature(job, task)
                opened = Opened.open(load_benchmark(job.benchmark), options, offline=self.settings.offline)
                opened.material  # noqa: B018 - read once
                self._opened[key] = opened, local
            except Exception as error:
                if passing(error):
                    raise
                self._opened[key] = error
        found = self._opened[key]
        if isinstance(found, Exception):
            raise found.with_traceback(None)  # each raise would add to it, and keep a checkpoint alive
        return found

    def _read(self, ready: Ready, model: LanguageModel) -> None:
        """Windows and weights; works whose texts the model cannot read become outcomes."""
        model.fingerprint, model.arch  # noqa: B018 - hashed and checked here, beside the present computation
        key = content_key([_tokenizer(model), *(work.job.benchmark for work in ready.read), dict(ready.task.choices)])
        if key not in self._unions:
            reads, readable = [], []
            for work in ready.read:
                try:
                    reads.append(read_for(model, work.request))
                    readable.append(work)
                except Exception as error:
                    self._fail(ready, work.job, error)
            ready.work = [work for work in ready.work if work.job.key not in ready.outcomes]
            union = Union.of([work.request for work in readable], reads, causal=model.arch.causal)
            if len(readable) == len(ready.read):
                self._unions = dict(list(self._unions.items())[-KEPT:]) | {key: union}
            ready.read, ready.union = readable, union
        else:
            ready.union = self._unions[key]
        if ready.work and _bytes(model) < SHARE * (host_memory() or 0.0):
            ready.weights = _weights(ready)

    def failed(self, job: Job, error: BaseException) -> Outcome:
        """What went wrong, remembered: final, or to be tried again by the next run."""
        message, hint = explained(error)
        state = "temporary" if passing(error) else "failed"
        with suppress(Exception), self._writing:  # where the place is at fault itself
            if not self.closed:
                self.notes.fail(job, state, message, hint)
        return Outcome(job, state, message=message, hint=hint)

    def finished(self, work: Work, *, resumed: bool = False) -> Outcome:
        """A result that is there whole, remembered."""
        name = f"{work.paths.stem}.json"
        content = self.place.read(name)
        with self._writing:
            if not self.closed:
                self.notes.finish(work.job, name, hashlib.sha256(content).hexdigest(), work.local)
        return done(work.job, json.loads(content), str(work.paths.record), resumed=resumed, notes=work.notes)


def done(job: Job, record: dict[str, Any], where: str, *, resumed: bool, notes: tuple[str, ...] = ()) -> Outcome:
    """The outcome that a record stands for."""
    score = record["result"]["chosen"]["chosen_score"]
    return Outcome(job, "done", resumed, where, score, record["seconds"], notes)


def passing(error: BaseException) -> bool:
    """Whether an error may be gone the next time."""
    kinds = TemporaryFetchError | TemporaryStoreError | ConnectionError | TimeoutError
    return isinstance(error, kinds) or (isinstance(error, OSError) and error.errno in PASSING)


def explained(error: BaseException) -> tuple[str, str]:
    """Message and hint of any error."""
    if isinstance(error, JaxscoreError):
        return error.message, error.hint
    text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
    if "RESOURCE_EXHAUSTED" in str(error) or isinstance(error, MemoryError):
        return text, "It does not fit the memory: use dtype bfloat16, a smaller batch_size, or more devices (tensor)."
    if isinstance(error, OSError):
        return text, "See what the system says."
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{text} ({where})", "This is a defect of jaxscore. `jaxscore run ... --debug` shows the traceback."


def _weights(ready: Ready) -> Transformer:
    """The weights, with the head where surprisal is asked for."""
    return ready.model.transformer(head=any(work.request.pooling is None for work in ready.read))


def _bytes(model: LanguageModel) -> int:
    """What the weights take in memory."""
    shapes = parameter_shapes(model.arch, head=True)
    return sum(math.prod(shape) * dtype_of(path, model.dtype).itemsize for path, shape in shapes.items())


def _tokenizer(model: LanguageModel) -> str:
    """What windows depend on beside texts and protocol."""
    folder, arch = model.checkpoint.folder, model.arch
    names = {path for pattern in CONFIG_FILES for path in folder.glob(pattern) if path.name != "config.json"}
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(names) if path.is_file()]
    return content_key([*hashes, arch.causal, arch.positions, arch.vocabulary, arch.family])
