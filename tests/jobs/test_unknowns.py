from __future__ import annotations

from datetime import timedelta

import numpy as np
import sqlalchemy as sa

from control_plane.store import events, sites, unknowns
from control_plane.store.db import Database
from control_plane.store.retention import Days
from control_plane.store.seals import probes_owner
from control_plane.store.tables import probes
from control_plane.store.tables import unknowns as unknowns_table
from control_plane.store.unknowns import Asked
from faces.encoding import SFACE, to_bytes, unit
from faces.events import Event, Status, uuid7
from faces.sealing import key_id
from faces.wire import Hello
from jobs.retention import Retaining
from jobs.unknowns import Grouping
from tests.conftest import NOW

SITE = sites.DEFAULT_SITE
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def encoding(seed: int) -> bytes:
    return to_bytes(unit(np.random.default_rng(seed).standard_normal(128).astype(np.float32)))


def seen(database: Database, *seeds: int, days_ago: int = 0) -> None:
    """Strangers, of whom each number is one."""
    arrived = NOW - days_ago * DAY
    with database.write() as connection:
        sites.configure(connection, SITE, {"probe_days": 7})
        sites.welcome(connection, "e1", Hello(name="b", version="1", engine=SFACE, cameras=["door"]), 1, NOW)
        made = [
            Event(
                id=uuid7(arrived, np.random.bytes(10)),
                camera="door",
                captured_at=arrived,
                status=Status.REJECT,
                engine=SFACE,
                probe=encoding(seed),
            )
            for seed in seeds
        ]
        events.append(connection, made, site_id=SITE, edge_id="e1", now=arrived)


def sizes(database: Database, least: int = 1) -> list[int]:
    with database.read() as connection:
        return [u.size for u in unknowns.listing(connection, Asked(least=least))]


def test_a_site_is_due_while_somebody_is_in_no_group_and_not_too_often(database: Database) -> None:
    with database.read() as connection:
        assert unknowns.due(connection, NOW, limit=10) == []
    seen(database, 1, 2, 1)
    with database.read() as connection:
        assert unknowns.due(connection, NOW, limit=10) == [SITE]
    grouping = Grouping(database, lambda: NOW)
    grouping.run(SITE)
    assert sizes(database) == [2, 1]
    seen(database, 2)
    grouping.run(SITE)
    assert sizes(database) == [2, 1], "another worker has just seen to it"
    with database.read() as connection:
        assert unknowns.due(connection, NOW, limit=10) == []
        assert unknowns.due(connection, NOW + MINUTE, limit=10) == [SITE]
    Grouping(database, lambda: NOW + MINUTE).run(SITE)
    assert sizes(database) == [2, 2]


def test_of_two_that_group_at_once_nothing_is_doubled_and_what_went_meanwhile_is_left_out(database: Database) -> None:
    seen(database, 1, 1, 2)
    with database.write() as connection:
        unknowns.group(connection, SITE, {"a": SFACE}, {1: "a", 2: "a"}, {}, NOW)
        unknowns.group(connection, SITE, {"b": SFACE}, {1: "b", 3: "b"}, {}, NOW)
    assert sizes(database) == [2, 1]
    with database.write() as connection:
        unknowns.remove(connection, "a")
        unknowns.group(connection, SITE, {}, {}, {"b": "a"}, NOW)
    assert sizes(database) == [1]


def test_encodings_go_when_the_site_keeps_them_no_longer_and_empty_groups_with_them(database: Database) -> None:
    seen(database, 1, 1, days_ago=9)
    seen(database, 2, 1, days_ago=3)
    Grouping(database, lambda: NOW).run(SITE)
    assert sizes(database) == [3, 1]
    Retaining(database, Days(0, 0), lambda: NOW).run(SITE)
    assert sizes(database) == [1, 1]
    with database.write() as connection:
        sites.configure(connection, SITE, {"probe_days": 0})
    Retaining(database, Days(0, 0), lambda: NOW + MINUTE * 30).run(SITE)
    with database.read() as connection:
        assert connection.execute(sa.select(probes)).all() == []
        assert connection.execute(sa.select(unknowns_table)).all() == []
        assert events.head(connection) == 4
        assert len(events.listing(connection)) == 4


def test_encodings_are_sealed_by_the_days_key_which_goes_with_the_last_of_them(database: Database) -> None:
    seen(database, 1, days_ago=5)
    assert database.vault is not None
    owner = probes_owner(SITE, NOW - 5 * DAY)
    with database.read() as connection:
        (data,) = connection.execute(sa.select(probes.c.data)).scalars()
        assert key_id(data) == database.vault.known([owner])[owner].id
    Retaining(database, Days(0, 0), lambda: NOW + 4 * DAY).run(SITE)
    assert database.vault.looked_up([owner]) == {}


def test_encodings_go_with_their_events(database: Database) -> None:
    seen(database, 1, 1, days_ago=5)
    Grouping(database, lambda: NOW).run(SITE)
    Retaining(database, Days(2, 0), lambda: NOW).run(SITE)
    assert sizes(database) == []
