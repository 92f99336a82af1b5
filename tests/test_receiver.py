"""The receiver of the documentation, docs/receiver.py, opens for whoever passes just now, and else for nobody."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import requests

from control_plane.store.alarms import Alarm, AlarmKind
from control_plane.store.events import LoggedEvent
from faces.events import Event, EventKind, Status, original_message
from faces.signing import headers, secret_of
from jobs.webhooks import alarm_body, event_body
from rollcall.up import free_port

RECEIVER = Path(__file__).resolve().parents[1] / "docs" / "receiver.py"
KEY, ANOTHER = b"k" * 32, b"a" * 32
FRESH, OLD, AHEAD = timedelta(), timedelta(seconds=60), timedelta(seconds=-60)


class Gate:
    """The receiver, in a process of its own."""

    def __init__(self) -> None:
        self._port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, str(RECEIVER), str(self._port), secret_of(KEY)], stdout=subprocess.PIPE, text=True
        )
        until = time.monotonic() + 20
        while not self._listens():
            assert self._process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def told(self, body: bytes, message_id: str = "", key: bytes = KEY) -> int:
        """Post as Rollcall does, signed just now; returns the status of the answer."""
        signed = headers(message_id or str(uuid4()), datetime.now(UTC), body, [key])
        return requests.post(f"http://127.0.0.1:{self._port}/open", data=body, headers=signed, timeout=10).status_code

    def printed(self) -> list[str]:
        """End it; returns what it has printed."""
        assert self._process.stdout is not None
        self._process.terminate()
        return self._process.stdout.read().splitlines()

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


def seen(name: str, age: timedelta = FRESH, **more: Any) -> bytes:
    """What the control plane says of somebody who was seen so long ago."""
    fields: dict[str, Any] = dict.fromkeys(LoggedEvent.__struct_fields__)
    fields |= {"id": str(uuid4()), "kind": EventKind.DECISION, "status": Status.PASS, "camera": "gate"}
    return event_body(LoggedEvent(**{**fields, "name": name, "captured_at": datetime.now(UTC) - age, **more}))


def posted_by_an_edge(name: str, age: timedelta = FRESH) -> bytes:
    event = Event(id=uuid4(), camera="gate", captured_at=datetime.now(UTC) - age, status=Status.PASS, name=name)
    return msgspec.json.encode(original_message(event))


def alarm() -> bytes:
    fields: dict[str, Any] = dict.fromkeys(Alarm.__struct_fields__)
    fields |= {"id": str(uuid4()), "kind": AlarmKind.DENIED_PERSON, "raised_at": datetime.now(UTC)}
    return alarm_body(Alarm(**fields))


def test_it_opens_once_for_whoever_passes_whether_centre_or_edge_tells_it(gate: Gate) -> None:
    assert gate.told(posted_by_an_edge("Ann"), "one event") == 204
    assert gate.told(seen("Ann"), "one event") == 204
    assert gate.told(seen("Bea")) == 204
    assert gate.printed() == ["the gate opens for Ann", "the gate opens for Bea"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda: seen("Bea", OLD), id="an old event"),
        pytest.param(lambda: posted_by_an_edge("Bea", OLD), id="an old event of an edge"),
        pytest.param(lambda: seen("Bea", AHEAD), id="an event of a clock that is ahead"),
        pytest.param(lambda: seen("Bea", status=Status.REJECT), id="a REJECT"),
        pytest.param(lambda: seen("Bea", kind=EventKind.SIGHTING, status=None), id="a sighting"),
        pytest.param(alarm, id="an alarm"),
    ],
)
def test_it_stays_shut_for(gate: Gate, body: Callable[[], bytes]) -> None:
    assert gate.told(body()) == 204
    assert gate.told(seen("Ann")) == 204
    assert gate.printed() == ["the gate opens for Ann"]


def test_it_refuses_what_is_signed_by_another_secret(gate: Gate) -> None:
    assert gate.told(seen("Ann"), key=ANOTHER) == 401
    assert gate.printed() == []
