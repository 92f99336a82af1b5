"""How many webhook deliveries a worker makes, and what receivers that hang cost the others.

`python -m bench.webhooks_load --json`: a real worker process on SQLite, receivers on loopback, events from here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.machine import describe
from control_plane.store import events, schema, webhooks
from control_plane.store.db import Database, utcnow
from faces.events import Event, Status, uuid7
from rollcall.supervisor import Process, Supervisor

RECEIVERS = 50
HUNG = 10
PACE_PER_S = 100
AT_ONCE = 10
"""Events a second in all, one receiver each in turn, and how many are stored in one transaction, as edges send them."""

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
THUMBNAIL = bytes(6000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = {**describe(), "load": round(os.getloadavg()[0], 2)}
    figures |= {"webhooks_per_s": round(webhooks_per_s(), 1), "hung_p99_ratio": round(hung_p99_ratio(), 2)}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def webhooks_per_s(count: int = 3000) -> float:
    """Deliveries a second of `count` events, stored in batches of 100, to two webhooks."""
    with _place(2) as place:
        place.subscribe("PASS", everywhere=True)
        place.store([0, 0])
        place.receivers.wait(4)
        began = time.monotonic()
        for _ in range(0, count, 100):
            place.store([0] * 100)
        place.receivers.wait(4 + 2 * count)
        return 2 * count / (time.monotonic() - began)


def hung_p99_ratio(seconds: float = 20.0) -> float:
    """The 99th percentile of the time from storing an event to its arrival at 40 receivers that answer, while 10 others
    hang from the beginning, as a multiple of the same while all 50 answer."""
    return p99_s(HUNG, seconds) / p99_s(0, seconds)


def p99_s(hung: int, seconds: float) -> float:
    """That percentile at the receivers behind the first ten, of which the first `hung` hang."""
    with _place(RECEIVERS) as place:
        place.subscribe("PASS", everywhere=False)
        place.store(range(HUNG, RECEIVERS))
        place.receivers.wait(RECEIVERS - HUNG)
        place.receivers.hung = set(range(hung))
        stored: dict[str, float] = {}
        began, sent = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            if sent < passed * PACE_PER_S:
                cameras = [(sent + n) % RECEIVERS for n in range(AT_ONCE)]
                ids = place.store(cameras)
                at = time.time()
                stored |= {i: at for i, camera in zip(ids, cameras, strict=True) if camera >= HUNG}
                sent += AT_ONCE
            time.sleep(0.002)
        place.receivers.wait_for(set(stored))
        took = [place.receivers.arrived[event_id] - at for event_id, at in stored.items()]
    return statistics.quantiles(took, n=100)[98]


class Receivers:
    """Receivers on loopback in a thread; those in `hung` take a message and say nothing."""

    def __init__(self, count: int) -> None:
        self.hung: set[int] = set()
        self.arrived: dict[str, float] = {}
        self.urls: list[str] = []
        self.taken = 0
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.transports: set[asyncio.Transport] = set()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._run, args=(count, ready), daemon=True)
        self._thread.start()
        ready.wait()

    def wait(self, messages: int) -> None:
        """Return when so many have arrived."""
        while self.taken < messages:
            time.sleep(0.005)

    def wait_for(self, ids: set[str]) -> None:
        while not ids <= self.arrived.keys():
            time.sleep(0.01)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._shut)
        self._thread.join()
        self._loop.close()

    def _shut(self) -> None:
        for server in self._servers:
            server.close()
        for transport in list(self.transports):
            transport.abort()
        # After the transports have heard of it.
        self._loop.call_soon(self._loop.call_soon, self._loop.stop)

    def _run(self, count: int, ready: threading.Event) -> None:
        for number in range(count):
            made = self._loop.run_until_complete(
                self._loop.create_server(lambda number=number: _Receiving(self, number), "127.0.0.1", 0)  # type: ignore[misc]
            )
            self._servers.append(made)
            self.urls.append(f"http://127.0.0.1:{made.sockets[0].getsockname()[1]}/")
        ready.set()
        self._loop.run_forever()


class _Receiving(asyncio.Protocol):
    def __init__(self, receivers: Receivers, number: int) -> None:
        self._receivers, self._number, self._buffer = receivers, number, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._receivers.transports.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._receivers.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields[b"content-length"])
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            if self._number in self._receivers.hung:
                return
            self._receivers.arrived[fields[b"webhook-id"].decode()] = time.time()
            self._receivers.taken += 1
            self._transport.write(NO_CONTENT)


class Place:
    """A database with a worker on it, and the receivers."""

    def __init__(self, database: Database, receivers: Receivers) -> None:
        self.receivers = receivers
        self._database = database

    def subscribe(self, status: str, *, everywhere: bool) -> None:
        """A webhook a receiver: for all events, or for those of the camera of its number."""
        with self._database.write() as connection:
            for number, url in enumerate(self.receivers.urls):
                cameras = [] if everywhere else [str(number)]
                webhooks.create(connection, url, [Status(status)], utcnow(), cameras=cameras)

    def store(self, cameras: Sequence[int]) -> list[str]:
        """Store an event of each camera in one transaction, every fifth with a thumbnail; returns their ids."""
        now = utcnow()
        batch = [
            Event(
                id=uuid7(now, os.urandom(10)),
                camera=str(camera),
                captured_at=now,
                status=Status.PASS,
                name="Ann",
                distance=0.3,
                thumbnail=THUMBNAIL if number % 5 == 4 else None,
            )
            for number, camera in enumerate(cameras)
        ]
        with self._database.write() as connection:
            events.append(connection, batch, site_id="default", edge_id="bench", now=now)
        return [str(event.id) for event in batch]


@contextmanager
def _place(count: int) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder, Supervisor(logs=Path(folder) / "logs") as supervisor:
        database = Database(f"sqlite:///{folder}/rollcall.db")
        schema.migrate(database, utcnow())
        receivers = Receivers(count)
        supervisor.start(Process("worker", "jobs.worker", {"DATA_DIR": folder, "WEBHOOK_ALLOW": "127.0.0.1"}))
        try:
            yield Place(database, receivers)
        finally:
            receivers.stop()
            database.close()


if __name__ == "__main__":
    main()
