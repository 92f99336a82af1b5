from __future__ import annotations

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from control_plane.store import galleries, schema, sites
from control_plane.store.db import Database
from control_plane.store.tables import metadata
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
