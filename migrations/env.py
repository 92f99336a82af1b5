"""Runs the migrations on the database it is handed, or on DATABASE_URL."""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import context

from control_plane.store.db import Database
from control_plane.store.tables import metadata

# Any number; the same in every process, so that two that start at once migrate one after the other.
LOCK = 7_365_113


def run() -> None:
    database = context.config.attributes.get("database") or Database(os.environ["DATABASE_URL"])
    with database.engine.connect().execution_options(rollcall_no_begin=True) as connection:
        connection.detach()
        if database.is_sqlite:
            # A rebuilt table would take the rows that refer to it along; the pragma has no effect inside a transaction.
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        context.run_migrations()
        if database.is_sqlite:
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if broken:
                connection.exec_driver_sql("ROLLBACK")
                raise RuntimeError(f"the migration broke references: {broken[:3]}")
            connection.exec_driver_sql("COMMIT")
        else:
            connection.commit()


run()
