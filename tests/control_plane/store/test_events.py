from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from control_plane.store import deliveries as deliveries_store
from control_plane.store import events, sites, webhooks
from control_plane.store.db import Database
from control_plane.store.events import Wanted
from control_plane.store.tables import deliveries, thumbnails
from control_plane.store.tables import events as events_table
from faces.errors import NotFound
from faces.events import Event, EventKind, Status, uuid7
from faces.wire import Hello, Verdict
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
    same = [f for f in Event.__struct_fields__ if f not in ("id", "thumbnail", "probe")]
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
        ({}, [1, 2, 3, 4, 5]),
        ({"after": 2}, [3, 4, 5]),
        ({"before": 3, "newest_first": True}, [2, 1]),
        ({"limit": 1, "newest_first": True}, [5]),
        ({"wanted": Wanted(status=Status.REJECT)}, [2]),
        ({"wanted": Wanted(camera="gate")}, [3]),
        ({"wanted": Wanted(identity_id="a")}, [4]),
        ({"wanted": Wanted(gallery_id="g")}, [4]),
        ({"wanted": Wanted(kind=EventKind.CAMERA_LOST)}, [5]),
        ({"wanted": Wanted(edge_id="e", status=Status.PASS, camera="door")}, [1, 4]),
        ({"wanted": Wanted(site_id="elsewhere")}, []),
        ({"wanted": Wanted(since=NOW + timedelta(seconds=2), until=NOW + timedelta(seconds=4))}, [2, 3]),
    ],
)
def test_the_log_is_read_by_cursor_and_filter(
    database: Database, query: dict[str, object], expected: list[int]
) -> None:
    with database.write() as connection:
        append(
            connection,
            event(1),
            event(2, Status.REJECT),
            event(3, camera="gate"),
            event(4, identity_id="a", gallery_id="g"),
            event(5, None, kind=EventKind.CAMERA_LOST),
        )
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


def test_several_edges_are_taken_in_together_and_an_unknown_one_is_told_alone(database: Database) -> None:
    with database.write() as connection:
        for name in ("e1", "e2"):
            hello = Hello(name=name, version="1", engine="sface", cameras=[])
            sites.welcome(connection, name, hello, 1, NOW - timedelta(days=1))
        one, stranger, two = events.take_in(
            connection, [sent("e1", event(1), offset=2.5), sent("e3", event(2)), sent("e2", event(1), event(3))], NOW
        )
        assert isinstance(stranger, NotFound)
        assert isinstance(one, list)
        assert isinstance(two, list)
        assert [v.outcome for v in one + two] == ["stored", "known", "stored"]
        logged = [(e.edge_id, e.position, e.clock_offset_s) for e in events.listing(connection)]
        assert logged == [("e1", 1, 2.5), ("e2", 2, None)]
        assert [e.last_seen_at for e in sites.edge_listing(connection, NOW)] == [NOW, NOW]


def sent(edge_id: str, *told: Event, offset: float | None = None) -> events.Arrival:
    hashes = [events.body_hash(e) for e in told]
    return events.Arrival(edge_id=edge_id, events=told, hashes=hashes, clock_offset_s=offset)


def test_the_body_hash_is_of_what_is_said_and_not_of_what_is_left_empty() -> None:
    assert events.body_hash(event(1)) == events.body_hash(replace(event(1), track=None))
    assert events.body_hash(event(1)) != events.body_hash(replace(event(1), track=1))
    assert events.body_hash(event(1)) != events.body_hash(replace(event(1), thumbnail=b"x"))
    # Of the stored log: another hash here would have every event that is sent again look like a forgery.
    assert events.body_hash(event(1)).hex() == "5538aaeeff3216ad3396a83900bf4543"


def test_an_event_in_the_log_takes_its_thumbnail_along(database: Database) -> None:
    with database.write() as connection:
        append(connection, event(1, thumbnail=b"a"), event(2, thumbnail=b"b"))
        connection.execute(events_table.delete().where(events_table.c.id == str(event(1).id)))
        assert len(connection.execute(sa.select(thumbnails)).all()) == 1
        assert events.thumbnail(connection, str(event(2).id)) == b"b"


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted(), "events USING INTEGER PRIMARY KEY"),
        (Wanted(site_id="s"), "ix_events_site_id_position"),
        (Wanted(identity_id="a"), "ix_events_identity_id_position"),
        (Wanted(camera="door"), "ix_events_camera_position"),
        (Wanted(kind=EventKind.CAMERA_LOST), "ix_events_kind_position"),
    ],
)
def test_a_page_is_found_by_an_index_in_its_order(sqlite: Database, wanted: Wanted, index: str) -> None:
    with sqlite.read() as connection:
        query = events.page(connection, wanted, newest_first=True).limit(10)
        text = query.compile(connection, compile_kwargs={"literal_binds": True})
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all())
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_a_sighting_is_kept_with_who_it_was_and_without_a_verdict(database: Database) -> None:
    with database.write() as connection:
        webhooks.create(connection, "http://h/", [Status.REJECT], NOW)
        seen = event(1, None, kind=EventKind.SIGHTING, identity_id="a", distance=0.3, gallery_id="vips", reason="watch")
        assert [v.outcome for v in append(connection, seen)] == ["stored"]
        found = events.get(connection, str(seen.id))
        assert (found.kind, found.status, found.name, found.distance) == (EventKind.SIGHTING, None, "Ann", 0.3)
        assert len(deliveries_store.due(connection, NOW)) == 1
