from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from control_plane.store import events, webhooks
from control_plane.store.db import Database
from control_plane.store.webhooks import DeliveryState
from faces.events import Event, Status, uuid7
from jobs.webhooks import Delivering
from tests.conftest import NOW


class Receiver(ThreadingHTTPServer):
    """A real receiver on loopback that answers with `status` and keeps what it got."""

    def __init__(self, status: int = 204) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = status
        self.got: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def deliver(database: Database, url: str) -> webhooks.Delivery:
    event = Event(
        id=uuid7(NOW, bytes(10)), camera="door", captured_at=NOW, status=Status.PASS, name="Ann", distance=0.31234
    )
    with database.write() as connection:
        hook = webhooks.create(connection, url, [Status.PASS], NOW)
        events.append(connection, [event], site_id="default", edge_id="e", now=NOW)
        (row,) = webhooks.due(connection, NOW)
    delivering = Delivering(database, lambda: NOW)
    delivering.run(row)
    delivering.run(row)
    with database.read() as connection:
        (found,) = webhooks.delivery_listing(connection, hook.id)
    return found


def test_a_receiver_gets_the_originals_fields_and_the_rest_once(sqlite: Database, receiver: Receiver) -> None:
    found = deliver(sqlite, receiver.url)
    assert (found.state, found.attempts, found.last_status) == (DeliveryState.DELIVERED, 1, 204)
    ((headers, body),) = receiver.got
    assert (body["name"], body["distance"], body["timestamp"]) == ("Ann", 0.3123, int(NOW.timestamp()))
    assert (body["camera"], body["status"], body["id"]) == ("door", "PASS", headers["webhook-id"])


@pytest.mark.parametrize("status", [301, 404, 500])
def test_anything_but_2xx_is_tried_again_and_a_redirect_is_not_followed(
    sqlite: Database, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    found = deliver(sqlite, receiver.url)
    assert (found.state, found.last_status, found.last_error) == (
        DeliveryState.PENDING,
        status,
        f"the receiver answered {status}",
    )
    assert (found.due_at - NOW).total_seconds() == webhooks.RETRY_AFTER_S[0]
    assert len(receiver.got) == 1


def test_a_receiver_that_is_not_there_is_tried_again(sqlite: Database) -> None:
    found = deliver(sqlite, "http://127.0.0.1:1/")
    assert (found.state, found.last_status, found.last_error) == (DeliveryState.PENDING, None, "ConnectionError")
