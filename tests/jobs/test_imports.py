from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control_plane.store import enrollments, galleries, identities, imports
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, new_id
from control_plane.store.imports import State
from faces.engine import Engine
from faces.errors import Reason
from jobs.encode import Encoding
from jobs.imports import Reading
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY


def clock() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def hand_in(database: Database, blobs: BlobStore, data: bytes) -> str:
    blob = f"archives/{new_id(NOW)}"
    blobs.put(blob, data)
    with database.write() as connection:
        return imports.submit(connection, NOW, gallery_id=G, blob=blob)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return buffer.getvalue()


def outcome(database: Database, row: str) -> imports.Import:
    with database.read() as connection:
        return imports.get(connection, row)


def test_every_photo_of_an_archive_gets_its_own_outcome(
    sqlite: Database, blobs: BlobStore, engine: Engine, data: Path
) -> None:
    portraits = data / "portraits"
    files = {
        "biden.jpg": (portraits / "biden.jpg").read_bytes(),
        "obama/1.jpg": (portraits / "obama.jpg").read_bytes(),
        "obama/2.jpg": (portraits / "obama2.jpg").read_bytes(),
        "pair.jpg": (portraits / "two_people.jpg").read_bytes(),
        "broken.png": b"not a picture",
        "notes.txt": b"hello",
    }
    row = hand_in(sqlite, blobs, zipped(files))
    Reading(sqlite, blobs, clock).run(row)
    assert outcome(sqlite, row).state == State.RUNNING
    encoding = Encoding(sqlite, blobs, engine, clock)
    with sqlite.read() as connection:
        due = enrollments.due(connection, clock())
    for enrollment in due:
        encoding.run(enrollment)
    found = outcome(sqlite, row)
    assert (found.state, found.accepted, found.refused, found.pending) == (State.DONE, 3, 2, 0)
    with sqlite.read() as connection:
        assert identities.names(connection, G) == ["biden", "obama"]
        reasons = {e.entry: e.reason for e in enrollments.listing(connection, import_id=row)}
    assert reasons["pair.jpg"] == Reason.SEVERAL_FACES
    assert reasons["broken.png"] == Reason.NOT_AN_IMAGE


def test_reading_twice_submits_each_photo_once(sqlite: Database, blobs: BlobStore) -> None:
    row = hand_in(sqlite, blobs, zipped({"a.jpg": b"1", "b.jpg": b"2"}))
    reading = Reading(sqlite, blobs, clock)
    reading.run(row)
    reading.run(row)
    assert outcome(sqlite, row).pending == 2


def test_a_reading_that_broke_off_goes_on_where_it_was(sqlite: Database, blobs: BlobStore) -> None:
    row = hand_in(sqlite, blobs, zipped({"a.jpg": b"1", "b.jpg": b"2"}))
    with sqlite.write() as connection:
        imports.claim(connection, row, "died", NOW)
        enrollments.submit(
            connection, NOW, gallery_id=G, blob="photos/01", sha256="0", name="a", import_id=row, entry="a.jpg"
        )
    Reading(sqlite, blobs, clock).run(row)
    found = outcome(sqlite, row)
    assert (found.state, found.pending) == (State.RUNNING, 2)


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04 truncated", b"x" * 1000])
def test_what_is_no_archive_is_a_failed_import(sqlite: Database, blobs: BlobStore, junk: bytes) -> None:
    row = hand_in(sqlite, blobs, junk)
    Reading(sqlite, blobs, clock).run(row)
    found = outcome(sqlite, row)
    assert found.state == State.FAILED
    assert found.error is not None
    assert found.error["code"] == Reason.UNREADABLE_ARCHIVE


def test_an_archive_without_photos_is_done_at_once(sqlite: Database, blobs: BlobStore, tmp_path: Path) -> None:
    row = hand_in(sqlite, blobs, zipped({"notes.txt": b"hello"}))
    Reading(sqlite, blobs, clock).run(row)
    assert outcome(sqlite, row).state == State.DONE
    assert not [p for p in (tmp_path / "blobs").rglob("*") if p.is_file()]
