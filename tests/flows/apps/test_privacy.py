"""What leaves the device is seen, while it is watched."""

import socket
import subprocess
import sys

from hanok.flows.apps.privacy import watch_departures


def test_work_on_the_device_leaves_nothing() -> None:
    with watch_departures() as seen:
        assert sum(range(100)) == 4950
    assert seen.none


def test_connections_and_programs_are_named() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, watch_departures() as seen:
        with socket.create_connection(server.getsockname()):
            pass
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert {"socket.connect", "subprocess.Popen"} <= set(seen.events)
    assert not seen.none


def test_sockets_left_open_are_counted() -> None:
    with watch_departures() as seen:
        left = socket.socket()
    left.close()
    assert seen.sockets == (1 if sys.platform == "linux" else 0)


def test_nothing_is_seen_behind_the_block() -> None:
    with watch_departures() as seen:
        pass
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert seen.none
