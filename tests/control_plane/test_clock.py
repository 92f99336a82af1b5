"""A control plane whose clock is wrong, and is put right while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from control_plane.__main__ import listen, make_server
from control_plane.app import create_app
from control_plane.config import Config
from control_plane.store import enrollments, keys
from control_plane.store.db import Database
from control_plane.store.keys import Role
from faces import wire
from faces.events import Event, Status

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 7, 1, tzinfo=UTC)


class Plane:
    """A control plane by a clock that stands until it is set."""

    def __init__(self, database: Database, folder: Path) -> None:
        settings = {"DATABASE_URL": str(database.url), "DATA_DIR": str(folder), "PORT": "0", "STREAM_PORT": "0"}
        config = Config.read(settings, Path("/nonexistent"))
        self.database, self.now = database, NOW
        sockets = listen(config)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        app = create_app(config, Database(config.database_url), lambda: self.now)
        self._server = make_server(app)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": sockets})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        answer = requests.request(method, self.url + path, timeout=10, **options)
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture
def plane(fresh: Callable[[Path], Database], tmp_path: Path) -> Iterator[Plane]:
    database = fresh(tmp_path)
    made = Plane(database, tmp_path)
    yield made
    made.stop()
    database.close()


EDGE = {wire.EDGE_HEADER: "e1", wire.WIRE_HEADER: str(wire.WIRE), "Content-Type": wire.MSGPACK}
CLOCKS = [
    pytest.param([NOW, NOW + DAY, NOW], id="a day ahead and back"),
    pytest.param([NOW, NOW - HOUR, NOW], id="an hour back"),
    pytest.param([datetime(1970, 1, 1, tzinfo=UTC), NOW], id="from 1970"),
    pytest.param([NOW, datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), NOW], id="to 2038"),
]


@pytest.mark.parametrize("clock", CLOCKS)
def test_hostile_37_whatever_its_clock_says_it_serves_and_keeps_order(plane: Plane, clock: list[datetime]) -> None:
    hello = wire.encode(wire.Hello(name="box", version="1", engine="sface", cameras=["door"]))
    people, events = [], []
    for number, now in enumerate(clock):
        plane.now = now
        told = plane.call("PUT", "/v1/edges/e1", data=hello, headers=EDGE)
        assert wire.decode(told.content, wire.Welcome).now == now
        people.append(plane.call("POST", "/v1/identities", 201, json={"name": f"P{number}"}).json()["id"])
        event = Event(id=uuid4(), camera="door", captured_at=NOW, status=Status.PASS, name=f"P{number}")
        batch = wire.encode({"events": [event]})
        told = plane.call("POST", "/v1/events", data=batch, headers=EDGE)
        assert [v.outcome for v in wire.decode(told.content, wire.Verdicts).verdicts] == ["stored"]
        events.append(str(event.id))
        assert plane.call("GET", "/v1/edges/e1").json()["last_seen_at"]
        plane.call("POST", "/v1/webhooks", 201, json={"url": "https://receiver.example/", "statuses": ["REJECT"]})
    logged = plane.call("GET", "/v1/events").json()["items"]
    assert [one["id"] for one in logged] == events, "the log's order is that of its positions, and no clock's"
    shown = [one["id"] for one in plane.call("GET", "/v1/identities").json()["items"]]
    assert sorted(shown) == sorted(people)
    for person in people:
        plane.call("DELETE", f"/v1/identities/{person}", 204)
        assert plane.call("GET", f"/v1/identities/{person}/erasure").json()["erased_at"]
    changes = plane.call("GET", "/v1/galleries/default/changes?after=0", headers=EDGE)
    page = wire.decode(changes.content, wire.Page)
    assert page.position.revision == plane.call("GET", "/v1/galleries/default").json()["revision"]


def test_hostile_37_a_key_that_has_expired_stays_so_only_by_the_clock(plane: Plane) -> None:
    with plane.database.write() as connection:
        text = keys.create(connection, Role.ADMIN, NOW, expires_at=NOW + HOUR)
    headers = {"Authorization": f"Bearer {text}"}
    deadline = time.monotonic() + 10
    while requests.get(f"{plane.url}/v1/sites", timeout=10).status_code != 401:
        assert time.monotonic() < deadline
    for now, status in ((NOW, 200), (NOW + DAY, 401), (NOW, 200), (datetime(2038, 1, 20, tzinfo=UTC), 401)):
        plane.now = now
        plane.call("GET", "/v1/sites", status, headers=headers)


def test_hostile_37_what_a_worker_held_when_the_clock_was_set_back_is_due_again(plane: Plane) -> None:
    """A lease longer than any lease is was given by a clock that was wrong."""
    with plane.database.write() as connection:
        made = enrollments.submit(connection, NOW, gallery_id="default", blob="b", sha256="0" * 64, name="Ann")
        assert enrollments.claim(connection, made, "worker", NOW) is not None
        assert enrollments.due(connection, NOW) == []
        assert enrollments.due(connection, NOW - HOUR) == [made]
