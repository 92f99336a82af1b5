"""Each migration, on databases that hold data, while the release before it reads and writes; and all of them in a row.

What a release reads and writes are the columns of its tables, which are those that its migrations make
(test_schema.py), without those that it no longer uses: a migration names these as `UNUSED`, so that a later one may
drop them.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from control_plane.store import schema, version
from control_plane.store.db import Database
from control_plane.store.tables import metadata
from tests import services

VERSIONS = sorted(path.stem[:4] for path in (version.MIGRATIONS / "versions").glob("[0-9]*.py"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALEMBIC = "alembic_version"
LOGS = {"audit"}
"""Tables whose rows no trigger lets be changed or deleted."""

MOMENTARY = {"tickets"}
"""Tables whose rows live for half a minute: a migration may do without them."""


class Release:
    """The tables of one version, and what the code of that version does with them: as the database describes them."""

    def __init__(self, database: Database, number: str) -> None:
        self.database = database
        self.metadata = sa.MetaData()
        self.metadata.reflect(database.engine)
        unused = {(table, column) for v in VERSIONS if v <= number for table, column in unused_since(v)}
        self.tables = {t.name: t for t in self.metadata.sorted_tables if t.name != ALEMBIC}
        self.columns = {
            name: [c for c in table.columns if (name, c.name) not in unused] for name, table in self.tables.items()
        }

    def fill(self, row: int) -> None:
        """A row in each table that has no such row yet."""
        with self.database.write() as connection:
            for name in self.tables:
                if not self._count(connection, name, row):
                    self.insert(connection, name, row)

    def work(self, row: int) -> None:
        """Write, change, read and delete a row of each table; of a log that is only appended to, read."""
        changing = [name for name, table in self.tables.items() if name not in LOGS and table.primary_key.columns]
        for name in changing:
            with self.database.write() as connection:
                self.insert(connection, name, row)
                changed = {c.name: value(c, row) for c in self.columns[name]}
                connection.execute(self.tables[name].update().where(*self._key(name, row)).values(changed))
        for name in reversed(changing):
            with self.database.write() as connection:
                assert connection.execute(sa.select(*self.columns[name]).where(*self._key(name, row))).first()
                connection.execute(self.tables[name].delete().where(*self._key(name, row)))
        with self.database.read() as connection:
            for name in LOGS & self.tables.keys():
                connection.execute(sa.select(*self.columns[name])).first()

    def append(self, row: int) -> None:
        """Write a row of each log that is only appended to."""
        with self.database.write() as connection:
            for name in LOGS & self.tables.keys():
                self.insert(connection, name, row)

    def insert(self, connection: sa.Connection, name: str, row: int) -> None:
        values = {c.name: value(c, row) for c in self.columns[name]}
        connection.execute(self.tables[name].insert().values(values))

    def _count(self, connection: sa.Connection, name: str, row: int) -> int:
        table = self.tables[name]
        return int(
            connection.execute(sa.select(sa.func.count()).select_from(table).where(*self._key(name, row))).scalar_one()
        )

    def _key(self, name: str, row: int) -> list[sa.ColumnElement[bool]]:
        return [c == value(c, row) for c in self.tables[name].primary_key.columns]

    def counts(self) -> dict[str, int]:
        with self.database.read() as connection:
            return {
                n: int(connection.execute(sa.select(sa.func.count()).select_from(t)).scalar_one())
                for n, t in self.tables.items()
                if n not in MOMENTARY
            }


def value(column: sa.Column[Any], row: int) -> Any:
    """What a column holds in a row: the same everywhere, so that references find what they name."""
    kind = column.type
    if isinstance(kind, sa.DateTime):
        return NOW
    if isinstance(kind, sa.Boolean):
        return True
    if isinstance(kind, sa.JSON):
        return []
    if isinstance(kind, sa.LargeBinary):
        return b"%08d" % row
    if isinstance(kind, sa.Float | sa.Numeric):
        return float(row)
    if isinstance(kind, sa.Integer):
        return row
    return str(row)


@cache
def unused_since(number: str) -> Sequence[tuple[str, str]]:
    (path,) = (version.MIGRATIONS / "versions").glob(f"{number}_*.py")
    spec = importlib.util.spec_from_file_location(f"migration_{number}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told: Mapping[str, Sequence[str]] = getattr(module, "UNUSED", {})
    return [(table, column) for table, columns in told.items() for column in columns]


@pytest.fixture(params=services.DATABASES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'empty.db'}"
        database = Database(url if request.param == "sqlite" else stack.enter_context(services.postgres_database()))
        # What is asked here is not whether it reaches the disk, and there are thousands of transactions.
        quick = "PRAGMA synchronous=OFF" if database.is_sqlite else "SET SESSION synchronous_commit = off"
        sa.event.listen(database.engine, "connect", lambda made, _: _quickly(made, quick))
        yield database
        database.close()


def _quickly(made: Any, quick: str) -> None:
    made.execute(quick)
    if hasattr(made, "info"):
        made.commit()


def test_all_migrations_in_a_row_keep_what_was_there_before_the_first(empty: Database) -> None:
    schema.upgrade(empty, VERSIONS[0])
    first = Release(empty, VERSIONS[0])
    first.fill(999)
    schema.upgrade(empty)
    assert first.counts() == dict.fromkeys(first.tables.keys() - MOMENTARY, 1)
    with empty.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_newest_migrations_are_applied_while_the_release_before_reads_and_writes(empty: Database) -> None:
    apply_in_turn(empty, VERSIONS[-4:])


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_each_migration_is_applied_while_the_release_before_reads_and_writes(empty: Database) -> None:
    apply_in_turn(empty, VERSIONS)


def apply_in_turn(empty: Database, versions: Sequence[str]) -> None:
    """Apply all after the first, each under the release of the one before."""
    schema.upgrade(empty, versions[0])
    for before, after in pairwise(versions):
        release = Release(empty, before)
        release.fill(999)
        kept = release.counts()
        applied_under(release, empty, after, int(after))
        assert release.counts() == kept, after
        release.append(int(after))


def applied_under(release: Release, database: Database, after: str, row: int) -> None:
    """Migrate while the release works; raises what goes wrong for it, then or in a round after."""
    ended, failures = threading.Event(), list[Exception]()

    def run() -> None:
        try:
            over = False
            while not over:
                over = ended.is_set()
                release.work(row)
        except Exception as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        schema.upgrade(database, after)
    finally:
        ended.set()
        thread.join()
    assert not failures, (after, failures)
