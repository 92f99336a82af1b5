"""The database: one URL, read and write transactions that mean the same on SQLite and Postgres."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy import Connection as Connection
from sqlalchemy.engine import make_url

from faces.errors import Conflict, RollcallError, SettingError
from faces.events import uuid7

if TYPE_CHECKING:
    from control_plane.store.vault import Vault

T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
ASK_EVERY_S = 0.002
"""How often the write lock of SQLite is asked for while another has it."""

TRUNCATE_TIMEOUT_MS = 1_000
"""Emptying SQLite's WAL keeps others from writing while it waits for those who read."""

VACUUM_PATIENCE_S = 5.0
"""How long a vacuum waits for those who may still see what was deleted."""

CONNECT_S = 3
POOL_S = 10.0
"""How long a caller waits for one of the pool's connections while all are in use."""

SILENT_MS = 10_000
"""How long Postgres may acknowledge nothing before its connection is given up: its machine is gone."""

AGAIN_AFTER_S = (0.02, 0.1, 0.4)
"""The waits before a transaction is done again that the database took back, or that was lost before its commit."""

TAKEN_BACK = ("40001", "40P01")
"""SQLSTATEs of a transaction that certainly left nothing: it could not be serialized, or met another in a deadlock."""

AWAY = ("08", "57P", "25006", "25P03")
"""How SQLSTATEs begin that say that there is no database to write to just now: connections lost, a server that stops,
starts or has become a standby."""

_STILL_READING = sa.text(
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_xmin IS NOT NULL AND xact_start < :began LIMIT 1"
)


class Unavailable(RollcallError):
    """The database does not answer; the same request may succeed in a moment."""

    code = "database_unavailable"


class Uncertain(Unavailable):
    """The database was lost while it committed: whether it did is not known."""


class Database:
    """A database by URL (`sqlite:///file` or `postgresql://...`). Safe to share between threads.

    `pool_size` bounds the connections to Postgres (SQLite has one for each thread that asks), `statement_timeout_s` how
    long Postgres works on one statement (0: for ever). `vault` holds the keys by which its rows, and the files beside
    it, are sealed; None: they stay plain.
    """

    def __init__(
        self, url: str, *, pool_size: int = 20, statement_timeout_s: int = 60, vault: Vault | None = None
    ) -> None:
        self.url = _checked(url)
        self.vault = vault
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # What is stored is in no error's words: an error's words are logged.
        if self.is_sqlite:
            self.engine = sa.create_engine(self.url, pool_size=0, hide_parameters=True)
        else:
            self.engine = sa.create_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=POOL_S,
                pool_pre_ping=True,
                hide_parameters=True,
                connect_args=_postgres(statement_timeout_s),
            )
        self.engine.update_execution_options(rollcall_vault=vault)
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", _on_sqlite_connect)
            sa.event.listen(self.engine, "begin", _on_sqlite_begin)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A read-only transaction that sees one state of the database throughout."""
        options: dict[str, Any] = {"rollcall_read_only": True}
        if not self.is_sqlite:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.available(), self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that commits durably when the block ends, or leaves nothing behind if it raises."""
        with self.available(), self.engine.begin() as connection:
            yield connection

    def seen(self, work: Callable[[Connection], T]) -> T:
        """What `work` finds in a read-only transaction; done again if the connection was lost meanwhile."""
        return self._again(lambda: self._seen(work))

    def committed(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives in a transaction that has committed.

        `work` is done again, from its beginning, where the database took the transaction back or was lost before the
        commit was sent; it is never committed twice. Raises Uncertain if the database was lost during the commit.
        """
        return self._again(lambda: self._committed(work))

    def _again(self, attempt: Callable[[], T]) -> T:
        for wait_s in AGAIN_AFTER_S:
            try:
                return attempt()
            except Uncertain:
                raise
            except Unavailable as error:
                if not _left_nothing(error.__cause__):
                    raise
            time.sleep(wait_s * random.uniform(0.5, 1.5))
        return attempt()

    def _seen(self, work: Callable[[Connection], T]) -> T:
        with self.read() as connection:
            return work(connection)

    def _committed(self, work: Callable[[Connection], T]) -> T:
        with self.available(), self.engine.connect() as connection:
            connection.begin()
            result = work(connection)
            try:
                connection.commit()
            except sa.exc.DBAPIError as error:
                if not _away(error) or _sqlstate(error) in TAKEN_BACK:
                    raise
                raise Uncertain(
                    "the database was lost while it committed, and may have done it or not",
                    remedy="Look whether it is done, and else try again in a moment.",
                ) from error
            return result

    @contextmanager
    def available(self) -> Iterator[None]:
        """Raises Unavailable where the database does not answer, and Conflict where two requests met in a key."""
        try:
            yield
        except (sa.exc.IntegrityError, psycopg.IntegrityError) as error:
            raise _contradicted() from error
        except sa.exc.TimeoutError as error:
            raise Unavailable("all connections to the database are in use", remedy="Try again in a moment.") from error
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            if not _away(error):
                raise
            reason = str(getattr(error, "orig", error)).partition("\n")[0]
            raise Unavailable(f"the database does not answer: {reason}", remedy="Try again in a moment.") from error

    def truncate_wal(self) -> bool:
        """Move everything from SQLite's WAL into the database file and empty it, so that no erased bytes stay in it.

        False if somebody who reads is in the way for longer than others can be kept from writing.
        """
        if not self.is_sqlite:
            return True
        with self.engine.connect().execution_options(rollcall_no_begin=True) as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={TRUNCATE_TIMEOUT_MS}")
            try:
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        return not busy

    def scrub(self, tables: Iterable[str]) -> bool:
        """Keep nothing of rows that were deleted from these tables; False while somebody may still read them.

        SQLite is written anew as a whole, and nobody else writes meanwhile: it overwrites what is deleted, but not the
        copies that it has left in its pages whenever it moved a row.
        """
        if not self.is_sqlite:
            return self._vacuum(tables)
        if not self.truncate_wal():
            return False
        with self.available(), self.engine.connect().execution_options(rollcall_no_begin=True) as connection:
            connection.exec_driver_sql("VACUUM")
        return self.truncate_wal()

    def _vacuum(self, tables: Iterable[str]) -> bool:
        with self.available(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            began = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
            until = time.monotonic() + VACUUM_PATIENCE_S
            while connection.execute(_STILL_READING, {"began": began}).first():
                if time.monotonic() > until:
                    return False
                time.sleep(0.05)
            connection.exec_driver_sql("SET statement_timeout = 0")
            try:
                for table in tables:
                    connection.exec_driver_sql(f'VACUUM (INDEX_CLEANUP ON) "{table}"')
            finally:
                connection.exec_driver_sql("RESET statement_timeout")
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.engine.dispose()
        if self.vault is not None:
            self.vault.close()


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows that name the same columns, by the quickest way the database has: on Postgres by COPY."""
    if not rows:
        return
    names = list(rows[0])
    columns = [_processed(table.c[name].type, connection.dialect, [row[name] for row in rows]) for name in names]
    listed = ", ".join(names)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({listed}) VALUES ({marks})", list(zip(*columns, strict=True))
        )
        return
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({listed}) FROM STDIN") as copy:
        for row in zip(*columns, strict=True):
            copy.write_row(row)


def new_id(now: datetime) -> str:
    """A fresh id: a UUIDv7, so that ids sort by time of making."""
    return str(uuid7(now, os.urandom(10)))


def utcnow() -> datetime:
    """The clock that roots hand down."""
    return datetime.now(UTC)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC time in any database: SQLite forgets zones, so they are cut before and put back after."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _processed(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect, values: list[Any]) -> list[Any]:
    """A column's values as its type hands them to the driver; those that repeat, as times do, are processed once."""
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    if process is None:
        return values
    if isinstance(kind, UtcDateTime):
        process = cache(process)
    return [process(value) for value in values]


def _checked(url: str) -> sa.URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise SettingError("DATABASE_URL cannot be read", remedy="Example: sqlite:///rollcall.db") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database:
            raise SettingError("DATABASE_URL names no file", remedy="Example: sqlite:///rollcall.db")
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        return parsed
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise SettingError(f"DATABASE_URL: {backend} is not supported", remedy="Use sqlite:/// or postgresql://.")


def _postgres(statement_timeout_s: int) -> dict[str, Any]:
    """What each connection is opened with: it is given up where the other end is silent, and gives up what hangs."""
    return {
        "connect_timeout": CONNECT_S,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": SILENT_MS,
        "application_name": "rollcall",
        "options": f"-c statement_timeout={statement_timeout_s}s -c idle_in_transaction_session_timeout=120s",
    }


def of_one(error: Exception) -> Exception | None:
    """What one of several who share a transaction is to be told, where an error is about their values alone: the others
    can go on where a savepoint has undone it. None: it is about the transaction or the database."""
    if isinstance(error, sa.exc.IntegrityError | psycopg.IntegrityError):
        return _contradicted()
    if isinstance(error, sa.exc.DataError | psycopg.DataError):
        return error
    return None if isinstance(error, sa.exc.SQLAlchemyError | psycopg.Error | sqlite3.Error) else error


def _contradicted() -> Conflict:
    return Conflict("another request has just stored something that this one contradicts")


def _sqlstate(error: BaseException | None) -> str:
    return getattr(getattr(error, "orig", error), "sqlstate", None) or ""


def _away(error: Exception) -> bool:
    """Whether an error is the database's state, and not what it was asked."""
    operational = isinstance(error, sa.exc.OperationalError | psycopg.OperationalError)
    return operational or getattr(error, "connection_invalidated", False) or _sqlstate(error).startswith(AWAY)


def _left_nothing(error: BaseException | None) -> bool:
    """Whether what failed with this can be done again: before a commit was sent, a lost connection left nothing."""
    state, driver = _sqlstate(error), getattr(error, "orig", error)
    return isinstance(driver, psycopg.Error) and (not state or state in TAKEN_BACK or state.startswith(AWAY))


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    # The driver's own transaction handling loses updates; BEGIN is ours (_on_sqlite_begin).
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
    ):
        _set(connection, pragma)


def _set(connection: Any, pragma: str) -> None:
    """Where another process makes a new file a WAL database just now, SQLite does not wait: it says it is locked."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute(f"PRAGMA {pragma}")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.01)


def _on_sqlite_begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if options.get("rollcall_read_only"):
        connection.exec_driver_sql("BEGIN")
    elif not options.get("rollcall_no_begin"):
        _begin_immediate(connection)


def _begin_immediate(connection: sa.Connection) -> None:
    """Take the write lock. SQLite itself asks for it every 100 ms at last, and beside a process that commits without a
    break waits for seconds; asked every few, the gaps between its commits are found."""
    driver: Any = connection.connection.driver_connection
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < deadline:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
                time.sleep(ASK_EVERY_S)
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
