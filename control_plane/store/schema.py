"""Migrations: two that are started at once apply each once."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from control_plane.store import counters, galleries, sites, version
from control_plane.store.db import Database
from control_plane.store.tables import sites as sites_table
from faces.gallery import SettingsRow

# Any number; the same in every process, so that two that start at once migrate one after the other.
LOCK = 7_365_113


def prepare(database: Database, now: datetime) -> None:
    """Bring SQLite's schema up to date; of Postgres, which others may use, check that it is. Raises SettingError."""
    if database.is_sqlite:
        migrate(database, now)
    else:
        version.check(database)


def migrate(database: Database, now: datetime) -> None:
    """Bring the schema to the newest version, and make the default gallery and site where there are none.

    Raises SettingError if the schema is newer than that.
    """
    with database.read() as connection:
        version.check_not_newer(version.current(connection))
    upgrade(database)
    with database.write() as connection:
        lock(connection)
        _make_defaults(connection, now)


def upgrade(database: Database, to: str = "head") -> None:
    """Apply migrations up to a version."""
    config = Config()
    config.set_main_option("script_location", str(version.MIGRATIONS))
    config.attributes["database"] = database
    command.upgrade(config, to)


def lock(connection: sa.Connection) -> None:
    """Wait until nobody else migrates; until the transaction ends, nobody else does. SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def _make_defaults(connection: sa.Connection, now: datetime) -> None:
    for name in (counters.LOG, counters.ACCESS):
        counters.begin(connection, name, 0)
    if connection.execute(sa.select(sites_table.c.id).limit(1)).first() is None:
        galleries.create(connection, SettingsRow(galleries.DEFAULT_GALLERY, "default"), now)
        sites.create(connection, "default", [galleries.DEFAULT_GALLERY], now, sites.DEFAULT_SITE)
