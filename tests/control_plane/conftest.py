"""A real control plane on loopback, a worker that decides by the photo's first bytes, and edges made by hand."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, expect, sync_playwright
from playwright.sync_api import Page as BrowserPage
from websockets.sync.client import ClientConnection, connect

from control_plane.__main__ import listen, make_server
from control_plane.api.route import JSON, Media
from control_plane.api.routes import ROUTES
from control_plane.api.schema import with_document
from control_plane.app import create_app
from control_plane.config import SETTINGS, Config
from control_plane.cookies import CSRF_HEADER, NAME
from control_plane.metrics import Metrics
from control_plane.passwords import Passwords
from control_plane.problems import PROBLEM_JSON, TABLE
from control_plane.store import enrollments, identities, schema, users
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database, new_id, utcnow
from control_plane.store.enrollments import Purpose
from control_plane.store.keys import Role
from faces import wire
from faces.encoding import SFACE, to_bytes, unit
from faces.errors import Reason
from faces.events import Event, Status
from faces.gallery import EncodingRow
from tests import services

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSWORD = "correct horse battery"
HASHED = Passwords().hashed(PASSWORD)
SOON_S = 30.0
DECLARED = with_document(ROUTES, "test")
JPEG = b"\xff\xd8\xff\xe0" + b"a small picture"


def wait_for(true: Callable[[], Any], within_s: float = SOON_S) -> Any:
    """What `true` gives as soon as it is true; fails after `within_s`."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.005)
    raise AssertionError("it did not come true in time")


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that nobody else is given while the block runs: it is bound, and not listened on. Whoever asks for it by
    its number, and reuses addresses, may listen on it."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def reset(raw: socket.socket) -> bool:
    """Whether the other end has cut the connection off, whatever waits to be read."""
    closed = 7
    return raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == closed


def check_declared(response: requests.Response) -> None:
    """Fail if the answer is none that its route declares."""
    path = response.request.path_url.partition("?")[0]
    method = "GET" if response.request.method == "HEAD" else response.request.method
    route = next((r for r in DECLARED if r.method == method and _fits(r.path, path)), None)
    kind = response.headers.get("Content-Type", "")
    if response.status_code not in (route.answers if route else ()):
        assert kind == PROBLEM_JSON, (response.status_code, response.text[:200])
        assert TABLE[response.json()["code"]].status == response.status_code
        return
    assert route is not None
    declared = route.answers[response.status_code]
    media = declared if isinstance(declared, Media) else Media((JSON,), declared)
    if declared is None or response.request.method == "HEAD":
        assert response.content == b""
        return
    assert kind in media.types
    if media.value is not None and not kind.startswith("text/"):
        decode = msgspec.msgpack.decode if kind == wire.MSGPACK else msgspec.json.decode
        decode(response.content, type=media.value)


def _fits(pattern: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", pattern), path) is not None


CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
UNLIMITED = {setting.name: "off" for setting in SETTINGS if setting.name.startswith("LIMIT_")}


class Server:
    """A control plane in a thread of this process, with a client of it and the database behind it. Nobody's calls are
    counted there, unless the settings say so."""

    def __init__(self, database: Database, data_dir: Path, **settings: str) -> None:
        self.config = Config.read(
            {
                "DATABASE_URL": database.url.render_as_string(hide_password=False),
                "DATA_DIR": str(data_dir),
                "PORT": "0",
                "STREAM_PORT": "0",
                **UNLIMITED,
                "BROKER_URL": services.broker_url(),
                **settings,
            },
            Path("/nonexistent"),
        )
        self.database = database
        self.blobs = BlobStore(data_dir / "blobs")
        sockets = listen(self.config)
        self.port = sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = requests.Session()
        app = create_app(self.config, Database(self.config.database_url))
        self.metrics: Metrics = app.state.plane.metrics
        self._server = make_server(app)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": sockets})
        self._thread.start()
        wait_for(lambda: self._server.started)

    def stop(self) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        response = self.http.request(method, self.url + path, timeout=40, **options)
        check_declared(response)
        return response

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.call("POST", path, **options)

    def socket(self, path: str, *protocols: Any, headers: dict[str, str] | None = None) -> ClientConnection:
        return connect(
            f"ws://127.0.0.1:{self.port}{path}",
            subprotocols=list(protocols) or None,
            additional_headers=headers,
            compression=None,
            max_size=None,
            close_timeout=1,
            legacy=True,
        )

    def edge(self, edge_id: str | None = None, cameras: tuple[str, ...] = ("door",), site: str | None = None) -> Edge:
        """An edge that has introduced itself."""
        edge = Edge(self, edge_id or f"edge-{uuid4().hex[:8]}")
        edge.hello(cameras=cameras, site=site)
        return edge

    def files(self) -> set[Path]:
        """Photos, archives and what comes in just now."""
        return {path for path in (self.config.data_dir / "blobs").rglob("*") if path.is_file()}

    def person(self, name: str, photos: int = 1, **fields: Any) -> str:
        """An enrolled person; returns the id."""
        with self.database.write() as connection:
            person = identities.create(connection, name, ["default"], utcnow(), **fields)
            for _ in range(photos):
                add_encoding(connection, person, self.blobs)
        return person

    def user(self, name: str, role: Role = Role.VIEWER, sites: Sequence[str] | None = None) -> str:
        """A user whose password is PASSWORD; returns the id."""
        with self.database.write() as connection:
            return users.create(connection, name, role, HASHED, utcnow(), sites=sites).id

    def page(self, name: str) -> Page:
        """A browser of its own, in which this user is signed in."""
        page = Page(self)
        answer = page.call("POST", "/v1/session", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        page.csrf = answer.json()["csrf"]
        return page


class Page:
    """A page of ours in a browser: it keeps the cookie, and sends the token along with what changes something."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = requests.Session()
        self.csrf = ""

    @property
    def cookie(self) -> str:
        return f"{NAME}={self.http.cookies[NAME]}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {**({} if method == "GET" else {CSRF_HEADER: self.csrf}), **options.pop("headers", {})}
        response = self.http.request(method, self.server.url + path, timeout=40, headers=headers, **options)
        check_declared(response)
        return response

    def socket(self, *protocols: Any) -> ClientConnection:
        headers = {"Cookie": self.cookie, "Origin": self.server.url}
        return self.server.socket("/ws/face-stream", *protocols, headers=headers)


@dataclass
class Edge:
    """An edge's side of HTTP and of the link."""

    server: Server
    id: str
    wire: str = str(wire.WIRE)
    socket: ClientConnection | None = field(default=None)

    @property
    def headers(self) -> dict[str, str]:
        return {wire.EDGE_HEADER: self.id, wire.WIRE_HEADER: self.wire}

    def call(self, method: str, path: str, value: Any = None, **options: Any) -> requests.Response:
        headers = {**self.headers, "Content-Type": wire.MSGPACK, **options.pop("headers", {})}
        data = value if isinstance(value, bytes | None) else wire.encode(value)
        return self.server.call(method, path, data=data, headers=headers, **options)

    def hello(self, cameras: tuple[str, ...] = ("door",), site: str | None = None) -> requests.Response:
        hello = wire.Hello(name="box", site=site, version="1", engine=SFACE, cameras=list(cameras))
        return self.call("PUT", f"/v1/edges/{self.id}", hello)

    def send(self, *events: Any) -> list[wire.Verdict]:
        """Post events; values that are no Event are encoded as they are."""
        raws = [msgspec.Raw(wire.encode(e)) for e in events]
        response = self.call("POST", "/v1/events", wire.EventBatch(raws))
        return wire.decode(response.content, wire.Verdicts).verdicts

    def link(self) -> ClientConnection:
        return self.server.socket("/v1/edge/link", wire.LINK_PROTOCOL, headers=self.headers)


def event(**fields: Any) -> Event:
    """A PASS just now, with what is given instead."""
    values: dict[str, Any] = {
        "id": uuid4(),
        "camera": "door",
        "captured_at": NOW,
        "status": Status.PASS,
        "identity_id": "p1",
        "name": "Ann",
        "distance": 0.25,
        "box": (1, 2, 3, 4),
        "thumbnail": JPEG,
    }
    return Event(**{**values, **fields})


def add_encoding(connection: Connection, identity_id: str, blobs: BlobStore | None = None) -> str:
    """Give a person a photo and an encoding of nobody; returns the photo's id."""
    now = utcnow()
    vector = unit(np.random.default_rng().standard_normal(128).astype(np.float32))
    photo = identities.Photo(id=new_id(now), identity_id=identity_id, quality={}, created_at=now)
    blob = f"photos/{photo.id}"
    if blobs is not None:
        blobs.put(blob, JPEG)
    row = EncodingRow(new_id(now), identity_id, SFACE, to_bytes(vector))
    identities.add_photo(connection, photo, blob=blob, sha256="0" * 64)
    identities.add_encoding(connection, row, now, photo_id=photo.id)
    return photo.id


class Decider:
    """In place of a worker: accepts every photo, but refuses one that says `refuse:<reason>`. While somebody else holds
    `at_work` it decides nothing."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.at_work = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            with self.at_work:
                self._look()

    def _look(self) -> None:
        with self._server.database.read() as connection:
            due = enrollments.due(connection, utcnow())
        for enrollment_id in due:
            with self._server.database.write() as connection:
                self._decide(connection, enrollment_id)

    def _decide(self, connection: Connection, enrollment_id: str) -> None:
        now = utcnow()
        work = enrollments.claim(connection, enrollment_id, "decider", now)
        assert work is not None
        photo = self._server.blobs.get(work.blob)
        if photo.startswith(b"refuse:"):
            reason = Reason(photo.removeprefix(b"refuse:").decode())
            enrollments.refuse(connection, work.id, now, reason=reason, message="This will not do.", remedy="Another.")
            return
        if work.kind is Purpose.CORRECTION:
            vector = to_bytes(unit(np.random.default_rng().standard_normal(128).astype(np.float32)))
            row = EncodingRow(new_id(now), work.identity_id or "", SFACE, vector, against=True)
            identities.add_encoding(connection, row, now)
            enrollments.accept_correction(connection, work.id, now, correction_id=row.id)
            return
        person = work.identity_id or identities.by_name(connection, work.name or "", work.gallery_id)
        person = person or identities.create(connection, work.name or "", [work.gallery_id], now)
        photo_id = add_encoding(connection, person)
        enrollments.accept(connection, work.id, now, identity_id=person, name=work.name or "", photo_id=photo_id)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "rollcall.db"
    database = Database(f"sqlite:///{path}")
    schema.migrate(database, NOW)
    database.truncate_wal()
    database.close()
    return path


@contextmanager
def running(database: Database, data_dir: Path, **settings: str) -> Iterator[Server]:
    server = Server(database, data_dir, **settings)
    try:
        yield server
    finally:
        server.stop()
        database.close()


@pytest.fixture(scope="session")
def fresh(template: Path) -> Iterator[Callable[[Path], Database]]:
    """Makes a migrated database of the run's kind; SQLite's is in the folder given."""
    with ExitStack() as stack:
        yield lambda folder: _made(services.DATABASES[0], template, folder, stack)


def _made(kind: str, template: Path, folder: Path, stack: ExitStack) -> Database:
    if kind == "postgres":
        return Database(stack.enter_context(services.migrated_postgres()))
    (folder / "rollcall.db").write_bytes(template.read_bytes())
    return Database(f"sqlite:///{folder / 'rollcall.db'}")


@pytest.fixture(scope="module")
def server(fresh: Callable[[Path], Database], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A control plane, shared by a file's tests."""
    folder = tmp_path_factory.mktemp("plane")
    with running(fresh(folder), folder) as server:
        yield server


@pytest.fixture(scope="module")
def decider(server: Server) -> Iterator[Decider]:
    decider = Decider(server)
    yield decider
    decider.stop()


@pytest.fixture(scope="session")
def decider_type() -> type[Decider]:
    return Decider


@pytest.fixture(params=services.DATABASES)
def either(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Iterator[Server]:
    """A control plane of this test's own, once on SQLite and once on Postgres."""
    with ExitStack() as stack:
        database = _made(request.param, template, tmp_path, stack)
        yield stack.enter_context(running(database, tmp_path))


@pytest.fixture(name="event", scope="session")
def event_fixture() -> Callable[..., Event]:
    return event


@pytest.fixture(name="wait_for", scope="session")
def wait_for_fixture() -> Callable[..., Any]:
    return wait_for


@pytest.fixture(name="add_encoding", scope="session")
def add_encoding_fixture() -> Callable[..., str]:
    return add_encoding


@pytest.fixture(name="running", scope="session")
def running_fixture() -> Callable[..., Any]:
    return running


@pytest.fixture
def jpeg() -> bytes:
    return JPEG


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For a file's tests alone: while it is there its event loop runs, and no test can run another."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    expect.set_options(timeout=10_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[BrowserPage]:
    """A page on which nothing may go wrong unseen."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(10_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
    yield page
    page.close()
    assert wrong == []
