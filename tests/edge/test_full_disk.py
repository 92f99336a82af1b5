"""A day offline on a disk of 64 MB: generated = delivered + counted as dropped. And galleries on a disk that is full.

The short form begins with a disk that is nearly full; `pytest -m soak tests/edge/test_full_disk.py` is the whole day.
"""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import subprocess
from array import array
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from edge.clock import elapsed_s
from edge.importance import Importance, importance
from edge.lease import Lease
from edge.plane import ControlPlane
from edge.replica import Replica
from edge.room import LOG_BYTES
from edge.spool import Spool
from edge.uplink import Syncer, Unscrubbed
from faces.encoding import DIMENSIONS
from faces.events import Event, EventKind, Status, uuid7
from faces.gallery import EncodingRow, IdentityRow, Key, Kind, Row, canonical
from faces.wire import Hello, Report

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
PER_S = 20
DAY = 86_400 * PER_S

KINDS: tuple[dict[str, Any], ...] = (
    {"kind": EventKind.CAMERA_LOST},
    {"status": Status.PASS, "name": "Ada", "thumbnail": bytes(6000)},
    *[{"status": Status.REJECT, "thumbnail": bytes(6000)}] * 18,
)
"""One second's events. Somebody watched comes each two minutes, somebody denied once an hour."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "rollcall-test", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def events(count: int) -> Iterator[Event]:
    chance = random.Random(1)
    for number in range(count):
        at = MIDNIGHT + timedelta(seconds=number / PER_S)
        known = {3: {"reason": "watch"}}.get(number % (120 * PER_S), {})
        known = {3: {"reason": "deny"}}.get(number % (3600 * PER_S), known)
        fields = {**KINDS[number % PER_S], **known}
        yield Event(id=uuid7(at, chance.randbytes(10)), camera="door", captured_at=at, **fields)


class Eater:
    """A foreign file that takes whatever the disk has left."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def eat(self, leave: int = 0) -> None:
        with self.path.open("ab", buffering=0) as file:
            try:
                while os.statvfs(self.path.parent).f_bavail * 4096 > leave:
                    file.write(bytes(1 << 12))
            except OSError:
                pass

    def end(self) -> None:
        self.path.unlink()


def delivered(spool: Spool) -> dict[UUID, Event]:
    """Everything that a control plane in reach would be given now."""
    found: dict[UUID, Event] = {}
    while batch := spool.batch(100, live=20):
        found |= {item.id: msgspec.msgpack.decode(item.body, type=Event) for item in batch}
        spool.acknowledge([item.id for item in batch])
    return found


def check(made: Counter[str], arrived: dict[UUID, Event]) -> Counter[str]:
    """Nothing is missing, of any importance; returns what was dropped."""
    dropped: Counter[str] = Counter()
    for notice in arrived.values():
        dropped.update(notice.dropped or {})
    thumbnails = dropped.pop("thumbnails", 0)
    there = Counter(importance(event).word for event in arrived.values())
    there.pop(Importance.NOTICE.word, None)
    assert there + dropped == made
    bare = sum(e.thumbnail is None for e in arrived.values() if e.kind is EventKind.DECISION)
    assert bare <= thumbnails, "those that went later are among them"
    return dropped


def test_hostile_36_events_that_find_the_disk_full_again_and_again_are_delivered_or_counted(disk: Path) -> None:
    eater, made = Eater(disk / "foreign"), Counter[str]()
    eater.eat(leave=14 << 20)
    spool = Spool(disk / "spool.db")
    for number, event in enumerate(events(14_000)):
        if number in (1_000, 5_000):
            eater.eat()
        made[importance(event).word] += 1
        spool.append(event)
        if number == 5_500:
            assert os.statvfs(disk).f_bavail == 0
            before, held = len(spool), (disk / "spool.db").stat().st_size
    assert (disk / "spool.db-wal").stat().st_size == LOG_BYTES
    assert (disk / "spool.db").stat().st_size == held, "it works within what it has"
    assert before > 1000
    arrived = delivered(spool)
    dropped = check(made, arrived)
    assert dropped["stranger"] > 5000
    assert dropped["pass"] == dropped["watch"] == dropped["deny"] == 0
    eater.end()
    later = Counter[str]()
    for event in itertools.islice(events(16_000), 14_000, None):
        later[importance(event).word] += 1
        spool.append(event)
    assert check(later, delivered(spool)) == {}, "there is room again"
    assert (disk / "spool.db").stat().st_size > held
    spool.close()


def test_hostile_36_a_spool_is_opened_on_a_disk_that_filled_up_meanwhile(disk: Path) -> None:
    spool = Spool(disk / "spool.db")
    made = list(events(16))
    for event in made[:8]:
        spool.append(event)
    spool.close()
    Eater(disk / "foreign").eat()
    spool = Spool(disk / "spool.db")
    for event in made[8:]:
        spool.append(event)
    arrived = delivered(spool)
    assert [key for key, event in arrived.items() if not event.dropped] == [event.id for event in made]
    assert not (disk / "spool.ballast").exists(), "its place was needed for the log"
    spool.close()


def test_hostile_36_growth_that_the_disk_refuses_half_way_leaves_a_sound_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, made = Spool(tmp_path / "spool.db"), Counter[str]()
    written, pwrite, left = 0, os.pwrite, 1 << 20

    def full(file: int, data: bytes, at: int) -> int:
        nonlocal written
        if written + len(data) > left:
            raise OSError(28, "No space left on device")
        written += len(data)
        return pwrite(file, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    for event in events(1500):
        made[importance(event).word] += 1
        spool.append(event)
    assert spool._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    monkeypatch.undo()
    check(made, delivered(spool))
    spool.close()
    assert sqlite3.connect(tmp_path / "spool.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def person(name: str) -> list[Row]:
    chance = random.Random(name)
    template = array("f", [chance.uniform(-1, 1) for _ in range(DIMENSIONS)]).tobytes()
    return [IdentityRow(f"i-{name}", f"name of {name}"), EncodingRow(f"e-{name}", f"i-{name}", "sface", template)]


def test_hostile_36_with_no_room_to_scrub_all_galleries_follow_and_no_removal_is_confirmed(
    disk: Path, plane: Any, gallery_log: Any
) -> None:
    banned = plane.galleries["g1"] = gallery_log("g1", Kind.DENY)
    staff = plane.galleries["g2"] = gallery_log("g2")
    banned.change([row for number in range(1000) for row in person(str(number))])
    staff.change(person("first"))
    replica = Replica(disk / "galleries.db", "sface")
    client = ControlPlane(plane.url, UUID(int=1))
    lease = Lease(1, None, elapsed_s(), 0.0)
    syncer = Syncer(client, replica, Hello(name="box", version="1", engine="sface", cameras=[]), lambda: None, lease)
    syncer.step()
    plane.reports.clear()
    eater = Eater(disk / "foreign")
    eater.eat(leave=200_000)
    banned.change(removed=[Key("identity", "i-5"), Key("encoding", "e-5")])
    staff.change(person("second"))

    lease.confirm(elapsed_s() - 90_000)
    syncer._round_due = 0.0
    with pytest.raises(Unscrubbed):
        syncer.step()
    assert plane.reports == []
    assert not lease.expired(elapsed_s()), "nobody is let pass by a gallery of yesterday"
    replica.close()
    replica = Replica(disk / "galleries.db", "sface")
    assert "i-5" not in replica.held[0].gallery.identities
    assert replica.held[1].gallery.ids == ("i-first", "i-second")

    eater.end()
    Syncer(client, replica, Hello(name="box", version="1", engine="sface", cameras=[]), lambda: None).step()
    client.close()
    replica.close()
    assert sorted(plane.reports) == [(log.id, Report(position=log.position)) for log in (banned, staff)]
    assert canonical(person("5")[0]) not in (disk / "galleries.db").read_bytes()


def test_hostile_36_a_gallery_that_finds_no_room_leaves_the_others_alone(
    disk: Path, plane: Any, gallery_log: Any
) -> None:
    large, small = plane.galleries["g1"], gallery_log("g2")
    plane.galleries["g2"] = small
    replica = Replica(disk / "galleries.db", "sface")
    client = ControlPlane(plane.url, UUID(int=1))
    syncer = Syncer(client, replica, Hello(name="box", version="1", engine="sface", cameras=[]), lambda: None)
    syncer.step()
    Eater(disk / "foreign").eat(leave=300_000)
    large.change([row for number in range(2000) for row in person(str(number))])
    small.change(person("one"))
    for _ in range(3):
        syncer._round_due = 0.0
        with pytest.raises(sqlite3.OperationalError):
            syncer.step()
    client.close()
    replica.close()
    assert [(gallery, bool(told.error)) for gallery, told in plane.reports[-2:]] == [("g1", True), ("g2", False)]
    assert plane.reports[-1][1].position == small.position


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("eaten", [False, True], ids=["alone", "beside a foreign file"])
def test_a_whole_day_offline_is_delivered_or_counted(disk: Path, eaten: bool) -> None:
    eater, made = Eater(disk / "foreign"), Counter[str]()
    spool = Spool(disk / "spool.db")
    for number, event in enumerate(events(DAY)):
        if eaten and number % (DAY // 8) == 5_000:
            eater.eat()
        if eaten and number % (DAY // 8) == DAY // 10:
            eater.end()
        made[importance(event).word] += 1
        spool.append(event)
    waiting = len(spool)
    arrived = delivered(spool)
    dropped = check(made, arrived)
    spool.close()
    print(f"generated {sum(made.values())}, waiting {waiting}, dropped {dict(dropped)}")
