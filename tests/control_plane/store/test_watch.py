from __future__ import annotations

from control_plane.store.db import Database
from control_plane.store.tables import counters
from control_plane.store.watch import Watch


def test_a_commit_by_somebody_else_is_noticed_once(sqlite: Database) -> None:
    with Watch(sqlite) as watch:
        watch.changed()
        assert not watch.changed()
        with sqlite.write() as connection:
            connection.execute(counters.update().values(value=1))
        assert [watch.changed(), watch.changed()] == [True, False]


def test_what_was_rolled_back_is_not_noticed(sqlite: Database) -> None:
    with Watch(sqlite) as watch:
        watch.changed()
        with sqlite.write() as connection:
            connection.execute(counters.update().values(value=1))
            connection.rollback()
        assert not watch.changed()
