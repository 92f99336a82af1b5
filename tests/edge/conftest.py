"""A small control plane on a real socket, and the people of the film, enrolled."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edge.decide import Held
from faces import engine as engines
from faces import wire
from faces.encoding import to_bytes
from faces.engine import Engine, images
from faces.errors import Invalid
from faces.events import Event
from faces.gallery import EncodingRow, Gallery, IdentityRow, Key, Kind, Row, checksum, key, row_hash
from faces.wire import (
    CameraOrder,
    EventBatch,
    Followed,
    Hello,
    OrderOutcome,
    Page,
    Position,
    Report,
    SnapshotHead,
    Verdict,
    Verdicts,
    Welcome,
)

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)

PORTRAITS = {
    "Lin-Manuel Miranda": ["lin-manuel-miranda.png"],
    "Alex Lacamoire": ["alex-lacamoire.png"],
    "Barack Obama": ["obama.jpg", "obama2.jpg"],
    "Joe Biden": ["biden.jpg"],
}


def until(condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
    """Wait for a condition; the test fails if it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    return until


def enrolled(data: Path, engine: Engine) -> list[Row]:
    """The four people of the portraits as gallery rows, enrolled as the worker enrols: averaged with the mirror."""
    rows: list[Row] = []
    for name, files in PORTRAITS.items():
        rows.append(IdentityRow(id=name.lower(), name=name))
        for file in files:
            picture = images.load((data / "portraits" / file).read_bytes())
            face = engine.refine(picture, engine.detect(picture)[0])
            assert face is not None
            vector = engine.encode(picture, [face], mirror=True)[0]
            rows.append(EncodingRow(file, name.lower(), engine.model, to_bytes(vector)))
    return rows


@pytest.fixture(scope="session")
def people(data: Path, engine: Engine) -> list[Row]:
    """The portraits as rows of the default engine."""
    return enrolled(data, engine)


@pytest.fixture
def held(people: list[Row]) -> tuple[Held, ...]:
    """A site's one gallery, of the portraits."""
    return (Held("g1", "default", Kind.ALLOW, Position(9, 0), Gallery.of("sface", people)),)


@pytest.fixture(scope="session")
def dlib(data: Path) -> tuple[Engine, tuple[Held, ...]]:
    """The other engine, and the same gallery by it."""
    engine = engines.load("face_recognition")
    gallery = Gallery.of(engine.model, enrolled(data, engine))
    return engine, (Held("g1", "default", Kind.ALLOW, Position(9, 0), gallery),)


class GalleryLog:
    """One gallery's rows and the log of its changes, as a control plane keeps them."""

    def __init__(self, gallery: str, kind: Kind = Kind.ALLOW) -> None:
        self.id = gallery
        self.kind = kind
        self.rows: dict[Key, Row] = {}
        self.changes: list[tuple[list[Row], list[Key]]] = []
        self.compacted_to = 0
        self.lie = 0

    @property
    def position(self) -> Position:
        return Position(len(self.changes), self._checksum(self.rows) ^ self.lie)

    def change(self, put: list[Row] | None = None, removed: list[Key] | None = None) -> None:
        put, removed = put or [], removed or []
        self.changes.append((put, removed))
        _apply(self.rows, put, removed)

    def page(self, after: int, limit: int = 2) -> Page:
        """Up to `limit` revisions, each row at most once."""
        upto = min(after + limit, len(self.changes))
        put: dict[Key, Row] = {}
        gone: dict[Key, None] = {}
        for added, removed in self.changes[after:upto]:
            for named in removed:
                put.pop(named, None)
                gone[named] = None
            for row in added:
                gone.pop(key(row), None)
                put[key(row)] = row
        rows: dict[Key, Row] = {}
        for added, removed in self.changes[:upto]:
            _apply(rows, added, removed)
        position = Position(upto, self._checksum(rows) ^ self.lie)
        more = upto < len(self.changes)
        return Page(
            gallery=self.id, after=after, position=position, put=list(put.values()), removed=list(gone), more=more
        )

    @staticmethod
    def _checksum(rows: dict[Key, Row]) -> int:
        return checksum(row_hash(row) for row in rows.values())


def _apply(rows: dict[Key, Row], put: list[Row], removed: list[Key]) -> None:
    for named in removed:
        rows.pop(named, None)
    for row in put:
        rows[key(row)] = row


@pytest.fixture(name="gallery_log")
def gallery_log_fixture() -> type[GalleryLog]:
    return GalleryLog


class Plane:
    """A control plane as an edge sees it. `refuse` tells which events it refuses, `fail` answers a path wrongly."""

    def __init__(self) -> None:
        self.galleries = {"g1": GalleryLog("g1")}
        self.hellos: list[tuple[str, Hello]] = []
        self.lease_days: float | None = None
        self.probes = False
        self.model: str | None = None
        self.now: Callable[[], datetime | None] = lambda: None
        self.reports: list[tuple[str, Report]] = []
        self.events: dict[str, Event] = {}
        self.batches: list[int] = []
        self.offsets: list[float | None] = []
        self.clock: Callable[[], datetime | None] = lambda: datetime.now(UTC)
        self.asked: list[str] = []
        self.orders: list[CameraOrder] = []
        self.outcomes: dict[str, OrderOutcome] = {}
        self.headers: list[dict[str, str]] = []
        self.refuse: Callable[[Event], str | None] = lambda event: None
        self.fail: Callable[[str], tuple[int, str, bytes] | None] = lambda path: None
        self.more_headers: dict[str, str] = {}
        self.connections: set[socket.socket] = set()
        self._port = 0
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before."""
        handler = type("Handler", (_Handler,), {"plane": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        parts = path.strip("/").split("/")
        match method, parts:
            case "PUT", ["v1", "edges", edge]:
                hello = wire.decode(body, Hello)
                self.hellos.append((edge, hello))
                return 200, wire.encode(
                    Welcome(
                        edge_id=edge,
                        edge=hello.name,
                        site_id="s1",
                        site="Default",
                        lease_days=self.lease_days,
                        probes=self.probes,
                        now=self.now(),
                    )
                )
            case "GET", ["v1", "edge", "galleries"]:
                return 200, wire.encode(
                    [
                        Followed(id=g.id, name=g.id, kind=g.kind, position=g.position, model=self.model)
                        for g in self.galleries.values()
                    ]
                )
            case "PUT", ["v1", "edge", "galleries", gallery]:
                self.reports.append((gallery, wire.decode(body, Report)))
                return 204, b""
            case "GET", ["v1", "galleries", gallery, "changes"]:
                log, after = self.galleries[gallery], int(query["after"][0])
                return (410, b"") if after < log.compacted_to else (200, wire.encode(log.page(after)))
            case "GET", ["v1", "galleries", gallery, "snapshot"]:
                log = self.galleries[gallery]
                head = SnapshotHead(gallery=gallery, position=log.position, rows=len(log.rows))
                return 200, b"".join(wire.pack_rows(head, log.rows.values()))
            case "GET", ["v1", "edge", "orders"]:
                return 200, wire.encode([order for order in self.orders if order.id not in self.outcomes])
            case "POST", ["v1", "edge", "orders", order]:
                self.outcomes[order] = wire.decode(body, OrderOutcome)
                return 204, b""
            case "POST", ["v1", "events"]:
                return 200, wire.encode(Verdicts(list(self._verdicts(wire.decode(body, EventBatch))), self.clock()))
        return 404, b""

    def _verdicts(self, batch: EventBatch) -> Iterator[Verdict]:
        if batch.events:
            self.batches.append(len(batch.events))
            self.offsets.append(batch.clock_offset_s)
        for raw in batch.events:
            event = wire.decode(bytes(raw), Event)
            reason = self.refuse(event)
            if reason:
                yield Verdict(str(event.id), "refused", reason)
            else:
                known = str(event.id) in self.events
                self.events[str(event.id)] = event
                yield Verdict(str(event.id), "known" if known else "stored")


class _Handler(BaseHTTPRequestHandler):
    plane: Plane
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def setup(self) -> None:
        super().setup()
        self.plane.connections.add(self.connection)

    def finish(self) -> None:
        self.plane.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def _respond(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.plane.asked.append(f"{self.command} {url.path}")
        self.plane.headers.append(dict(self.headers))
        wrong = self.plane.fail(url.path)
        if wrong:
            status, kind, content = wrong
        else:
            kind = wire.MSGPACK
            try:
                status, content = self.plane.answer(self.command, url.path, parse_qs(url.query), body)
            except Invalid:
                status, content = 400, b""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in self.plane.more_headers.items():
            self.send_header(name, value)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = _respond  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def plane() -> Iterator[Plane]:
    plane = Plane()
    yield plane
    plane.stop()
