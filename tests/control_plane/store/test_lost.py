"""Transactions on a Postgres that is lost, that takes them back, or that hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import psycopg
import pytest
import sqlalchemy as sa

from control_plane.store import db, schema
from control_plane.store.db import Connection, Database, Unavailable, Uncertain
from control_plane.store.tables import counters
from tests.conftest import NOW


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    database = Database(postgres_url, pool_size=2)
    schema.migrate(database, NOW)
    yield database
    database.close()


def cut(database: Database, connection: Connection) -> None:
    """Have the server end this connection, as it does when it stops."""
    pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
    with database.read() as other:
        other.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def count(connection: Connection, name: str = "events") -> None:
    connection.execute(counters.update().where(counters.c.name == name).values(value=counters.c.value + 1))


def value(connection: Connection, name: str = "events") -> int:
    return int(connection.execute(sa.select(counters.c.value).where(counters.c.name == name)).scalar_one())


def counted(database: Database) -> int:
    return database.seen(value)


def test_a_transaction_that_is_lost_before_its_commit_is_done_again(postgres: Database) -> None:
    tries = []

    def work(connection: Connection) -> str:
        count(connection)
        tries.append(1)
        if len(tries) == 1:
            cut(postgres, connection)
            count(connection)
        return "done"

    assert postgres.committed(work) == "done"
    assert (len(tries), counted(postgres)) == (2, 1)


def test_a_read_that_is_lost_is_done_again(postgres: Database) -> None:
    tries = []

    def work(connection: Connection) -> int:
        tries.append(1)
        if len(tries) == 1:
            cut(postgres, connection)
        return value(connection)

    assert postgres.seen(work) == 0
    assert len(tries) == 2


def test_what_is_lost_during_its_commit_is_never_done_again_and_says_so(postgres: Database) -> None:
    tries = []

    def work(connection: Connection) -> None:
        count(connection)
        tries.append(1)

    sa.event.listen(postgres.engine, "commit", lambda connection: cut(postgres, connection), once=True)
    with pytest.raises(Uncertain, match="may have done it or not"):
        postgres.committed(work)
    assert len(tries) == 1
    assert counted(postgres) <= 1


def test_two_in_a_deadlock_are_both_done_once(postgres: Database) -> None:
    postgres.committed(lambda c: c.execute(counters.insert().values(name="second", value=0)))
    both_hold = threading.Barrier(2, timeout=30)

    def run(first: str, second: str) -> None:
        met = []

        def work(connection: Connection) -> None:
            count(connection, first)
            if not met:
                met.append(1)
                both_hold.wait()
            count(connection, second)

        Database.committed(patient, work)

    patient = Database(postgres.url.render_as_string(hide_password=False))
    threads = [threading.Thread(target=run, args=names) for names in (("events", "second"), ("second", "events"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = patient.seen(lambda c: (value(c), value(c, "second")))
    patient.close()
    assert found == (2, 2)


def test_a_statement_that_hangs_is_given_up_and_not_tried_again(postgres_url: str) -> None:
    tries = []

    def hang(connection: Connection) -> None:
        tries.append(1)
        connection.execute(sa.text("SELECT pg_sleep(300)"))

    with (
        Database(postgres_url, statement_timeout_s=1) as impatient,
        pytest.raises(Unavailable, match="statement timeout"),
    ):
        impatient.seen(hang)
    assert len(tries) == 1


def test_a_caller_waits_for_a_connection_and_is_told_when_there_is_none(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres.engine.pool, "_timeout", 0.1)
    with postgres.read(), postgres.read(), pytest.raises(Unavailable, match="in use"), postgres.read():
        pass


def test_a_server_that_is_not_there_is_unavailable_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(db, "time", SimpleNamespace(sleep=waits.append))
    with pytest.raises(Unavailable):
        Database("postgresql://postgres@127.0.0.1:1/none").committed(count)
    assert len(waits) == len(db.AGAIN_AFTER_S)
    assert sum(waits) < 1


def test_sqlite_is_as_good(sqlite: Database) -> None:
    sqlite.committed(count)
    assert counted(sqlite) == 1
