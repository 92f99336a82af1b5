"""A backup: a folder with one state of the database and the files that it names. Its manifest is written last.

The keys by which it is sealed are not in it (`vault`): so it gives nobody back who was erased since.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from control_plane.store import version
from control_plane.store.blobs import BlobStore
from control_plane.store.copying import ROLLCALL, VAULT, copy_in, copy_out, opened
from control_plane.store.db import Connection, Database
from control_plane.store.tables import counters, enrollments, identifications, imports, photos
from control_plane.store.vault import state
from faces.errors import Conflict, Invalid, RollcallError

FORMAT: Final = 1
MANIFEST: Final = "backup.json"
BLOBS: Final = "blobs"
VAULT_FILE: Final = "vault.db"

Told = Callable[[int, int], None]


class BadBackup(RollcallError):
    """A folder that holds no backup, or one that was damaged."""

    code = "bad_backup"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: `database` is its file and `sha256` that file's, `vault` the vault's id that its rows are
    sealed by (None: they never were), `files` how many photos and archives. `gone` files were deleted meanwhile."""

    format: int = FORMAT
    schema: str
    taken_at: datetime
    database: str
    sha256: str
    vault: int | None
    files: int
    gone: int


def take(
    database: Database, blobs: Path, folder: Path, now: datetime, told: Told = lambda done, total: None
) -> Manifest:
    """Make a backup in a folder, or renew the one that is there: until all is done, that one is whole.

    Others may go on meanwhile. `told` hears how many files are done.
    """
    version.check(database)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder):
        file = f"rollcall-{now:%Y%m%dT%H%M%S%fZ}.db"
        copy_out(database, ROLLCALL, folder / file)
        with opened(folder / file) as copied, copied.read() as connection:
            names, vault = _names(connection), _vault_id(connection)
        gone = _copy_files(blobs, folder / BLOBS, names, told)
        manifest = Manifest(
            schema=version.newest(),
            taken_at=now,
            database=file,
            sha256=_digest(folder / file),
            vault=vault,
            files=len(names) - gone,
            gone=gone,
        )
        _write_last(folder, manifest)
        _remove_others(folder, file, names)
    return manifest


def take_vault(vault: Database, folder: Path) -> None:
    """Put the vault's latest state into a folder, in place of the one before: old ones would undo erasures."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder):
        new = folder / f"{VAULT_FILE}.new"
        new.unlink(missing_ok=True)
        copy_out(vault, VAULT, new)
        new.replace(folder / VAULT_FILE)


def read(folder: Path) -> Manifest:
    """The manifest of a backup that is whole; raises BadBackup."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BadBackup(
            f"{folder} holds no backup that was finished", remedy="Name the folder that rollcall backup wrote."
        ) from None
    except msgspec.MsgspecError as error:
        raise BadBackup(f"{folder / MANIFEST} cannot be read: {error}", remedy="Take an earlier backup.") from None
    if manifest.format != FORMAT:
        raise BadBackup(f"the backup has the format {manifest.format}", remedy="Restore it with a later Rollcall.")
    version.check_not_newer(manifest.schema)
    file = folder / manifest.database
    if file.parent != folder or not file.is_file() or _digest(file) != manifest.sha256:
        raise BadBackup("the backup's database is not what it was when it was made", remedy="Take an earlier backup.")
    return manifest


def vault_id(vault: Database) -> int | None:
    """The id of a vault; None: there is none."""
    if vault.is_sqlite and not Path(vault.url.database or "").is_file():
        return None
    with vault.read() as connection:
        if not sa.inspect(connection).has_table(state.name):
            return None
        return connection.execute(sa.select(state.c.id)).scalar()


def put_vault_back(folder: Path, wanted: int, vault: Database) -> None:
    """Put the copy of a vault where there is none."""
    file = folder / VAULT_FILE
    found = None
    if file.is_file():
        with opened(file) as copy:
            found = vault_id(copy)
    if found != wanted:
        raise BadBackup(
            f"{folder} does not hold the vault that the backup is sealed by",
            remedy="Name the folder that rollcall backup --vault wrote.",
        )
    if vault.is_sqlite:
        Path(vault.url.database or "").parent.mkdir(parents=True, exist_ok=True)
    copy_in(file, VAULT, vault)


def put_back(folder: Path, manifest: Manifest, database: Database, blobs: Path, told: Told) -> list[str]:
    """Have database and files be what they were; returns the names of files that came after.

    The files come first: so nothing is named that is not there. Nobody else may use the database.
    """
    with opened(folder / manifest.database) as copied, copied.read() as connection:
        names = _names(connection)
    _copy_files(folder / BLOBS, blobs, names, told)
    work = folder / f"{manifest.database}.work"
    try:
        shutil.copyfile(folder / manifest.database, work)
        work.chmod(0o600)
        with opened(work) as copy:
            ROLLCALL.make(copy)
        copy_in(work, ROLLCALL, database)
    finally:
        for left in (work, *folder.glob(f"{work.name}-*")):
            left.unlink(missing_ok=True)
    return sorted(set(_all(blobs)) - names)


def has_tables(connection: Connection) -> bool:
    return bool(version.current(connection))


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


def _names(connection: Connection) -> set[str]:
    """The files that rows name."""
    named = (photos.c.blob, imports.c.blob, enrollments.c.blob, identifications.c.blob)
    return {name for column in named for name in connection.execute(sa.select(column)).scalars() if name}


def _vault_id(connection: Connection) -> int | None:
    return connection.execute(sa.select(counters.c.value).where(counters.c.name == "vault")).scalar()


def _copy_files(source: Path, target: Path, names: Iterable[str], told: Told) -> int:
    """Copy what is not there yet; returns how many are gone. All is on the disk on return."""
    wanted = sorted(names)
    from_, to = BlobStore(source), BlobStore(target)
    gone = 0
    for number, name in enumerate(wanted, start=1):
        gone += not _copy_file(from_.path(name), to.path(name))
        told(number, len(wanted))
    os.sync()
    return gone


def _copy_file(source: Path, target: Path) -> bool:
    """A file never changes but when it is sealed, and then in size."""
    try:
        if target.is_file() and target.stat().st_size == source.stat().st_size:
            return True
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = target.with_suffix(".partial")
        shutil.copyfile(source, partial)
    except FileNotFoundError:
        return False
    partial.chmod(0o600)
    partial.replace(target)
    return True


def _all(blobs: Path) -> Iterator[str]:
    for path in blobs.glob("*/*/*"):
        if path.is_file() and not path.suffix:
            yield f"{path.parent.parent.name}/{path.name}"


def _write_last(folder: Path, manifest: Manifest) -> None:
    new = folder / f"{MANIFEST}.new"
    new.touch(mode=0o600)
    with new.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)))
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / MANIFEST)
    os.sync()


def _remove_others(folder: Path, kept: str, names: set[str]) -> None:
    """What earlier backups in this folder held, and this one does not."""
    for file in folder.glob("rollcall-*.db*"):
        if file.name != kept:
            file.unlink()
    store = BlobStore(folder / BLOBS)
    for name in set(_all(folder / BLOBS)) - names:
        store.path(name).unlink()


def _digest(file: Path) -> str:
    with file.open("rb") as opened_file:
        return file_digest(opened_file, "sha256").hexdigest()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Invalid(f"another backup into {folder} is under way", remedy="Wait until it is done.") from None
    finally:
        os.close(handle)
