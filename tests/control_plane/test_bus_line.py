"""Two control planes on one database and a real Redis."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket as sockets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis

from control_plane import feed
from control_plane.store import schema
from control_plane.store.db import Database
from control_plane.store.watch import Watch
from faces import wire
from faces.wire import FrameHeader, Hint, pack_frame, unpack_frame
from tests.conftest import absent
from tests.control_plane.conftest import reserved_port

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
JPEG = b"\xff\xd8live"


@pytest.fixture
def bus() -> str:
    with redis.Redis.from_url(REDIS, socket_connect_timeout=2) as client:
        try:
            client.ping()
        except redis.ConnectionError:
            absent("Redis")
    return REDIS


@contextmanager
def pair(running: Any, make: Callable[[], Database], folder: Path, url: str) -> Iterator[tuple[Any, Any]]:
    """Two control planes that share a database and a bus of this test's own."""
    settings = {"BUS_URL": url, "BUS_NAME": f"test-{uuid4().hex[:8]}"}
    with running(make(), folder, **settings) as one, running(make(), folder, **settings) as other:
        yield one, other


def shared(database: Database) -> Callable[[], Database]:
    """Opens this database again."""
    database.close()
    url = database.url.render_as_string(hide_password=False)
    return lambda: Database(url)


@pytest.fixture
def two(running: Any, fresh: Any, tmp_path: Path, bus: str) -> Iterator[tuple[Any, Any]]:
    with pair(running, shared(fresh(tmp_path)), tmp_path, bus) as servers:
        yield servers


def frame(camera: str = "door", width: int = 64) -> bytes:
    return pack_frame(FrameHeader(camera=camera, captured_at=NOW, width=width, height=36, faces=[]), JPEG)


def watch(server: Any, edge: Any, camera: str = "door") -> Any:
    socket = server.socket("/ws/face-stream", wire.WATCH_PROTOCOL)
    socket.send(json.dumps({"type": "watch", "edge": edge.id, "camera": camera}))
    return socket


def told(link: Any, what: wire.LinkDown, within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while wire.decode_text(link.recv(timeout=deadline - time.monotonic()), wire.LinkDown) != what:  # type: ignore[arg-type]
        pass


def shown(socket: Any, within_s: float) -> FrameHeader:
    """The next frame shown; raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while isinstance(message := socket.recv(timeout=deadline - time.monotonic()), str):
        pass
    return unpack_frame(message)[0]


def picture(socket: Any, link: Any, within_s: float = 15) -> FrameHeader:
    """The next frame shown; the edge sends one each moment."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        link.send(frame())
        with suppress(TimeoutError):
            return shown(socket, 0.05)
    raise AssertionError("no frame came")


def test_a_watcher_of_one_sees_the_edge_of_the_other_and_its_camera_is_leased_meanwhile(two: tuple[Any, Any]) -> None:
    here, there = two
    edge = here.edge()
    with edge.link() as link:
        with watch(there, edge) as far, watch(here, edge) as near:
            told(link, wire.Watch("door", 10.0))
            for socket in (far, near):
                header = picture(socket, link)
                assert (header.edge, header.site, header.camera) == (edge.id, "default", "door")
        told(link, wire.Watch("door", 0))


def test_a_frame_is_shown_once_also_where_both_watch(two: tuple[Any, Any]) -> None:
    here, there = two
    edge = here.edge(cameras=("door", "yard"))
    with edge.link() as link, watch(there, edge) as far, watch(here, edge) as near:
        told(link, wire.Watch("door", 10.0))
        for socket in (far, near):
            picture(socket, link)
        link.send(frame("yard"))
        link.send(frame(width=65))
        for socket in (far, near):
            # Of those sent before, some may still come.
            while (header := shown(socket, 5)).width == 64:
                assert header.camera == "door"
            assert header.camera == "door"
            with pytest.raises(TimeoutError):
                socket.recv(timeout=0.2)


def test_a_client_of_the_original_sees_an_edge_of_another_control_plane(two: tuple[Any, Any]) -> None:
    here, there = two
    edge = here.edge()
    with edge.link() as link, there.socket("/ws/face-stream") as client:
        told(link, wire.Watch("door", 10.0))
        link.send(frame())
        assert json.loads(client.recv(timeout=10))["camera"] == "door"


def test_on_postgres_what_one_commits_the_other_tells_at_once(
    running: Any, postgres_url: str, tmp_path: Path, bus: str, event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches: list[Watch] = []

    class Known(Watch):
        def __init__(self, database: Database) -> None:
            super().__init__(database)
            watches.append(self)

    monkeypatch.setattr(feed, "Watch", Known)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    schema.migrate(database := Database(postgres_url), NOW)
    database.close()
    with pair(running, lambda: Database(postgres_url), tmp_path, bus) as (here, there):
        edge = here.edge()
        with edge.link() as link, there.socket("/ws/face-stream", wire.WATCH_PROTOCOL) as watcher:
            with watch(there, edge) as far:
                picture(far, link)
            # Both are on the bus. By themselves they look no more while this test lasts.
            for each in watches:
                each.interval_s = 600.0
            watcher.send('{"type":"events","after":0}')
            for _ in range(5):
                edge.send(event(thumbnail=None))
                while json.loads(watcher.recv(timeout=10))["type"] != "event":
                    pass
            revision = there.get("/v1/galleries").json()["items"][0]["revision"]
            there.post("/v1/identities", json={"name": "Ann"})
            told(link, Hint("default", revision + 1))


@contextmanager
def own_redis(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_while_the_bus_is_dead_each_serves_its_own_and_afterwards_they_share_again(
    running: Any, fresh: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if shutil.which("redis-server") is None:
        absent("redis-server")
    caplog.set_level(logging.INFO, "control_plane.bus_line")
    with (
        reserved_port() as port,
        pair(running, shared(fresh(tmp_path)), tmp_path, f"redis://127.0.0.1:{port}") as (here, there),
    ):
        edge = here.edge()
        with edge.link() as link, watch(here, edge) as near, watch(there, edge) as far:
            picture(near, link)
            with own_redis(tmp_path, port):
                picture(far, link)
            for _ in range(3):
                picture(near, link)
            with own_redis(tmp_path, port):
                picture(far, link)
                picture(near, link)
    lines = [(r.levelname, r.message) for r in caplog.records if r.name == "control_plane.bus_line"]
    # At the start, and each time it was killed: once for each of the two, however often they tried.
    assert [level for level, _ in lines].count("WARNING") == 6
    assert lines.count(("INFO", "the bus is connected")) == 4


def test_a_bus_that_never_answers_holds_up_nothing(running: Any, fresh: Any, tmp_path: Path) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as mute:
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}"
        with running(fresh(tmp_path), tmp_path, BUS_URL=url) as server:
            edge = server.edge()
            with edge.link() as link, watch(server, edge) as near:
                picture(near, link)
