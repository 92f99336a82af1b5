from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from control_plane.store import attendance, events, identities, joins, merges, sites
from control_plane.store.attendance import Person, Presence, Seen
from control_plane.store.db import Connection, Database
from control_plane.store.sites import Direction
from faces.events import Event, Status, uuid7
from faces.wire import Hello
from tests.conftest import NOW

BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2026, 3, 2)
IN, OUT = Direction.IN, Direction.OUT


def at(hour: int, minute: int = 0) -> datetime:
    """A time of the day in Berlin, in UTC as the log has it."""
    return datetime(2026, 3, 2, hour, minute, tzinfo=BERLIN).astimezone(UTC)


def seen(direction: Direction | None, first: int, last: int, person: str = "a", name: str | None = "Ann") -> Seen:
    return Seen(person, direction, at(first), at(last), 2, name)


@pytest.mark.parametrize(
    ("sights", "first_in", "last_out", "hours"),
    [
        ([seen(None, 8, 17)], 8, 17, 9),
        ([seen(None, 8, 8)], 8, 8, 0),
        ([seen(IN, 8, 13), seen(OUT, 12, 17)], 8, 17, 9),
        ([seen(IN, 8, 13)], 8, None, None),
        ([seen(OUT, 12, 17)], None, 17, None),
        ([seen(IN, 9, 18), seen(None, 8, 17)], 8, 17, 9),
        ([seen(OUT, 7, 18), seen(None, 8, 17)], 8, 18, 10),
        ([seen(OUT, 6, 6), seen(IN, 22, 22)], 22, 6, None),
    ],
    ids=[
        "nothing marked",
        "seen once",
        "in and out",
        "never seen to leave",
        "never seen to come",
        "an in-camera counts in alone",
        "an out-camera counts out alone",
        "a night shift",
    ],
)
def test_first_in_last_out_and_how_long(
    sights: list[Seen], first_in: int | None, last_out: int | None, hours: int | None
) -> None:
    (found,) = attendance.presences(sights, {"a": ("a", Person("Ann", "E-1"))}, BERLIN)
    assert found == Presence(
        identity_id="a",
        external_id="E-1",
        name="Ann",
        first_in=None if first_in is None else at(first_in),
        last_out=None if last_out is None else at(last_out),
        duration_s=None if hours is None else hours * 3600,
        passes=2 * len(sights),
    )


def test_a_person_bears_the_name_of_now_or_of_then_or_is_a_pseudonym_at_the_end() -> None:
    sights = [seen(None, 8, 9, "x", None), seen(None, 8, 9, "z", "Zed then"), seen(None, 8, 9, "b", "Bob then")]
    found = attendance.presences(sights, {"b": ("b", Person("bob", None))}, BERLIN)
    assert [(p.identity_id, p.name) for p in found] == [("b", "bob"), ("z", "Zed then"), ("x", None)]


def test_those_who_were_merged_are_one_person() -> None:
    ann = ("a", Person("Ann", None))
    (found,) = attendance.presences([seen(None, 8, 9), seen(None, 12, 17, "a2", "Anna")], {"a": ann, "a2": ann}, BERLIN)
    assert (found.identity_id, found.name, found.duration_s, found.passes) == ("a", "Ann", 9 * 3600, 4)


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("UTC", date(2026, 3, 29), "2026-03-29T00:00:00+00:00", 24),
        ("Europe/Berlin", date(2026, 3, 28), "2026-03-27T23:00:00+00:00", 24),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00:00+00:00", 23),
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-24T22:00:00+00:00", 25),
        ("Asia/Kathmandu", date(2026, 1, 1), "2025-12-31T18:15:00+00:00", 24),
        # There the clocks go from midnight to one: the day begins at one.
        ("Asia/Beirut", date(2026, 3, 29), "2026-03-28T22:00:00+00:00", 23),
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00:00+00:00", 25),
    ],
)
def test_a_day_is_as_long_as_its_time_zone_has_it(zone: str, day: date, begins: str, hours: int) -> None:
    begin, end = attendance.bounds(day, ZoneInfo(zone))
    assert begin.isoformat() == begins
    assert end - begin == timedelta(hours=hours)
    assert end == attendance.bounds(day + timedelta(days=1), ZoneInfo(zone))[0]


def test_a_night_in_which_the_clocks_are_set_is_as_long_as_it_took() -> None:
    first, last = (datetime(2026, 3, 29, hour, tzinfo=BERLIN).astimezone(UTC) for hour in (1, 4))
    (found,) = attendance.presences([Seen("a", None, first, last, 2)], {}, BERLIN)
    assert found.duration_s == 2 * 3600
    assert [str(moment) for moment in (found.first_in, found.last_out)] == [
        "2026-03-29 01:00:00+01:00",
        "2026-03-29 04:00:00+02:00",
    ]


class Gate:
    """A site in Berlin with a camera for each direction and one for both."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.count = connection, 0
        sites.configure(connection, "default", {"time_zone": "Europe/Berlin"})
        self.says_hello(["in", "out", "hall"])
        sites.direct(connection, "e", {"in": IN, "out": OUT})

    def says_hello(self, cameras: list[str]) -> None:
        hello = Hello(name="box", version="1", engine="sface", cameras=cameras)
        sites.welcome(self.connection, "e", hello, 1, NOW)

    def passes(self, camera: str, captured: datetime, person: str | None, **fields: Any) -> None:
        self.count += 1
        made = {"status": Status.PASS, "identity_id": person, "name": "then", **fields}
        key = uuid7(NOW, self.count.to_bytes(10, "big"))
        told = Event(id=key, camera=camera, captured_at=captured, **made)
        events.append(self.connection, [told], site_id="default", edge_id="e", now=NOW)

    def people(self) -> list[tuple[str | None, int | None, int]]:
        found = attendance.of_day(self.connection, "default", DAY).people
        return [(p.name, p.duration_s, p.passes) for p in found]


def test_a_day_is_summed_up_from_what_passed_that_day(database: Database) -> None:
    with database.write() as connection:
        gate = Gate(connection)
        ann = identities.create(connection, "Ann", ["default"], NOW)
        gate.passes("in", at(0), ann)
        gate.passes("out", at(23, 59), ann)
        gate.passes("in", at(0) - timedelta(seconds=1), ann)
        gate.passes("hall", at(0) + timedelta(days=1), ann)
        gate.passes("hall", at(5), ann, status=Status.REJECT)
        gate.passes("hall", at(5), None, name=None)
        assert gate.people() == [("Ann", 24 * 3600 - 60, 2)]


def test_a_day_stays_as_it_was_when_a_camera_of_it_or_its_edge_goes(database: Database) -> None:
    with database.write() as connection:
        gate = Gate(connection)
        for camera, hour in (("in", 8), ("in", 18), ("out", 7), ("out", 17)):
            gate.passes(camera, at(hour), "x")
        assert gate.people() == [("then", 9 * 3600, 4)]
        gate.says_hello(["hall"])
        assert gate.people() == [("then", 9 * 3600, 4)]
        joins.remove(connection, "e", NOW)
        assert gate.people() == [("then", 9 * 3600, 4)]


def test_a_camera_that_is_back_is_as_marked_as_before_until_it_is_marked_anew(database: Database) -> None:
    with database.write() as connection:
        gate = Gate(connection)
        for camera, hour in (("in", 8), ("in", 18)):
            gate.passes(camera, at(hour), "x")
        for _ in range(2):
            gate.says_hello(["hall"])
            gate.says_hello(["in", "out", "hall"])
            assert {c.name: c.direction for c in sites.all_cameras(connection)} == {"in": IN, "out": OUT, "hall": None}
        sites.direct(connection, "e", {"in": None})
        assert gate.people() == [("then", 10 * 3600, 2)]
        gate.says_hello(["hall"])
        gate.says_hello(["in", "hall"])
        assert gate.people() == [("then", 10 * 3600, 2)]


def test_what_arrives_late_counts(database: Database) -> None:
    with database.write() as connection:
        gate = Gate(connection)
        gate.passes("hall", at(9), "x")
        assert gate.people() == [("then", 0, 1)]
        gate.passes("hall", at(8), "x")
        assert gate.people() == [("then", 3600, 2)]


def test_who_was_renamed_merged_or_erased_since_is_told_so(database: Database) -> None:
    with database.write() as connection:
        gate = Gate(connection)
        ann, twin, bob = (identities.create(connection, n, ["default"], NOW) for n in ("Ann", "Anna", "Bob"))
        for person in (ann, twin, bob):
            gate.passes("hall", at(8), person)
        merges.merge(connection, ann, twin, NOW)
        identities.erase(connection, bob, NOW)
        assert gate.people() == [("Ann", 0, 2), (None, 0, 1)]
