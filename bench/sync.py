"""How quickly a change reaches the edges, what it costs on the wire, and how a restart and a large snapshot go.

`python -m bench.sync --json`: a real control plane (SQLite, loopback), 200 connected light edges in a process of their
own, and one real replica that takes a snapshot of 100,000 encodings. Latency counts from before the change's commit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import requests
import sqlalchemy as sa

from bench.machine import describe, peak_mb, rss_mb
from control_plane.store import galleries, identities, schema, tables
from control_plane.store.db import Connection, Database, new_id, utcnow
from faces.encoding import SFACE, to_bytes, unit
from faces.gallery import EncodingRow, IdentityRow, checksum, row_hash
from rollcall.up import free_port

EDGES = 200
CHANGES = 50
PEOPLE = 200
ENCODINGS = 100_000
PER_PERSON = 1
G = galleries.DEFAULT_GALLERY
PATIENCE_S = 60.0


class Centre:
    """A control plane's process, and its database beside it, written to as the worker does."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.database = Database(f"sqlite:///{folder / 'rollcall.db'}")
        schema.migrate(self.database, utcnow())
        self._start()

    def _start(self) -> None:
        environment = {**os.environ, "DATA_DIR": str(self.folder), "PORT": str(self.port), "STREAM_PORT": "0"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "control_plane"], env=environment, stdout=log, stderr=log
            )

    def restart(self) -> None:
        """As after kill -9."""
        self.process.kill()
        self.process.wait()
        self._start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.database.close()

    def write(self, work: Callable[[Connection], None]) -> int:
        """Change the gallery; returns the revision it then stands at."""
        with self.database.write() as connection:
            work(connection)
            return galleries.position(connection, G).revision


class Fleet:
    """The light edges' process, and what it has told."""

    def __init__(self, port: int, edges: int) -> None:
        self.edges = edges
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.sync_edge", str(port), "--light", str(edges)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.linked: list[float] = []
        self.applied: dict[int, dict[int, float]] = {}
        self.stands: dict[int, int] = {}
        self.bytes: list[int] = []
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def stop(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self._reader.join()
        self.process.stdout.close()
        self.process.wait()

    def wait(self, what: str, true: Callable[[], bool]) -> None:
        with self._told:
            if not self._told.wait_for(true, PATIENCE_S):
                raise TimeoutError(f"{what}: {len(self.linked)} linked")

    def all_at(self, revision: int) -> dict[int, float]:
        """When each edge first stood at a revision or beyond; waits for the last."""
        self.wait(f"revision {revision}", lambda: sum(at >= revision for at in self.stands.values()) == self.edges)
        return {edge: min(t for r, t in at.items() if r >= revision) for edge, at in self.applied.items()}

    def sent(self) -> int:
        """The bytes of all edges so far."""
        assert self.process.stdin
        before = len(self.bytes)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.wait("bytes", lambda: len(self.bytes) > before)
        return self.bytes[-1]

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            kind, *numbers = line.split()
            with self._told:
                if kind == "linked":
                    self.linked.append(float(numbers[1]))
                elif kind == "applied":
                    edge, revision = int(numbers[0]), int(numbers[1])
                    self.applied.setdefault(edge, {})[revision] = float(numbers[2])
                    self.stands[edge] = revision
                else:
                    self.bytes.append(int(numbers[0]))
                self._told.notify_all()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    figures = {
        **describe(),
        "load_before": round(load, 1),
        **measure_fleet(EDGES, CHANGES),
        **measure_snapshot(ENCODINGS),
    }
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure_fleet(edges: int, changes: int, people: int = PEOPLE) -> dict[str, Any]:
    with running() as centre:
        ids = [_enrolled(centre, f"person {n}") for n in range(people)]
        fleet = Fleet(centre.port, edges)
        try:
            fleet.wait("links", lambda: len(fleet.linked) >= edges)
            fleet.all_at(centre.write(lambda c: None))
            time.sleep(2)
            before = fleet.sent()
            latencies = [t for n in range(changes) for t in _change(centre, fleet, ids[n % people])]
            time.sleep(1)
            cost = (fleet.sent() - before) / edges / changes
            reconnect = _restart(centre, fleet, ids[0])
        finally:
            fleet.stop()
    return {
        "edges": edges,
        "changes": changes,
        "apply_p50_s": round(float(np.percentile(latencies, 50)), 3),
        "apply_p99_s": round(float(np.percentile(latencies, 99)), 3),
        "apply_max_s": round(max(latencies), 3),
        "reconnect_s": round(reconnect, 2),
        "bytes_per_change": round(cost),
    }


def _change(centre: Centre, fleet: Fleet, person: str) -> list[float]:
    """Seconds from a new encoding's transaction to each edge that has applied it."""
    began = time.monotonic()
    revision = centre.write(lambda c: identities.add_encoding(c, _encoding(person), utcnow()))
    reached = fleet.all_at(revision)
    # The edges' reports are part of the cost: the next change does not wait for them longer than this.
    time.sleep(0.3)
    return [at - began for at in reached.values()]


def _restart(centre: Centre, fleet: Fleet, person: str) -> float:
    """Seconds from kill -9 until all edges are linked again and hold what was changed meanwhile."""
    began, links = time.monotonic(), len(fleet.linked)
    centre.restart()
    revision = centre.write(lambda c: identities.add_encoding(c, _encoding(person), utcnow()))
    fleet.wait("links", lambda: len(fleet.linked) >= links + fleet.edges)
    return max(*fleet.linked, *fleet.all_at(revision).values()) - began


def measure_snapshot(encodings: int) -> dict[str, Any]:
    with running() as centre:
        _fill(centre.database, encodings)
        _ready(centre)
        before = rss_mb(centre.process.pid)
        told = subprocess.run(
            [sys.executable, "-m", "bench.sync_edge", str(centre.port)], check=True, capture_output=True, text=True
        ).stdout.split()
        server = peak_mb(centre.process.pid) - before
    count, took, edge = int(told[1]), float(told[2]), float(told[3])
    return {
        "snapshot_encodings": count,
        "snapshot_people": encodings // PER_PERSON,
        "snapshot_100k_s": round(took, 2),
        "snapshot_peak_mb": round(max(edge, server)),
        "snapshot_edge_mb": round(edge),
        "snapshot_control_plane_mb": round(server),
    }


@contextlib.contextmanager
def running() -> Iterator[Centre]:
    with tempfile.TemporaryDirectory() as folder:
        centre = Centre(Path(folder))
        try:
            yield centre
        finally:
            centre.stop()


def _ready(centre: Centre) -> None:
    """Wait until the control plane answers."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{centre.port}/healthz", timeout=5).raise_for_status()
            return
        time.sleep(0.05)
    raise TimeoutError("the control plane does not answer")


def _encoding(person: str, now: datetime | None = None) -> EncodingRow:
    vector = unit(np.random.default_rng().normal(size=128).astype(np.float32))
    return EncodingRow(new_id(now or utcnow()), person, SFACE, to_bytes(vector))


def _enrolled(centre: Centre, name: str) -> str:
    with centre.database.write() as connection:
        person = identities.create(connection, name, [G], utcnow())
        identities.add_encoding(connection, _encoding(person), utcnow())
        return person


def _fill(database: Database, count: int) -> None:
    """A gallery of so many encodings, as if its changes were compacted."""
    now, step = utcnow(), timedelta(seconds=1)
    people = [IdentityRow(new_id(now + n * step), f"Person {n}") for n in range(count // PER_PERSON)]
    templates = [_encoding(people[n // PER_PERSON].id, now + n * step) for n in range(count)]
    with database.write() as connection:
        connection.execute(
            tables.identities.insert(),
            [{"id": p.id, "name": p.name, "attributes": {}, "hash": row_hash(p), "created_at": now} for p in people],
        )
        connection.execute(tables.gallery_members.insert(), [{"gallery_id": G, "identity_id": p.id} for p in people])
        connection.execute(
            tables.encodings.insert(),
            [
                {
                    "id": t.id,
                    "identity_id": t.identity_id,
                    "model": t.model,
                    "data": t.data,
                    "against": False,
                    "hash": row_hash(t),
                    "created_at": now,
                }
                for t in templates
            ],
        )
        here = galleries.position(connection, G)
        total = here.checksum ^ checksum(map(row_hash, people)) ^ checksum(map(row_hash, templates))
        revision = here.revision + len(people) + len(templates)
        connection.execute(
            sa.update(tables.galleries)
            .where(tables.galleries.c.id == G)
            .values(revision=revision, checksum=total, compacted_to=revision)
        )


if __name__ == "__main__":
    main()
