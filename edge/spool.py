"""The spool: events on disk until the control plane has them."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from edge.importance import Importance, importance
from edge.room import PAGE, Room, is_full
from edge.seal import PLAIN, SEALED_ROW, Seal
from faces.events import Event, EventKind, uuid7
from faces.sealing import Unreadable, about

log = logging.getLogger("edge.spool")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL,
    importance INTEGER NOT NULL DEFAULT 0, spooled_s REAL NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS quarantine (id TEXT PRIMARY KEY, body BLOB NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS flight (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS dropped (word TEXT PRIMARY KEY, count INTEGER NOT NULL);
"""
_MAY_GO = "importance <= ? AND id NOT IN (SELECT id FROM flight)"
_INDEX = "CREATE INDEX IF NOT EXISTS events_by_importance ON events (importance, place)"

MOST_REFUSED: Final = 1000
"""So many refused events are kept to be looked at."""

GROUP_BYTES: Final = 1 << 19
"""Events that are committed together are no more than this, so that they fit the log."""

BATCH_BYTES: Final = 1 << 20
"""A batch is no more than this, or one event."""

SLACK_PAGES: Final = 64
"""Always left free, so that what deletes has room to work."""

DELIVERED: Final = "delivered"
DROPPED: Final = "dropped"
REFUSED: Final = "refused"
THUMBNAILS: Final = "thumbnails"


AT_ONCE: Final = 200
"""How many events are read at once when all are."""


class _Named(msgspec.Struct):
    identity_id: str | None = None


class Spooled(NamedTuple):
    """An event as it is posted: `body` is its msgpack."""

    id: UUID
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a spool holds at most. `bytes` is of its database; its log and its ballast take 8 MiB more. `age_s` counts
    the time that the edge runs: a clock that is put right makes no event old."""

    bytes: int = 512 << 20
    events: int = 1_000_000
    age_s: float = 30 * 86400.0


@dataclass(slots=True, eq=False)
class _Entry:
    """An event on its way to the disk."""

    id: str
    importance: Importance
    body: bytes
    stripped: bool = False
    done: bool = False
    error: BaseException | None = None


class Spool:
    """One connection behind one lock; safe to use from several threads.

    What `append` has returned for is on the disk (WAL with synchronous=FULL), or was given up for more important
    events and counted: generated = delivered + counted as dropped + waiting. An event is dropped and counted in one
    transaction. An event's key is its UUID; `place` is only the order and means nothing outside.

    `camera` and `now` are what the notices of dropped events say; `elapsed` is a clock that nobody sets.
    """

    def __init__(
        self,
        path: Path,
        bounds: Bounds | None = None,
        *,
        camera: str = "edge",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = time.monotonic,
        seal: Seal = PLAIN,
    ) -> None:
        self._seal = seal
        self._bounds = bounds or Bounds()
        self._camera = camera
        self._now = now
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._arrived: deque[_Entry] = deque()
        self._uncounted: Counter[str] = Counter()
        self._pressed = False
        self._delta = 0
        self._left: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter({DELIVERED: 0, REFUSED: 0, DROPPED: 0})
        self._room = Room(path, self._bounds.bytes, elapsed)
        self._db = self._room.db
        self._prepare()
        self._room.settle()
        self._waiting: int
        self._waiting, lived = self._db.execute("SELECT count(*), coalesce(max(spooled_s), 0) FROM events").fetchone()
        self._born = elapsed() - lived
        self._seal_plain()

    def append(self, event: Event) -> None:
        """Keep an event; it is committed when this returns, together with those of other threads. One that is here
        already stays as it is. Raises sqlite3.Error or OSError if it could not be; it is counted as dropped then."""
        entry = self._entry(event)
        self._arrived.append(entry)
        with self._lock:
            while not entry.done:
                self._commit(self._group())
        if entry.error:
            raise entry.error

    def batch(self, limit: int, live: int = 0) -> list[Spooled]:
        """The oldest events, at most `limit`; where more wait, the newest `live` come before them, newest first.

        They are in flight from now on: nothing else is given out until they are acknowledged or set aside, and none of
        them is dropped, since the control plane may have it already.
        """
        with self._lock:
            self._expire()
            self._announce()
            return self._flying(limit) or self._launch(limit, live)

    def acknowledge(self, ids: Iterable[UUID]) -> None:
        """Forget events that the control plane has; unknown ids are ignored."""
        keys = [str(key) for key in ids]
        with self._lock:
            try:
                self._write(lambda _: self._leave(DELIVERED, keys))
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
                for key in keys:
                    self._write(lambda _, key=key: self._leave(DELIVERED, [key]))  # type: ignore[misc]

    def quarantine(self, key: UUID, reason: str) -> None:
        """Set an event aside that the control plane refuses, so that it is not sent again."""
        with self._lock:
            self._write(lambda _: self._set_aside(str(key), reason[:500]))

    def quarantined(self) -> list[tuple[UUID, str]]:
        """The events set aside, and why."""
        with self._lock:
            rows = self._db.execute("SELECT id, reason FROM quarantine ORDER BY id").fetchall()
        return [(UUID(key), reason) for key, reason in rows]

    def dropped(self) -> dict[str, int]:
        """What was dropped and is not yet said in an event: counts by the words of a notice."""
        with self._lock:
            return self._dropped()

    def identities(self) -> set[str]:
        """Everybody whom an event here names, also those set aside."""
        return {named for _, _, body in self._bodies() if (named := _named(body))}

    def forget(self, identity_ids: Collection[str]) -> bool:
        """Keep their events without name and picture, and no byte of what was deleted before. False where that has
        to be tried again (`Room.scrub`)."""
        for table, key, body in self._bodies():
            if _named(body) in identity_ids:
                event = msgspec.msgpack.decode(body, type=Event)
                left = msgspec.msgpack.encode(msgspec.structs.replace(event, name=None, thumbnail=None))
                with self._lock:
                    self._write(lambda _, row=(table, key, left): self._put(*row))  # type: ignore[misc]
        with self._lock:
            return self._room.scrub()

    def _put(self, table: str, key: str, body: bytes) -> None:
        self._db.execute(f"UPDATE {table} SET body = ? WHERE id = ?", (self._seal.seal(body, _about(key)), key))

    def _put_all(self, table: str, rows: Iterable[tuple[str, bytes]]) -> None:
        for key, body in rows:
            self._put(table, key, body)

    def _seal_plain(self) -> None:
        """Seal what an edge that did not seal has written; raises Unreadable for what another key has sealed. What a
        full disk has no room for waits for the next start."""
        for key, body in self._db.execute(f"SELECT id, body FROM events WHERE {SEALED_ROW} LIMIT 1"):
            self._seal.unseal(body, _about(key))
        changed = False
        try:
            for table in ("events", "quarantine"):
                plain = f"SELECT id, body FROM {table} WHERE NOT {SEALED_ROW} LIMIT {AT_ONCE}"
                while self._seal.sealing and (rows := self._db.execute(plain).fetchall()):
                    self._write(lambda _, table=table, rows=rows: self._put_all(table, rows))  # type: ignore[misc]
                    changed = True
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
        if changed:
            self._room.scrub()

    def _plain(self, key: str, body: bytes) -> bytes | None:
        """An event's body; None for one that is damaged, which is set aside."""
        try:
            return self._seal.unseal(body, _about(key))
        except Unreadable:
            log.error("event %s is damaged on the disk and is set aside", key)
            self._write(lambda _: self._set_aside(key, "damaged on the disk"))
            return None

    def _bodies(self) -> Iterator[tuple[str, str, bytes]]:
        """Table, key and body of all events, some at a time: nobody who has an event to keep waits for long."""
        for table in ("events", "quarantine"):
            last = ""
            while True:
                with self._lock:
                    query = f"SELECT id, body FROM {table} WHERE id > ? ORDER BY id LIMIT {AT_ONCE}"
                    rows = self._db.execute(query, (last,)).fetchall()
                if not rows:
                    break
                for key, body in rows:
                    with suppress(Unreadable):
                        yield table, key, self._seal.unseal(body, _about(key))
                last = rows[-1][0]

    def __len__(self) -> int:
        """How many events wait."""
        return self._waiting

    @property
    def outcomes(self) -> Counter[str]:
        """The events that have left since the start: delivered, refused (set aside), or dropped."""
        found = self._outcomes.copy()
        found[DROPPED] += self._uncounted.total()
        return found

    def close(self) -> None:
        with self._lock:
            self._room.close()

    def _prepare(self) -> None:
        """Make the tables, or those of an older form into these."""
        self._db.executescript(_SCHEMA)
        if "importance" not in {row[1] for row in self._db.execute("PRAGMA table_info(events)")}:
            self._db.execute("ALTER TABLE events ADD COLUMN importance INTEGER NOT NULL DEFAULT 0")
            self._db.execute("ALTER TABLE events ADD COLUMN spooled_s REAL NOT NULL DEFAULT 0")
        self._db.execute(_INDEX)
        while rows := self._db.execute("SELECT place, body FROM events WHERE importance = 0 LIMIT 500").fetchall():
            self._db.execute("BEGIN IMMEDIATE")
            ranks = [(_importance_of(body), place) for place, body in rows]
            self._db.executemany("UPDATE events SET importance = ? WHERE place = ?", ranks)
            self._db.execute("COMMIT")

    def _entry(self, event: Event) -> _Entry:
        rank = importance(event)
        # Only before it is first sent: under one id the control plane takes one body.
        stripped = self._pressed and event.thumbnail is not None and rank <= Importance.PASS
        kept = msgspec.structs.replace(event, thumbnail=None, probe=msgspec.UNSET) if stripped else event
        body = msgspec.msgpack.encode(kept)
        return _Entry(str(event.id), rank, self._seal.seal(body, _about(str(event.id))), stripped)

    def _group(self) -> list[_Entry]:
        """The events that came while the last ones were committed, as many as fit the log."""
        group = [self._arrived.popleft()]
        size = len(group[0].body)
        while self._arrived and (size := size + len(self._arrived[0].body)) <= GROUP_BYTES:
            group.append(self._arrived.popleft())
        return group

    def _commit(self, group: Sequence[_Entry]) -> None:
        try:
            self._room.keep_ballast()
            self._write(lambda pages: self._store(group, pages), _pages(group))
        except BaseException as error:
            for entry in group:
                entry.error = error
            self._uncounted.update(entry.importance.word for entry in group)
            if not isinstance(error, sqlite3.Error):
                raise
        finally:
            for entry in group:
                entry.done = True

    def _write(self, work: Callable[[int], object], pages: int = 0) -> None:
        """One transaction, for which so many pages are wanted. On a full disk the ballast is released, and it is tried
        once more with more of its own pages to spare."""
        try:
            self._try(work, pages + SLACK_PAGES)
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            self._room.relieve()
            self._try(work, 2 * pages + SLACK_PAGES)

    def _try(self, work: Callable[[int], object], pages: int) -> None:
        self._room.grow(pages)
        self._pressed = self._room.pressed(2 * SLACK_PAGES)
        self._delta = 0
        self._left.clear()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            work(pages)
            self._count(self._uncounted)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._waiting += self._delta
        self._outcomes.update(self._left)
        self._uncounted.clear()

    def _store(self, group: Sequence[_Entry], pages: int) -> None:
        """Within a transaction: make room, insert, and count what had to go."""
        counts: Counter[str] = Counter()
        for entry in self._fitting(group, pages, counts):
            row = (entry.id, entry.body, entry.importance, self._elapsed() - self._born)
            made = self._db.execute(
                "INSERT INTO events (id, body, importance, spooled_s) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row
            ).rowcount
            self._delta += made
            counts[THUMBNAILS] += made * entry.stripped
        self._count(counts)

    def _fitting(self, group: Sequence[_Entry], pages: int, counts: Counter[str]) -> list[_Entry]:
        """Drop the least important, oldest first, of what is here and what comes; returns what of it is kept."""
        kept, lost = sorted(group, key=lambda entry: entry.importance, reverse=True), set()
        while kept and kept[-1].importance < Importance.NOTICE:
            excess = self._waiting + self._delta + len(kept) - self._bounds.events
            if self._room.free >= pages and excess <= 0:
                break
            wanted = max(excess, 0) if self._room.free >= pages else 32
            if not self._drop(kept[-1].importance, min(wanted, 32), counts):
                lost.add(kept[-1].id)
                counts[kept.pop().importance.word] += 1
        return [entry for entry in group if entry.id not in lost]

    def _flying(self, limit: int) -> list[Spooled]:
        flying = "SELECT id, body FROM flight JOIN events USING (id) ORDER BY flight.place LIMIT ?"
        return self._opened(self._db.execute(flying, (limit,)).fetchall())

    def _opened(self, rows: Iterable[tuple[str, bytes]]) -> list[Spooled]:
        plain = ((key, self._plain(key, body)) for key, body in rows)
        return [Spooled(UUID(key), body) for key, body in plain if body is not None]

    def _launch(self, limit: int, live: int) -> list[Spooled]:
        head = self._some("ORDER BY place DESC", live, BATCH_BYTES // 2) if self._waiting > limit > live else []
        taken = {event.id for event in head}
        size = sum(len(event.body) for event in head)
        tail = self._some("ORDER BY place", limit - len(head), BATCH_BYTES - size)
        batch = head + [event for event in tail if event.id not in taken]
        if batch:
            self._write(lambda _: self._in_flight(batch))
        return batch

    def _in_flight(self, batch: Iterable[Spooled]) -> None:
        self._db.execute("DELETE FROM flight")
        self._db.executemany("INSERT INTO flight (id) VALUES (?)", [(str(event.id),) for event in batch])

    def _drop(self, most: Importance, limit: int, counts: Counter[str]) -> bool:
        """Drop a few events no more important than `most`, refused ones first; tells whether there was any."""
        gone = self._db.execute(
            "DELETE FROM quarantine WHERE rowid IN (SELECT rowid FROM quarantine ORDER BY rowid LIMIT ?)", (limit,)
        ).rowcount
        if gone:
            counts[REFUSED] += gone
            return True
        least = f"SELECT place, importance FROM events WHERE {_MAY_GO} ORDER BY importance, place LIMIT ?"
        rows = self._db.execute(least, (most, limit)).fetchall()
        rows = [row for row in rows if row[1] == rows[0][1]]
        self._delete(rows, counts)
        return bool(rows)

    def _delete(self, rows: Sequence[tuple[int, int]], counts: Counter[str]) -> None:
        """Delete events by place and importance."""
        self._db.executemany("DELETE FROM events WHERE place = ?", [(place,) for place, _ in rows])
        counts.update(Importance(rank).word for _, rank in rows)
        self._delta -= len(rows)

    def _expire(self) -> None:
        """Drop what is too old."""
        since = self._elapsed() - self._born - self._bounds.age_s
        oldest = f"SELECT place, importance, spooled_s FROM events WHERE {_MAY_GO} ORDER BY +place LIMIT 100"
        while rows := [(place, rank) for place, rank, at in self._db.execute(oldest, (Importance.DENY,)) if at < since]:
            self._write(lambda _, rows=rows: self._age_out(rows))  # type: ignore[misc]

    def _age_out(self, rows: Sequence[tuple[int, int]]) -> None:
        counts: Counter[str] = Counter()
        self._delete(rows, counts)
        self._count(counts)

    def _count(self, counts: Counter[str]) -> None:
        """Within a transaction: add to what is to be said of dropped events."""
        rows = [(word, count) for word, count in counts.items() if count]
        self._left[DROPPED] += sum(count for word, count in rows if word not in (REFUSED, THUMBNAILS))
        self._db.executemany(
            "INSERT INTO dropped VALUES (?, ?) ON CONFLICT (word) DO UPDATE SET count = count + excluded.count", rows
        )

    def _dropped(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT word, count FROM dropped ORDER BY word"))

    def _announce(self) -> None:
        """Say what was dropped in an event. While one waits the next is not made: what was sent must not change, and
        a long outage is not filled with notices."""
        waits = self._db.execute("SELECT 1 FROM events WHERE importance = ?", (Importance.NOTICE,)).fetchone()
        counts = self._dropped()
        if counts and not waits:
            log.warning("the spool had no room for all events: %s", counts)
            now = self._now()
            entry = self._entry(
                Event(
                    id=uuid7(now, os.urandom(10)),
                    kind=EventKind.EVENTS_DROPPED,
                    camera=self._camera,
                    captured_at=now,
                    dropped=counts,
                )
            )
            self._write(lambda pages: self._say(entry, pages))

    def _say(self, entry: _Entry, pages: int) -> None:
        self._db.execute("DELETE FROM dropped")
        self._store([entry], pages)

    def _leave(self, outcome: str, keys: Iterable[str]) -> None:
        """Within a transaction: forget events that wait no longer."""
        named = [(key,) for key in keys]
        gone = self._db.executemany("DELETE FROM events WHERE id = ?", named).rowcount
        self._delta -= gone
        self._left[outcome] += gone
        self._db.executemany("DELETE FROM flight WHERE id = ?", named)

    def _set_aside(self, key: str, reason: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO quarantine SELECT id, body, ? FROM events WHERE id = ?", (reason, key))
        self._leave(REFUSED, [key])
        surplus = "DELETE FROM quarantine WHERE rowid <= (SELECT max(rowid) - ? FROM quarantine)"
        self._count(Counter({REFUSED: self._db.execute(surplus, (MOST_REFUSED,)).rowcount}))

    def _some(self, order: str, limit: int, most_bytes: int) -> list[Spooled]:
        """The first events in this order, as many as fit `most_bytes`, at least one."""
        found: list[tuple[str, bytes]] = []
        for key, body in self._db.execute(f"SELECT id, body FROM events {order} LIMIT ?", (limit,)):
            most_bytes -= len(body)
            if found and most_bytes < 0:
                break
            found.append((key, body))
        return self._opened(found)


def _about(key: str) -> bytes:
    """What an event's sealed body is bound to."""
    return about("event", key)


def _pages(group: Iterable[_Entry]) -> int:
    """Pages that these events take, rather too many."""
    return sum(1 + len(entry.body) // (PAGE // 2) for entry in group)


def _importance_of(body: bytes) -> Importance:
    try:
        return importance(msgspec.msgpack.decode(body, type=Event))
    except (msgspec.DecodeError, UnicodeError):
        return Importance.HEALTH


def _named(body: bytes) -> str | None:
    try:
        return msgspec.msgpack.decode(body, type=_Named).identity_id
    except (msgspec.DecodeError, UnicodeError):
        return None
