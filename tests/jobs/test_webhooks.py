from __future__ import annotations

import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from control_plane.store import alarms, deliveries, events, webhooks
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import Database
from control_plane.store.deliveries import Delivery, DeliveryState
from control_plane.store.tables import events as event_rows
from control_plane.store.webhooks import WebhookWithSecret
from faces.addresses import Allowed
from faces.events import Event, Status, uuid7
from jobs.outbound import Outbound
from jobs.together import Together
from jobs.webhooks import Delivering, Forgetting


class Receiver(ThreadingHTTPServer):
    """A real receiver on loopback that answers with `status` and keeps what it got."""

    def __init__(self, status: int = 204) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = status
        self.retry_after = ""
        self.connections = 0
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Answer(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", "0")
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Hanging:
    """A receiver that takes connections, and never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    found = Hanging()
    yield found
    found.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Post:
    """One database with the job on it, and a clock that a test turns."""

    def __init__(self, database: Database, *, slow: bool = False, total_s: float = 15.0) -> None:
        self.database, self.now = database, datetime.now(UTC)
        self.counted: Counter[DeliveryState] = Counter()
        outbound = Outbound(Allowed([("127.0.0.1", None)]), total_s=total_s)
        self.delivering = Delivering(
            database,
            Together(database),
            outbound,
            lambda: self.now,
            slow=slow,
            chance=lambda: 0.0,
            count=lambda state: self.counted.update([state]),
        )

    def hook(self, url: str, **wanted: Any) -> WebhookWithSecret:
        with self.database.write() as connection:
            return webhooks.create(connection, url, [Status.PASS], self.now, **wanted)

    def event(self, **fields: Any) -> str:
        values = {"camera": "door", "captured_at": self.now, "status": Status.PASS, "name": "Ann", "distance": 0.31234}
        event = Event(id=uuid7(self.now, os.urandom(10)), **{**values, **fields})
        with self.database.write() as connection:
            events.append(connection, [event], site_id="default", edge_id="e", now=self.now)
        return str(event.id)

    def run(self) -> None:
        """Whatever is due, once for each receiver."""
        with self.database.read() as connection:
            rows = deliveries.due(connection, self.now) + deliveries.due_slow(connection, self.now)
        for row in rows:
            self.delivering.run(row)

    def listed(self, webhook_id: str) -> list[Delivery]:
        with self.database.read() as connection:
            return deliveries.listing(connection, webhook_id)


def test_a_receiver_gets_the_originals_fields_and_the_rest_once_and_signed(store: Database, receiver: Receiver) -> None:
    post = Post(store)
    hook = post.hook(receiver.url)
    event_id = post.event()
    post.run()
    post.run()
    (found,) = post.listed(hook.id)
    assert (found.state, found.attempts, found.last_status) == (DeliveryState.DELIVERED, 1, 204)
    ((headers, raw),) = receiver.got
    body = json.loads(raw)
    assert (body["name"], body["distance"], body["timestamp"]) == ("Ann", 0.3123, int(post.now.timestamp()))
    assert (body["type"], body["camera"], body["status"], body["site_id"]) == ("event", "door", "PASS", "default")
    assert (body["id"], headers["webhook-id"]) == (event_id, event_id)
    assert Webhook(hook.secret).verify(raw, headers) == body


def test_during_a_rotation_both_secrets_verify(store: Database, receiver: Receiver) -> None:
    post = Post(store)
    hook = post.hook(receiver.url)
    with store.write() as connection:
        second = webhooks.rotate(connection, hook.id, timedelta(hours=1), post.now)
    post.event()
    post.run()
    ((headers, raw),) = receiver.got
    for secret in (hook.secret, second.secret):
        assert Webhook(secret).verify(raw, headers)


def test_an_alarm_is_told_to_who_asks_for_alarms(store: Database, receiver: Receiver) -> None:
    post = Post(store)
    hook = post.hook(receiver.url, alarms=True)
    with store.write() as connection:
        alarms.sound(connection, AlarmKind.EDGE_AHEAD, "x", "an edge is ahead", post.now)
    post.run()
    ((headers, raw),) = receiver.got
    body = Webhook(hook.secret).verify(raw, headers)
    assert (body["type"], body["kind"], body["message"]) == ("alarm", "edge_ahead", "an edge is ahead")
    assert (body["name"], body["distance"], body["timestamp"]) == (None, None, int(post.now.timestamp()))
    assert headers["webhook-id"] == body["id"]


def test_all_that_is_due_to_a_receiver_goes_in_order_over_one_connection(store: Database, receiver: Receiver) -> None:
    post = Post(store)
    hook = post.hook(receiver.url)
    told = []
    for _ in range(100):
        told.append(post.event())
        post.now += timedelta(seconds=1)
    post.run()
    assert [headers["webhook-id"] for headers, _ in receiver.got] == told
    assert receiver.connections == 1
    assert {d.state for d in post.listed(hook.id)} == {DeliveryState.DELIVERED}


@pytest.mark.parametrize("status", [301, 404, 500])
def test_anything_but_2xx_is_tried_again_and_a_redirect_is_not_followed(
    store: Database, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    post = Post(store)
    hook = post.hook(receiver.url)
    post.event()
    post.run()
    post.run()
    (found,) = post.listed(hook.id)
    assert (found.state, found.last_status) == (DeliveryState.PENDING, status)
    assert found.last_error == f"the receiver answered {status}"
    assert (found.due_at - post.now).total_seconds() == deliveries.RETRY_AFTER_S[0]
    assert len(receiver.got) == 1
    receiver.status = 200
    post.now = found.due_at
    post.run()
    assert [h["webhook-id"] for h, _ in receiver.got] == [found.event_id] * 2
    (found,) = post.listed(hook.id)
    assert (found.state, found.attempts) == (DeliveryState.DELIVERED, 2)
    assert post.counted == {DeliveryState.PENDING: 1, DeliveryState.DELIVERED: 1}


def test_a_receiver_that_is_not_there_is_tried_again(store: Database) -> None:
    post = Post(store)
    hook = post.hook("http://127.0.0.1:1/")
    post.event()
    post.run()
    (found,) = post.listed(hook.id)
    assert (found.state, found.last_status, found.last_error) == (DeliveryState.PENDING, None, "ConnectionError")


def test_what_is_gone_from_the_log_is_not_told(store: Database, receiver: Receiver) -> None:
    post = Post(store)
    hook = post.hook(receiver.url)
    event_id = post.event()
    with store.write() as connection:
        connection.execute(event_rows.delete().where(event_rows.c.id == event_id))
    post.run()
    (found,) = post.listed(hook.id)
    assert (found.state, found.last_error) == (DeliveryState.FAILED, "what it told of is gone")
    assert receiver.got == []


def test_a_retry_after_is_obeyed_and_nothing_more_is_posted_before(store: Database, receiver: Receiver) -> None:
    receiver.status, receiver.retry_after = 503, "1200"
    post = Post(store)
    hook = post.hook(receiver.url)
    for _ in range(3):
        post.event()
    post.run()
    assert len(receiver.got) == 1
    first = min(post.listed(hook.id), key=lambda d: -d.attempts)
    assert (first.due_at - post.now).total_seconds() == 1200
    post.now += timedelta(seconds=1199)
    post.run()
    assert len(receiver.got) == 1


def test_a_receiver_that_hangs_is_left_after_the_total_time_and_then_asked_once_a_run(
    store: Database, hanging: Hanging
) -> None:
    post = Post(store, total_s=2.1)
    hook = post.hook(hanging.url)
    for _ in range(3):
        post.event()
    post.run()
    tried = [d for d in post.listed(hook.id) if d.attempts]
    assert [d.last_error for d in tried] == ["no answer within 2.1 s"]
    with store.read() as connection:
        assert deliveries.due(connection, post.now) == []
        assert len(deliveries.due_slow(connection, post.now)) == 1


def test_old_deliveries_are_removed(store: Database, receiver: Receiver) -> None:
    post = Post(store)
    hook = post.hook(receiver.url)
    post.event()
    post.run()
    post.now += deliveries.KEPT + timedelta(seconds=1)
    Forgetting(store, lambda: post.now).run("any")
    assert post.listed(hook.id) == []
