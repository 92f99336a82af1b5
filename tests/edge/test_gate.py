from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from edge import gate as gates
from edge.gate import Gate
from faces import signing
from faces.events import Event, Status, uuid7

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def passed(number: int) -> Event:
    return Event(
        id=uuid7(NOON, number.to_bytes(10, "big")),
        camera="door",
        captured_at=NOON,
        status=Status.PASS,
        name=f"Ada {number}",
        distance=0.312345,
    )


class Receiver:
    """A gate's own server; answers when `open` is set."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.open = threading.Event()
        self.open.set()
        self.status = 200
        self.silent = False
        self.callers: set[tuple[str, int]] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.callers.add(self.client_address)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
                receiver.bodies.append(body)
                receiver.posts.append(json.loads(body))
                receiver.open.wait(20)
                if receiver.silent:
                    self.close_connection = True
                    return
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler
        self.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/face-event?token=secret"

    def start(self, port: int = 0) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler)
        self.server.daemon_threads = True
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.open.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def running(receiver: Receiver) -> Iterator[Callable[[Gate], Gate]]:
    """Run a gate on a thread of its own, as the root does."""
    started: list[tuple[Gate, threading.Thread]] = []

    def run(gate: Gate) -> Gate:
        thread = threading.Thread(target=gate.run)
        thread.start()
        started.append((gate, thread))
        return gate

    yield run
    receiver.open.set()
    for gate, thread in started:
        gate.stop()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def gate(receiver: Receiver, running: Callable[[Gate], Gate]) -> Gate:
    return running(Gate(receiver.url))


def test_a_pass_is_posted_as_the_original_did(gate: Gate, receiver: Receiver, until: Callable[..., None]) -> None:
    gate.offer(passed(1))
    until(lambda: receiver.posts)
    assert receiver.posts == [{"name": "Ada 1", "distance": 0.3123, "timestamp": int(NOON.timestamp())}]


def test_a_hung_gate_holds_up_nobody_and_is_given_the_newest(
    gate: Gate, receiver: Receiver, until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.open.clear()
    gate.offer(passed(0))
    until(lambda: len(receiver.posts) == 1)
    for number in range(1, 101):
        gate.offer(passed(number))
    assert len(receiver.posts) == 1, "it hangs still"
    receiver.open.set()
    until(lambda: len(receiver.posts) == 1 + gates.WAITING)
    assert [post["name"] for post in receiver.posts[1:]] == [f"Ada {n}" for n in range(101 - gates.WAITING, 101)]
    assert "does not keep up" in caplog.text


def test_a_decision_that_waited_too_long_opens_nothing(
    receiver: Receiver, running: Callable[..., Gate], until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    moment = 100.0
    gate = running(Gate(receiver.url, max_age_s=3.0, clock=lambda: moment))
    receiver.open.clear()
    gate.offer(passed(1))
    until(lambda: len(receiver.posts) == 1)
    gate.offer(passed(2))
    gate.offer(passed(3), decided_s=101.0)
    moment = 103.0
    receiver.open.set()
    until(lambda: len(receiver.posts) == 2)
    assert [post["name"] for post in receiver.posts] == ["Ada 1", "Ada 3"]
    assert f"{passed(2).id} is too old" in caplog.text


def test_a_decision_is_tried_again_while_it_is_young_and_not_a_moment_longer(
    receiver: Receiver, running: Callable[..., Gate], until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    moment = 100.0
    receiver.status = 503
    gate = running(Gate(receiver.url, max_age_s=3.0, clock=lambda: moment))
    gate.offer(passed(1))
    until(lambda: len(receiver.posts) == 2)
    moment = 103.0
    until(lambda: "too old" in caplog.text)
    receiver.status = 200
    gate.offer(passed(2))
    until(lambda: receiver.posts[-1]["name"] == "Ada 2")
    assert [post["name"] for post in receiver.posts].count("Ada 2") == 1


def test_a_gate_that_was_told_and_breaks_off_is_not_told_again(
    gate: Gate, receiver: Receiver, until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.silent = True
    gate.offer(passed(1))
    until(lambda: str(passed(1).id) in caplog.text)
    receiver.silent = False
    gate.offer(passed(2))
    until(lambda: receiver.posts and receiver.posts[-1]["name"] == "Ada 2")
    assert [post["name"] for post in receiver.posts] == ["Ada 1", "Ada 2"]
    assert "secret" not in caplog.text


def test_no_connection_is_kept_since_it_may_be_dead_when_the_next_one_stands_there(
    gate: Gate, receiver: Receiver, until: Callable[..., None]
) -> None:
    for number in range(3):
        gate.offer(passed(number))
    until(lambda: len(receiver.posts) == 3)
    assert len(receiver.callers) == 3


def test_a_gate_that_comes_up_is_told_what_was_decided_before(
    receiver: Receiver, running: Callable[[Gate], Gate], until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.close()
    gate = running(Gate(receiver.url))
    gate.offer(passed(1))
    until(lambda: "cannot be reached" in caplog.text)
    receiver.start(receiver.server.server_port)
    until(lambda: receiver.posts)
    assert [post["name"] for post in receiver.posts] == ["Ada 1"]


def test_what_is_posted_verifies_with_the_secret(
    receiver: Receiver, running: Callable[..., Gate], until: Callable[..., None]
) -> None:
    secret = signing.secret_of(bytes(range(32)))
    gate = running(Gate(receiver.url, key=signing.key_of(secret)))
    gate.offer(passed(1))
    until(lambda: receiver.posts)
    verified = Webhook(secret).verify(receiver.bodies[0], receiver.headers[0])
    assert verified == receiver.posts[0]
    assert receiver.headers[0]["webhook-id"] == str(passed(1).id)


@pytest.mark.parametrize("status", [302, 404])
def test_a_refusal_is_logged_without_the_address_and_not_followed(
    gate: Gate, receiver: Receiver, until: Callable[..., None], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    receiver.status = status
    gate.offer(passed(1))
    until(lambda: f"answered {status}" in caplog.text)
    assert len(receiver.posts) == 1
    assert "secret" not in caplog.text


def test_a_gate_that_is_away_is_logged_without_the_address(
    until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate("http://user:secret@127.0.0.1:9/")
    gate.offer(passed(1))
    gate.stop()
    gate.run()
    assert "cannot be reached" in caplog.text
    assert "secret" not in caplog.text
