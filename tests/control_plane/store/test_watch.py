from __future__ import annotations

import time

from control_plane.store.db import Database
from control_plane.store.tables import counters
from control_plane.store.watch import Watch


def write(database: Database) -> None:
    with database.write() as connection:
        connection.execute(counters.insert().values(name="watched", value=1))


def test_a_commit_by_somebody_else_is_noticed(database: Database) -> None:
    with Watch(database) as watch:
        watch.changed()
        write(database)
        assert watch.changed()


def test_while_nobody_writes_nothing_has_changed(database: Database) -> None:
    """On Postgres, others may write in other databases of the same server meanwhile."""
    deadline = time.monotonic() + 30
    with Watch(database) as watch:
        while watch.changed():
            assert time.monotonic() < deadline


def test_a_commit_is_noticed_however_many_transactions_are_under_way(database: Database) -> None:
    if database.is_sqlite:
        return
    with Watch(database) as watch, database.engine.connect() as slow, slow.begin():
        slow.execute(counters.insert().values(name="slow", value=1))
        watch.changed()
        write(database)
        assert watch.changed()
        slow.commit()
        assert watch.changed()


def test_what_was_rolled_back_is_not_noticed(sqlite: Database) -> None:
    with Watch(sqlite) as watch:
        watch.changed()
        with sqlite.write() as connection:
            connection.execute(counters.update().values(value=1))
            connection.rollback()
        assert not watch.changed()
