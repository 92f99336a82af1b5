"""`rollcall backup` and `rollcall restore`: what the control plane and the worker on a data folder keep."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from control_plane.config import Config
from control_plane.store import audit, backup, replay, schema, seals
from control_plane.store.backup import Manifest, Told
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, utcnow
from control_plane.store.vault import open_vault
from faces.errors import Conflict, Invalid, SettingError


def back_up(data: Path, folder: Path, vault: Path | None, console: Console) -> None:
    """Make a backup of a product that may go on meanwhile; the vault's keys into another folder."""
    config = _config(data)
    _check_apart(folder, data, "a backup", "the data folder")
    if vault is not None:
        _check_apart(vault, folder, "the keys", "the backup that they open")
        _check_apart(vault, data, "the copy of the keys", "the data folder")
    with Database(config.database_url) as database, _progress("copying files", console) as told:
        made = backup.take(database, config.data_dir / "blobs", folder, utcnow(), told)
    if vault is not None:
        with Database(config.vault_url) as keys:
            backup.take_vault(keys, vault)
    _tell(made, folder, vault, console)


def restore(data: Path, folder: Path, vault: Path | None, replace: bool, console: Console) -> None:
    """Have the product be what it was when the backup was made, but for whoever was erased since."""
    config = _config(data)
    made = backup.read(folder)
    with Database(config.database_url) as database:
        if not replace and not _is_new(database):
            raise Conflict(
                "there is a database already, and all that came after the backup would be lost",
                remedy="Say --replace if it is to be so.",
            )
        backup.check_unused(database)
    _have_vault(config, made, vault)
    # Its key has to be there before anything is replaced.
    keys = open_vault(config.vault_url, config.master_key, sealing=config.encrypt) if made.vault is not None else None
    with Database(config.database_url, vault=keys) as database:
        blobs = BlobStore(config.data_dir / "blobs", keys)
        with _progress("putting files back", console) as told:
            after = backup.put_back(folder, made, database, config.data_dir / "blobs", told)
        schema.migrate(database, utcnow())
        seals.bind(database)
        blobs.delete(after)
        erased = replay.at_start(database, blobs, utcnow())
        with database.write() as connection:
            audit.did(connection, "command:restore", "database.restore", utcnow())
    console.print(
        f"All is as it was on {made.taken_at:%Y-%m-%d at %H:%M:%S} UTC; {len(after)} files that came later are gone. "
        f"{erased} people who were erased since are erased again. Start control plane and worker: "
        "edges that are ahead take their galleries anew."
    )


def _config(data: Path) -> Config:
    return Config.read({**os.environ, "DATA_DIR": str(data.resolve())})


def _check_apart(one: Path, other: Path, what: str, from_what: str) -> None:
    one, other = one.resolve(), other.resolve()
    if one == other or other in one.parents or one in other.parents:
        raise Invalid(f"{what} must lie apart from {from_what}", remedy="Name another folder, best on another disk.")


def _is_new(database: Database) -> bool:
    if database.is_sqlite and not Path(database.url.database or "").exists():
        return True
    return not database.seen(backup.has_tables)


def _have_vault(config: Config, made: Manifest, copy: Path | None) -> None:
    """Have the vault be there that the backup is sealed by: the one in place, which knows who was erased since, or the
    copy of it."""
    if made.vault is None:
        return
    with Database(config.vault_url) as vault:
        found = backup.vault_id(vault)
        if found is None and copy is not None:
            backup.put_vault_back(copy, made.vault, vault)
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
    console.print(f"The database and {made.files} photos and archives are in {folder}.", soft_wrap=True)
    if made.vault is None:
        return
    if vault is None:
        console.print("Without the vault nobody can read them: copy it too, by --vault, apart from this.")
    else:
        console.print(
            f"The vault is in {vault}: the latest copy only, as old ones would undo erasures.", soft_wrap=True
        )
    console.print("The master key is in neither. Keep a copy of it, apart from both.")


@contextmanager
def _progress(what: str, console: Console) -> Iterator[Told]:
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
