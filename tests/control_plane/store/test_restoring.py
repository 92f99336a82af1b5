"""What a restore puts back, and what goes on as it was: on each database."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from control_plane.store import (
    audit,
    backup,
    counters,
    events,
    identities,
    imports,
    joins,
    keys,
    restoring,
    schema,
    seals,
    sign_ins,
    sites,
    tickets,
    users,
)
from control_plane.store.backup import BadBackup
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, new_id
from control_plane.store.galleries import DEFAULT_GALLERY
from control_plane.store.keys import Role
from control_plane.store.restoring import FURTHER, Lost
from control_plane.store.sign_ins import Lasting
from control_plane.store.tickets import Bearer
from faces.errors import Conflict
from tests.conftest import NOW

LATER = NOW + timedelta(hours=1)
LASTING = Lasting(timedelta(hours=1), timedelta(days=1))
PHOTO = b"\xff\xd8\xff a photo"


class Place:
    """An installation's database and files, and a folder for backups."""

    def __init__(self, database: Database, folder: Path) -> None:
        seals.bind(database)
        self.database, self.folder, self.files = database, folder, folder / "blobs"
        self.blobs = BlobStore(self.files, database.vault)

    def person(self, name: str, at: datetime = NOW) -> str:
        """Somebody with a photo; returns the photo's file."""
        photo_id = new_id(NOW)
        self.blobs.put(f"photos/{photo_id}", PHOTO)
        with self.database.write() as connection:
            person = identities.create(connection, name, [DEFAULT_GALLERY], at)
            photo = identities.Photo(id=photo_id, identity_id=person, quality={}, created_at=NOW)
            identities.add_photo(connection, photo, blob=f"photos/{photo_id}", sha256="0" * 64)
        return f"photos/{photo_id}"

    def names(self) -> list[str]:
        with self.database.read() as connection:
            return sorted(person.name for person in identities.listing(connection))

    def take(self, into: str = "backup") -> Path:
        backup.take(self.database, self.files, self.folder / into, NOW)
        return self.folder / into

    def put_back(self, folder: Path) -> Lost | None:
        made = backup.read(folder)
        return restoring.put_back(folder, made, self.database, self.folder, lambda done, total: None)


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    return Place(database, tmp_path)


@pytest.fixture
def local(sqlite: Database, tmp_path: Path) -> Place:
    return Place(sqlite, tmp_path)


def test_people_and_photos_are_those_of_the_backup_and_the_folder_is_only_read(place: Place) -> None:
    here = place.person("Here")
    folder = place.take()
    held = {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}
    lost = place.person("Lost", LATER)
    place.blobs.path(here).unlink()
    told = place.put_back(folder)
    assert told is not None
    assert told.people == 1
    assert (place.names(), place.blobs.get(here)) == (["Here"], PHOTO)
    assert not place.blobs.path(lost).exists()
    assert held == {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


def test_going_back_too_far_leaves_the_way_to_a_later_backup(local: Place) -> None:
    local.person("First")
    first = local.take("first")
    photo = local.person("Second")
    second = local.take("second")
    local.put_back(first)
    assert local.names() == ["First"]
    local.put_back(second)
    assert (local.names(), local.blobs.get(photo)) == (["First", "Second"], PHOTO)


def test_who_was_let_in_or_shut_out_since_stays_so_and_everybody_signs_in_again(place: Place) -> None:
    with place.database.write() as connection:
        revoked = keys.create(connection, Role.ADMIN, NOW)
        ann, bob = (users.create(connection, name, Role.VIEWER, f"hash of {name}", NOW) for name in ("ann", "bob"))
        sign_ins.create(connection, ann.id, NOW, LASTING)
        joins.issue(connection, sites.DEFAULT_SITE, NOW)
        tickets.issue(connection, Bearer(keys.id_of(revoked)), NOW)
    folder = place.take()
    with place.database.write() as connection:
        keys.revoke(connection, keys.id_of(revoked) or "", LATER)
        made = keys.create(connection, Role.VIEWER, LATER)
        users.disable(connection, ann.id, LATER)
        users.set_password(connection, bob.id, "another hash")
        audit.did(connection, "cli:ann", "key.revoke", LATER)
        before = keys.listing(connection), users.listing(connection), audit.head(connection)
    told = place.put_back(folder)
    assert told == Lost(until=LATER, people=0, events=0)
    with place.database.read() as connection:
        assert (keys.listing(connection), users.listing(connection), audit.head(connection)) == before
        assert keys.id_of(made) in {key.id for key in keys.listing(connection)}
        assert users.password_of(connection, bob.id) == "another hash"
        assert audit.verify(connection) is None
        for table in ("sign_ins", "tickets", "join_tokens"):
            assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar() == 0, table


def test_the_event_logs_positions_are_not_given_out_twice(place: Place, tmp_path: Path) -> None:
    count(place.database, 5)
    folder = place.take()
    count(place.database, 7)
    with place.database.write() as connection:
        audit.did(connection, "cli:ann", "key.create", NOW)
    told = place.put_back(folder)
    assert told is not None
    assert told.events == 2
    assert counted(place.database) == 7
    with Database(f"sqlite:///{tmp_path / 'new' / 'rollcall.db'}") as new:
        assert restoring.put_back(folder, backup.read(folder), new, tmp_path / "new", lambda *_: None) is None
        assert counted(new) == 5 + FURTHER, "nobody knows how many were given out since"


def count(database: Database, events_: int) -> None:
    with database.write() as connection:
        counters.put(connection, counters.LOG, events_)


def counted(database: Database) -> int:
    with database.read() as connection:
        return events.head(connection)


def test_another_installations_keys_and_log_do_not_go_on(local: Place, tmp_path: Path) -> None:
    folder = local.take()
    with Database(f"sqlite:///{tmp_path / 'other' / 'rollcall.db'}") as other:
        schema.migrate(other, NOW)
        with other.write() as connection:
            counters.begin(connection, counters.VAULT, 1)
            keys.create(connection, Role.ADMIN, NOW)
            audit.did(connection, "cli:eve", "key.create", NOW)
        assert restoring.put_back(folder, backup.read(folder), other, tmp_path / "other", lambda *_: None) is None
        with other.read() as connection:
            assert (keys.listing(connection), audit.head(connection).position) == ([], 0)


def test_a_backup_that_lacks_a_file_is_refused_before_anything_changes(place: Place) -> None:
    kept = place.person("Here")
    folder = place.take()
    lost = place.person("Later")
    BlobStore(folder / backup.BLOBS).path(kept).unlink()
    with pytest.raises(BadBackup, match="1 of the backup's 1 photos"):
        place.put_back(folder)
    assert place.names() == ["Here", "Later"]
    assert place.blobs.get(lost) == PHOTO


@pytest.mark.parametrize("linked", ["the photo", "its folder", "all files"])
def test_a_link_in_a_backup_is_not_followed_and_nothing_changes(local: Place, linked: str) -> None:
    photo = local.person("Eve")
    folder = local.take()
    path = BlobStore(folder / backup.BLOBS).path(photo)
    link = {"the photo": path, "its folder": path.parent, "all files": folder / backup.BLOBS}[linked]
    link.rename(local.folder / "elsewhere")
    link.symlink_to(local.folder / "elsewhere")
    local.blobs.path(photo).unlink()
    later = local.person("Later")
    with pytest.raises(BadBackup, match=r"leads elsewhere") as refused:
        local.put_back(folder)
    assert (photo in refused.value.message, "link" in refused.value.remedy) == (True, True)
    assert local.names() == ["Eve", "Later"]
    assert list(local.blobs.names()) == [later]


def test_a_backup_is_found_by_a_link_to_its_folder(local: Place) -> None:
    photo = local.person("Ann")
    link = local.folder / "latest"
    link.symlink_to(local.take())
    local.blobs.path(photo).unlink()
    local.put_back(link)
    assert local.blobs.get(photo) == PHOTO


def test_an_import_whose_archive_is_gone_is_cancelled_and_others_go_on(local: Place) -> None:
    with local.database.write() as connection:
        for name in ("imports/01", "imports/02"):
            local.blobs.put(name, b"an archive")
            imports.submit(connection, NOW, gallery_id=DEFAULT_GALLERY, blob=name)
    folder = local.take()
    local.blobs.delete(["imports/01"])
    local.put_back(folder)
    assert restoring.end_imports(local.database, local.blobs) == 1
    with local.database.read() as connection:
        states = dict(connection.execute(sa.text("SELECT blob, state FROM imports")).all())
    assert states == {"imports/01": "cancelling", "imports/02": "pending"}


def test_a_database_that_cannot_be_replaced_is_named_with_what_helps(local: Place, tmp_path: Path) -> None:
    folder = local.take()
    with local.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="later release") as refused:
        restoring.is_new(local.database)
    assert "Move" in refused.value.remedy
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database" * 1000)
    with Database(f"sqlite:///{damaged}") as database:
        with pytest.raises(Conflict, match="cannot be read"):
            restoring.is_new(database)
        with pytest.raises(Conflict, match="cannot be read"):
            restoring.put_back(folder, backup.read(folder), database, tmp_path, lambda *_: None)


def test_a_database_is_new_until_there_is_a_site(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'rollcall.db'}") as database:
        assert restoring.is_new(database)
        schema.upgrade(database)
        assert restoring.is_new(database), "a restore that broke off here is started again"
        schema.migrate(database, NOW)
        assert not restoring.is_new(database)
