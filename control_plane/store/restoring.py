"""Putting a backup back, and what outlasts that: who may come in, what was done by whom, and where the event log is.

Of those the database in place tells the latest, as the vault does of erasures: else a key that was revoked since would
count again, an edge that took another credential would be shut out, and positions of events would be given out twice.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from control_plane.store import audit, counters, imports, version
from control_plane.store.backup import (
    BLOBS,
    VAULT_FILE,
    BadBackup,
    Manifest,
    Told,
    copy_files,
    names_of,
    vault_in,
)
from control_plane.store.blobs import BlobStore
from control_plane.store.copying import AT_ONCE, ROLLCALL, VAULT, copy_in, opened
from control_plane.store.db import Connection, Database
from control_plane.store.tables import audit as audit_rows
from control_plane.store.tables import (
    audit_head,
    events,
    identities,
    join_tokens,
    keys,
    sign_ins,
    sites,
    tickets,
    users,
)
from control_plane.store.tables import imports as import_rows
from faces.errors import Conflict
from faces.sealing import Unreadable

FURTHER: Final = 10_000_000_000
"""How far the event log's positions go on where nobody knows which were given out since: more than there can be."""


class Lost(NamedTuple):
    """What came after a backup, by the database that was in place."""

    until: datetime
    people: int
    events: int


def put_vault_back(folder: Path, wanted: int, vault: Database) -> None:
    """Put the copy of a vault where there is none."""
    if not (folder / VAULT_FILE).is_file() or vault_in(folder) != wanted:
        raise BadBackup(
            f"{folder} does not hold the vault that the backup is sealed by",
            remedy="Name the folder that rollcall backup --vault wrote.",
        )
    copy_in(folder / VAULT_FILE, VAULT, vault)


def put_back(folder: Path, made: Manifest, database: Database, data: Path, told: Told) -> Lost | None:
    """Have database and files be what they were; returns what that loses, None if nobody knows.

    The files come first: so nothing is named that is not there. Nobody else may use the database. The folder is only
    read. Raises BadBackup and Conflict, and then nothing has changed.
    """
    with _copied(folder / made.database, data) as file, _legible(database):
        with opened(file) as copy:
            ROLLCALL.make(copy)
            with copy.read() as then:
                names = names_of(then)
            _check_there(folder, names, made)
            ROLLCALL.make(database)
            with copy.write() as then, database.read() as now:
                lost = _go_on(now, then, made)
        copy_files(folder / BLOBS, data / BLOBS, names, told)
        copy_in(file, ROLLCALL, database)
    # Their keys stay: a later backup may name these files.
    store = BlobStore(data / BLOBS)
    for name in set(store.names()) - names:
        store.path(name).unlink()
    return lost


def end_imports(database: Database, blobs: BlobStore) -> int:
    """Cancel the imports that were under way and whose archives are gone since; returns how many."""
    active = import_rows.c.state.in_((imports.State.PENDING, imports.State.RUNNING))
    with database.write() as connection:
        found = connection.execute(sa.select(import_rows.c.id, import_rows.c.blob).where(active)).all()
        ended = [row.id for row in found if not _readable(blobs, row.blob)]
        for import_id in ended:
            imports.cancel(connection, import_id)
    return len(ended)


def is_new(database: Database) -> bool:
    """Whether there is nothing to lose. Raises Conflict for a database that cannot be replaced."""
    if database.is_sqlite and not Path(database.url.database or "").exists():
        return True
    with _legible(database), database.read() as connection:
        found = version.current(connection)
        empty = not found or connection.execute(sa.select(sites.c.id).limit(1)).first() is None
    if found > version.newest():
        raise _in_the_way(database, f"the database in place is a later release's (schema {found})")
    return empty


def check_unused(database: Database) -> None:
    """Raises Conflict while somebody else has the database open."""
    used = Conflict(
        "control plane or worker is running on this database",
        remedy="Stop them all first, then start the restore again.",
    )
    if not database.is_sqlite:
        with database.read() as connection:
            if connection.execute(_OTHERS).scalar_one():
                raise used
    elif Path(database.url.database or "").is_file() and _is_open_elsewhere(database):
        raise used


_OTHERS = sa.text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


def _is_open_elsewhere(database: Database) -> bool:
    """SQLite leaves WAL mode only for whoever is alone."""
    with database.engine.connect().execution_options(rollcall_no_begin=True) as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        try:
            return bool(connection.exec_driver_sql("PRAGMA journal_mode=DELETE").scalar_one() != "delete")
        except sa.exc.OperationalError:
            return True
        finally:
            connection.invalidate()


@contextmanager
def _copied(source: Path, data: Path) -> Iterator[Path]:
    """A copy to work on, for its owner alone: the backup may lie where nothing can be written."""
    work = data / f"restore-{os.getpid()}.db"
    try:
        work.touch(mode=0o600)
        shutil.copyfile(source, work)
        yield work
    finally:
        for left in data.glob(f"{work.name}*"):
            left.unlink()


@contextmanager
def _legible(database: Database) -> Iterator[None]:
    """Raises Conflict where the database in place is damaged."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        raise _in_the_way(database, f"the database in place cannot be read ({error.orig})") from error


def _in_the_way(database: Database, why: str) -> Conflict:
    file = database.url.database
    remedy = f"Move {file}* away." if database.is_sqlite else "Drop it, and create it anew, empty."
    return Conflict(why, remedy=f"{remedy} What it knows of keys revoked since is then lost: revoke them again.")


def _go_on(now: Connection, then: Connection, made: Manifest) -> Lost | None:
    """Have the backup's copy say what outlasts it, by the database in place; None if that is another one or new."""
    for table in (tickets, sign_ins, join_tokens):
        then.execute(table.delete())
    if made.vault is None or counters.found(now, counters.VAULT) != made.vault:
        counters.put(then, counters.LOG, _counted(then) + FURTHER)
        return None
    lost = _lost(now, then, made)
    _go_on_with(now, then, keys, "id")
    _go_on_with(now, then, users, "id", "folded")
    _go_on_with_log(now, then)
    counters.put(then, counters.LOG, max(_counted(now), _counted(then)))
    return lost


def _lost(now: Connection, then: Connection, made: Manifest) -> Lost:
    newest = [now.execute(sa.select(sa.func.max(c))).scalar() for c in (audit_rows.c.at, events.c.arrived_at)]
    people = sa.select(sa.func.count()).select_from(identities).where(identities.c.created_at > made.taken_at)
    return Lost(
        until=max([made.taken_at, *(at for at in newest if at is not None)]),
        people=int(now.execute(people).scalar_one()),
        events=max(_counted(now) - _counted(then), 0),
    )


def _go_on_with(now: Connection, then: Connection, table: sa.Table, *unique: str) -> None:
    """Rows as they are now stand for those of then; what only then had stays."""
    rows = [dict(row) for row in now.execute(sa.select(table)).mappings()]
    if rows:
        for name in unique:
            then.execute(table.delete().where(table.c[name] == sa.bindparam(name)), rows)
        then.execute(table.insert(), rows)


def _go_on_with_log(now: Connection, then: Connection) -> None:
    """The audit log goes on, if then's is its beginning."""
    head = audit.head(then)
    same = sa.select(audit_rows.c.hash).where(audit_rows.c.position == head.position)
    if head.position and now.execute(same).scalar() != head.hash:
        return
    later = sa.select(audit_rows).where(audit_rows.c.position > head.position).order_by(audit_rows.c.position)
    for rows in now.execution_options(yield_per=AT_ONCE).execute(later).mappings().partitions():
        then.execute(audit_rows.insert(), [dict(row) for row in rows])
    newest = audit.head(now)
    then.execute(audit_head.update().values(position=newest.position, hash=newest.hash))


def _counted(connection: Connection) -> int:
    return counters.found(connection, counters.LOG) or 0


def _check_there(folder: Path, names: set[str], made: Manifest) -> None:
    store = BlobStore(folder / BLOBS)
    for name in sorted(names):
        path = store.path(name)
        # It or a folder around it: what a link leads to, and whoever restores may read, would be shown as a photo.
        if any(part.is_symlink() for part in (path, *path.parents[:3])):
            raise BadBackup(
                f"{name} in the backup leads elsewhere: no backup is made with links in it",
                remedy="Take another backup. If you put the link there yourself, put what it leads to in its place.",
            )
    there = sum(store.path(name).is_file() for name in names)
    if there < made.files:
        raise BadBackup(
            f"{made.files - there} of the backup's {made.files} photos and archives are missing",
            remedy="Take an earlier backup.",
        )


def _readable(blobs: BlobStore, name: str | None) -> bool:
    try:
        blobs.open(name or "").close()
    except (FileNotFoundError, Unreadable):
        return False
    return True
