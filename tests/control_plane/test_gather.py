from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from control_plane.gather import AT_ONCE, Gathered, Gatherer
from control_plane.store.db import Connection, Database, Unavailable
from control_plane.store.tables import counters
from faces.errors import Conflict, Invalid, RollcallError
from tests import services


class Writer:
    """Commits in a thread, and counts how often."""

    def __init__(self, database: Database) -> None:
        self.commits = 0
        self._database = database

    async def write(self, work: Callable[[Connection], Any]) -> Any:
        return await asyncio.to_thread(self._commit, work)

    def _commit(self, work: Callable[[Connection], Any]) -> Any:
        self.commits += 1
        with self._database.write() as connection:
            return work(connection)


def names(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(sa.select(counters.c.name).where(counters.c.name.startswith("n"))).scalars())


def count(number: int) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute(counters.insert().values(name=f"n{number}", value=number))
        if number % 10 == 3:
            raise Invalid(f"not {number}")
        return number

    return work


def test_many_writes_share_a_commit_and_one_that_raises_takes_back_its_own(database: Database) -> None:
    writer = Writer(database)

    async def run() -> list[Any]:
        gatherer = Gatherer(writer.write)
        return await asyncio.gather(*(gatherer.write(count(n)) for n in range(2 * AT_ONCE)), return_exceptions=True)

    outcomes = asyncio.run(run())
    good = {n for n in range(2 * AT_ONCE) if n % 10 != 3}
    assert {n for n, outcome in enumerate(outcomes) if outcome == n} == good
    assert all(isinstance(outcomes[n], Invalid) for n in range(2 * AT_ONCE) if n not in good)
    assert names(database) == {f"n{n}" for n in good}
    assert writer.commits <= 3


def test_one_that_no_database_takes_costs_itself_alone(database: Database) -> None:
    writer = Writer(database)

    def too_large(connection: Connection) -> None:
        connection.execute(counters.insert().values(name="n-large", value=2**63))

    async def run() -> list[Any]:
        gatherer = Gatherer(writer.write)
        works = [count(1), too_large, count(2)]
        return await asyncio.gather(*map(gatherer.write, works), return_exceptions=True)

    first, failed, last = asyncio.run(run())
    assert (first, last) == (1, 2)
    assert isinstance(failed, OverflowError | sa.exc.DataError)
    assert names(database) == {"n1", "n2"}
    assert writer.commits == 1


def test_one_that_contradicts_what_is_stored_costs_itself_alone(database: Database) -> None:
    async def run() -> list[Any]:
        gatherer = Gatherer(Writer(database).write)
        return await asyncio.gather(*map(gatherer.write, [count(1), count(1), count(2)]), return_exceptions=True)

    first, failed, last = asyncio.run(run())
    assert (first, type(failed), last) == (1, Conflict, 2)
    assert names(database) == {"n1", "n2"}


def test_a_database_that_is_lost_is_told_to_all() -> None:
    def lose(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    async def run() -> list[Any]:
        gatherer = Gatherer(Writer(postgres).write)
        return await asyncio.gather(*map(gatherer.write, [count(1), lose, count(2)]), return_exceptions=True)

    with services.migrated_postgres() as url, Database(url) as postgres:
        assert {type(outcome) for outcome in asyncio.run(run())} == {Unavailable}
        assert names(postgres) == set()


def test_a_commit_that_fails_is_told_to_all_and_the_next_one_works(store: Database) -> None:
    failing = [True]
    writer = Writer(store)

    async def write(work: Callable[[Connection], Any]) -> Any:
        if failing[0]:
            raise RollcallError("no database")
        return await writer.write(work)

    async def run() -> None:
        gatherer = Gatherer(write)
        told = await asyncio.gather(*(gatherer.write(count(n)) for n in (1, 2)), return_exceptions=True)
        assert [str(error) for error in told] == ["no database"] * 2
        failing[0] = False
        assert await gatherer.write(count(4)) == 4

    asyncio.run(run())
    assert names(store) == {"n4"}


def test_who_no_longer_waits_holds_up_nobody(store: Database) -> None:
    async def run() -> None:
        gatherer = Gatherer(Writer(store).write)
        gone = asyncio.ensure_future(gatherer.write(count(1)))
        stays = asyncio.ensure_future(gatherer.write(count(2)))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 2
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(run())
    assert names(store) == {"n1", "n2"}


def test_what_weighs_more_than_a_commit_may_goes_alone_and_in_order(store: Database) -> None:
    commits: list[list[int]] = []

    def together(_: Connection, items: list[int]) -> list[int]:
        commits.append(items)
        return [2 * item for item in items]

    async def run() -> list[int]:
        gathered: Gathered[int, int] = Gathered(Writer(store).write, together, at_once=10, weight=lambda n: n)
        return await asyncio.gather(*(gathered.add(n) for n in (4, 5, 2, 30, 1)))

    assert asyncio.run(run()) == [8, 10, 4, 60, 2]
    assert commits == [[4, 5], [2], [30], [1]]
