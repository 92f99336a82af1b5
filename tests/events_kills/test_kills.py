"""Edge, control plane and worker killed at random while events flow: every event the spool has taken is in the log,
once, with one delivery to each receiver. The truth is kept outside, by UUID.

The short form runs with the other tests. `pytest -m soak tests/events_kills` kills 300 times on each database.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from control_plane.store.db import Database
from control_plane.store.tables import deliveries, events, metadata
from rollcall.up import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_S = 60.0
STUCK_S = 30.0
"""A spool that has not become emptier for so long, with nobody killed meanwhile, never will."""

KILLED_WITHIN_S = 0.3
OFTEN = ("edge", "plane", "edge", "plane", "worker")


class Receiver(ThreadingHTTPServer):
    """A webhook receiver that is told and says nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.host = f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Who was posting was killed."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Mortal:
    """A process that is killed now and then, and started again at once."""

    def __init__(self, folder: Path, command: list[str], settings: dict[str, str], at_work: Callable[[], Any]) -> None:
        self._log = folder / f"{command[0].rpartition('.')[2]}.log"
        self._command, self._settings, self._at_work = command, settings, at_work
        self.process = self._start()

    def kill(self, dice: random.Random) -> None:
        """Wait until it is at work, and a random while more; then SIGKILL it and start it again."""
        before, deadline = self._at_work(), time.monotonic() + READY_S
        while self._at_work() == before:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.01)
        time.sleep(dice.uniform(0, KILLED_WITHIN_S))
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self._start()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return self._log.read_text()[-2000:]

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self._settings}
        with self._log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", *self._command], env=environment, stdout=file, stderr=file, cwd=ROOT
            )


class Found(NamedTuple):
    """What the log says against the truth: numbers of events."""

    spooled: int
    lost: int
    double: int
    double_deliveries: int
    untold: int

    @property
    def right(self) -> bool:
        return self.spooled > 0 and not any(self[1:])


class World:
    """A site, a centre and a receiver, all of whose processes are mortal."""

    def __init__(self, database: Database, folder: Path, receiver: Receiver, more: Mapping[str, str]) -> None:
        self.database, self.folder = database, folder
        self._truth = folder / "truth"
        port = free_port()
        settings = {
            "DATABASE_URL": database.url.render_as_string(hide_password=False),
            "DATA_DIR": str(folder),
            "PORT": str(port),
            "STREAM_PORT": "0",
            "WEBHOOK_ALLOW": receiver.host,
            **more,
        }
        here, self.url = "tests.events_kills.mortal_", f"http://127.0.0.1:{port}"
        url = self.url
        self.mortals = {"plane": Mortal(folder, [f"{here}plane"], settings, self._logged)}
        _ready(self.mortals["plane"], f"{url}/readyz")
        for path in ("one", "two"):
            asked = {"url": f"http://{receiver.host}/{path}", "statuses": ["PASS"]}
            requests.post(f"{url}/v1/webhooks", json=asked, timeout=9).raise_for_status()
        self.mortals["worker"] = Mortal(folder, [f"{here}worker"], settings, self.delivered)
        self.mortals["edge"] = Mortal(folder, [f"{here}edge", str(folder), url], settings, self._spooled)

    def storm(self, kills: int, dice: random.Random) -> Found:
        """Kill so often, whom chance has; then let what is spooled arrive, and look."""
        for _ in range(kills):
            self.mortals[dice.choice(OFTEN)].kill(dice)
        return self.settled()

    def settled(self) -> Found:
        """What there is when all that is spooled has arrived."""
        self._settle()
        return self._look()

    def stop(self) -> None:
        for mortal in self.mortals.values():
            mortal.stop()

    def _settle(self) -> None:
        (self.folder / "stop").touch()
        _ready(self.mortals["plane"], f"{self.url}/readyz")
        edge, before, deadline = self.mortals["edge"], self._logged(), time.monotonic() + STUCK_S
        while edge.process.poll() is None:
            if (now := self._logged()) != before:
                before, deadline = now, time.monotonic() + STUCK_S
            assert time.monotonic() < deadline, edge.said() + self.mortals["plane"].said()
            time.sleep(0.05)
        assert edge.process.returncode == 0, edge.said()
        # A fault that answers before it commits has committed by then, if it was not killed.
        time.sleep(0.5)

    def _look(self) -> Found:
        truth = self._truth.read_text().split()
        with self.database.read() as connection:
            log = dict(connection.execute(sa.select(events.c.reason, sa.func.count()).group_by(events.c.reason)).all())
            ids = sa.select(deliveries.c.webhook_id, deliveries.c.event_id)
            told = list(connection.execute(ids))
            known = set(connection.execute(sa.select(events.c.id)).scalars())
        return Found(
            spooled=len(truth),
            lost=len(set(truth) - set(log)),
            double=sum(count > 1 for count in log.values()),
            double_deliveries=len(told) - len(set(told)),
            untold=2 * len(known) - len(set(told)),
        )

    def _spooled(self) -> int:
        return self._truth.stat().st_size if self._truth.exists() else 0

    def _logged(self) -> int:
        return self._ask(sa.select(sa.func.count()).select_from(events))

    def delivered(self) -> int:
        return self._ask(sa.select(sa.func.count()).where(deliveries.c.state == "delivered"))

    def _ask(self, query: Any) -> int:
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())


def _ready(plane: Mortal, url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert plane.process.poll() is None, plane.said()
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.05)
    raise AssertionError(plane.said())


@contextmanager
def world(database: Database, folder: Path, **settings: str) -> Iterator[World]:
    """`settings` are the processes' own, beside those of the place."""
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.01,), daemon=True).start()
        made = World(database, folder, receiver, settings)
        try:
            yield made
        finally:
            made.stop()
            receiver.shutdown()


def drop_keys(database: Database) -> None:
    """Have the tables allow the same event and the same delivery twice."""
    with database.engine.connect().execution_options(rollcall_no_begin=True) as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        alter = Operations(MigrationContext.configure(connection, opts={"target_metadata": metadata}))
        for table, key in (("events", "uq_events_id"), ("deliveries", "uq_deliveries_webhook_id_event_id")):
            with alter.batch_alter_table(table) as changed:
                changed.drop_constraint(key, type_="unique")
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")


@pytest.mark.timeout(300)
def test_twelve_kills_lose_nothing_and_double_nothing(store: Database, tmp_path: Path) -> None:
    with world(store, tmp_path) as mortals:
        found = mortals.storm(12, random.Random(os.urandom(8)))
    assert found.right, found


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_three_hundred_kills_lose_nothing_and_double_nothing(database: Database, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    with world(database, tmp_path) as mortals:
        found = mortals.storm(300, random.Random(seed))
    assert found.right, (seed, found)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("fault", "whom", "kills", "shown"),
    [
        ("acknowledge_first", ("plane",), 4, "lost"),
        ("delete_first", ("edge", "plane"), 6, "lost"),
        ("no_key", ("edge", "plane"), 16, "double"),
        ("reused_ids", ("edge",), 2, "lost"),
    ],
)
def test_a_planted_fault_is_found(
    sqlite: Database, tmp_path: Path, fault: str, whom: tuple[str, ...], kills: int, shown: str
) -> None:
    dice = random.Random()
    if fault == "no_key":
        drop_keys(sqlite)
    with world(sqlite, tmp_path, FAULT=fault) as mortals:
        for number in range(kills):
            mortals.mortals[whom[number % len(whom)]].kill(dice)
        found = mortals.storm(0, dice)
    assert getattr(found, shown) > 0, found
