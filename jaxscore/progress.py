"""What a run reports while it runs: the seconds of each phase, and a bar on the terminal where one is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

Step = Callable[[float], None]


class Reporter:
    """Times phases and, with a rich `Progress`, draws their bars.

    Attributes:
        seconds: wall time of each phase so far.
        notes: what a person should know, in sentences.
    """

    def __init__(self, bars: Progress | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self._bars = bars

    @contextmanager
    def phase(self, name: str, total: float | None = None) -> Iterator[Step]:
        """Time a phase; yields a function that advances its bar. A phase entered twice adds up."""
        start = time.perf_counter()
        task = self._bars.add_task(name, total=total) if self._bars else None
        try:
            yield (lambda amount=1: self._bars.advance(task, amount)) if self._bars else (lambda amount=1: None)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            if self._bars and task is not None:
                finished = self._bars.tasks[self._bars.task_ids.index(task)].completed
                self._bars.update(task, total=max(total or 0, finished, 1), completed=max(total or 0, finished, 1))

    def note(self, text: str) -> None:
        """Remember a sentence for whoever asked for the run."""
        self.notes.append(text)

    def received(self, name: str, done: int, total: int | None) -> None:
        """Progress of a download, in bytes."""
        if not self._bars:
            return
        tasks = {task.description: task.id for task in self._bars.tasks}
        task = tasks.get(name)
        if task is None:
            task = self._bars.add_task(name, total=total)
        self._bars.update(task, completed=done, total=total)
