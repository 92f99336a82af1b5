"""Hostile lines between an edge and its control plane: whatever answers in its place, or breaks off, no event is lost,
no gallery changed and no lease renewed by it."""

from __future__ import annotations

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

from edge import plane as edge_plane
from edge.delivery import Poster
from edge.plane import ControlPlane
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
            while request := read_request(connection):
                self.asked += 1
                self._answer(connection, request)

    def close(self) -> None:
        self._socket.close()


def read_request(connection: socket.socket) -> bytes:
    found = b""
    while b"\r\n\r\n" not in found:
        if not (piece := connection.recv(65536)):
            return b""
        found += piece
    head, _, body = found.partition(b"\r\n\r\n")
    length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += connection.recv(65536)
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
        batch = wire.decode(request, wire.EventBatch)
        ids = [str(msgspec.msgpack.decode(raw)["id"]) for raw in batch.events]
        arrived.extend(ids)
        body = wire.encode(Verdicts([Verdict(i, "stored") for i in ids]))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)

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
