from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from control_plane.store import keys, tickets
from control_plane.store.db import Database
from control_plane.store.keys import Role
from control_plane.store.tables import tickets as rows
from control_plane.store.tickets import GOOD_FOR

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_ticket_is_good_once_and_stands_for_its_key(database: Database) -> None:
    with database.write() as connection:
        key_id = keys.id_of(keys.create(connection, Role.VIEWER, NOW))
        text = tickets.issue(connection, key_id, NOW)
        anybodys = tickets.issue(connection, None, NOW)
        assert tickets.redeem(connection, text, NOW) == (True, key_id)
        assert tickets.redeem(connection, text, NOW)[0] is False
        assert tickets.redeem(connection, anybodys, NOW) == (True, None)
        assert tickets.redeem(connection, "made up", NOW)[0] is False


def test_a_ticket_is_good_for_half_a_minute_and_then_cleared_away(database: Database) -> None:
    with database.write() as connection:
        early, late = (tickets.issue(connection, None, NOW) for _ in range(2))
        assert tickets.redeem(connection, early, NOW + GOOD_FOR - timedelta(seconds=1))[0]
        assert not tickets.redeem(connection, late, NOW + GOOD_FOR)[0]
        last = tickets.issue(connection, None, NOW + GOOD_FOR)
        (held,) = connection.execute(sa.select(rows.c.id)).scalars()
        assert last not in held


def test_of_a_hundred_who_race_for_a_ticket_one_has_it(database: Database) -> None:
    with database.write() as connection:
        text = tickets.issue(connection, None, NOW)

    def race(_number: int) -> bool:
        with database.write() as connection:
            return tickets.redeem(connection, text, NOW)[0]

    with ThreadPoolExecutor(8) as racers:
        assert sum(racers.map(race, range(100))) == 1
