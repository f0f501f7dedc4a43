"""What leaves the device while a job runs: every use of a socket or another program is seen and named."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WATCHED = frozenset(
    {
        "socket.connect",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "subprocess.Popen",
        "os.exec",
        "os.posix_spawn",
        "os.system",
    }
)
"""Audit events of CPython that a byte cannot leave the process without, but through a file."""
_DESCRIPTORS = Path("/proc/self/fd")


class Departures:
    """What was seen: the names of Python's events, and sockets that any code, also native, has opened."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.sockets = 0
        """More at the end than at the beginning; counted where the system tells (Linux)."""

    @property
    def none(self) -> bool:
        """Nothing left the device."""
        return not self.events and not self.sockets


@contextmanager
def watch_departures() -> Iterator[Departures]:
    """Watch until the block ends."""
    seen = Departures()
    watching = True

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        if watching and event in _WATCHED:
            seen.events.append(event)

    sys.addaudithook(hook)
    before = _open_sockets()
    try:
        yield seen
    finally:
        watching = False  # an audit hook stays as long as the process
        seen.sockets = max(0, _open_sockets() - before)


def _open_sockets() -> int:
    if not _DESCRIPTORS.is_dir():
        return 0
    count = 0
    for entry in os.listdir(_DESCRIPTORS):
        try:
            count += os.readlink(_DESCRIPTORS / entry).startswith("socket:")
        except OSError:
            continue  # closed since it was listed
    return count
