"""A lock between processes, so that what is kept in a cache is made by one while the others wait for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until nobody else is in here with the same path, which becomes an empty file that stays.

    The system gives it back when a process ends, however that is. Without a writable folder, and on Windows,
    nobody waits: things are then made more than once, and the last one is kept.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
