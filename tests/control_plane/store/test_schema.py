from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from control_plane.store import galleries, schema, sites, version
from control_plane.store.db import Database
from control_plane.store.tables import events, metadata, thumbnails
from faces.errors import SettingError
from tests.conftest import NOW

ROOT = Path(__file__).resolve().parents[3]


def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    schema.migrate(database, NOW)
    with database.read() as connection:
        assert [s.id for s in sites.listing(connection)] == [sites.DEFAULT_SITE]
        assert galleries.position(connection, galleries.DEFAULT_GALLERY).revision == 1


def test_the_database_says_which_version_it_is(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == version.newest()


def test_thumbnails_of_a_filled_log_move_to_their_own_table(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    schema.upgrade(database, "0008")
    with database.write() as connection:
        for position, thumbnail in ((1, b"a"), (2, None), (3, b"c")):
            row = {"p": position, "id": f"e{position}", "t": thumbnail}
            connection.execute(sa.text(OLD_EVENT), row)
    schema.migrate(database, NOW)
    with database.read() as connection:
        found = [tuple(row) for row in connection.execute(sa.select(thumbnails).order_by(thumbnails.c.position))]
        assert found == [(1, b"a"), (3, b"c")]
        assert connection.execute(sa.select(sa.func.count()).select_from(events)).scalar() == 3
    database.close()


OLD_EVENT = """
INSERT INTO events (position, id, body_hash, kind, site_id, edge_id, camera, captured_at, arrived_at, thumbnail)
VALUES (:p, :id, x'00', 'decision', 'default', 'e', 'door', '2026-01-01', '2026-01-01', :t)
"""


@pytest.fixture
def empty(database: Database, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        yield database
        return
    made = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    yield made
    made.close()


def test_two_that_migrate_at_once_apply_each_migration_once(empty: Database) -> None:
    url = empty.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "rollcall", "migrate"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = sorted(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    assert all(version.newest() in line for line in said)
    assert any("was empty" in line for line in said)
    with empty.read() as connection:
        assert [s.id for s in sites.listing(connection)] == [sites.DEFAULT_SITE]


def test_a_schema_that_is_newer_is_refused_and_an_older_one_says_what_to_run(empty: Database) -> None:
    schema.upgrade(empty, "0019")
    with pytest.raises(SettingError, match="0019") as older:
        version.check(empty)
    assert "rollcall migrate" in older.value.remedy
    schema.migrate(empty, NOW)
    version.check(empty)
    with empty.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for start in (version.check, lambda d: schema.prepare(d, NOW), lambda d: schema.migrate(d, NOW)):
        with pytest.raises(SettingError, match="9999"):
            start(empty)


def test_sqlite_is_migrated_at_the_start_and_postgres_by_its_own_command(empty: Database) -> None:
    if empty.is_sqlite:
        schema.prepare(empty, NOW)
        version.check(empty)
        return
    with pytest.raises(SettingError, match="empty"):
        schema.prepare(empty, NOW)
