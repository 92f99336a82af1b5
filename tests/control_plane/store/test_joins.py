from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from control_plane.store import camera_orders, events, galleries, joins, keys, sites
from control_plane.store.db import Connection, Database
from control_plane.store.keys import Key, Role
from control_plane.store.sites import DEFAULT_SITE
from control_plane.store.tables import join_tokens, metadata
from faces.errors import NotFound
from faces.wire import CameraOrder, Hello, OrderAction, Report
from tests.control_plane.store.test_events import event

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def key_of(connection: Connection, text: str) -> Key:
    return next(key for key in keys.listing(connection) if key.id == keys.id_of(text))


def counts(connection: Connection, text: str) -> bool:
    return key_of(connection, text).revoked_at is None


def test_a_token_is_good_once_for_its_site_and_only_its_digest_is_stored(database: Database) -> None:
    with database.write() as connection:
        text = joins.issue(connection, DEFAULT_SITE, NOW)
        assert joins.whole(text)
        assert not joins.whole(text[:-1] + ("0" if text[-1] != "0" else "1"))
        assert not joins.whole(keys.create(connection, Role.EDGE, NOW))
        assert text not in str(connection.execute(sa.select(join_tokens)).all())
        assert joins.redeem(connection, text, NOW) == DEFAULT_SITE
        assert joins.redeem(connection, text, NOW) is None
        assert joins.redeem(connection, "made up", NOW) is None


def test_a_token_is_good_for_a_quarter_of_an_hour_and_then_cleared_away(database: Database) -> None:
    with database.write() as connection:
        early, late = (joins.issue(connection, DEFAULT_SITE, NOW) for _ in range(2))
        assert joins.redeem(connection, early, NOW + joins.GOOD_FOR - timedelta(seconds=1))
        assert joins.redeem(connection, late, NOW + joins.GOOD_FOR) is None
        joins.issue(connection, DEFAULT_SITE, NOW + joins.GOOD_FOR)
        assert len(connection.execute(sa.select(join_tokens)).all()) == 1


def test_of_a_hundred_edges_that_race_for_a_token_one_joins(database: Database) -> None:
    with database.write() as connection:
        text = joins.issue(connection, DEFAULT_SITE, NOW)

    def race(number: int) -> bool:
        with database.write() as connection:
            site_id = joins.redeem(connection, text, NOW)
            if site_id is not None:
                joins.grant(connection, f"edge-{number}", site_id, NOW, days=90)
            return site_id is not None

    with ThreadPoolExecutor(8) as racers:
        assert sum(racers.map(race, range(100))) == 1
    with database.read() as connection:
        assert len(keys.listing(connection)) == 1


def test_a_credential_is_the_edges_own_and_an_edge_that_joins_again_has_no_other(database: Database) -> None:
    with database.write() as connection:
        first = joins.grant(connection, "e1", DEFAULT_SITE, NOW, days=90)
        others = joins.grant(connection, "e2", DEFAULT_SITE, NOW, days=0)
        second = joins.grant(connection, "e1", DEFAULT_SITE, NOW, days=90)
        key = key_of(connection, second)
        assert (key.role, key.edge_id, key.sites) == (Role.EDGE, "e1", (DEFAULT_SITE,))
        assert (counts(connection, first), counts(connection, second), counts(connection, others)) == (
            False,
            True,
            True,
        )


def test_an_old_credential_counts_until_the_new_one_is_used(database: Database) -> None:
    with database.write() as connection:
        old = joins.grant(connection, "e1", DEFAULT_SITE, NOW, days=90)
        new = joins.renew(connection, key_of(connection, old), "e1", NOW, days=90)
        keys.used(connection, key_of(connection, old).id, NOW)
        assert (counts(connection, old), counts(connection, new)) == (True, True)
        keys.used(connection, key_of(connection, new).id, NOW)
        assert (counts(connection, old), counts(connection, new)) == (False, True)


def test_a_credential_whose_answer_was_lost_is_replaced_by_the_next(database: Database) -> None:
    with database.write() as connection:
        old = joins.grant(connection, "e1", DEFAULT_SITE, NOW, days=90)
        lost, new = (joins.renew(connection, key_of(connection, old), "e1", NOW, days=90) for _ in range(2))
        found = [counts(connection, text) for text in (old, lost, new)]
        assert found == [True, False, True]


@pytest.mark.parametrize(("days", "after", "due"), [(90, 89, False), (90, 90, True), (0, 36_500, False)])
def test_a_credential_is_to_be_renewed_at_its_age(database: Database, days: int, after: int, due: bool) -> None:
    with database.write() as connection:
        key_id = key_of(connection, joins.grant(connection, "e1", DEFAULT_SITE, NOW, days=days)).id
        assert joins.due(connection, key_id, NOW + timedelta(days=after)) is due


def test_an_operator_has_it_renewed_sooner_or_ends_it(database: Database) -> None:
    with database.write() as connection:
        text = joins.grant(connection, "e1", DEFAULT_SITE, NOW, days=0)
        joins.hasten(connection, "e1", NOW)
        assert joins.due(connection, key_of(connection, text).id, NOW)
        joins.end(connection, "e1", NOW)
        assert not counts(connection, text)
        for work in (joins.hasten, joins.end):
            with pytest.raises(NotFound):
                work(connection, "e2", NOW)


@pytest.mark.parametrize("work", [joins.end, joins.remove])
def test_what_an_edge_takes_while_its_credentials_are_ended_ends_with_them(
    database: Database, work: Callable[[Connection, str, datetime], None]
) -> None:
    def end() -> None:
        with database.write() as connection:
            work(connection, "e1", NOW)

    def waits() -> bool:
        """SQLite takes one writer at a time, and tells nobody who waits."""
        with database.read() as connection:
            return database.is_sqlite or connection.exec_driver_sql(WAITING).first() is not None

    with database.write() as connection:
        old = settle(connection, "e1")
        held = key_of(connection, old)
    with ThreadPoolExecutor(1) as other:
        with database.write() as connection:
            new = joins.renew(connection, held, "e1", NOW, days=90)
            ending = other.submit(end)
            while not (waits() or ending.done()):
                pass
        ending.result()
    with database.read() as connection:
        assert [counts(connection, text) for text in (old, new)] == [False, False]


def settle(connection: Connection, edge_id: str) -> str:
    """Have an edge with one of everything; returns its credential."""
    text = joins.grant(connection, edge_id, DEFAULT_SITE, NOW, days=90)
    hello = Hello(name="box", version="1", engine="sface", cameras=["door"])
    sites.welcome(connection, edge_id, hello, 1, NOW)
    told = Report(position=galleries.position(connection, galleries.DEFAULT_GALLERY))
    sites.report(connection, edge_id, galleries.DEFAULT_GALLERY, told, NOW)
    camera_orders.create(connection, edge_id, CameraOrder(action=OrderAction.LOOK, camera="door"), NOW)
    return text


def naming(connection: Connection, edge_id: str) -> set[str]:
    """The tables that name an edge."""
    columns = [(t, t.c.id if t.name == "edges" else t.c.edge_id) for t in metadata.tables.values() if named(t)]
    return {t.name for t, c in columns if connection.execute(sa.select(c).where(c == edge_id)).first()}


def named(table: sa.Table) -> bool:
    return table.name == "edges" or "edge_id" in table.c


def test_an_edge_that_is_removed_leaves_its_id_and_nothing_that_counts(database: Database) -> None:
    with database.write() as connection:
        gone, stays = (settle(connection, edge_id) for edge_id in ("e1", "e2"))
        events.append(connection, [event(1)], site_id=DEFAULT_SITE, edge_id="e1", now=NOW)
        held = naming(connection, "e2")
        assert held == {"keys", "edges", "cameras", "edge_positions", "camera_orders"}
        joins.remove(connection, "e1", NOW)
        assert naming(connection, "e1") == {"keys", "events"}
        assert (counts(connection, gone), counts(connection, stays)) == (False, True)
        assert naming(connection, "e2") == held
        assert [e.edge_id for e in events.listing(connection, after=0)] == ["e1"]
        for edge_id in ("e1", "nobody"):
            with pytest.raises(NotFound):
                joins.remove(connection, edge_id, NOW)
