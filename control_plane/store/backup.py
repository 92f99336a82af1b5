"""A backup: a folder with one state of the database and the files that it names. Its manifest is written last.

The keys by which it is sealed are not in it (`vault`): so it gives nobody back who was erased since.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from control_plane.store import counters, version
from control_plane.store.blobs import BlobStore
from control_plane.store.copying import ROLLCALL, VAULT, copy_out, opened
from control_plane.store.db import Connection, Database
from control_plane.store.tables import enrollments, events, identifications, identities, imports, photos
from control_plane.store.vault import state
from faces.errors import Invalid, RollcallError

FORMAT: Final = 1
MANIFEST: Final = "backup.json"
BLOBS: Final = "blobs"
VAULT_FILE: Final = "vault.db"

_DATABASE = r"rollcall-\d{8}T\d{12}Z\.db(-\w+)?"
_OURS = re.compile(rf"{_DATABASE}|backup\.json(\.new)?|blobs|lost\+found")

Told = Callable[[int, int], None]


class BadBackup(RollcallError):
    """A folder that holds no backup, or one that was damaged."""

    code = "bad_backup"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: `database` is its file and `sha256` that file's, `kind` what it was made of, `vault` the
    vault's id that its rows are sealed by (None: they never were), `files` how many photos and archives. `gone` files
    were deleted meanwhile."""

    format: int = FORMAT
    schema: str
    taken_at: datetime
    kind: str
    database: str
    sha256: str
    vault: int | None
    people: int
    events: int
    files: int
    gone: int


def take(
    database: Database,
    blobs: Path,
    folder: Path,
    now: datetime,
    *,
    told: Told = lambda done, total: None,
    keys: Callable[[], None] = lambda: None,
) -> Manifest:
    """Make a backup in a folder, or renew the one that is there: until all is done, that one is whole.

    Others may go on meanwhile. `told` hears how many files are done. `keys` copies the vault before the backup is
    whole: so that no backup is sealed by a key that the copy does not have yet. Raises Invalid for a folder that holds
    other things, and OSError where it cannot be written.
    """
    version.check(database)
    with database.read() as connection:
        vault = counters.found(connection, counters.VAULT)
    make_folder(folder)
    with alone(folder):
        before = _before(folder, vault)
        _remove_left(folder, before)
        file = f"rollcall-{now:%Y%m%dT%H%M%S%fZ}.db"
        copy_out(database, ROLLCALL, folder / file)
        with opened(folder / file) as copied, copied.read() as connection:
            names, people, seen = names_of(connection), _count(connection, identities), _count(connection, events)
        gone = copy_files(blobs, folder / BLOBS, names, told)
        keys()
        manifest = Manifest(
            schema=version.newest(),
            taken_at=now,
            kind=database.url.get_backend_name(),
            database=file,
            sha256=_digest(folder / file),
            vault=vault,
            people=people,
            events=seen,
            files=len(names) - gone,
            gone=gone,
        )
        _write_last(folder, manifest)
        _remove_others(folder, manifest, names)
    return manifest


def take_vault(vault: Database, folder: Path) -> None:
    """Put the vault's latest state into a folder, in place of the one before: old ones would undo erasures.

    Raises Invalid where another vault lies there, and OSError where it cannot be written.
    """
    make_folder(folder)
    with alone(folder):
        here, new = folder / VAULT_FILE, folder / f"{VAULT_FILE}.new"
        if vault.is_sqlite and here.exists() and here.samefile(vault.url.database or ""):
            raise Invalid(f"{folder} holds the vault itself", remedy="Name another folder, best on another disk.")
        if vault_in(folder) not in (None, vault_id(vault)):
            raise Invalid(f"{folder} holds the vault of another installation", remedy="Name another folder.")
        new.unlink(missing_ok=True)
        copy_out(vault, VAULT, new)
        new.replace(here)


def read(folder: Path) -> Manifest:
    """The manifest of a backup that is whole; raises BadBackup."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BadBackup(
            f"{folder} holds no backup that was finished", remedy="Name the folder that rollcall backup wrote."
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadBackup(f"{folder / MANIFEST} cannot be read: {error}", remedy="Take an earlier backup.") from None
    if manifest.format != FORMAT or manifest.schema > version.newest():
        raise BadBackup(
            f"a later release made this backup (format {manifest.format}, schema {manifest.schema})",
            remedy="Restore it with that release, or a later one.",
        )
    file = folder / manifest.database
    if not re.fullmatch(_DATABASE, manifest.database) or not file.is_file() or _digest(file) != manifest.sha256:
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


def vault_in(folder: Path) -> int | None:
    """The id of the vault whose copy lies in a folder; None: there is none, or it is damaged."""
    with contextlib.suppress(sa.exc.DatabaseError), opened(folder / VAULT_FILE) as copy:
        return vault_id(copy)
    return None


def names_of(connection: Connection) -> set[str]:
    """The files that rows name."""
    named = (photos.c.blob, imports.c.blob, enrollments.c.blob, identifications.c.blob)
    return {name for column in named for name in connection.execute(sa.select(column)).scalars() if name}


def copy_files(source: Path, target: Path, names: Iterable[str], told: Told) -> int:
    """Copy what is not there yet; returns how many are gone. All is on the disk on return."""
    wanted = sorted(names)
    from_, to = BlobStore(source), BlobStore(target)
    gone = 0
    for number, name in enumerate(wanted, start=1):
        gone += not _copy_file(from_.path(name), to.path(name))
        told(number, len(wanted))
    os.sync()
    return gone


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Raises Invalid while another backup or restore is at work on this folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Invalid(
            f"another backup into {folder}, or a restore from there, is under way", remedy="Wait until it is done."
        ) from None
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Have a folder be there; those that are made for it are for their owner alone."""
    for path in reversed([folder, *folder.parents]):
        path.mkdir(mode=0o700, exist_ok=True)


def _before(folder: Path, vault: int | None) -> Manifest | None:
    """The backup that is there already; raises Invalid if it is another installation's, or something else lies there:
    what no backup names any more is removed."""
    if strange := sorted(path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)):
        raise Invalid(f"{folder} holds other things ({strange[0]})", remedy="Name a new folder, or an empty one.")
    try:
        before = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if before.vault not in (None, vault):
        raise Invalid(f"{folder} holds the backup of another installation", remedy="Name another folder.")
    return before


def _remove_left(folder: Path, before: Manifest | None) -> None:
    """Make room: what backups left that broke off."""
    for file in folder.glob("rollcall-*.db*"):
        if before is None or file.name != before.database:
            file.unlink()


def _count(connection: Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _copy_file(source: Path, target: Path) -> bool:
    """A file never changes but when it is sealed, and then in size."""
    try:
        if target.is_file() and target.stat().st_size == source.stat().st_size:
            return True
        if not target.parent.is_dir():
            make_folder(target.parent)
        partial = target.with_suffix(".partial")
        shutil.copyfile(source, partial)
    except FileNotFoundError:
        return False
    partial.chmod(0o600)
    partial.replace(target)
    return True


def _write_last(folder: Path, manifest: Manifest) -> None:
    new = folder / f"{MANIFEST}.new"
    new.touch(mode=0o600)
    with new.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)))
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / MANIFEST)
    os.sync()


def _remove_others(folder: Path, manifest: Manifest, names: set[str]) -> None:
    """What earlier backups in this folder held, and this one does not."""
    _remove_left(folder, manifest)
    store = BlobStore(folder / BLOBS)
    for name in set(store.names()) - names:
        store.path(name).unlink()
    for partial in (folder / BLOBS).glob("*/*/*.partial"):
        partial.unlink()


def _digest(file: Path) -> str:
    with file.open("rb") as opened_file:
        return file_digest(opened_file, "sha256").hexdigest()
