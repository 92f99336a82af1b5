"""Enrollments, imports and deliveries are held by leases: one worker at a time, and never for ever."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from control_plane.store import enrollments, events, galleries, imports, webhooks
from control_plane.store.db import Database
from control_plane.store.webhooks import DeliveryState
from faces.errors import NotFound, Reason
from faces.events import Event, Status, uuid7
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY
LATER = NOW + enrollments.LEASE


def submitted(database: Database, **fields: object) -> str:
    with database.write() as connection:
        return enrollments.submit(connection, NOW, gallery_id=G, blob="photos/01", sha256="0", name="Ann", **fields)  # type: ignore[arg-type]


def test_of_many_workers_one_gets_the_lease(database: Database) -> None:
    row, winners = submitted(database), []

    def claim(owner: str) -> None:
        with database.write() as connection:
            if enrollments.claim(connection, row, owner, NOW):
                winners.append(owner)

    threads = [threading.Thread(target=claim, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    with database.write() as connection:
        assert enrollments.held(connection, row, winners[0])
        assert not enrollments.held(connection, row, "somebody else")


def test_an_expired_lease_goes_to_the_next_and_the_first_no_longer_holds_it(database: Database) -> None:
    row = submitted(database)
    with database.write() as connection:
        enrollments.claim(connection, row, "one", NOW)
        assert enrollments.due(connection, NOW) == []
        assert enrollments.claim(connection, row, "two", LATER - timedelta(seconds=1)) is None
        assert enrollments.due(connection, LATER) == [row]
        work = enrollments.claim(connection, row, "two", LATER)
        assert work is not None
        assert work.attempts == 2
        assert not enrollments.held(connection, row, "one")


def test_a_finished_enrollment_is_final(database: Database) -> None:
    row = submitted(database)
    with database.write() as connection:
        enrollments.refuse(connection, row, NOW, reason=Reason.NO_FACE, message="none", detail={"faces": 0})
        enrollments.accept(connection, row, NOW, identity_id="a", name="Ann", photo_id="p")
        found = enrollments.get(connection, row)
        assert (found.state, found.reason, found.detail) == (enrollments.State.REFUSED, Reason.NO_FACE, {"faces": 0})
        assert enrollments.claim(connection, row, "one", LATER) is None
        assert enrollments.due(connection, LATER) == []


def test_enrollments_are_listed_by_what_they_belong_to(database: Database) -> None:
    with database.write() as connection:
        mine = imports.submit(connection, NOW, gallery_id=G, blob="archives/01")
    inside = submitted(database, import_id=mine, entry="a.jpg")
    outside = submitted(database)
    with database.read() as connection:
        assert [e.id for e in enrollments.listing(connection, import_id=mine)] == [inside]
        assert {e.id for e in enrollments.listing(connection, state=enrollments.State.PENDING)} == {inside, outside}
        with pytest.raises(NotFound):
            enrollments.get(connection, "nonsense")


def test_an_archive_that_cannot_be_read_is_a_failed_import(database: Database) -> None:
    with database.write() as connection:
        row = imports.submit(connection, NOW, gallery_id=G, blob="archives/01")
        imports.fail(connection, row, NOW, {"code": "unreadable_archive"})
        found = imports.get(connection, row)
        assert (found.state, found.error) == (imports.State.FAILED, {"code": "unreadable_archive"})
        assert imports.due(connection, NOW) == []


def delivery(database: Database) -> str:
    with database.write() as connection:
        webhooks.create(connection, "http://h/", [Status.PASS], NOW)
        event = Event(id=uuid7(NOW, bytes(10)), camera="door", captured_at=NOW, status=Status.PASS)
        events.append(connection, [event], site_id="default", edge_id="e", now=NOW)
        (row,) = webhooks.due(connection, NOW)
        return row


def test_a_failed_delivery_is_due_again_by_the_schedule_until_it_is_used_up(database: Database) -> None:
    row, now, waits = delivery(database), NOW, []
    with database.write() as connection:
        while webhooks.due(connection, now):
            work = webhooks.claim(connection, row, "one", now)
            assert work is not None
            webhooks.failed(connection, row, work.attempts, 500, "the receiver answered 500", now)
            (found,) = webhooks.delivery_listing(connection, webhooks.listing(connection)[0].id)
            waits.append((found.due_at - now).total_seconds())
            now = max(now, found.due_at)
        assert waits[:-1] == list(webhooks.RETRY_AFTER_S)
        assert (found.state, found.attempts, found.last_status) == (DeliveryState.FAILED, 10, 500)


def test_a_delivered_delivery_is_never_due_again(database: Database) -> None:
    row = delivery(database)
    with database.write() as connection:
        webhooks.claim(connection, row, "one", NOW)
        webhooks.delivered(connection, row, 204, NOW)
        assert webhooks.due(connection, NOW + timedelta(days=30)) == []
        assert webhooks.claim(connection, row, "two", NOW + timedelta(days=30)) is None


def test_deleting_a_webhook_deletes_what_was_still_to_be_delivered(database: Database) -> None:
    delivery(database)
    with database.write() as connection:
        webhooks.delete(connection, webhooks.listing(connection)[0].id)
        assert webhooks.due(connection, NOW) == []
        with pytest.raises(NotFound):
            webhooks.delete(connection, "nonsense")
