"""Noticing that somebody else committed, without asking every table."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from control_plane.store.db import Database


class Watch:
    """Asked often (`changed()`), answers whether the database may have changed since it was last asked.

    SQLite counts foreign commits in `PRAGMA data_version`, which costs microseconds to read. Postgres has no such
    counter: there the answer is always yes, and the caller asks less often (`interval_s`). For one thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sqlite = database.is_sqlite
        self.interval_s = 0.02 if self._sqlite else 0.2
        self._connection = database.engine.connect().execution_options(rollcall_no_begin=True) if self._sqlite else None
        self._version: int | None = None

    def changed(self) -> bool:
        """Raises Unavailable if the database does not answer."""
        if self._connection is None:
            return True
        with self._database.available():
            version = self._connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        self._version, before = version, self._version
        return bool(version != before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
