from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from control_plane.store import db, enrollments, erasures, identities, remains
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, new_id
from control_plane.store.enrollments import State
from control_plane.store.tables import encodings
from faces.errors import Reason
from tests.conftest import NOW
from tests.control_plane.store.test_galleries import G, enroll


def gone(database: Database, blobs: BlobStore) -> str:
    """Somebody whose rows are erased, and not yet what is beside them."""
    blobs.put("photos/01", b"a photo")
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        photo = identities.Photo(id=new_id(NOW), identity_id=ann, quality={}, created_at=NOW)
        identities.add_photo(connection, photo, blob="photos/01", sha256="0")
        assert identities.erase(connection, ann, NOW) == [f"keys/person/{ann}", "photos/01"]
    return ann


def scrubbed(database: Database, identity_id: str) -> bool:
    with database.read() as connection:
        return erasures.get(connection, identity_id).scrubbed_at == NOW


def test_files_that_a_crash_left_over_are_deleted_later(database: Database, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    ann = gone(database, blobs)
    remains.scrub(database, blobs, NOW, before=NOW - timedelta(seconds=1))
    assert blobs.path("photos/01").exists()
    assert not scrubbed(database, ann)
    remains.scrub(database, blobs, NOW, before=NOW)
    assert not blobs.path("photos/01").exists()
    assert scrubbed(database, ann)
    with database.read() as connection:
        assert erasures.unscrubbed(connection, NOW) == []


def test_while_somebody_reads_what_was_there_it_is_not_scrubbed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "VACUUM_PATIENCE_S", 0.1)
    monkeypatch.setattr(db, "TRUNCATE_TIMEOUT_MS", 100)
    blobs = BlobStore(tmp_path / "blobs")
    with database.write() as connection:
        enroll(connection, "Bob")
    with database.read() as reader:
        reader.execute(sa.select(encodings)).all()
        ann = gone(database, blobs)
        remains.scrub(database, blobs, NOW, before=NOW)
        assert not scrubbed(database, ann)
    remains.scrub(database, blobs, NOW, before=NOW)
    assert scrubbed(database, ann)


def test_postgres_keeps_no_dead_row_of_anybody_erased(database: Database, tmp_path: Path) -> None:
    if database.is_sqlite:
        return
    blobs = BlobStore(tmp_path / "blobs")
    gone(database, blobs)

    def dead() -> int:
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            query = "VACUUM (VERBOSE) encodings"
            told: list[str] = []
            connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
            connection.execute(query)
        lines = [line for text in told for line in text.splitlines() if line.startswith("tuples:")]
        assert lines
        return sum(int(line.split()[1]) for line in lines)

    remains.scrub(database, blobs, NOW, before=NOW)
    assert dead() == 0


def test_a_photo_put_forward_by_name_is_refused_when_the_person_is_erased(database: Database) -> None:
    def put_forward(name: str) -> str:
        return enrollments.submit(connection, NOW, gallery_id=G, blob=f"photos/{name}", sha256="0", name=name)

    with database.write() as connection:
        ann, bob = enroll(connection, "Ann"), enroll(connection, "Bob")
        enroll(connection, "Bob")
        late, of_bob = put_forward("Ann"), put_forward("Bob")
        assert identities.erase(connection, ann, NOW) == [f"keys/person/{ann}", "photos/Ann"]
        assert identities.erase(connection, bob, NOW) == [f"keys/person/{bob}"]
        found = enrollments.get(connection, late)
        assert (found.state, found.reason, found.name) == (State.REFUSED, Reason.IDENTITY_ERASED, None)
        assert enrollments.get(connection, of_bob).state is State.PENDING


def test_a_refusal_does_not_name_a_look_alike_who_was_erased(database: Database) -> None:
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        row = enrollments.submit(connection, NOW, gallery_id=G, blob="photos/1", sha256="0", name="Bob")
        told = {"reason": Reason.LOOK_ALIKE, "message": "like Ann", "detail": {"identity_id": ann, "name": "Ann"}}
        enrollments.refuse(connection, row, NOW, **told)  # type: ignore[arg-type]
        identities.erase(connection, ann, NOW)
        found = enrollments.get(connection, row)
        assert (found.name, found.reason, found.detail) == ("Bob", Reason.LOOK_ALIKE, {})
        assert "Ann" not in (found.message or "")
