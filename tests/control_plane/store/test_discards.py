"""Files that no row names: noted with the change that drops them, deleted, and found again after a crash."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from control_plane.store import discards
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database
from tests.conftest import NOW

LATER = NOW + timedelta(minutes=1)


def due(database: Database) -> list[str]:
    with database.read() as connection:
        return discards.due(connection, LATER)


def test_a_noted_file_is_deleted_once_however_often_that_is_asked_for(database: Database, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    blobs.put("photos/ab", b"x")
    with database.write() as connection:
        discards.note(connection, ["photos/ab", None], NOW)
        names = discards.note(connection, ["photos/ab"], NOW)
    assert due(database) == names == ["photos/ab"]
    for _ in range(2):
        discards.carry_out(database, blobs, names)
        assert (due(database), blobs.path("photos/ab").exists()) == ([], False)


def test_a_transaction_that_fails_leaves_the_file_to_its_row(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        1 / len(discards.note(connection, ["photos/ab"], NOW)[1:])
    assert due(database) == []


def test_a_file_that_was_just_noted_is_left_to_who_noted_it(database: Database) -> None:
    with database.write() as connection:
        discards.note(connection, ["photos/ab"], NOW)
    with database.read() as connection:
        assert discards.due(connection, NOW + timedelta(seconds=1)) == []
