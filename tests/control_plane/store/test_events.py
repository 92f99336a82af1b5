from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from control_plane.store import events, webhooks
from control_plane.store.db import Database
from control_plane.store.tables import deliveries
from faces.errors import NotFound
from faces.events import Event, Status, uuid7
from faces.wire import Verdict
from tests.conftest import NOW


def event(number: int, status: Status | None = Status.PASS, **fields: object) -> Event:
    made = {"camera": "door", "captured_at": NOW + timedelta(seconds=number), "status": status, "name": "Ann"}
    return Event(id=uuid7(NOW, number.to_bytes(10, "big")), **{**made, **fields})  # type: ignore[arg-type]


def append(connection: sa.Connection, *received: Event) -> list[Verdict]:
    return events.append(connection, received, site_id="default", edge_id="e", now=NOW)


def test_an_event_is_stored_once_whatever_is_repeated(database: Database) -> None:
    with database.write() as connection:
        first = append(connection, event(1), event(2), event(2))
        second = append(connection, event(2), event(3))
        assert [v.outcome for v in first + second] == ["stored", "stored", "known", "known", "stored"]
        assert [e.position for e in events.listing(connection)] == [1, 2, 3]
        assert events.head(connection) == 3


def test_a_known_id_with_another_body_is_refused(database: Database) -> None:
    with database.write() as connection:
        append(connection, event(1))
        forged = append(connection, replace(event(1), name="Bob"))
        assert [(v.outcome, v.reason) for v in forged] == [("refused", "id_reused")]
        assert [e.name for e in events.listing(connection)] == ["Ann"]


def test_everything_said_of_an_event_comes_back(database: Database) -> None:
    told = event(
        1,
        track=2**40,
        identity_id="a",
        distance=0.25,
        runner_up_distance=0.9,
        box=(1, 2, 3, 4),
        picture=(640, 360),
        engine="sface",
        gallery_id="default",
        gallery_revision=7,
        threshold=0.45,
        thumbnail=b"\xff\xd8",
        dropped={"pass": 2},
    )
    with database.write() as connection:
        append(connection, told)
        found = events.get(connection, str(told.id))
        assert events.thumbnail(connection, found.id) == b"\xff\xd8"
    same = [f for f in Event.__struct_fields__ if f not in ("id", "thumbnail")]
    assert {f: getattr(found, f) for f in same} == {f: getattr(told, f) for f in same}
    assert (found.arrived_at, found.thumbnail) == (NOW, True)


def test_an_event_without_a_thumbnail_has_none(database: Database) -> None:
    with database.write() as connection:
        append(connection, event(1))
        with pytest.raises(NotFound):
            events.thumbnail(connection, str(event(1).id))
        with pytest.raises(NotFound):
            events.get(connection, "nonsense")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"after": 2}, [3, 4]),
        ({"before": 3, "newest_first": True}, [2, 1]),
        ({"limit": 1, "newest_first": True}, [4]),
        ({"status": Status.REJECT}, [2]),
        ({"camera": "gate"}, [3]),
        ({"identity_id": "a"}, [4]),
        ({"site_id": "elsewhere"}, []),
        ({"since": NOW + timedelta(seconds=2), "until": NOW + timedelta(seconds=4)}, [2, 3]),
    ],
)
def test_the_log_is_read_by_cursor_and_filter(
    database: Database, query: dict[str, object], expected: list[int]
) -> None:
    with database.write() as connection:
        append(connection, event(1), event(2, Status.REJECT), event(3, camera="gate"), event(4, identity_id="a"))
        assert [e.position for e in events.listing(connection, **query)] == expected  # type: ignore[arg-type]


def test_positions_have_no_gap_under_concurrent_writers(database: Database) -> None:
    def work(number: int) -> None:
        for count in range(10):
            with database.write() as connection:
                append(connection, event(number * 100 + count))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert [e.position for e in events.listing(connection)] == list(range(1, 41))


def test_deliveries_are_written_with_the_event_for_those_who_want_it(database: Database) -> None:
    with database.write() as connection:
        passes = webhooks.create(connection, "http://h/1", [Status.PASS], NOW)
        webhooks.create(connection, "http://h/2", [Status.REJECT], NOW)
        append(connection, event(1))
        append(connection, event(1))
        rows = connection.execute(sa.select(deliveries.c.webhook_id, deliveries.c.event_id)).all()
    assert [tuple(r) for r in rows] == [(passes.id, str(event(1).id))]
