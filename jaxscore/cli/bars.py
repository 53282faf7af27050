"""Progress on the terminal, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jaxscore.progress import Reporter

if TYPE_CHECKING:
    from rich.console import Console


def no_hub_bars() -> None:
    """Leave out the bars that the hub's library draws by itself."""
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()


@contextmanager
def reporting(console: Console) -> Iterator[Reporter]:
    """A reporter that draws bars on the console; a quiet console gets none."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    if console.quiet:
        yield Reporter()
        return
    columns = TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%")
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        yield Reporter(bars)
