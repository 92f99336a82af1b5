from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from control_plane.store import keys, sign_ins, tickets, users
from control_plane.store.db import Database
from control_plane.store.keys import Role
from control_plane.store.sign_ins import Lasting
from control_plane.store.tables import tickets as rows
from control_plane.store.tickets import GOOD_FOR, Bearer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LASTING = Lasting(timedelta(hours=1), timedelta(days=1))


def test_a_ticket_is_good_once_and_stands_for_its_key(database: Database) -> None:
    with database.write() as connection:
        key_id = keys.id_of(keys.create(connection, Role.VIEWER, NOW))
        text = tickets.issue(connection, Bearer(key_id), NOW)
        anybodys = tickets.issue(connection, Bearer(), NOW)
        assert tickets.FORM.fullmatch(text)
        assert tickets.good(connection, text, NOW)
        assert tickets.redeem(connection, text, NOW) == Bearer(key_id)
        assert not tickets.good(connection, text, NOW)
        assert tickets.redeem(connection, text, NOW) is None
        assert tickets.redeem(connection, anybodys, NOW) == Bearer()
        assert tickets.redeem(connection, "made up", NOW) is None


def test_a_ticket_ends_with_its_sign_in(database: Database) -> None:
    with database.write() as connection:
        user = users.create(connection, "Ann", Role.VIEWER, "-", NOW)
        sign_in_id = sign_ins.id_of(sign_ins.create(connection, user.id, NOW, LASTING)) or ""
        first, second = (tickets.issue(connection, Bearer(None, sign_in_id), NOW) for _ in range(2))
        assert tickets.redeem(connection, first, NOW) == Bearer(None, sign_in_id)
        sign_ins.end(connection, user.id, sign_in_id)
        assert tickets.redeem(connection, second, NOW) is None


def test_a_ticket_is_good_for_half_a_minute_and_then_cleared_away(database: Database) -> None:
    with database.write() as connection:
        early, late = (tickets.issue(connection, Bearer(), NOW) for _ in range(2))
        assert tickets.redeem(connection, early, NOW + GOOD_FOR - timedelta(seconds=1)) is not None
        assert not tickets.good(connection, late, NOW + GOOD_FOR)
        assert tickets.redeem(connection, late, NOW + GOOD_FOR) is None
        last = tickets.issue(connection, Bearer(), NOW + GOOD_FOR)
        (held,) = connection.execute(sa.select(rows.c.id)).scalars()
        assert last not in held


def test_of_a_hundred_who_race_for_a_ticket_one_has_it(database: Database) -> None:
    with database.write() as connection:
        text = tickets.issue(connection, Bearer(), NOW)

    def race(_number: int) -> bool:
        with database.write() as connection:
            return tickets.redeem(connection, text, NOW) is not None

    with ThreadPoolExecutor(8) as racers:
        assert sum(racers.map(race, range(100))) == 1
