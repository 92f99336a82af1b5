"""Enrollments, imports and deliveries are held by leases: one worker at a time, and never for ever."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from control_plane.store import enrollments, galleries, imports
from control_plane.store.db import Database
from faces.errors import NotFound, Reason
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
