"""Two processes that change the same things at once on Postgres: the one waits for the other, and knows what it did."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from control_plane.store import deliveries, events, galleries, identities, members, replay, sites, webhooks
from control_plane.store.db import Connection, Database
from control_plane.store.tables import gallery_changes
from faces.events import Status
from faces.gallery import SettingsRow
from tests.conftest import NOW
from tests.control_plane.store.test_events import append, event
from tests.control_plane.store.test_galleries import G, enroll

pytestmark = pytest.mark.parametrize("database", ["postgres"], indirect=True)

OTHER = "another"
"""Comes before the default gallery, as most ids do."""

WAITING = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
Work = Callable[[Connection], object]


def write(database: Database, work: Work) -> None:
    with database.write() as connection:
        work(connection)


def held_up(database: Database) -> int:
    """How many are waiting for a lock."""
    with database.read() as connection:
        return int(connection.execute(WAITING).scalar_one())


def wait_for_lock(database: Database, other: Future[None]) -> None:
    """Return when somebody is held up; fails if the other is not."""
    deadline = time.monotonic() + 30
    while not other.done() and time.monotonic() < deadline:
        if held_up(database):
            return
        time.sleep(0.01)
    raise AssertionError("the other did not wait")


def one_after_the_other(database: Database, first: Work, second: Work) -> None:
    """Begin the second while the first has not committed."""
    with ThreadPoolExecutor(1) as other:
        with database.engine.connect() as connection:
            connection.begin()
            first(connection)
            later = other.submit(write, database, second)
            wait_for_lock(database, later)
            connection.commit()
        later.result(timeout=30)


@pytest.fixture
def ann(database: Database) -> str:
    """A person in the default gallery; there is another gallery."""
    with database.write() as connection:
        galleries.create(connection, SettingsRow(OTHER, "Another"), NOW)
        return enroll(connection, "Ann")


def check_checksums(connection: Connection) -> None:
    for gallery_id in galleries.revisions(connection):
        assert (
            galleries.recomputed_checksum(connection, gallery_id) == galleries.position(connection, gallery_id).checksum
        )


def test_who_is_erased_while_they_come_into_a_gallery_is_told_to_be_gone_from_it(database: Database, ann: str) -> None:
    one_after_the_other(database, lambda c: members.join(c, OTHER, ann, NOW), lambda c: identities.erase(c, ann, NOW))
    with database.read() as connection:
        check_checksums(connection)
        last = sa.select(gallery_changes.c.row_id, gallery_changes.c.removed)
        told = last.where(gallery_changes.c.gallery_id == OTHER).order_by(gallery_changes.c.revision.desc())
        assert tuple(connection.execute(told).first() or ()) == (ann, True)


def test_a_gallery_that_is_made_while_others_are_waited_for_is_held_too(database: Database, ann: str) -> None:
    free: list[str] = []

    def hold(connection: Connection) -> None:
        galleries.lock_all(connection)
        with database.write() as other:
            free.extend(other.execute(sa.text("SELECT id FROM galleries FOR UPDATE SKIP LOCKED")).scalars())

    one_after_the_other(database, lambda c: galleries.create(c, SettingsRow("late", "Late"), NOW), hold)
    assert free == []


def test_who_is_changed_while_they_leave_a_gallery_is_not_put_back_into_it(database: Database, ann: str) -> None:
    write(database, lambda c: members.join(c, OTHER, ann, NOW))
    one_after_the_other(
        database, lambda c: members.leave(c, OTHER, ann, NOW), lambda c: identities.update(c, ann, NOW, name="Anna")
    )
    with database.read() as connection:
        check_checksums(connection)


def test_an_event_that_is_stored_during_an_erasure_tells_no_name(database: Database, ann: str) -> None:
    one_after_the_other(
        database, lambda c: append(c, event(1, identity_id=ann)), lambda c: identities.erase(c, ann, NOW)
    )
    with database.read() as connection:
        assert [e.name for e in events.listing(connection)] == [None]


def test_who_came_back_with_a_backup_is_erased_once_by_two_that_start_at_once(database: Database, ann: str) -> None:
    one_after_the_other(database, lambda c: replay.replay(c, [ann], NOW), lambda c: replay.replay(c, [ann], NOW))
    with database.read() as connection:
        check_checksums(connection)


def test_of_two_who_say_what_a_site_follows_the_later_counts(database: Database, ann: str) -> None:
    one_after_the_other(
        database,
        lambda c: sites.follow(c, sites.DEFAULT_SITE, [OTHER]),
        lambda c: sites.follow(c, sites.DEFAULT_SITE, [G]),
    )
    with database.read() as connection:
        assert [found.id for found in galleries.followed(connection, sites.DEFAULT_SITE)] == [G]


def test_whoever_stores_events_does_not_wait_for_a_receivers_outcomes(database: Database) -> None:
    with database.write() as connection:
        hook = webhooks.create(connection, "https://gate.example", [Status.PASS], NOW)
    lane = deliveries.Lane(webhook_id=hook.id, owner="worker", url=hook.url)
    with ThreadPoolExecutor(1) as other, database.engine.connect() as connection:
        connection.begin()
        deliveries.settle(connection, lane, [], NOW)
        other.submit(write, database, lambda c: append(c, event(1))).result(timeout=30)
