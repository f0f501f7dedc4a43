"""A progress line for phases that take longer than two seconds: on stderr, and only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

QUIET_SECONDS = 2.0


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Give a function that is told the name of each phase; the line appears when work goes on for long."""
    if not sys.stderr.isatty():
        yield lambda _phase: None
        return
    line = _Line()
    try:
        yield line.phase
    finally:
        line.stop()


class _Line:
    """A spinner with the phase and the seconds so far; it starts after QUIET_SECONDS."""

    def __init__(self) -> None:
        self.name = "starting"
        self.bar: Progress | None = None
        self.timer = Timer(QUIET_SECONDS, self._show)
        self.timer.daemon = True
        self.timer.start()

    def phase(self, name: str) -> None:
        self.name = name
        bar = self.bar
        if bar is not None:
            bar.reset(bar.tasks[0].id, description=name)

    def stop(self) -> None:
        self.timer.cancel()
        if self.bar is not None:
            self.bar.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            TimeElapsedColumn(),
        )
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        bar.add_task(self.name, total=None)
        bar.start()
        self.bar = bar
