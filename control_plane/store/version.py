"""The schema's version: what this code needs, what the database has, and what to do where they differ."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa

from control_plane.store.db import Connection, Database
from faces.errors import SettingError

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
MIGRATE = "Run python -m rollcall migrate first; whoever runs may go on meanwhile."


def newest() -> str:
    """The version that this code needs. Versions are numbers of four digits: their order is that of their texts."""
    return max(found[1] for path in (MIGRATIONS / "versions").iterdir() if (found := re.match(r"(\d{4})_", path.name)))


def current(connection: Connection) -> str:
    """The version that the database has; empty if it has none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() or ""


class Older(SettingError):
    """The schema is to be migrated first."""


def check(database: Database) -> None:
    """Raises SettingError if the schema is not the one that this code needs, and says what to do; Older if it is to be
    migrated."""
    with database.read() as connection:
        found = current(connection)
    check_not_newer(found)
    if found < newest():
        raise Older(
            f"DATABASE_URL: the schema is {found or 'empty'}, and this version needs {newest()}", remedy=MIGRATE
        )


def check_not_newer(found: str) -> None:
    """Raises SettingError if a later version of Rollcall has migrated the schema."""
    if found > newest():
        raise SettingError(
            f"DATABASE_URL: the schema is {found}, and this version knows no later one than {newest()}",
            remedy="Start the version of Rollcall that migrated it, or a later one.",
        )
