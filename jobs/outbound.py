"""Posting to receivers that nobody here knows: to checked addresses alone, within a total time, reading little."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from faces.addresses import Allowed, ForbiddenAddress

TOTAL_S = 15.0
CONNECT_S = 5.0
"""To connect to one address; the next is tried then."""

BODY_S = 1.0
"""How long an answer's body may come: nobody reads it, but a connection can be used again behind it."""

MOST_BODY_BYTES = 1 << 16
CONNECTIONS = 256
"""Receivers whose connections are kept open."""

WATCH_EVERY_S = 0.1

Resolve = Callable[[str, int], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a post: the status, or why there is none. `retry_after` is as the receiver wrote it."""

    duration_ms: int
    status: int | None = None
    error: str | None = None
    retry_after: str | None = None


class Outbound:
    """Posts, from any number of threads. Connections are kept and used again; nothing else is kept of a receiver.

    `resolve` gives the addresses of a host and port, as `socket.getaddrinfo` does.
    """

    def __init__(self, allowed: Allowed, *, total_s: float = TOTAL_S, resolve: Resolve | None = None) -> None:
        self._total_s = total_s
        self._adapter = _Adapter(_Way(allowed, resolve or _getaddrinfo))
        self._watchdog = _Watchdog()

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Post once. No redirect is followed, no cookie, proxy or password is used: the adapter knows of none."""
        began = time.monotonic()
        leash = _Leash(began + self._total_s)
        try:
            request = requests.Request("POST", url, headers=headers, data=body).prepare()
            with self._watchdog.watching(leash):
                status, retry_after = self._send(request, leash)
        except ForbiddenAddress as error:
            return Answer(duration_ms=_since(began), error=error.message)
        except (requests.RequestException, OSError) as error:
            why = f"no answer within {self._total_s:g} s" if leash.cut_off else type(error).__name__
            return Answer(duration_ms=_since(began), error=why)
        error_text = None if 200 <= status < 300 else f"the receiver answered {status}"
        return Answer(duration_ms=_since(began), status=status, error=error_text, retry_after=retry_after)

    def close(self) -> None:
        self._adapter.close()

    def _send(self, request: requests.PreparedRequest, leash: _Leash) -> tuple[int, str | None]:
        try:
            answer = self._send_once(request)
        except requests.ConnectionError:
            if leash.cut_off or leash.connected:
                raise
            # A kept connection that the receiver had closed meanwhile says nothing about the receiver.
            answer = self._send_once(request)
        if leash.cut_off:
            # Headers that were cut off look like headers that have ended.
            raise TimeoutError("the time is up")
        leash.shorten(BODY_S)
        with contextlib.suppress(Exception), answer:
            answer.raw.read(MOST_BODY_BYTES, decode_content=False)
        return answer.status_code, answer.headers.get("Retry-After")

    def _send_once(self, request: requests.PreparedRequest) -> requests.Response:
        # The leash ends it in time; should it fail, the socket's own timeout does.
        return self._adapter.send(request, stream=True, timeout=(CONNECT_S, 2 * self._total_s))


def retry_after_s(text: str | None, now: float) -> int:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3: seconds or a date); 0 if there is none to be read.

    `now` is in seconds since 1970.
    """
    if text is None:
        return 0
    if text.strip().isdecimal():
        return int(text.strip()[:9])
    try:
        return max(0, int(parsedate_to_datetime(text).timestamp() - now))
    except (ValueError, OverflowError):
        return 0


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)


class _Leash:
    """One post's deadline, and the sockets that are shut down when it has come."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.cut_off = False
        self.connected = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def left_s(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.cut_off = True
            raise TimeoutError("the time is up")
        return left

    def shorten(self, to_s: float) -> None:
        self.deadline = min(self.deadline, time.monotonic() + to_s)

    def hold(self, connection: socket.socket) -> None:
        """From now on cut this connection, too. A second handle on it, as TLS takes the first one over."""
        mine = socket.socket(fileno=socket.dup(connection.fileno()))
        with self._lock:
            self._sockets.append(mine)
            if self.cut_off:
                _shut(mine)

    def cut(self) -> None:
        with self._lock:
            self.cut_off = True
            for mine in self._sockets:
                _shut(mine)

    def release(self) -> None:
        with self._lock:
            for mine in self._sockets:
                mine.close()
            self._sockets = []


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Watchdog:
    """Cuts leashes whose time has come: a receiver that sends a byte now and then never meets a socket's timeout."""

    def __init__(self) -> None:
        self._leashes: set[_Leash] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watching(self, leash: _Leash) -> _Watched:
        return _Watched(self, leash)

    def add(self, leash: _Leash) -> None:
        with self._changed:
            self._leashes.add(leash)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            if len(self._leashes) == 1:
                self._changed.notify()

    def remove(self, leash: _Leash) -> None:
        with self._changed:
            self._leashes.discard(leash)
        leash.release()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._leashes:
                    self._changed.wait()
                over = [leash for leash in self._leashes if time.monotonic() >= leash.deadline]
            for leash in over:
                leash.cut()
            time.sleep(WATCH_EVERY_S)


class _Watched:
    def __init__(self, watchdog: _Watchdog, leash: _Leash) -> None:
        self._watchdog, self._leash = watchdog, leash

    def __enter__(self) -> Self:
        _here.leash = self._leash
        self._watchdog.add(self._leash)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.remove(self._leash)
        del _here.leash


class _Here(threading.local):
    """The leash of the post that this thread is making: urllib3 opens connections deep below."""

    leash: _Leash


_here = _Here()


@dataclass(frozen=True, slots=True)
class _Way:
    """How a connection is opened: resolved once, each address checked, connected to what was checked."""

    allowed: Allowed
    resolve: Resolve

    def open(self, host: str, port: int) -> socket.socket:
        leash = _here.leash
        found = _within(leash.left_s(), lambda: self.resolve(host, port))
        addresses = [str(entry[4][0]) for entry in found]
        self.allowed.check(host, port, addresses)
        if not self.allowed.names(host, port) and any(_is_ours(entry[0], entry[4]) for entry in found):
            raise ForbiddenAddress(f"{host} leads to this machine or to a private net")
        failure: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in found:
            made = socket.socket(family, kind, protocol)
            try:
                made.settimeout(min(CONNECT_S, leash.left_s()))
                made.connect(address)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                leash.hold(made)
                leash.connected = True
                return made
            except OSError as error:
                made.close()
                failure = error
        raise failure


def _getaddrinfo(host: str, port: int) -> list[tuple[Any, ...]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _within(timeout_s: float, ask: Callable[[], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    """What `ask` finds; a name server that does not answer is left alone with its thread."""
    answers: queue.SimpleQueue[list[tuple[Any, ...]] | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(ask())
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=run, name="resolve", daemon=True).start()
    try:
        found = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError("the name is not resolved") from None
    if isinstance(found, Exception):
        raise OSError("the name is not known") from found
    return found


def _is_ours(family: int, address: tuple[Any, ...]) -> bool:
    """Whether an address is this machine's own, be it public: only such a one can be bound to."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address[0], 0, *address[2:]))
        except OSError:
            return False
    return True


class _Connection(HTTPConnection):
    way: _Way

    def _new_conn(self) -> socket.socket:
        return _opened(self)

    def request(self, *given: Any, **options: Any) -> None:
        _hold(self)
        super().request(*given, **options)


class _SecureConnection(HTTPSConnection):
    way: _Way

    def _new_conn(self) -> socket.socket:
        return _opened(self)

    def request(self, *given: Any, **options: Any) -> None:
        _hold(self)
        super().request(*given, **options)


def _opened(connection: _Connection | _SecureConnection) -> socket.socket:
    try:
        return connection.way.open(connection._dns_host, connection.port or connection.default_port)
    except OSError as error:
        raise NewConnectionError(connection, f"cannot be reached: {error}") from error


def _hold(connection: _Connection | _SecureConnection) -> None:
    """A connection that is used again has to be put on this post's leash, too."""
    if connection.sock is not None and not _here.leash.connected:
        _here.leash.hold(connection.sock)


class _Adapter(HTTPAdapter):
    def __init__(self, way: _Way) -> None:
        self._way = way
        super().__init__(pool_connections=CONNECTIONS, pool_maxsize=4, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        plain = type("Plain", (_Connection,), {"way": self._way})
        secure = type("Secure", (_SecureConnection,), {"way": self._way})
        manager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        manager.pool_classes_by_scheme = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        self.poolmanager = manager
