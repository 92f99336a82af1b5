from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from control_plane.store import alarms, events
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import Database
from faces.errors import NotFound
from faces.events import EventKind, Status
from tests.conftest import NOW
from tests.control_plane.store.test_events import append, event

LATER = NOW + timedelta(minutes=1)


def test_the_same_trouble_again_counts_up_until_somebody_has_seen_it(database: Database) -> None:
    with database.write() as connection:
        for now in (NOW, LATER):
            alarms.sound(connection, AlarmKind.EDGE_AHEAD, "e1 default", "ahead", now, edge_id="e1")
        alarms.sound(connection, AlarmKind.EDGE_AHEAD, "e2 default", "ahead", LATER)
        first, other = alarms.listing(connection)
        assert (first.count, first.raised_at, first.last_at, first.edge_id, other.count) == (2, NOW, LATER, "e1", 1)
        alarms.acknowledge(connection, first.id, "ann", LATER)
        alarms.sound(connection, AlarmKind.EDGE_AHEAD, "e1 default", "ahead", LATER)
        assert [a.count for a in alarms.listing(connection, still_open=True)] == [1, 1]
        assert [a.id for a in alarms.listing(connection, still_open=False)] == [first.id]


def test_the_first_who_acknowledges_is_kept(database: Database) -> None:
    with database.write() as connection:
        alarms.sound(connection, AlarmKind.EDGE_AHEAD, "e", "ahead", NOW)
        (alarm,) = alarms.listing(connection)
        for by in ("ann", "bob"):
            seen = alarms.acknowledge(connection, alarm.id, by, NOW)
        assert (seen.acknowledged_by, seen.acknowledged_at) == ("ann", NOW)
        with pytest.raises(NotFound):
            alarms.acknowledge(connection, "nonsense", "ann", NOW)


def test_somebody_on_a_deny_list_is_an_alarm_once_while_they_stand_there(database: Database) -> None:
    with database.write() as connection:
        for number in range(3):
            append(connection, event(number, Status.REJECT, reason="deny", identity_id="a", gallery_id="banned"))
        append(connection, event(9, None, kind=EventKind.SIGHTING, reason="watch", identity_id="a"))
        (alarm,) = alarms.listing(connection)
        assert (alarm.kind, alarm.count, alarm.gallery_id) == (AlarmKind.DENIED_PERSON, 3, "banned")
        assert alarm.event_id == str(event(0).id)


def test_a_known_id_with_another_body_is_an_alarm(database: Database) -> None:
    with database.write() as connection:
        append(connection, event(1))
        append(connection, event(1))
        assert alarms.listing(connection) == []
        append(connection, replace(event(1), name="Bob"))
        (alarm,) = alarms.listing(connection)
        assert (alarm.kind, alarm.event_id) == (AlarmKind.EVENT_ID_REUSED, str(event(1).id))
        assert [e.name for e in events.listing(connection)] == ["Ann"]
