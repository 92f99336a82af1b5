"""Hostile lines between an edge and its control plane: whatever answers in its place, or breaks off, no event is lost,
no gallery changed and no lease renewed by it."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from edge import delivery
from edge import plane as edge_plane
from edge.delivery import Poster
from edge.plane import ControlPlane, OutOfReach
from edge.replica import Replica
from edge.spool import Spool
from faces import wire
from faces.encoding import SFACE
from faces.errors import RollcallError
from faces.events import Event, Status
from faces.wire import Followed, OrderOutcome, Position, Report, Verdict, Verdicts
from tests.edge.conftest import NOON

PAGE = b"<!DOCTYPE html><html><title>Welcome to our WLAN</title><form action=/login></form></html>"
SECOND_S = 0.3
"""How long the edge waits here for an answer."""


class Line:
    """What an edge reaches in place of its control plane: it reads one request, and does what it is told."""

    def __init__(self, answer: Callable[[socket.socket, bytes], None]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._answer = answer
        self.asked = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while request := read_request(lambda: connection.recv(65536)):
                self.asked += 1
                self._answer(connection, request)

    def close(self) -> None:
        self._socket.close()


class SlowLine(Line):
    """One that takes in 400 kB a second, and holds little on the way."""

    def __init__(self, answer: Callable[[socket.socket, bytes], None]) -> None:
        super().__init__(answer)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def _talk(self, connection: socket.socket) -> None:
        def slowly() -> bytes:
            time.sleep(0.01)
            return connection.recv(4000)

        with suppress(OSError), connection:
            while request := read_request(slowly):
                self.asked += 1
                self._answer(connection, request)


def read_request(receive: Callable[[], bytes]) -> bytes:
    found = b""
    while b"\r\n\r\n" not in found:
        if not (piece := receive()):
            return b""
        found += piece
    head, _, body = found.partition(b"\r\n\r\n")
    length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        if not (piece := receive()):
            return b""
        body += piece
    return body


def portal(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)
    )


def half_open(_connection: socket.socket, _request: bytes) -> None:
    time.sleep(5)


def reset(connection: socket.socket, _request: bytes) -> None:
    """200 bytes of an answer of 1,000, and then a reset, which takes back what was not read."""
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\nContent-Length: 1000\r\n\r\n" + bytes(200)
    )
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def stored(connection: socket.socket, request: bytes) -> list[str]:
    """Answer as a control plane that keeps every event; returns their ids."""
    ids = [str(msgspec.msgpack.decode(raw)["id"]) for raw in wire.decode(request, wire.EventBatch).events]
    body = wire.encode(Verdicts([Verdict(i, "stored") for i in ids]))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\nContent-Length: %d\r\n\r\n" % len(body)
    connection.sendall(head + body)
    return ids


LINES = [portal, half_open, reset]


@pytest.fixture(params=LINES)
def line(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(edge_plane, "TIMEOUT_S", (SECOND_S, SECOND_S))
    made = Line(request.param)
    yield made
    made.close()


@pytest.fixture
def plane(line: Line) -> Iterator[ControlPlane]:
    made = ControlPlane(line.url, uuid4())
    yield made
    made.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool.db")
    yield made
    made.close()


def event() -> Event:
    return Event(id=uuid4(), camera="door", captured_at=NOON, status=Status.PASS, name="Ann")


def test_hostile_39_no_event_is_taken_for_delivered(line: Line, plane: ControlPlane, spool: Spool) -> None:
    for made in (event(), event()):
        spool.append(made)
    poster = Poster(plane, spool)
    for _ in range(3):
        with pytest.raises(RollcallError):
            poster.step()
    assert line.asked
    assert len(spool) == 2


def test_hostile_39_nothing_is_taken_for_an_answer(line: Line, plane: ControlPlane, tmp_path: Path) -> None:
    replica = Replica(tmp_path / "galleries.db", SFACE)
    gallery = Followed(id="g1", name="g1", kind="allow", model=SFACE, position=Position(1, 1))  # type: ignore[arg-type]
    began = time.monotonic()

    def start_over() -> None:
        with plane.snapshot("g1") as (position, rows):
            replica.start_over("g1", position, rows)

    for ask in (
        plane.followed,
        lambda: plane.changes("g1", 0),
        lambda: plane.erased(["p1"]),
        lambda: plane.hello(wire.Hello(name="box", version="1", engine=SFACE, cameras=[])),
        lambda: plane.report(gallery.id, Report(position=Position(1, 1), error=None)),
        lambda: plane.finish("order", OrderOutcome(done=True)),
        plane.orders,
        start_over,
    ):
        with pytest.raises(RollcallError):
            ask()
    assert time.monotonic() - began < 5.0
    assert replica.held == ()
    replica.close()


def test_hostile_39_at_56_kilobytes_a_second_everything_arrives(spool: Spool) -> None:
    """The line's pace, seen by a clock of its own: batches shrink to what it carries, and each is delivered once."""
    arrived: list[str] = []
    spent = 0.0

    def slow(connection: socket.socket, request: bytes) -> None:
        nonlocal spent
        spent += len(request) / 56_000
        arrived.extend(stored(connection, request))

    line = Line(slow)
    plane = ControlPlane(line.url, uuid4())
    made = [msgspec.structs.replace(event(), thumbnail=bytes(4000)) for _ in range(1000)]
    for one in made:
        spool.append(one)
    poster = Poster(plane, spool, elapsed=lambda: spent)
    longest = 0.0
    while len(spool):
        before = spent
        poster.step()
        longest = max(longest, spent - before) if len(arrived) > 700 else longest
    assert sorted(arrived) == sorted(str(one.id) for one in made)
    assert longest < 3, "what is new does not wait long behind what is old"
    plane.close()
    line.close()


def test_hostile_39_what_a_line_cannot_take_in_time_is_sent_in_smaller_pieces(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is the sending that takes too long or the answer depends on what the system's own buffers hold."""
    monkeypatch.setattr(edge_plane, "TIMEOUT_S", (SECOND_S, 2 * SECOND_S))
    monkeypatch.setattr(delivery, "POST_S", SECOND_S)
    arrived: set[str] = set()
    line = SlowLine(lambda connection, request: arrived.update(stored(connection, request)))
    plane = ControlPlane(line.url, uuid4())
    made = [msgspec.structs.replace(event(), thumbnail=os.urandom(4000)) for _ in range(100)]
    for one in made:
        spool.append(one)
    poster, failed = Poster(plane, spool), 0
    while len(spool) and failed < 12:
        try:
            poster.step()
        except OutOfReach:
            failed += 1
    assert failed, "the first was too much at once"
    assert len(spool) == 0
    assert arrived == {str(one.id) for one in made}
    plane.close()
    line.close()
