"""The spool: events on disk until the control plane has them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec

from faces.events import Event

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS quarantine (id TEXT PRIMARY KEY, body BLOB NOT NULL, reason TEXT NOT NULL);
"""


class Spooled(NamedTuple):
    """An event as it is posted: `body` is its msgpack."""

    id: UUID
    body: bytes


class Spool:
    """One connection behind one lock; safe to use from several threads.

    What `append` has returned for is on the disk (WAL with synchronous=FULL). An event's key is its UUID; `place`
    is only the order and means nothing outside.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA secure_delete=ON")
        self._db.executescript(_SCHEMA)

    def append(self, event: Event) -> None:
        """Keep an event; it is committed when this returns. One that is here already stays as it is."""
        body = msgspec.msgpack.encode(event)
        with self._lock:
            self._db.execute(
                "INSERT INTO events (id, body) VALUES (?, ?) ON CONFLICT DO NOTHING", (str(event.id), body)
            )

    def batch(self, limit: int) -> list[Spooled]:
        """The oldest events, at most `limit`."""
        with self._lock:
            rows = self._db.execute("SELECT id, body FROM events ORDER BY place LIMIT ?", (limit,)).fetchall()
        return [Spooled(UUID(key), body) for key, body in rows]

    def acknowledge(self, ids: Iterable[UUID]) -> None:
        """Forget events that the control plane has; unknown ids are ignored."""
        with self._lock, self._db:
            self._db.execute("BEGIN")
            self._db.executemany("DELETE FROM events WHERE id = ?", [(str(key),) for key in ids])

    def quarantine(self, key: UUID, reason: str) -> None:
        """Set an event aside that the control plane refuses, so that it is not sent again."""
        with self._lock, self._db:
            self._db.execute("BEGIN")
            self._db.execute(
                "INSERT OR IGNORE INTO quarantine SELECT id, body, ? FROM events WHERE id = ?",
                (reason, str(key)),
            )
            self._db.execute("DELETE FROM events WHERE id = ?", (str(key),))

    def quarantined(self) -> list[tuple[UUID, str]]:
        """The events set aside, and why."""
        with self._lock:
            rows = self._db.execute("SELECT id, reason FROM quarantine ORDER BY id").fetchall()
        return [(UUID(key), reason) for key, reason in rows]

    def __len__(self) -> int:
        """How many events wait."""
        with self._lock:
            count: int = self._db.execute("SELECT count(*) FROM events").fetchone()[0]
        return count

    def close(self) -> None:
        with self._lock:
            self._db.close()
