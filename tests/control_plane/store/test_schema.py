from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from control_plane.store import galleries, schema, sites
from control_plane.store.db import Database
from control_plane.store.tables import events, metadata, thumbnails
from tests.conftest import NOW


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
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == schema.newest()


def test_thumbnails_of_a_filled_log_move_to_their_own_table(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    config.attributes["database"] = database
    command.upgrade(config, "0008")
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
