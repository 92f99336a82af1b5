from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from control_plane.store import db
from control_plane.store.db import Database, Unavailable, UtcDateTime, insert_rows, new_id
from control_plane.store.tables import counters
from faces.errors import Conflict, SettingError

EVENTS = counters.c.name == "events"
MINE = sa.select(counters.c.value).where(EVENTS)


def test_concurrent_read_modify_write_loses_nothing(database: Database) -> None:
    def count() -> None:
        for _ in range(25):
            with database.write() as connection:
                value = connection.execute(MINE.with_for_update()).scalar_one()
                connection.execute(counters.update().where(EVENTS).values(value=value + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert connection.execute(MINE).scalar_one() == 100


def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:  # noqa: PT012
        connection.execute(counters.update().where(EVENTS).values(value=7))
        _ = 1 / 0
    with database.read() as connection:
        assert connection.execute(MINE).scalar_one() == 0


def test_a_read_sees_one_state_while_others_write(database: Database) -> None:
    with database.read() as reading:
        before = reading.execute(MINE).scalar_one()
        with database.write() as writing:
            writing.execute(counters.update().where(EVENTS).values(value=before + 1))
        assert reading.execute(MINE).scalar_one() == before


def test_sqlite_commits_to_the_disk_and_overwrites_what_is_deleted(sqlite: Database) -> None:
    with sqlite.read() as connection:
        pragmas = {p: connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("synchronous", "journal_mode")}
        pragmas |= {p: connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("foreign_keys", "secure_delete")}
    assert pragmas == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "secure_delete": 1}


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
def test_a_time_comes_back_in_utc_to_the_microsecond(database: Database, zone: timezone) -> None:
    moment = datetime(2026, 3, 1, 4, 5, 6, 789012, tzinfo=zone)
    table = sa.Table("moments", sa.MetaData(), sa.Column("at", UtcDateTime))
    with database.write() as connection:
        table.create(connection)
        connection.execute(table.insert().values(at=moment))
        found = connection.execute(sa.select(table)).scalar_one()
    assert found == moment
    assert found.tzinfo == UTC


def test_a_time_without_a_zone_is_a_mistake(sqlite: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="without a zone"), sqlite.write() as connection:
        connection.execute(sa.select(sa.literal(datetime(2026, 1, 1), UtcDateTime)))  # noqa: DTZ001


@pytest.mark.parametrize("url", ["nonsense", "mysql://h/d", "sqlite://", ""])
def test_a_database_that_is_not_supported_is_refused_by_name(url: str) -> None:
    with pytest.raises(SettingError, match="DATABASE_URL"):
        Database(url)


def test_a_new_sqlite_database_makes_its_folder(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path / 'a' / 'b.db'}").close()
    assert (tmp_path / "a").is_dir()


def test_ids_sort_by_the_time_they_were_made() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert new_id(early) < new_id(late)


def test_a_write_gets_in_soon_after_the_one_before_and_gives_up_in_the_end(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    asked_often, written = threading.Event(), threading.Event()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)
        if sum(waits) > 0.4:
            asked_often.set()

    def write() -> None:
        with sqlite.write():
            written.set()

    monkeypatch.setattr(db, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    with sqlite.write():
        thread = threading.Thread(target=write)
        thread.start()
        assert asked_often.wait(30)
        assert not written.is_set()
    thread.join()
    assert written.is_set()
    assert max(waits) < 0.01, "SQLite's own waiting would ask only every 100 ms by now"
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 50)
    with sqlite.write(), pytest.raises(Unavailable), sqlite.write():
        pass


def test_rows_inserted_in_bulk_that_meet_others_in_a_key_are_a_conflict(database: Database) -> None:
    rows = [{"name": "twice", "value": 1}]
    with database.write() as connection:
        insert_rows(connection, counters, rows)
    with pytest.raises(Conflict), database.write() as connection:
        insert_rows(connection, counters, rows)
