"""`rollcall backup` and `rollcall restore`: what the control plane and the worker on a data folder keep."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from control_plane.config import Config
from control_plane.store import audit, backup, replay, restoring, schema, seals
from control_plane.store.backup import Manifest, Told
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, utcnow
from control_plane.store.restoring import Lost
from control_plane.store.vault import open_vault
from faces.errors import Conflict, Invalid, SettingError
from rollcall import access


def back_up(data: Path, folder: Path, vault: Path | None, console: Console) -> None:
    """Make a backup of a product that may go on meanwhile; the vault's keys into another folder."""
    config = _config(data)
    _check_apart(folder, data, "a backup", "the data folder")
    if vault is not None:
        _check_apart(vault, folder, "the keys", "the backup that they open")
        _check_apart(vault, data, "the copy of the keys", "the data folder")
    with Database(config.database_url) as database, _writing(), _progress("copying files", console) as told:
        if restoring.is_new(database):
            raise SettingError("DATABASE_URL: there is no database", remedy="Name the data folder (--data).")

        def keys() -> None:
            if vault is not None:
                with Database(config.vault_url) as found:
                    backup.take_vault(found, vault)

        made = backup.take(database, config.data_dir / "blobs", folder, utcnow(), told=told, keys=keys)
    _tell(made, folder, vault, console)


def restore(data: Path, folder: Path, vault: Path | None, replace: bool, console: Console) -> None:
    """Have the product be what it was when the backup was made, but for whoever was erased since."""
    config = _config(data)
    with backup.alone(folder):
        made = backup.read(folder)
        with Database(config.database_url) as database:
            if not restoring.is_new(database) and not replace:
                raise Conflict(
                    "there is a database already, and all that came after the backup would be lost",
                    remedy="Say --replace if it is to be so.",
                )
            restoring.check_unused(database)
        _have_vault(config, made, vault)
        # Its key has to be there before anything is replaced.
        sealed = made.vault is not None
        keys = open_vault(config.vault_url, config.master_key, sealing=config.encrypt) if sealed else None
        with Database(config.database_url, vault=keys) as database, _writing():
            # On a new machine nothing may have been kept in it so far.
            config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            blobs = BlobStore(config.data_dir / "blobs", keys)
            with _progress("putting files back", console) as told:
                lost = restoring.put_back(folder, made, database, config.data_dir, told)
            schema.migrate(database, utcnow())
            seals.bind(database)
            erased = replay.at_start(database, blobs, utcnow())
            ended = restoring.end_imports(database, blobs)
            with database.write() as connection:
                audit.did(connection, access.actor(), "database.restore", utcnow())
    _tell_restored(made, lost, erased, ended, console)


def _config(data: Path) -> Config:
    return Config.read({**os.environ, "DATA_DIR": str(data.resolve())})


def _check_apart(one: Path, other: Path, what: str, from_what: str) -> None:
    one, other = one.resolve(), other.resolve()
    if one == other or other in one.parents or one in other.parents:
        raise Invalid(f"{what} must lie apart from {from_what}", remedy="Name another folder, best on another disk.")


def _have_vault(config: Config, made: Manifest, copy: Path | None) -> None:
    """Have the vault be there that the backup is sealed by: the one in place, which knows who was erased since, or the
    copy of it."""
    if made.vault is None:
        return
    with Database(config.vault_url) as vault:
        found = backup.vault_id(vault)
        if found is None and copy is not None:
            restoring.put_vault_back(copy, made.vault, vault)
        elif found is None:
            raise SettingError(
                "VAULT_URL: there is no vault, and nothing in the backup can be read without it",
                remedy="Give its copy: rollcall restore FOLDER --vault WHERE_IT_IS.",
            )
        elif found != made.vault:
            raise SettingError(
                "VAULT_URL: there is another vault than the one that the backup is sealed by",
                remedy="Name the right one, or move this one away and give the copy by --vault.",
            )


def _tell(made: Manifest, folder: Path, vault: Path | None, console: Console) -> None:
    held = f"{made.people} people, {made.events} events, {made.files} photos and archives"
    console.print(f"In {folder}: {held}.", soft_wrap=True)
    if made.gone:
        console.print(f"{made.gone} files were gone before they could be copied: erased meanwhile, as a rule.")
    if made.vault is None:
        return
    if vault is None:
        console.print("Without the vault nobody can read them: copy it too, by --vault, apart from this.")
    else:
        console.print(
            f"The vault is in {vault}: the latest copy only, as old ones would undo erasures.", soft_wrap=True
        )
    console.print("The master key is in neither. Keep a copy of it, apart from both.")


def _tell_restored(made: Manifest, lost: Lost | None, erased: int, ended: int, console: Console) -> None:
    console.print(f"All is as it was on {_moment(made.taken_at)}: {made.people} people, {made.events} events.")
    if lost is None:
        console.print("What came after that is lost, also which keys were revoked: revoke them again.")
    else:
        what = f"{lost.people} people, {lost.events} events"
        console.print(f"Lost is what came after that, until {_moment(lost.until)}: {what}.")
        console.print("Keys, users and the audit log are as they were before this; everybody signs in again.")
    console.print(f"{erased} people who were erased since the backup are erased again.")
    if ended:
        console.print(f"{ended} imports that were under way are cancelled, as their archives are gone.")
    console.print("Start control plane and worker. Edges that are ahead take their galleries anew.")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d at %H:%M:%S} UTC"


@contextmanager
def _writing() -> Iterator[None]:
    """A disk that is full, or that nobody may write to, is an accident with a remedy."""
    try:
        yield
    except OSError as error:
        raise Invalid(
            f"{error.filename} cannot be written: {error.strerror}",
            remedy="Make room, or see who may write there, and start again.",
        ) from error


@contextmanager
def _progress(what: str, console: Console) -> Iterator[Told]:
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
