"""Noticing that somebody else committed, without asking every table."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self

from control_plane.store.db import Database, Unavailable

SNAPSHOT = "SELECT pg_current_snapshot()::text"
"""Which transactions are over and which under way, in all of the server's databases: another answer after each commit
(PostgreSQL, Transaction ID and Snapshot Information Functions)."""


class Watch:
    """Asked often (`changed()`), answers whether the database may have changed since it was last asked.

    SQLite counts foreign commits in `PRAGMA data_version`, which costs microseconds to read. Postgres tells its
    snapshot, a question over the network; so it is asked less often (`interval_s`; `rest_s` after the last time at the
    earliest, whoever says that there is something new). For one thread; keeps a connection.
    """

    def __init__(self, database: Database) -> None:
        self.rest_s, self.interval_s = (0.02, 0.02) if database.is_sqlite else (0.05, 0.2)
        self._database = database
        self._ask = self._data_version if database.is_sqlite else self._snapshot
        with database.available():
            self._connection = database.engine.raw_connection()
        self._driver = self._connection.driver_connection
        self._version: object = None

    def changed(self) -> bool:
        """Raises Unavailable if the database does not answer."""
        self._version, before = self._ask(), self._version
        return self._version != before

    def _data_version(self) -> object:
        try:
            # The driver's own connection: asked fifty times a second, SQLAlchemy would be most of the cost.
            (version,) = self._driver.execute("PRAGMA data_version").fetchone()  # type: ignore[union-attr]
        except sqlite3.Error as error:
            raise Unavailable(f"the database does not answer: {error}") from error
        return version

    def _snapshot(self) -> object:
        with self._database.available():
            (snapshot,) = self._driver.execute(SNAPSHOT).fetchone()  # type: ignore[union-attr]
            self._driver.rollback()  # type: ignore[union-attr]
        return snapshot

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
