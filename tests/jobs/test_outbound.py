from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from faces.addresses import Allowed
from jobs.outbound import Outbound, retry_after_s

HERE = Allowed([("127.0.0.1", None), ("receiver.example", None)])


class Receiver:
    """A receiver written by hand: takes connections, reads what is posted, and answers as `serve` says."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serve = serve
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.connections = 0
        self.got: list[bytes] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while head := self._head(connection):
                self.got.append(head)
                self._serve(connection)

    def _head(self, connection: socket.socket) -> bytes:
        found = b""
        while b"\r\n\r\nbody" not in found:
            if not (part := connection.recv(65536)):
                return b""
            found += part
        return found

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def receive() -> Iterator[Callable[[Callable[[socket.socket], None]], Receiver]]:
    made: list[Receiver] = []

    def start(serve: Callable[[socket.socket], None]) -> Receiver:
        made.append(Receiver(serve))
        return made[-1]

    yield start
    for receiver in made:
        receiver.close()


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


def endlessly(first: bytes, again: bytes, pause_s: float = 0.0) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(again)
            time.sleep(pause_s)

    return serve


def close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def silence(_connection: socket.socket) -> None:
    pass


OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_connection_is_used_again(receive: Any) -> None:
    receiver, out = receive(says(OK)), Outbound(HERE)
    assert [out.post(receiver.url, b"body", {}).status for _ in range(5)] == [204] * 5
    assert receiver.connections == 1


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(receive: Any) -> None:
    def once(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)

    receiver, out = receive(once), Outbound(HERE)
    assert [out.post(receiver.url, b"body", {}).status for _ in range(5)] == [204] * 5
    assert receiver.connections == 5


def test_nothing_of_a_receiver_is_kept_and_no_redirect_followed(receive: Any) -> None:
    other = receive(says(OK))
    found = f"HTTP/1.1 302 Found\r\nLocation: {other.url}\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n".encode()
    receiver, out = receive(says(found)), Outbound(HERE)
    for _ in range(2):
        answer = out.post(receiver.url, b"body", {"webhook-id": "1"})
        assert (answer.status, answer.error) == (302, "the receiver answered 302")
    assert other.got == []
    assert all(b"cookie" not in head.lower() for head in receiver.got)


def test_proxies_of_the_environment_are_not_asked(receive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, receiver = receive(says(OK)), receive(says(OK))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert Outbound(HERE).post(receiver.url, b"body", {}).status == 204
    assert (len(proxy.got), len(receiver.got)) == (0, 1)


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(silence, id="no answer"),
        pytest.param(endlessly(b"HTTP/1.1 200 OK\r\n", b"a", 0.05), id="a byte now and then"),
        pytest.param(endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01), id="continue without end"),
    ],
)
def test_a_post_ends_after_its_total_time(receive: Any, serve: Any) -> None:
    receiver, began = receive(serve), time.monotonic()
    answer = Outbound(HERE, total_s=0.6).post(receiver.url, b"body", {})
    assert 0.5 < time.monotonic() - began < 2
    assert (answer.status, answer.error) == (None, "no answer within 0.6 s")


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(endlessly(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), id="headers without end"),
        pytest.param(endlessly(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 4096), id="a header without end"),
        pytest.param(says(b"nonsense\r\n\r\n"), id="no HTTP"),
        pytest.param(close, id="nothing at all"),
    ],
)
def test_an_answer_that_is_none_is_a_failure_at_once(receive: Any, serve: Any) -> None:
    receiver, began = receive(serve), time.monotonic()
    answer = Outbound(HERE).post(receiver.url, b"body", {})
    assert time.monotonic() - began < 3
    assert (answer.status, answer.error) == (None, "ConnectionError")


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(endlessly(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", b"a" * 65536), id="1 GB"),
        pytest.param(endlessly(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a", 0.1), id="drop by drop"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"), id="none"),
        pytest.param(
            endlessly(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), id="chunks without end"
        ),
    ],
)
def test_a_body_is_not_waited_for_as_the_status_says_it_all(receive: Any, serve: Any) -> None:
    receiver, began = receive(serve), time.monotonic()
    answer = Outbound(HERE).post(receiver.url, b"body", {})
    assert time.monotonic() - began < 3
    assert (answer.status, answer.error) == (200, None)


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(receive: Any) -> None:
    receiver, asked = receive(says(OK)), []

    def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return list(socket.getaddrinfo(address, receiver.port, type=socket.SOCK_STREAM))

    answer = Outbound(HERE, resolve=resolve).post("http://receiver.example/", b"body", {})
    assert (answer.status, asked) == (204, ["receiver.example"])
    assert b"Host: receiver.example\r\n" in receiver.got[0]


def test_a_name_that_leads_here_is_refused_whatever_else_it_leads_to(receive: Any) -> None:
    receiver = receive(says(OK))

    def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        return [e for a in ("192.0.2.1", "127.0.0.1") for e in socket.getaddrinfo(a, receiver.port, type=1)]

    out = Outbound(Allowed(), resolve=resolve)
    answer = out.post(f"http://other.example:{receiver.port}/", b"body", {})
    assert (answer.status, answer.error) == (None, "other.example leads to this machine or to a private net")
    assert receiver.connections == 0


def test_a_name_server_that_hangs_is_left_in_time() -> None:
    held = threading.Event()

    def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        held.wait(10)
        return []

    answer = Outbound(HERE, total_s=0.3, resolve=resolve).post("http://receiver.example/", b"body", {})
    held.set()
    assert answer.error == "no answer within 0.3 s"


def test_a_name_that_nobody_knows_is_a_failure() -> None:
    def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        raise socket.gaierror("unknown")

    assert Outbound(HERE, resolve=resolve).post("http://h/", b"body", {}).error == "ConnectionError"


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        (None, 0),
        ("120", 120),
        (" 7 ", 7),
        ("-1", 0),
        ("soon", 0),
        ("9" * 40, 999999999),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
    ],
)
def test_a_retry_after_is_read_in_seconds_or_as_a_date(text: str | None, wait_s: int) -> None:
    assert retry_after_s(text, 10.0) == wait_s
