"""Runs the migrations on the database it is handed, or on DATABASE_URL."""

from __future__ import annotations

import os

from alembic import context

from control_plane.store.db import Database
from control_plane.store.schema import lock
from control_plane.store.tables import metadata

WAIT_MS = 600_000
"""How long one waits for another that migrates: a large table takes a while."""

BLOCKED_MS = 20_000
"""How long a change waits for those who use its table, while all who come later wait behind it."""


def run() -> None:
    database = context.config.attributes.get("database") or Database(os.environ["DATABASE_URL"])
    with database.engine.connect().execution_options(rollcall_no_begin=True) as connection:
        connection.detach()
        if database.is_sqlite:
            # A rebuilt table would take the rows that refer to it along; the pragma has no effect inside a transaction.
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.exec_driver_sql(f"PRAGMA busy_timeout={WAIT_MS}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("SET statement_timeout = 0")
            lock(connection)
            connection.exec_driver_sql(f"SET lock_timeout = {BLOCKED_MS}")
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
