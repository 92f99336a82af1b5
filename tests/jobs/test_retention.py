from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from control_plane.store import events, retention, sites, webhooks
from control_plane.store.db import Database
from control_plane.store.retention import Days
from control_plane.store.tables import deliveries, past_events, thumbnails
from faces.events import Event, Status, uuid7
from faces.wire import Verdict
from jobs.retention import Retaining
from tests.conftest import NOW

DAY = timedelta(days=1)


def append(database: Database, number: int, arrived: datetime, site: str = "default", **fields: Any) -> Verdict:
    told: dict[str, Any] = {"captured_at": arrived, "thumbnail": b"jpeg", "name": "Ann", **fields}
    made = Event(id=uuid7(NOW, number.to_bytes(10, "big")), camera="door", status=Status.PASS, **told)
    with database.write() as connection:
        (verdict,) = events.append(connection, [made], site_id=site, edge_id="e", now=arrived)
    return verdict


def positions(database: Database) -> list[int]:
    with database.read() as connection:
        return [e.position for e in events.listing(connection, limit=5000)]


def pictures(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(sa.select(thumbnails.c.position).order_by(thumbnails.c.position)).scalars())


def retain(database: Database, events_days: int, thumbnail_days: int, now: datetime = NOW) -> None:
    Retaining(database, Days(events_days, thumbnail_days), lambda: now).run("default")


def test_what_is_older_than_a_site_keeps_goes_and_the_rest_stays(database: Database) -> None:
    for number, age in enumerate((40, 20, 3, 0), start=1):
        append(database, number, NOW - age * DAY)
    append(database, 5, NOW, captured_at=NOW - 400 * DAY)
    retain(database, 30, 7)
    assert positions(database) == [2, 3, 4, 5]
    assert pictures(database) == [3, 4, 5]


def test_a_site_says_itself_how_long_and_nothing_else_is_touched(database: Database) -> None:
    with database.write() as connection:
        sites.create(connection, "other", [], NOW, "other")
        sites.configure(connection, "default", {"event_days": 10, "thumbnail_days": 0})
    append(database, 1, NOW - 20 * DAY)
    append(database, 2, NOW - 20 * DAY, site="other")
    append(database, 3, NOW - 5 * DAY)
    retain(database, 0, 1)
    assert (positions(database), pictures(database)) == ([2, 3], [2, 3])


def test_an_event_that_went_is_known_still_and_told_to_nobody_again(database: Database) -> None:
    with database.write() as connection:
        webhooks.create(connection, "https://h.example/", [Status.PASS], NOW)
    append(database, 1, NOW - 20 * DAY)
    retain(database, 10, 10)
    assert append(database, 1, NOW - 20 * DAY).outcome == "known"
    assert append(database, 1, NOW - 20 * DAY, name="Bob").reason == "id_reused"
    with database.read() as connection:
        assert connection.execute(sa.select(deliveries)).all() == []
    assert positions(database) == []


@pytest.mark.parametrize("killed_after", [1, 2, 5])
def test_one_that_was_killed_is_taken_up_again(database: Database, killed_after: int) -> None:
    with database.write() as connection:
        old = [
            Event(id=uuid7(NOW, n.to_bytes(10, "big")), camera="door", captured_at=NOW, status=Status.PASS)
            for n in range(5 * retention.AT_ONCE)
        ]
        events.append(connection, old, site_id="default", edge_id="e", now=NOW - 20 * DAY)
    for _ in range(killed_after):
        with database.write() as connection:
            assert retention.forget_events(connection, "default", NOW - DAY) == retention.AT_ONCE
    retain(database, 1, 1)
    assert positions(database) == []
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(past_events)).scalar() == len(old)


def test_several_workers_at_once_see_to_each_event_once(database: Database) -> None:
    count = 4 * retention.AT_ONCE
    with database.write() as connection:
        old = [
            Event(id=uuid7(NOW, n.to_bytes(10, "big")), camera="door", captured_at=NOW, status=Status.PASS)
            for n in range(count)
        ]
        events.append(connection, old, site_id="default", edge_id="e", now=NOW - 20 * DAY)
    gone: list[int] = []

    def work() -> None:
        while True:
            with database.write() as connection:
                found = retention.forget_events(connection, "default", NOW)
            gone.append(found)
            if not found:
                return

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(gone) == count
    assert positions(database) == []


def test_a_site_is_seen_to_by_one_worker_every_so_often(database: Database) -> None:
    def due(now: datetime) -> list[str]:
        with database.read() as connection:
            return retention.due(connection, now, limit=10)

    def claim(now: datetime) -> Days | None:
        with database.write() as connection:
            return retention.claim(connection, "default", Days(3, 2), now)

    assert due(NOW) == ["default"]
    assert claim(NOW) == Days(3, 2)
    assert claim(NOW) is None
    assert due(NOW + retention.EVERY / 2) == []
    assert due(NOW + retention.EVERY) == ["default"]


def test_the_bytes_of_a_thumbnail_that_went_are_nowhere_in_the_files(sqlite: Database) -> None:
    append(sqlite, 1, NOW - 20 * DAY, thumbnail=b"remarkable bytes of a face")
    retain(sqlite, 0, 1)
    path = sqlite.url.database
    assert path is not None
    for suffix in ("", "-wal"):
        with open(path + suffix, "rb") as file:
            assert b"remarkable bytes" not in file.read()
