"""Progress bars with the time left, for long work at a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import rich.console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_Item = TypeVar('_Item')
_ESTIMATED_OVER = 3600.0  # seconds of the past from which the speed is taken
_display: Progress | None = None


@contextlib.contextmanager
def progress(description: str, total: float = 1.0) -> Iterator[Callable[[float], None]]:
    """Context manager that shows a progress bar with the time left on stderr; nothing where that is no terminal.

    Bars within the block of another one are shown below it while they last.

    Args:
        description (str): What is done.
        total (float): The amount of work, of any unit. Defaults to 1.0.

    Yields:
        Callable[[float], None]: Sets how much of the work is done.
    """
    global _display
    outermost = _display is None
    if outermost:
        _display = Progress(
            TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn('left'), TimeRemainingColumn(), console=rich.console.Console(stderr=True),
            disable=not sys.stderr.isatty(), transient=True, speed_estimate_period=_ESTIMATED_OVER,
            auto_refresh=False)  # no thread beside what is timed
        _display.start()
    display = _display
    task = display.add_task(description, total=total)
    try:
        yield lambda done: display.update(task, completed=done, refresh=True)
    finally:
        if outermost:
            display.stop()
            _display = None
        else:
            display.remove_task(task)


def tracked(items: Iterable[_Item], description: str, total: int) -> Iterator[_Item]:
    """Yield items under a :func:`progress` bar.

    Args:
        items (Iterable): The items.
        description (str): What is done with them.
        total (int): Their number.

    Yields:
        object: The next item.
    """
    with progress(description, total) as done:
        for count, item in enumerate(items, start=1):
            yield item
            done(count)
