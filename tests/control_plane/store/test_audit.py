from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from control_plane.store import audit
from control_plane.store.audit import Wanted
from control_plane.store.chain import Entry
from control_plane.store.db import Database
from control_plane.store.tables import audit as rows

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def entries(count: int) -> list[Entry]:
    return [
        Entry(at=NOW + timedelta(seconds=n), actor="key:k", action="site.change", resource="site", resource_id=f"s{n}")
        for n in range(count)
    ]


def disarm(database: Database) -> None:
    """What somebody does first who owns the database and wants to change the log."""
    with database.write() as connection:
        if database.is_sqlite:
            for what in ("update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER audit_no_{what}")
        else:
            connection.exec_driver_sql("DROP TRIGGER audit_no_change ON audit")


def touch(database: Database, *statements: str) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    ("statements", "position"),
    [
        (["UPDATE audit SET actor = 'key:other' WHERE position = 4711"], 4711),
        (["DELETE FROM audit WHERE position = 4711"], 4711),
        (["DELETE FROM audit WHERE position > 9990"], 9991),
        (
            [
                "UPDATE audit SET position = -1 WHERE position = 4711",
                "UPDATE audit SET position = 4711 WHERE position = 5000",
                "UPDATE audit SET position = 5000 WHERE position = -1",
            ],
            4711,
        ),
    ],
)
def test_of_ten_thousand_rows_an_edit_a_removal_and_a_swap_are_found_where_they_are(
    database: Database, statements: list[str], position: int
) -> None:
    with database.write() as connection:
        audit.append(connection, entries(10_000))
    with database.read() as connection:
        assert audit.verify(connection) is None
        head = audit.head(connection)
    disarm(database)
    touch(database, *statements)
    with database.read() as connection:
        found = audit.verify(connection)
        assert found is not None
        assert found.position == position
        assert audit.verify(connection, head) == found


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit WHERE position = 1"])
def test_the_database_itself_refuses_to_change_a_row(database: Database, statement: str) -> None:
    with database.write() as connection:
        audit.append(connection, entries(3))
    with pytest.raises(sa.exc.DatabaseError, match="only appended to"), database.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    with database.read() as connection:
        assert audit.verify(connection) is None
        assert len(audit.listing(connection)) == 3


def test_what_is_appended_at_once_by_many_is_one_chain(database: Database) -> None:
    def one(_number: int) -> None:
        with database.write() as connection:
            audit.append(connection, entries(2))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(40)))
    with database.read() as connection:
        assert audit.head(connection).position == 80
        assert audit.verify(connection) is None


def test_a_transaction_that_fails_leaves_no_row(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            audit.append(connection, entries(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as connection:
        assert audit.listing(connection) == []


def test_rows_are_found_by_what_they_say(database: Database) -> None:
    with database.write() as connection:
        audit.append(connection, entries(5))
        audit.did(connection, "job:x", "identity.erase", NOW + timedelta(days=1), [("i1", None), ("i2", "s3")])
        audit.append(connection, [])

    def positions(**wanted: object) -> list[int]:
        with database.read() as connection:
            return [row.position for row in audit.listing(connection, wanted=Wanted(**wanted))]  # type: ignore[arg-type]

    assert positions() == [1, 2, 3, 4, 5, 6, 7]
    assert positions(actor="job:x") == [6, 7]
    assert positions(action="identity.erase", concerning="i2") == [7]
    assert positions(concerning="s3") == [4, 7]
    assert positions(resource="identity", until=NOW) == []
    assert positions(since=NOW + timedelta(seconds=3), until=NOW + timedelta(hours=1)) == [4, 5]
    with database.read() as connection:
        newest = audit.listing(connection, newest_first=True, before=7, limit=2)
        assert [row.position for row in newest] == [6, 5]
        assert audit.listing(connection, after=6)[0].at == NOW + timedelta(days=1)
        assert connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar() == 7
