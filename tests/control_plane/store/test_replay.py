"""Whoever was erased stays so, also when the database of before is put back: the vault remembers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from control_plane.store import discards, encodings, erasures, galleries, identities, merges, replay
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, new_id
from control_plane.store.galleries import DEFAULT_GALLERY
from faces.encoding import SFACE, to_bytes, unit
from faces.errors import NotFound
from faces.gallery import EncodingRow
from faces.sealing import Unreadable
from tests.conftest import NOW


class Place:
    """A database with its photos, and people in it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.blobs = BlobStore(folder / "blobs", database.vault)

    def person(self, name: str) -> str:
        vector = unit(np.random.default_rng(len(name)).standard_normal(128).astype(np.float32))
        with self.database.write() as connection:
            person = identities.create(connection, name, [DEFAULT_GALLERY], NOW)
            photo = identities.Photo(id=new_id(NOW), identity_id=person, quality={}, created_at=NOW)
            self.blobs.put(f"photos/{photo.id}", b"\xff\xd8\xff a photo")
            identities.add_photo(connection, photo, blob=f"photos/{photo.id}", sha256="0" * 64)
            row = EncodingRow(new_id(NOW), person, SFACE, to_bytes(vector))
            identities.add_encoding(connection, row, NOW, photo_id=photo.id)
        return person

    def come_back(self, *people: str) -> None:
        """As if the database of before were put back: the vault, which lies apart, knows that these were erased."""
        assert self.database.vault is not None
        self.database.vault.erase(dict.fromkeys(people, NOW))

    def names(self) -> set[str]:
        with self.database.read() as connection:
            return {person.name for person in identities.listing(connection)}

    def start(self) -> int:
        return replay.at_start(self.database, self.blobs, NOW)

    def read_all(self) -> int:
        """How many encodings a copy of the gallery would be given; raises Unreadable."""
        with self.database.read() as connection:
            rows = galleries.snapshot(connection, DEFAULT_GALLERY)[1]
            return sum(isinstance(row, EncodingRow) for row in rows)


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    return Place(database, tmp_path)


def test_who_was_erased_is_erased_again_and_the_gallery_can_be_read(place: Place, tmp_path: Path) -> None:
    gone, kept = place.person("Gone"), place.person("Kept, longer")
    with place.database.read() as connection:
        before = galleries.position(connection, DEFAULT_GALLERY)
    place.come_back(gone)
    with pytest.raises(Unreadable):
        place.read_all()
    assert place.start() == 1
    assert (place.names(), place.read_all()) == ({"Kept, longer"}, 1)
    with place.database.read() as connection:
        with pytest.raises(NotFound):
            identities.get(connection, gone)
        assert identities.get(connection, kept).photos == 1
        after = galleries.position(connection, DEFAULT_GALLERY)
        assert after.revision > before.revision
        assert after.checksum != before.checksum
        assert erasures.among(connection, [gone, kept]) == {gone}
        assert galleries.recomputed_checksum(connection, DEFAULT_GALLERY) == after.checksum
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1


def test_a_start_on_which_nobody_came_back_changes_nothing(place: Place) -> None:
    gone = place.person("Gone")
    with place.database.write() as connection:
        blobs = identities.erase(connection, gone, NOW)
    discards.carry_out(place.database, place.blobs, blobs)
    with place.database.read() as connection:
        before = galleries.position(connection, DEFAULT_GALLERY)
    assert place.start() == 0
    place.person("New")
    place.come_back(gone)
    assert (place.start(), place.names()) == (0, {"New"})
    with place.database.read() as connection:
        assert galleries.position(connection, DEFAULT_GALLERY).revision >= before.revision


def test_of_a_merged_person_only_who_was_erased_goes(place: Place) -> None:
    one, other = place.person("One"), place.person("Another")
    with place.database.write() as connection:
        merges.merge(connection, one, other, NOW)
    place.come_back(other)
    assert place.start() == 1
    assert (place.names(), place.read_all()) == ({"One"}, 1)


def test_nothing_is_asked_of_a_database_without_a_vault(sqlite: Database, tmp_path: Path) -> None:
    bare = Database(sqlite.url.render_as_string(hide_password=False))
    assert replay.at_start(bare, BlobStore(tmp_path / "blobs"), NOW) == 0
    bare.close()


def test_the_encodings_of_those_who_stay_are_what_they_were(place: Place) -> None:
    gone, kept = place.person("Gone"), place.person("Kept, longer")
    with place.database.read() as connection:
        before = encodings.data_of(connection, kept)
    place.come_back(gone)
    place.start()
    with place.database.read() as connection:
        assert encodings.data_of(connection, kept) == before
