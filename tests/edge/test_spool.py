from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from edge import spool as spools
from edge.spool import Bounds, Spool, Spooled
from faces.events import Event, EventKind, Status, uuid7

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def event(number: int) -> Event:
    return Event(
        id=uuid7(NOON, number.to_bytes(10, "big")), camera="door", captured_at=NOON, status=Status.PASS, track=number
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def decoded(item: Spooled) -> Event:
    return msgspec.msgpack.decode(item.body, type=Event)


def kept(spool: Spool) -> list[Event]:
    return [decoded(item) for item in spool._some("ORDER BY place", 1 << 20, 1 << 40)]


def test_events_come_out_as_they_went_in_and_in_order(path: Path) -> None:
    spool = Spool(path)
    events = [event(number) for number in (3, 1, 2)]
    for one in events:
        spool.append(one)
    assert kept(spool) == events
    assert [item.id for item in spool.batch(2)] == [one.id for one in events[:2]]
    spool.close()


def test_an_event_is_committed_before_append_returns(path: Path) -> None:
    spool = Spool(path)
    spool.append(event(1))
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM events").fetchone() == (1,)
    other.close()
    spool.close()


def test_commits_reach_the_disk(path: Path) -> None:
    spool = Spool(path)
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,), "2 is FULL"
    assert spool._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    spool.close()


def test_events_survive_the_sudden_death_of_the_process(path: Path) -> None:
    code = (
        "import os, sys; from datetime import *; from pathlib import Path\n"
        "from edge.spool import Spool; from faces.events import *\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "now = datetime(2025, 6, 1, tzinfo=UTC)\n"
        "for n in range(5): spool.append(Event(id=uuid7(now, bytes([n] * 10)), camera='door', captured_at=now))\n"
        "os._exit(9)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code, str(path)], cwd=root, check=False).returncode == 9
    spool = Spool(path)
    assert len(spool) == 5
    spool.close()


def test_acknowledged_events_are_gone_and_unknown_ids_are_no_error(path: Path) -> None:
    spool = Spool(path)
    for number in range(3):
        spool.append(event(number))
    spool.acknowledge([event(0).id, event(2).id, event(99).id])
    assert [item.id for item in spool.batch(10)] == [event(1).id]
    spool.close()


def test_an_event_set_aside_does_not_block_the_head(path: Path) -> None:
    spool = Spool(path)
    spool.append(event(1))
    spool.append(event(2))
    spool.quarantine(event(1).id, "from the future")
    assert [item.id for item in spool.batch(10)] == [event(2).id]
    assert spool.quarantined() == [(event(1).id, "from the future")]
    spool.close()


def of_kind(number: int, **fields: Any) -> Event:
    return msgspec.structs.replace(event(number), **{"status": Status.REJECT, **fields})


HEALTH: dict[str, Any] = {"kind": EventKind.CAMERA_LOST, "status": None}


def notices(spool: Spool) -> list[dict[str, int]]:
    return [dict(one.dropped or {}) for one in kept(spool) if one.kind is EventKind.EVENTS_DROPPED]


def tracks(spool: Spool) -> list[int | None]:
    return [one.track for one in kept(spool) if one.kind is not EventKind.EVENTS_DROPPED]


def test_threads_that_wait_for_the_disk_share_one_commit(path: Path, until: Callable[..., None]) -> None:
    spool = Spool(path)
    spool.append(event(99))
    commits: list[str] = []
    spool._db.set_trace_callback(lambda said: commits.append(said) if said == "COMMIT" else None)
    threads = [threading.Thread(target=spool.append, args=(event(number),)) for number in range(8)]
    with spool._lock:
        for thread in threads:
            thread.start()
        until(lambda: len(spool._arrived) == 8)
    for thread in threads:
        thread.join(10)
    spool._db.set_trace_callback(None)
    assert len(commits) == 1
    assert len(spool) == 9
    spool.close()


def test_the_least_important_go_first_and_the_oldest_of_them(path: Path) -> None:
    spool = Spool(path, Bounds(events=4))
    made = [
        of_kind(0, reason="deny"),
        of_kind(1, reason="watch"),
        of_kind(2, status=Status.PASS),
        of_kind(3),
        of_kind(4),
        of_kind(5, **HEALTH),
        of_kind(6, status=Status.PASS),
        of_kind(7, reason="watch"),
        of_kind(8, reason="deny"),
    ]
    left = []
    for one in made:
        spool.append(one)
        left.append(tracks(spool))
    assert left[4:] == [[0, 1, 2, 4], [0, 1, 2, 4], [0, 1, 2, 6], [0, 1, 6, 7], [0, 1, 7, 8]]
    assert spool.dropped() == {"health": 1, "pass": 2, "stranger": 2}
    spool.close()


def test_what_was_dropped_is_said_in_an_event_with_counts_and_once(path: Path) -> None:
    spool = Spool(path, Bounds(events=3), camera="yard", now=lambda: NOON)
    for number in range(5):
        spool.append(of_kind(number))
    (*others, said) = map(decoded, spool.batch(9))
    assert (said.kind, said.camera, said.captured_at) == (EventKind.EVENTS_DROPPED, "yard", NOON)
    assert (said.dropped, [one.track for one in others]) == ({"stranger": 2}, [2, 3, 4])
    spool.append(of_kind(5))
    spool.close()
    spool = Spool(path, Bounds(events=3))
    assert decoded(spool.batch(9)[-1]) == said, "what may have been sent does not change"
    assert spool.dropped() == {"stranger": 1}, "the new one: all others are in flight"
    spool.acknowledge([one.id for one in [said, *others]])
    assert [decoded(item).dropped for item in spool.batch(9)] == [{"stranger": 1}]
    assert spool.dropped() == {}
    spool.close()


def test_hostile_37_an_event_is_given_up_when_it_is_too_old_by_a_clock_that_nobody_sets(path: Path) -> None:
    moment = 1000.0
    spool = Spool(path, Bounds(age_s=60), elapsed=lambda: moment)
    spool.append(of_kind(1, reason="deny"))
    moment = 1050.0
    spool.append(event(2))
    spool.close()
    moment = 7.0
    spool = Spool(path, Bounds(age_s=60), elapsed=lambda: moment)
    assert tracks(spool) == [1, 2], "the machine started anew: no time has passed"
    moment = 7.0 + 11.0
    spool.batch(1)
    assert tracks(spool) == [2]
    assert notices(spool) == [{"deny": 1}]
    spool.close()


def test_a_spool_grows_no_larger_than_told_and_gives_up_thumbnails_first(path: Path) -> None:
    spool = Spool(path, Bounds(bytes=4 << 20))
    spool._db.execute("PRAGMA synchronous=OFF")
    for number in range(700):
        spool.append(of_kind(number, thumbnail=bytes(6000)))
    assert path.stat().st_size <= 4 << 20
    assert path.with_name("spool.db-wal").stat().st_size <= 4 << 20
    assert spool.dropped().keys() == {"thumbnails"}
    pictures = sum(decoded(item).thumbnail is not None for item in spool._some("", 9999, 1 << 30))
    assert pictures + spool.dropped()["thumbnails"] == len(spool) == 700
    for number in range(700, 12000):
        spool.append(of_kind(number))
    assert path.stat().st_size <= 4 << 20
    assert len(spool) + spool.dropped()["stranger"] == 12000
    assert spool.dropped()["stranger"] > 0
    spool.close()


def test_refused_events_are_the_first_to_make_room_and_only_so_many_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "MOST_REFUSED", 3)
    spool = Spool(path, Bounds(events=5))
    for number in range(5):
        spool.append(event(number))
        spool.quarantine(event(number).id, "bad")
    assert len(spool.quarantined()) == 3
    assert spool.dropped() == {"refused": 2}
    for number in range(10, 16):
        spool.append(event(number))
    assert spool.dropped() == {"refused": 5, "pass": 1}
    assert spool.outcomes == {"delivered": 0, "dropped": 1, "refused": 5}, "who makes room later was refused before"
    assert spool.quarantined() == []
    spool.close()


def test_a_spool_of_the_first_form_is_read_and_ranked(path: Path) -> None:
    old = sqlite3.connect(path)
    old.executescript(
        "PRAGMA journal_mode=WAL;"
        "CREATE TABLE events (place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL);"
        "CREATE TABLE quarantine (id TEXT PRIMARY KEY, body BLOB NOT NULL, reason TEXT NOT NULL);"
    )
    events = [event(1), of_kind(2), of_kind(3, **HEALTH)]
    for one in events:
        old.execute("INSERT INTO events (id, body) VALUES (?, ?)", (str(one.id), msgspec.msgpack.encode(one)))
    old.execute("INSERT INTO events (id, body) VALUES (?, ?)", (str(event(4).id), b"no event"))
    old.commit()
    old.close()
    spool = Spool(path)
    assert [item.id for item in spool.batch(10)] == [one.id for one in [*events, event(4)]]
    assert [rank for (rank,) in spool._db.execute("SELECT importance FROM events ORDER BY place")] == [3, 2, 1, 1]
    spool.acknowledge([event(4).id])
    spool.close()
    spool = Spool(path)
    assert kept(spool) == events
    spool.close()


def test_the_newest_come_first_where_more_wait_than_fit(path: Path) -> None:
    spool = Spool(path)
    for number in range(10):
        spool.append(event(number))
    first = spool.batch(6, live=2)
    assert [one.track for one in map(decoded, first)] == [9, 8, 0, 1, 2, 3]
    spool.acknowledge([item.id for item in first])
    for number in range(10, 16):
        spool.append(event(number))
    assert [one.track for one in map(decoded, spool.batch(10, live=2))] == [*range(4, 8), *range(10, 16)]
    spool.close()


def test_a_batch_is_cut_by_bytes_and_is_never_empty(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(path)
    for number in range(4):
        spool.append(of_kind(number, thumbnail=bytes(400_000)))
    pair = spool.batch(100)
    assert len(pair) == 2
    spool.acknowledge([item.id for item in pair])
    monkeypatch.setattr(spools, "BATCH_BYTES", 10)
    assert len(spool.batch(100)) == 1
    spool.close()


class Faulty(sqlite3.Connection):
    """A connection whose statements fail as on a full disk, from one on, as many as told."""

    countdown = -1
    failures = 0

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self._fail()
        return super().execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        self._fail()
        return super().executemany(*args)

    def _fail(self) -> None:
        kind = type(self)
        kind.countdown -= 1
        if kind.countdown < 0 < kind.failures:
            kind.failures -= 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> type[Faulty]:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **more, factory=Faulty))
    monkeypatch.setattr(Faulty, "countdown", -1)
    monkeypatch.setattr(Faulty, "failures", 0)
    return Faulty


@pytest.mark.parametrize("failures", [1, 2, 3, 1000])
def test_a_disk_that_is_full_at_any_statement_loses_no_count(path: Path, faulty: type[Faulty], failures: int) -> None:
    spool = Spool(path, Bounds(events=3))
    delivered: dict[UUID, Event] = {}
    for number in range(80):
        faulty.countdown, faulty.failures = number % 40, failures
        with suppress(sqlite3.OperationalError):
            spool.append(of_kind(number))
        for _ in range(number % 3):
            with suppress(sqlite3.OperationalError):
                batch = spool.batch(1)
                delivered |= {item.id: decoded(item) for item in batch}
                spool.acknowledge([item.id for item in batch])
        faulty.failures = 0
    spool.append(of_kind(80))
    while batch := spool.batch(10):
        delivered |= {item.id: decoded(item) for item in batch}
        spool.acknowledge([item.id for item in batch])
    dropped = sum(sum((one.dropped or {}).values()) for one in delivered.values())
    assert sum(one.kind is EventKind.DECISION for one in delivered.values()) + dropped == 81
    assert (len(spool), spool.dropped()) == (0, {})
    assert spool.outcomes == {"delivered": len(delivered), "dropped": dropped, "refused": 0}
    assert dropped > 0
    spool.close()


def test_what_was_given_out_is_given_out_again_until_it_is_settled_and_is_not_dropped(path: Path) -> None:
    spool = Spool(path, Bounds(events=4))
    for number in range(4):
        spool.append(of_kind(number))
    assert [one.track for one in map(decoded, spool.batch(2))] == [0, 1]
    spool.close()
    spool = Spool(path, Bounds(events=4))
    for number in range(4, 8):
        spool.append(of_kind(number))
    assert [one.track for one in map(decoded, spool.batch(3))] == [0, 1]
    assert [one.track for one in map(decoded, spool.batch(1))] == [0]
    spool.acknowledge([event(0).id])
    spool.quarantine(event(1).id, "bad")
    assert [one.track for one in map(decoded, spool.batch(3))] == [6, 7, None]
    spool.close()


class SpoolHistory(RuleBasedStateMachine):
    """Whatever is done to a spool, in any order and with restarts in between: nothing is lost, nothing comes twice."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "spool.db"
        self.spool = Spool(self.path)
        self.waiting: dict[UUID, Event] = {}
        self.aside: set[UUID] = set()
        self.made = 0

    ids = Bundle("ids")

    @rule(target=ids)
    def append(self) -> UUID:
        self.made += 1
        new = event(self.made)
        self.spool.append(new)
        self.waiting[new.id] = new
        return new.id

    @rule(key=ids)
    def append_again(self, key: UUID) -> None:
        if key in self.waiting:
            self.spool.append(self.waiting[key])

    @rule(keys=st.lists(ids, max_size=4))
    def acknowledge(self, keys: list[UUID]) -> None:
        self.spool.acknowledge(keys)
        for key in keys:
            self.waiting.pop(key, None)

    @rule(key=ids)
    def quarantine(self, key: UUID) -> None:
        self.spool.quarantine(key, "bad")
        if self.waiting.pop(key, None):
            self.aside.add(key)

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.spool = Spool(self.path)

    @invariant()
    def what_waits_is_there_in_order(self) -> None:
        assert kept(self.spool) == list(self.waiting.values())
        assert len(self.spool) == len(self.waiting)
        assert {key for key, _ in self.spool.quarantined()} == self.aside

    def teardown(self) -> None:
        self.spool.close()
        self.folder.cleanup()


TestSpoolHistory = SpoolHistory.TestCase
TestSpoolHistory.settings = settings(max_examples=30, stateful_step_count=20)
