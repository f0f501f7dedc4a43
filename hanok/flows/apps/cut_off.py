"""The phone's jobs with the network cut off: by the kernel where it lets us, and by refusing Python's calls.

Run as a program of its own, since neither can be undone in a process: `python -m hanok.flows.apps.cut_off`.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hanok.errors import HanokError
from hanok.flows.apps.privacy import Departures, watch_departures

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_OUTSIDE = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")
"""Audit events of CPython that are refused."""
MAX_SECONDS = 1800


class CutOffError(OSError):
    """What code gets that tries the network while it is cut off."""


def run_cut_off(
    chip: str, progress: Callable[[str], None], timeout_seconds: int = MAX_SECONDS
) -> dict[str, Any]:
    """Do every job in a process without network; return what was seen, as plain data.

    Raises HanokError where the jobs fail or take too long.
    """
    progress("doing every job with the network cut off")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with TemporaryDirectory() as folder:
        place = Path(folder) / "run.json"
        command = [sys.executable, "-m", "hanok.flows.apps.cut_off", chip, str(place)]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=timeout_seconds, check=False, env=environment, text=True
            )
        except subprocess.TimeoutExpired:
            raise HanokError(f"the jobs took more than {timeout_seconds} s; use another chip") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
            raise HanokError(f"the jobs failed with the network cut off: {last[:400]}")
        content: dict[str, Any] = json.loads(place.read_text("utf-8"))
    return content


def isolate() -> tuple[bool, str]:
    """Move this process into a network of its own, without interfaces; say whether the kernel let us.

    Works on Linux, before a second thread is started, where user namespaces are allowed.
    """
    if not sys.platform.startswith("linux"):
        return False, f"{sys.platform} has no network namespaces"
    user = os.getuid()
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        return False, f"unshare: {os.strerror(ctypes.get_errno())}"
    try:
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1\n", encoding="ascii")
    except OSError as error:
        return True, f"a network namespace without interfaces (user not mapped: {error.strerror})"
    return True, "a network namespace without interfaces"


@contextmanager
def refused_network() -> Iterator[Departures]:
    """Refuse what Python tries on the network, and watch as `watch_departures` does, until the block ends."""
    active = True

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        if active and event in _OUTSIDE:
            raise CutOffError(f"the network is cut off: {event}")

    with watch_departures() as seen:
        sys.addaudithook(hook)
        try:
            yield seen
        finally:
            active = False  # an audit hook stays as long as the process


def main(arguments: Sequence[str]) -> None:
    """Isolate this process, do the jobs on a chip, and write what was seen as JSON: [chip, file]."""
    isolated, kernel = isolate()
    from hanok.flows.apps.day import run_day
    from hanok.machine import Chip

    with refused_network() as seen:
        day = run_day(Chip.load(arguments[0]), check=False)
    content = {
        "maker": "hanok rules privacy",
        "version": version("hanok"),
        "chip": day.chip.name,
        "jobs": [job.name for job in day.jobs],
        "attempts": list(seen.events),
        "sockets": seen.sockets,
        "kernel": kernel,
        "network_isolated": isolated,
    }
    Path(arguments[1]).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
