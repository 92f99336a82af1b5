"""How fast events are taken in, a backlog drains, and receivers are told.

`python -m bench.events --json`: a real control plane's process over HTTP, once on SQLite and once on Postgres
(BENCH_POSTGRES_URL). Batches of 100 events, every fifth with a thumbnail of 6 kB, and two webhooks that want them all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import requests

from bench.imports import postgres
from bench.machine import describe
from bench.webhooks_load import hung_p99_ratio, webhooks_per_s
from control_plane.store.db import utcnow
from edge.delivery import Poster
from edge.plane import ControlPlane, edge_id
from edge.spool import Spool
from faces import wire
from faces.events import Event, Status, uuid7
from rollcall.supervisor import Process, Supervisor
from rollcall.up import HOST, Place, free_port

BATCH = 100
SENDERS = 8
EVENTS = 30_000
BACKLOG = 100_000
LIVE = "live"
LIVE_EVERY_S = 0.2
LIVE_WAITING = 5
"""With no more than this left in the spool, the backlog has drained."""
THUMBNAIL = os.urandom(6 << 10)
RECEIVERS = ("https://gate.example/one", "https://payroll.example/two")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        figures = {**describe(), "load_before": round(load, 1), **measure(Path(folder))}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure(folder: Path, events: int = EVENTS, backlog: int = BACKLOG) -> dict[str, Any]:
    with centre(folder / "sqlite") as place:
        sqlite = ingest_rate(place, events)
    with postgres() as url, centre(folder / "postgres", DATABASE_URL=url) as place:
        production = ingest_rate(place, events)
    with centre(folder / "drain") as place:
        drained, live = drain(place, folder / "edge", backlog)
    return {
        "ingest_per_s_sqlite": round(sqlite),
        "ingest_per_s_postgres": round(production),
        "drain_events": backlog,
        "drain_100k_s": round(drained * BACKLOG / backlog, 1),
        "live_during_drain_s": round(live, 2),
        "webhooks_per_s": round(webhooks_per_s()),
        "hung_p99_ratio": round(hung_p99_ratio(), 2),
    }


@contextmanager
def centre(folder: Path, **settings: str) -> Iterator[Place]:
    """A control plane's process with two webhooks and one edge."""
    place = Place(data=folder, port=free_port(), stream_port=0)
    environment = {"DATA_DIR": str(folder), "HOST": HOST, "PORT": str(place.port), "STREAM_PORT": "0", **settings}
    with Supervisor(logs=folder / "logs") as supervisor:
        supervisor.start(Process("control plane", "control_plane", environment))
        supervisor.wait_ready(f"{place.url}/readyz")
        for url in RECEIVERS:
            told = requests.post(
                f"{place.url}/v1/webhooks", json={"url": url, "statuses": ["PASS", "REJECT"]}, timeout=9
            )
            told.raise_for_status()
        yield place


def event(number: int) -> Event:
    """The n-th event of a busy site: every fourth a stranger, every fifth with a picture."""
    now = utcnow() + timedelta(milliseconds=number)
    known = number % 4 != 0
    return Event(
        id=uuid7(now, os.urandom(10)),
        camera=f"door {number % 4}",
        captured_at=now,
        track=number,
        status=Status.PASS if known else Status.REJECT,
        identity_id=str(uuid4()) if known else None,
        name=f"Person {number % 1000}" if known else None,
        distance=0.3,
        runner_up_distance=0.8,
        box=(100, 100, 180, 180),
        picture=(1280, 720),
        engine="sface",
        gallery_id="default",
        gallery_revision=number,
        threshold=0.45,
        thumbnail=THUMBNAIL if number % 5 == 0 else None,
    )


def ingest_rate(place: Place, events: int) -> float:
    """Acknowledged events a second, sent by a few edges at once."""
    bodies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for start in range(0, events, BATCH):
        raws = [msgspec.Raw(wire.encode(event(n))) for n in range(start, start + BATCH)]
        bodies.put(wire.encode(wire.EventBatch(raws)))
    stored: list[int] = []
    senders = [threading.Thread(target=_send, args=(place, bodies, stored)) for _ in range(SENDERS)]
    began = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    took = time.perf_counter() - began
    if sum(stored) != events:
        raise RuntimeError(f"{sum(stored)} of {events} events were stored")
    return events / took


def _send(place: Place, bodies: queue.SimpleQueue[bytes], stored: list[int]) -> None:
    with requests.Session() as session:
        edge = str(uuid4())
        session.headers.update({wire.EDGE_HEADER: edge, wire.WIRE_HEADER: str(wire.WIRE), "Content-Type": wire.MSGPACK})
        hello = wire.Hello(name="bench", version="1", engine="sface", cameras=["door 0"])
        session.put(f"{place.url}/v1/edges/{edge}", data=wire.encode(hello), timeout=30).raise_for_status()
        while not bodies.empty():
            try:
                body = bodies.get_nowait()
            except queue.Empty:
                return
            response = session.post(f"{place.url}/v1/events", data=body, timeout=60)
            response.raise_for_status()
            verdicts = wire.decode(response.content, wire.Verdicts).verdicts
            stored.append(sum(v.outcome == "stored" for v in verdicts))


def drain(place: Place, folder: Path, backlog: int) -> tuple[float, float]:
    """Seconds that an edge takes to deliver what it has spooled, and the most that a new event takes meanwhile."""
    folder.mkdir()
    spool = Spool(folder / "spool.db")
    _fill(spool, backlog)
    plane = ControlPlane(place.url, edge_id(folder / "edge-id"))
    plane.hello(wire.Hello(name="drain", version="1", engine="sface", cameras=[LIVE]))
    poster, done = Poster(plane, spool), threading.Event()
    began = time.monotonic()
    newest = threading.Thread(target=_live, args=(spool, done))
    newest.start()
    while len(spool) > LIVE_WAITING:
        poster.step()
    took = time.monotonic() - began
    done.set()
    newest.join()
    while len(spool):
        poster.step()
    plane.close()
    spool.close()
    return took, max(_delays(place))


def _fill(spool: Spool, backlog: int) -> None:
    """Many threads at once, which share the spool's commits."""
    with ThreadPoolExecutor(64) as threads:
        for _ in threads.map(lambda n: spool.append(event(n)), range(backlog)):
            pass


def _live(spool: Spool, done: threading.Event) -> None:
    for number in itertools.count():
        spool.append(msgspec.structs.replace(event(number), camera=LIVE, captured_at=utcnow()))
        if done.wait(LIVE_EVERY_S):
            return


def _delays(place: Place) -> Iterator[float]:
    after = 0
    while found := _get(place, camera=LIVE, after=after, limit=500):
        for told in found:
            captured, arrived = (datetime.fromisoformat(told[name]) for name in ("captured_at", "arrived_at"))
            yield (arrived - captured).total_seconds()
        after = found[-1]["position"]


def _get(place: Place, **query: str | int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = requests.get(f"{place.url}/v1/events", params=query, timeout=30).json()["items"]
    return items


if __name__ == "__main__":
    main()
