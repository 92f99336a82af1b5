"""Noticing that somebody else committed, without asking every table."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self

from control_plane.store.db import Database, Unavailable


class Watch:
    """Asked often (`changed()`), answers whether the database may have changed since it was last asked.

    SQLite counts foreign commits in `PRAGMA data_version`, which costs microseconds to read. Postgres has no such
    counter: there the answer is always yes, and the caller asks less often (`interval_s`; `rest_s` after the last time
    at the earliest, whoever says that there is something new). For one thread.
    """

    def __init__(self, database: Database) -> None:
        self.rest_s, self.interval_s = (0.02, 0.02) if database.is_sqlite else (0.05, 0.2)
        self._connection = database.engine.raw_connection() if database.is_sqlite else None
        self._version: int | None = None

    def changed(self) -> bool:
        """Raises Unavailable if the database does not answer."""
        if self._connection is None:
            return True
        try:
            # The driver's own connection: asked fifty times a second, SQLAlchemy would be most of the cost.
            cursor = self._connection.driver_connection.execute("PRAGMA data_version")  # type: ignore[union-attr]
            (version,) = cursor.fetchone()
        except sqlite3.Error as error:
            raise Unavailable(f"the database does not answer: {error}") from error
        self._version, before = version, self._version
        return bool(version != before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
