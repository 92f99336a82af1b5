"""A database as one SQLite file, whichever it is in, and that file's rows in any database again."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from control_plane.store import schema, tables, vault
from control_plane.store.db import Database, Unavailable, insert_rows

AT_ONCE: Final = 1000


class Form(NamedTuple):
    """The tables that are copied, and what makes them in an empty database."""

    metadata: sa.MetaData
    make: Callable[[Database], None]


ROLLCALL = Form(tables.metadata, schema.upgrade)
VAULT = Form(vault.metadata, vault.make_tables)


def copy_out(database: Database, form: Form, target: Path) -> None:
    """Write one state of a database that others may go on using into a new SQLite file, for its owner alone.

    Raises OSError where there is no room for it.
    """
    target.touch(mode=0o600, exist_ok=False)
    with _room(target):
        if database.is_sqlite:
            with database.available(), database.engine.connect() as plain:
                connection = plain.execution_options(rollcall_no_begin=True)
                connection.exec_driver_sql("VACUUM INTO ?", (str(target),))
        else:
            with opened(target) as made:
                form.make(made)
                _copy(database, made, form)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def copy_in(source: Path, form: Form, database: Database) -> None:
    """Have a database hold what a SQLite file of the same schema holds, and nothing else; all of it or none."""
    form.make(database)
    with opened(source) as copied:
        _copy(copied, database, form)


def opened(file: Path) -> Database:
    """A SQLite file as a database; a block that it is opened for closes it."""
    return Database(f"sqlite:///{file}")


def _copy(source: Database, target: Database, form: Form) -> None:
    with source.read() as found, target.write() as into:
        for connection in (found, into):
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        with _without_triggers(into, form.metadata):
            for table in reversed(form.metadata.sorted_tables):
                into.execute(table.delete())
            for table in form.metadata.sorted_tables:
                rows = found.execution_options(yield_per=AT_ONCE).execute(sa.select(table)).mappings()
                for some in rows.partitions():
                    insert_rows(into, table, [dict(row) for row in some])


@contextmanager
def _room(target: Path) -> Iterator[None]:
    """A full disk is no database that does not answer."""
    try:
        yield
    except (Unavailable, sa.exc.OperationalError) as error:
        codes = {getattr(getattr(e, "orig", None), "sqlite_errorcode", None) for e in (error, error.__cause__)}
        if sqlite3.SQLITE_FULL in codes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        raise


@contextmanager
def _without_triggers(connection: sa.Connection, metadata: sa.MetaData) -> Iterator[None]:
    """Logs that are only appended to are written anew, in this transaction alone."""
    if connection.dialect.name == "postgresql":
        before = [f"ALTER TABLE {table.name} DISABLE TRIGGER USER" for table in metadata.sorted_tables]
        after = [f"ALTER TABLE {table.name} ENABLE TRIGGER USER" for table in metadata.sorted_tables]
    else:
        found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
        before, after = [f'DROP TRIGGER "{row.name}"' for row in found], [row.sql for row in found]
    for statement in before:
        connection.exec_driver_sql(statement)
    yield
    for statement in after:
        connection.exec_driver_sql(statement)
