from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from control_plane.store import enrollments, events, galleries, identities
from control_plane.store.db import Database, new_id
from control_plane.store.tables import encodings
from control_plane.store.tables import events as events_table
from faces.encoding import SFACE, to_bytes, unit
from faces.errors import AmbiguousName, Conflict, NotFound
from faces.events import Event, Status, uuid7
from faces.gallery import EncodingRow
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY
DATA = to_bytes(unit(np.random.default_rng(0).normal(size=128).astype(np.float32)))


def with_photo(connection: sa.Connection, name: str, later: int = 0) -> str:
    identity_id = identities.create(connection, name, [G], NOW + timedelta(seconds=later))
    photo = identities.Photo(id=new_id(NOW), identity_id=identity_id, quality={"size_px": 90}, created_at=NOW)
    row = EncodingRow(new_id(NOW), identity_id, SFACE, DATA)
    identities.add_photo(connection, photo, blob=f"photos/{photo.id}", sha256="0" * 64)
    identities.add_encoding(connection, row, NOW, photo_id=photo.id)
    return identity_id


def test_a_person_is_found_by_id_and_by_name(database: Database) -> None:
    with database.write() as connection:
        ann = with_photo(connection, "Ann")
        found = identities.get(connection, ann)
        assert (found.name, found.galleries, found.photos) == ("Ann", [G], 1)
        assert identities.by_name(connection, "Ann", G) == ann
        assert identities.by_name(connection, "Nobody", G) is None


def test_a_name_that_two_bear_is_ambiguous(database: Database) -> None:
    with database.write() as connection:
        for _ in range(2):
            identities.create(connection, "Ann", [G], NOW)
        with pytest.raises(AmbiguousName):
            identities.by_name(connection, "Ann", G)


def test_an_external_id_belongs_to_one_person(database: Database) -> None:
    with database.write() as connection:
        identities.create(connection, "Ann", [G], NOW, external_id="7")
        bob = identities.create(connection, "Bob", [G], NOW)
        with pytest.raises(Conflict):
            identities.create(connection, "Cem", [G], NOW, external_id="7")
        with pytest.raises(Conflict):
            identities.update(connection, bob, NOW, external_id="7")
        identities.update(connection, bob, NOW, external_id="8")


def test_the_names_are_of_those_who_can_be_recognised_in_the_order_of_enrolment(database: Database) -> None:
    with database.write() as connection:
        for later, name in enumerate(("Zoe", "Ann", "Zoe")):
            with_photo(connection, name, later)
        identities.create(connection, "Without photo", [G], NOW)
        assert identities.names(connection, G) == ["Zoe", "Ann"]


def test_a_list_is_paged_by_id_and_searched_by_parts_of_a_name(database: Database) -> None:
    with database.write() as connection:
        made = [identities.create(connection, n, [G], NOW) for n in ("Ann", "Bob", "Anton 100%", "Cem")]
        first = identities.listing(connection, limit=3)
        rest = identities.listing(connection, after=first[-1].id, limit=3)
        assert sorted(i.id for i in first + rest) == sorted(made)
        assert {i.name for i in identities.listing(connection, name="an")} == {"Ann", "Anton 100%"}
        assert [i.name for i in identities.listing(connection, name="%")] == ["Anton 100%"]


def test_erasing_leaves_nothing_of_a_person_but_a_pseudonym_in_old_events(database: Database) -> None:
    with database.write() as connection:
        ann = with_photo(connection, "Ann")
        pending = enrollments.submit(connection, NOW, gallery_id=G, blob="photos/99", sha256="0", identity_id=ann)
        event = Event(
            id=uuid7(NOW, bytes(10)),
            camera="c",
            captured_at=NOW,
            status=Status.PASS,
            identity_id=ann,
            name="Ann",
            thumbnail=b"j",
        )
        events.append(connection, [event], site_id="default", edge_id="e", now=NOW)
        blobs = identities.erase(connection, ann, NOW)
        assert len(blobs) == 3
        assert {"photos/99", f"keys/person/{ann}"} < set(blobs)
        left = events.get(connection, str(event.id))
        assert (left.identity_id, left.name, left.thumbnail) == (ann, None, False)
        assert connection.execute(sa.select(sa.func.count()).select_from(encodings)).scalar() == 0
        with pytest.raises(NotFound):
            identities.get(connection, ann)
        with pytest.raises(NotFound):
            enrollments.get(connection, pending)
        assert "Ann" not in str(connection.execute(sa.select(events_table)).all())


def test_erasing_nobody_is_not_found(database: Database) -> None:
    with database.write() as connection, pytest.raises(NotFound):
        identities.erase(connection, "nobody", NOW)


def test_no_byte_of_an_erased_template_stays_in_a_sqlite_file(sqlite: Database, tmp_path: Path) -> None:
    def somewhere() -> bool:
        return any(DATA[:64] in file.read_bytes() for file in tmp_path.glob("rollcall.db*"))

    plain = Database(sqlite.url.render_as_string())
    with plain.write() as connection:
        ann = with_photo(connection, "Ann")
    assert somewhere()
    with plain.write() as connection:
        identities.erase(connection, ann, NOW)
    plain.truncate_wal()
    assert not somewhere()
    plain.close()
