"""Progress bars for long work."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

T = TypeVar("T")

console = Console(stderr=True, soft_wrap=True, highlight=False, force_jupyter=False)


@contextmanager
def bar(description: str, total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar to advance by hand, for work that is not a plain loop (bytes of a download).

    Nothing is shown where there is nothing to do.
    """
    columns = "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=total == 0) as progress:
        yield progress, progress.add_task(description, total=total)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` and show how many of `total` (default: their length) are done."""
    with bar(description, total) as (progress, task):
        yield from progress.track(items, total, task_id=task)
