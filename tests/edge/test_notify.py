from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.notify import NOBODY, Notifier


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd listens on, and its name as it is told."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@rollcall-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.settimeout(5)
        yield listening, name


def test_systemd_is_told(systemd: tuple[socket.socket, str]) -> None:
    listening, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 7)
    notifier.ready()
    notifier.alive()
    notifier.status("watching door")
    notifier.stopping()
    told = [listening.recv(100) for _ in range(4)]
    assert told == [b"READY=1", b"WATCHDOG=1", b"STATUS=watching door", b"STOPPING=1"]
    assert notifier.watchdog_s == 60


@pytest.mark.parametrize("asked", [{}, {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}])
def test_a_watchdog_that_is_not_ours_gets_no_sign(systemd: tuple[socket.socket, str], asked: dict[str, str]) -> None:
    listening, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name, **asked}, 7)
    notifier.alive()
    notifier.stopping()
    assert listening.recv(100) == b"STOPPING=1"


def test_without_systemd_nobody_is_told() -> None:
    NOBODY.ready()
    NOBODY.alive()


def test_a_socket_that_is_gone_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")}, 7).ready()
    assert "systemd cannot be told READY" in caplog.text


def test_a_full_socket_is_not_waited_for(systemd: tuple[socket.socket, str]) -> None:
    _, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1"}, 7)
    for _ in range(2000):
        notifier.alive()
