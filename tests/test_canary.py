"""Secrets go through every door of the running product, with all that it can log, and turn up nowhere."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import redis as redis_client
import requests
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from control_plane.store import members
from edge import credential
from edge.config import Config
from faces.encoding import from_bytes
from faces.gallery import EncodingRow
from rollcall.access import database_of
from rollcall.supervisor import Process, Supervisor
from rollcall.up import Place, free_port, start_centre, start_edge
from tests import services

EVERYTHING_IS_LOGGED = """
import logging

basic, level = logging.basicConfig, logging.Logger.setLevel
logging.basicConfig = lambda **given: basic(**{**given, "level": logging.DEBUG})
logging.Logger.setLevel = lambda log, given: level(log, logging.DEBUG if given == logging.INFO else given)
"""
"""What the processes run first: what they say of themselves as usual, they say in full."""

PLANTED = """
import control_plane.auth, logging

found = control_plane.auth.Gate.key
def told(gate, text):
    logging.getLogger("control_plane").debug("asked with %s", text)
    return found(gate, text)
control_plane.auth.Gate.key = told
"""
"""A fault that says too much."""

BROKEN = {
    "sqlite": "BEGIN SELECT RAISE(ABORT, 'broken'); END",
    "postgresql": "FOR EACH ROW EXECUTE FUNCTION broken()",
}
"""What a trigger does that lets nothing be written."""

NEEDLE_BYTES = 24


@dataclass
class Secrets:
    """What must turn up nowhere, by what it is."""

    found: dict[str, bytes] = field(default_factory=dict)

    def add(self, what: str, value: str | bytes) -> str:
        self.found[what] = value.encode() if isinstance(value, str) else value
        return value if isinstance(value, str) else ""

    def made_up(self, what: str) -> str:
        """A secret that a caller brings, right or wrong."""
        return self.add(what, f"canary-{what.replace(' ', '-')}-7f3a9c51")

    def template(self, what: str, data: bytes) -> None:
        self.add(what, data[:NEEDLE_BYTES])
        first = from_bytes(data).tolist()[:2]
        self.add(f"{what} as numbers", f"{first[0]}, {first[1]}")
        self.add(f"{what} as JSON", f"{first[0]},{first[1]}")

    def within(self, data: bytes) -> set[str]:
        """Which of them are in there, in any usual spelling."""
        return {what for what, value in self.found.items() if any(form in data for form in spellings(value))}


def spellings(value: bytes) -> Iterator[bytes]:
    yield value
    yield value.hex().encode()
    yield quote(value).encode()
    yield repr(value)[2:-1].encode()
    for skip in range(3):
        # In the middle of something longer, base64 begins at any of three places.
        yield base64.b64encode(value[skip:])[:-4]


@dataclass
class World:
    """The product on Redis and a database, its secrets, and all that was heard of it."""

    place: Place
    folder: Path
    secrets: Secrets
    supervisor: Supervisor
    heard: list[bytes] = field(default_factory=list)

    @property
    def stream(self) -> str:
        return f"ws://127.0.0.1:{self.place.port}/ws/face-stream"

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """A request whose answer is to hold no secret."""
        answer = requests.request(method, self.place.url + path, timeout=60, **options)
        self.heard.append(answer.content + str(answer.headers).encode())
        return answer

    def told(self, method: str, path: str, **options: Any) -> Any:
        """A request whose answer shows a secret, this once."""
        answer = requests.request(method, self.place.url + path, timeout=60, **options)
        assert answer.ok, answer.text
        return answer.json()

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Everywhere that the product writes."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                yield str(path.relative_to(self.folder)), path.read_bytes()
        for number, heard in enumerate(self.heard):
            yield f"answer {number}", heard

    def leaks(self) -> dict[str, set[str]]:
        """Where a secret was found, and which."""
        return {place: found for place, data in self.places() if (found := self.secrets.within(data))}

    def dump(self, url: str) -> None:
        """What Postgres holds, as files beside the others."""
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            for (table,) in cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
                with cursor.copy(f'COPY "{table}" TO STDOUT (FORMAT BINARY)') as rows:
                    (self.folder / f"{table}.dump").write_bytes(b"".join(bytes(row) for row in rows))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[int]:
    """A Redis of this test's own, which writes down all that it is told."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is absent")
    port = free_port()
    folder = tmp_path / "redis"
    folder.mkdir()
    words = ["--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    running = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
    until(lambda: answers(port))
    yield port
    running.terminate()
    running.wait(10)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(true: Callable[[], Any], within_s: float = 90.0) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come true in time")


def all_is_logged(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("".join((EVERYTHING_IS_LOGGED, *more)))
    ours = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), ours)))


def rollcall(*words: object, **options: Any) -> str:
    """A command's output; raises if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "rollcall", *map(str, words)], capture_output=True, text=True, check=True, **options
    )
    return done.stdout.strip()


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def bring_wrong_ones(world: World) -> None:
    """Passwords and keys that are no good, wherever a caller may put one."""
    made_up = world.secrets.made_up
    basic = base64.b64encode(f"ann:{made_up('password')}".encode()).decode()
    for headers in (
        bearer(made_up("wrong key")),
        {"Authorization": f"Basic {basic}"},
        {"Authorization": f"Digest {made_up('odd scheme')}"},
        {"Cookie": f"rollcall={made_up('cookie')}"},
        {"X-Api-Key": made_up("header")},
    ):
        for method, path in (("GET", "/v1/sites"), ("POST", "/v1/edge/join"), ("DELETE", "/v1/identities/x")):
            world.ask(method, path, headers=headers)
    for path in (
        f"/v1/sites?key={made_up('query')}",
        f"/nowhere/{made_up('path')}",
        f"/?token={made_up('page query')}",
    ):
        world.ask("GET", path)
    with suppress(WebSocketException, OSError):
        ticket: Any = f"rollcall.ticket.{made_up('wrong ticket')}"
        connect(world.stream, subprotocols=[ticket], legacy=True).close()
    with suppress(WebSocketException, OSError):
        connect(f"{world.stream}?key={made_up('socket query')}", legacy=True).close()


def sign_in(world: World) -> None:
    """A user signs in, with a wrong password and with the right one, and changes it."""
    first, second = world.secrets.made_up("right password"), world.secrets.made_up("next password")
    rollcall("users", "create", "ann", "--role", "admin", "--data", world.place.data, input=f"{first}\n")
    wrong = {"name": "ann", "password": world.secrets.made_up("forgotten password")}
    assert world.ask("POST", "/v1/session", json=wrong).status_code == 401
    answer = requests.post(f"{world.place.url}/v1/session", json={"name": "ann", "password": first}, timeout=60)
    cookie = world.secrets.add("sign-in", answer.cookies["rollcall"])
    token = world.secrets.add("csrf token", answer.json()["csrf"])
    signed_in = {"Cookie": f"rollcall={cookie}", "X-CSRF-Token": token}
    changed = world.ask("PUT", "/v1/session/password", json={"old": first, "new": second}, headers=signed_in)
    assert changed.status_code == 204, changed.text


def enrol(world: World, admin: dict[str, str], data: Path) -> None:
    photo = (data / "portraits" / "obama.jpg").read_bytes()
    files = {"image": ("o.jpg", photo)}
    assert world.ask("POST", "/register", data={"name": "Ann"}, files=files, headers=admin).status_code == 200
    world.secrets.add("photo", photo[2000 : 2000 + NEEDLE_BYTES])
    person = world.ask("GET", "/v1/identities", headers=admin).json()["items"][0]["id"]
    world.secrets.template("template", template_of(world, person))


def use_webhooks(world: World, admin: dict[str, str]) -> None:
    made_up = world.secrets.made_up
    url = f"http://127.0.0.1:{free_port()}/hook?token={made_up('webhook token')}"
    made = world.told("POST", "/v1/webhooks", json={"url": url, "statuses": ["PASS", "REJECT"]}, headers=admin)
    world.secrets.add("webhook secret", made["secret"])
    rotated = world.told("POST", f"/v1/webhooks/{made['id']}/rotate", json={}, headers=admin)
    world.secrets.add("new webhook secret", rotated["secret"])
    refused = {"url": f"http://ann:{made_up('webhook password')}@127.0.0.1/", "statuses": ["PASS"]}
    assert world.ask("POST", "/v1/webhooks", json=refused, headers=admin).status_code == 400


def break_something(world: World, admin: dict[str, str], data: Path) -> None:
    """Faults in the midst of what is secret: the worker tells of them with a traceback."""
    for table in ("webhook_secrets", "encodings"):
        execute(world, lambda kind, t=table: f"CREATE TRIGGER broken_{t} BEFORE INSERT ON {t} {BROKEN[kind]}")
    hook = {"url": "http://127.0.0.1:9/", "statuses": ["PASS"]}
    assert world.ask("POST", "/v1/webhooks", json=hook, headers=admin).status_code >= 400
    person = world.ask("POST", "/v1/identities", json={"name": "Joe"}, headers=admin).json()["id"]
    files = {"image": ("o.jpg", (data / "portraits" / "obama.jpg").read_bytes())}
    world.ask("POST", f"/v1/identities/{person}/photos?force=true", files=files, headers=admin)
    until(lambda: "broken" in (world.folder / "logs" / "worker.log").read_text())


def execute(world: World, statement: Callable[[str], str]) -> None:
    """Have the database do something, in words of its kind."""
    with database_of(world.place.data) as database, database.write() as connection:
        kind = connection.dialect.name
        if kind == "postgresql":
            connection.exec_driver_sql(
                "CREATE OR REPLACE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'broken'; END $$"
            )
        connection.exec_driver_sql(statement(kind))


def template_of(world: World, person: str) -> bytes:
    with database_of(world.place.data) as database, database.read() as connection:
        (row,) = (r for r, _ in members.rows(connection, person) if isinstance(r, EncodingRow))
        return row.data


def join_and_watch(world: World, admin: dict[str, str]) -> None:
    """An edge joins, and watches a camera whose URL holds a password, and another one that it is ordered to."""
    made_up, place = world.secrets.made_up, world.place
    token = world.secrets.add("join token", world.told("POST", "/v1/sites/default/join-tokens", headers=admin)["token"])
    folder = place.data / "edge"
    rollcall("edge", "join", place.url, "--data", folder, input=f"{token}\n")
    kept = credential.read(folder / credential.MEMBERSHIP)
    assert kept is not None
    world.secrets.add("edge credential", kept[1].key or "")
    nobody = free_port()
    source = f"rtsp://ann:{made_up('camera password')}@127.0.0.1:{nobody}/live?auth={made_up('camera query')}"
    start_edge(world.supervisor, place, {"VIDEO_SOURCE": source, "CAMERA": "door"})
    until(lambda: "camera_lost" in (world.folder / "logs" / "edge.log").read_text())
    edge = until(lambda: world.ask("GET", "/v1/edges", headers=admin).json()["items"])[0]["id"]
    order = {"action": "put", "camera": "gate", "source": f"rtsp://ann:{made_up('ordered password')}@127.0.0.1:1/"}
    world.ask("POST", f"/v1/edges/{edge}/credential", headers=admin)
    # With another camera it introduces itself anew, and is told to take another credential.
    done = world.ask("POST", f"/v1/edges/{edge}/orders", json=order, headers={**admin, "Prefer": "wait=20"})
    assert done.json()["state"] == "done", done.text
    world.secrets.add("renewed credential", until(lambda: key_at(folder, other_than=kept[1].key)))


def key_at(folder: Path, other_than: str | None) -> str | None:
    """The key that an edge calls by, once it is another one."""
    found = credential.read(folder / credential.MEMBERSHIP, Config.read({"DATA_DIR": str(folder)}).opener)
    return found[1].key if found and found[1].key != other_than else None


class Ear(threading.Thread):
    """Listens to what control planes tell each other by Redis, which writes none of it down."""

    def __init__(self, world: World, url: str) -> None:
        super().__init__(daemon=True)
        self._world = world
        self._told = redis_client.Redis.from_url(url).pubsub()
        self._told.psubscribe("*")
        self._over = threading.Event()
        self.count = 0
        self.start()

    def run(self) -> None:
        while not self._over.is_set():
            message = self._told.get_message(timeout=0.05)
            if message and message["type"] == "pmessage":
                self.count += 1
                self._world.heard.append(message["channel"] + message["data"])

    def stop(self) -> None:
        self._over.set()
        self.join()
        self._told.close()


class Ears(threading.Thread):
    """Listens to the stream, and to what everybody on this machine may read of its processes."""

    def __init__(self, world: World, admin: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._world = world
        self._over = threading.Event()
        ticket = world.told("POST", "/v1/tickets", headers=admin)["subprotocol"]
        world.secrets.add("ticket", ticket)
        stream: Any = ["rollcall.v1", ticket]
        self._socket = connect(world.stream, subprotocols=stream, legacy=True)
        self.start()

    def run(self) -> None:
        seen: set[bytes] = set()
        while not self._over.is_set():
            with suppress(TimeoutError):
                message = self._socket.recv(timeout=0.02)
                self._world.heard.append(message.encode() if isinstance(message, str) else message)
            for process in os.listdir("/proc"):
                with suppress(OSError):
                    seen.add(Path("/proc", process, "cmdline").read_bytes())
        self._world.heard.extend(seen)

    def stop(self) -> None:
        self._over.set()
        self.join()
        self._socket.close()


def key_of(world: World) -> dict[str, str]:
    """An administrator's key as a header, once it is needed."""
    text = rollcall("keys", "create", "--role", "admin", "--data", world.place.data)
    until(lambda: world.ask("GET", "/v1/sites").status_code == 401)
    return bearer(world.secrets.add("key", text))


def revoke_one(world: World, admin: dict[str, str]) -> None:
    made = world.told("POST", "/v1/keys", json={"role": "viewer"}, headers=admin)
    world.ask("DELETE", f"/v1/keys/{made['id']}", headers=admin)
    revoked = bearer(world.secrets.add("revoked key", made["key"]))
    until(lambda: world.ask("GET", "/v1/sites", headers=revoked).status_code == 401)


@pytest.fixture(params=services.DATABASES)
def database_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str | None]:
    """Of the product's database in Postgres; None: it is SQLite, among the product's files."""
    if request.param == "sqlite":
        yield None
        return
    with services.migrated_postgres() as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield url


@pytest.mark.timeout(240)
def test_no_secret_turns_up_anywhere(
    tmp_path: Path, data: Path, redis: int, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_is_logged(tmp_path / "debug", monkeypatch)
    for name in ("BROKER_URL", "BUS_URL"):
        monkeypatch.setenv(name, f"redis://127.0.0.1:{redis}")
    place = Place(data=tmp_path / "plane", port=free_port(), stream_port=0)
    with Supervisor(logs=tmp_path / "logs") as supervisor:
        world = World(place, tmp_path, Secrets(), supervisor)
        start_centre(supervisor, place)
        admin = key_of(world)
        ears, ear = Ears(world, admin), Ear(world, f"redis://127.0.0.1:{redis}")
        revoke_one(world, admin)
        bring_wrong_ones(world)
        sign_in(world)
        enrol(world, admin, data)
        use_webhooks(world, admin)
        join_and_watch(world, admin)
        break_something(world, admin, data)
        for path in ("/openapi.json", "/metrics", "/v1/audit", "/v1/alarms", "/v1/events"):
            world.ask("GET", path, headers=admin)
        ears.stop()
        ear.stop()
        if database_url:
            world.dump(database_url)
    logs = "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
    assert all(f" DEBUG {who}" in logs for who in ("control plane", "worker"))
    assert "Traceback" in logs
    assert len(world.secrets.found) > 20
    assert ear.count > 0
    assert world.leaks() == {}


def test_a_fault_that_says_too_much_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_is_logged(tmp_path / "debug", monkeypatch, PLANTED)
    place = Place(data=tmp_path / "plane", port=free_port(), stream_port=0)
    with Supervisor(logs=tmp_path / "logs") as supervisor:
        world = World(place, tmp_path, Secrets(), supervisor)
        environment = {"DATA_DIR": str(place.data), "PORT": str(place.port), "STREAM_PORT": "0"}
        supervisor.start(Process("control plane", "control_plane", environment))
        supervisor.wait_ready(f"{place.url}/readyz")
        world.ask("GET", "/v1/sites", headers=key_of(world))
    assert world.leaks() == {"logs/control_plane.log": {"key"}}


@pytest.mark.parametrize(
    "spelled",
    [
        b"x canary-password-7f3a9c51 y",
        base64.b64encode(b"ann:canary-password-7f3a9c51 and more"),
        b"canary-password-7f3a9c51".hex().encode(),
    ],
)
def test_a_secret_is_found_however_it_is_spelled(spelled: bytes) -> None:
    secrets = Secrets()
    secrets.made_up("password")
    assert secrets.within(spelled) == {"password"}
