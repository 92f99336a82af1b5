"""Backups: what they hold, where they may lie, and that one which broke off is none."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from control_plane.store import backup, copying, identities, seals, version
from control_plane.store.backup import BadBackup, Manifest
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, new_id
from control_plane.store.galleries import DEFAULT_GALLERY
from control_plane.store.vault import open_vault
from faces.errors import Invalid
from faces.masterkey import Source
from tests.conftest import NOW


def person(database: Database, blobs: Path, name: str) -> str:
    """Somebody with a photo; returns the photo's file."""
    seals.bind(database)
    photo = identities.Photo(id=new_id(NOW), identity_id="", quality={}, created_at=NOW)
    file = f"photos/{photo.id}"
    BlobStore(blobs, database.vault).put(file, b"\xff\xd8\xff a photo")
    with database.write() as connection:
        made = identities.create(connection, name, [DEFAULT_GALLERY], NOW)
        identities.add_photo(
            connection,
            identities.Photo(id=photo.id, identity_id=made, quality={}, created_at=NOW),
            blob=file,
            sha256="0" * 64,
        )
    return file


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "rollcall-test", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_manifest_tells_what_is_there(database: Database, tmp_path: Path) -> None:
    person(database, tmp_path / "blobs", "Here")
    gone = person(database, tmp_path / "blobs", "Going")
    BlobStore(tmp_path / "blobs").path(gone).unlink()
    made = backup.take(database, tmp_path / "blobs", tmp_path / "backup", NOW)
    assert made == backup.read(tmp_path / "backup")
    assert (made.people, made.events, made.files, made.gone) == (2, 0, 1, 1)
    assert (made.kind, made.schema, made.taken_at) == (database.url.get_backend_name(), version.newest(), NOW)


def test_all_that_is_made_is_for_its_owner_alone(database: Database, tmp_path: Path) -> None:
    file = person(database, tmp_path / "blobs", "Here")
    folder = tmp_path / "some" / "where"
    backup.take(database, tmp_path / "blobs", folder, NOW)
    paths = [folder.parent, folder, *folder.rglob("*")]
    assert BlobStore(folder / "blobs").path(file) in paths
    assert {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in paths} == {path.name: 0 for path in paths}


def test_the_next_backup_copies_what_is_new_and_drops_what_nothing_names(sqlite: Database, tmp_path: Path) -> None:
    blobs, folder = tmp_path / "blobs", tmp_path / "backup"
    first = person(sqlite, blobs, "First")
    backup.take(sqlite, blobs, folder, NOW)
    held = BlobStore(folder / "blobs").path(first)
    copied, stray = held.stat().st_ino, held.with_name(f"00{held.name[-2:]}")
    for name in (stray, held.with_suffix(".partial"), folder / "rollcall-20260101T000000000001Z.db"):
        name.write_bytes(b"left by one that broke off")
    second = person(sqlite, blobs, "Second")
    made = backup.take(sqlite, blobs, folder, NOW + timedelta(days=1))
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    names = {str(BlobStore(Path("blobs")).path(name)) for name in (first, second)}
    assert left == {backup.MANIFEST, made.database, *names}
    assert held.stat().st_ino == copied


def test_a_folder_with_other_things_is_refused_and_left_as_it_is(sqlite: Database, tmp_path: Path) -> None:
    person(sqlite, tmp_path / "blobs", "Here")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Invalid, match="other things"):
        backup.take(sqlite, tmp_path / "blobs", tmp_path, NOW)
    assert sorted(tmp_path.rglob("*")) == before


def test_another_installations_backup_or_vault_is_not_replaced(sqlite: Database, tmp_path: Path) -> None:
    person(sqlite, tmp_path / "blobs", "Here")
    backup.take(sqlite, tmp_path / "blobs", tmp_path / "backup", NOW)
    with sqlite.write() as connection:
        connection.execute(sa.text("UPDATE counters SET value = value + 1 WHERE name = 'vault'"))
    with pytest.raises(Invalid, match="another installation"):
        backup.take(sqlite, tmp_path / "blobs", tmp_path / "backup", NOW)
    other = open_vault(f"sqlite:///{tmp_path / 'other' / 'vault.db'}", Source(tmp_path / "other.key"))
    with other.database as vault:
        assert sqlite.vault is not None
        backup.take_vault(sqlite.vault.database, tmp_path / "keys")
        with pytest.raises(Invalid, match="vault of another"):
            backup.take_vault(vault, tmp_path / "keys")
        with pytest.raises(Invalid, match="the vault itself"):
            backup.take_vault(vault, tmp_path / "other")


def test_a_full_disk_says_so_leaves_the_backup_before_whole_and_the_next_one_has_room(
    database: Database, tmp_path: Path, disk: Path
) -> None:
    person(database, tmp_path / "blobs", "Here")
    folder = disk / "backup"
    first = backup.take(database, tmp_path / "blobs", folder, NOW)
    eater = disk / "eater"
    eater.write_bytes(bytes(shutil.disk_usage(disk).free - (300 << 10)))
    for later in (1, 2):
        with pytest.raises(OSError, match="No space left"):
            backup.take(database, tmp_path / "blobs", folder, NOW + timedelta(days=later))
    assert backup.read(folder) == first
    assert len(list(folder.glob("rollcall-*.db"))) == 2, "what the last attempt left, and nothing of the one before"
    eater.unlink()
    third = backup.take(database, tmp_path / "blobs", folder, NOW + timedelta(days=3))
    assert backup.read(folder) == third
    assert [path.name for path in folder.glob("rollcall-*")] == [third.database]


def test_the_vault_is_copied_before_the_backup_counts(sqlite: Database, tmp_path: Path) -> None:
    person(sqlite, tmp_path / "blobs", "Here")

    def fails() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        backup.take(sqlite, tmp_path / "blobs", tmp_path / "backup", NOW, keys=fails)
    with pytest.raises(BadBackup, match="no backup that was finished"):
        backup.read(tmp_path / "backup")


def test_only_one_at_a_time_is_at_work_on_a_folder(sqlite: Database, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    with backup.alone(tmp_path / "backup"), pytest.raises(Invalid, match="under way"):
        backup.take(sqlite, tmp_path / "blobs", tmp_path / "backup", NOW)


@pytest.mark.parametrize("change", [{"format": 2}, {"schema": "9999"}])
def test_a_later_releases_backup_is_refused(sqlite: Database, tmp_path: Path, change: dict[str, object]) -> None:
    seals.bind(sqlite)
    made = backup.take(sqlite, tmp_path / "blobs", tmp_path / "backup", NOW)
    told = {name: getattr(made, name) for name in Manifest.__struct_fields__} | change
    backup._write_last(tmp_path / "backup", Manifest(**told))
    with pytest.raises(BadBackup, match="a later release"):
        backup.read(tmp_path / "backup")


def test_a_copy_names_no_file_outside_of_its_folder(sqlite: Database, tmp_path: Path) -> None:
    seals.bind(sqlite)
    made = backup.take(sqlite, tmp_path / "blobs", tmp_path / "backup", NOW)
    shutil.move(tmp_path / "backup" / made.database, tmp_path / made.database)
    told = {name: getattr(made, name) for name in Manifest.__struct_fields__} | {"database": f"../{made.database}"}
    backup._write_last(tmp_path / "backup", Manifest(**told))
    with pytest.raises(BadBackup, match="not what it was"):
        backup.read(tmp_path / "backup")


def test_a_copy_is_the_same_whichever_database_it_is_of(database: Database, tmp_path: Path) -> None:
    person(database, tmp_path / "blobs", "Here")
    copying.copy_out(database, copying.ROLLCALL, tmp_path / "copy.db")
    with copying.opened(tmp_path / "copy.db") as copy:
        for table in copying.ROLLCALL.metadata.sorted_tables:
            with database.read() as one, copy.read() as other:
                rows = [sorted(map(repr, c.execute(sa.select(table)).all())) for c in (one, other)]
            assert rows[0] == rows[1], table.name
