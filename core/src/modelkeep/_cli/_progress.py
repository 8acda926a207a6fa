"""Progress on stderr, when that is a terminal and the job takes a while."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from modelkeep._cli._rich import need_rich, rich

#: A job that takes less is over before anybody looks for a bar, in seconds.
_SOON: Final = 0.5
#: From this many bytes on, a job is taken to last.
_LARGE: Final = 64 << 20


@contextlib.contextmanager
def progress(what: str, size: int | None = None) -> Iterator[Callable[[int, int], None]]:
    """Show how far a job is, and nothing of it once it is over.

    Args:
        what: The job.
        size: How many bytes it has to move, if that is known.

    Yields:
        To be called with the bytes moved since the last call, and with those that are known to be left.

    Raises:
        UnsupportedError: A bar may become needed, and what draws it is not installed.
    """
    if not sys.stderr.isatty():
        yield lambda _moved, _left: None
        return
    need_rich()
    bar = _Bar(what)
    if size is not None and size >= _LARGE:
        bar.draw(size)
    try:
        yield bar.advance
    finally:
        bar.stop()


class _Bar:
    """A bar that is drawn late or never."""

    def __init__(self, what: str) -> None:
        self._what, self._begun, self._moved = what, time.monotonic(), 0
        self._drawn: Any = None
        self._task: Any = None

    def draw(self, size: int) -> None:
        columns = rich("progress")
        self._drawn = columns.Progress(
            columns.TextColumn("{task.description}", markup=False),
            columns.BarColumn(),
            columns.DownloadColumn(binary_units=True),
            columns.TransferSpeedColumn(),
            columns.TimeElapsedColumn(),
            columns.TimeRemainingColumn(),
            console=rich("console").Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._drawn.add_task(self._what, total=size, completed=self._moved)
        self._drawn.start()

    def advance(self, moved: int, left: int) -> None:
        self._moved += moved
        if self._drawn is not None:
            # not by `update`, which takes another total for another job and forgets the rate
            task = self._drawn.tasks[0]
            task.total, task.finished_time = self._moved + left, None
            self._drawn.update(self._task, completed=self._moved)
        elif left and (left >= _LARGE or time.monotonic() - self._begun > _SOON):
            self.draw(self._moved + left)

    def stop(self) -> None:
        if self._drawn is not None:
            self._drawn.stop()
