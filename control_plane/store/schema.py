"""The schema's version: applied by migrations, checked by everybody who starts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from control_plane.store import galleries, sites
from control_plane.store.db import Database
from control_plane.store.tables import counters
from control_plane.store.tables import sites as sites_table
from faces.gallery import SettingsRow

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def migrate(database: Database, now: datetime) -> None:
    """Bring the schema to the newest version, and make the default gallery and site where there are none."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database"] = database
    command.upgrade(config, "head")
    with database.write() as connection:
        _make_defaults(connection, now)


def current(connection: sa.Connection) -> str:
    """The version that the database has; empty if it has none."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def newest() -> str:
    """The version that this code needs."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config).get_current_head() or ""


def _make_defaults(connection: sa.Connection, now: datetime) -> None:
    if connection.execute(sa.select(counters.c.name).where(counters.c.name == "events")).first() is None:
        connection.execute(counters.insert().values(name="events", value=0))
    if connection.execute(sa.select(sites_table.c.id).limit(1)).first() is None:
        galleries.create(connection, SettingsRow(galleries.DEFAULT_GALLERY, "default"), now)
        sites.create(connection, "default", [galleries.DEFAULT_GALLERY], now, sites.DEFAULT_SITE)
