from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from edge.spool import Spool
from faces.events import Event, Status, uuid7

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def event(number: int) -> Event:
    return Event(
        id=uuid7(NOON, number.to_bytes(10, "big")), camera="door", captured_at=NOON, status=Status.PASS, track=number
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def kept(spool: Spool) -> list[Event]:
    return [msgspec.msgpack.decode(item.body, type=Event) for item in spool.batch(1000)]


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
TestSpoolHistory.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
