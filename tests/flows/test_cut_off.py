"""A run with the network cut off: refused calls are seen, the kernel isolates where it lets us."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hanok.errors import HanokError
from hanok.flows.apps import cut_off


def test_what_python_tries_on_the_network_is_refused_and_seen() -> None:
    with cut_off.refused_network() as seen, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        for attempt in (
            lambda: socket.create_connection(("127.0.0.1", 9)),
            lambda: socket.getaddrinfo("localhost", 80),
            lambda: datagrams.sendto(b"x", ("127.0.0.1", 9)),
        ):
            with pytest.raises(cut_off.CutOffError, match="the network is cut off"):
                attempt()
    assert {"socket.getaddrinfo", "socket.sendto"} <= set(seen.events)
    assert not seen.none
    assert "socket.connect" in seen.events or seen.events.count("socket.getaddrinfo") > 1
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            pass


def test_the_kernel_isolates_a_process_or_says_why_not() -> None:
    """Where it does, not even the machine's own address answers."""
    code = (
        "import socket, json\n"
        "from hanok.flows.apps.cut_off import isolate\n"
        "isolated, words = isolate()\n"
        "code = socket.socket().connect_ex(('127.0.0.1', 9))\n"
        "print(json.dumps([isolated, words, code]))\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    isolated, words, code_of_connection = json.loads(done.stdout)
    assert words
    if isolated:
        import errno

        assert code_of_connection == errno.ENETUNREACH


def test_isolation_is_linux_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cut_off.isolate() == (False, "darwin has no network namespaces")


def test_a_run_is_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def day(chip: Any, check: bool) -> Any:
        with pytest.raises(OSError, match="cut off"):
            socket.create_connection(("127.0.0.1", 9))
        return SimpleNamespace(chip=SimpleNamespace(name=chip.name), jobs=[SimpleNamespace(name="voice")])

    monkeypatch.setattr("hanok.flows.apps.day.run_day", day)
    monkeypatch.setattr(cut_off, "isolate", lambda: (False, "not here"))
    cut_off.main(["nano", str(tmp_path / "run.json")])
    record = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert record["jobs"] == ["voice"]
    assert record["attempts"]
    assert (record["chip"], record["network_isolated"], record["kernel"]) == ("nano", False, "not here")


def test_jobs_that_fail_or_take_too_long_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HanokError, match=r"the jobs failed with the network cut off: .*fridge"):
        cut_off.run_cut_off("fridge", lambda _text: None)
    with pytest.raises(HanokError, match="took more than 0 s"):
        cut_off.run_cut_off("fridge", lambda _text: None, timeout_seconds=0)


@pytest.mark.slow
def test_every_job_is_done_without_network() -> None:
    record = cut_off.run_cut_off("edge", lambda _text: None)
    assert record["attempts"] == []
    assert record["sockets"] == 0
    assert len(record["jobs"]) == 6
