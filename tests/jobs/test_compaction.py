from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from control_plane.store import galleries, identities
from control_plane.store.db import Database
from control_plane.store.tables import gallery_changes
from faces.errors import Compacted
from jobs import compaction
from jobs.compaction import Compacting
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY
DAY = timedelta(days=1)


def changes(database: Database) -> list[int]:
    query = sa.select(gallery_changes.c.revision).where(gallery_changes.c.gallery_id == G)
    with database.read() as connection:
        return list(connection.execute(query.order_by(gallery_changes.c.revision)).scalars())


def enroll(database: Database, *days: int) -> None:
    """A person each of these days after the gallery was made, at revision 1."""
    for day in days:
        with database.write() as connection:
            identities.create(connection, "Ann", [G], NOW + day * DAY)


def test_old_changes_go_and_copies_that_lack_them_start_over(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "AT_ONCE", 2)
    enroll(database, 1, 2, 3, 20)
    Compacting(database, 10, lambda: NOW + 21 * DAY).run(G)
    assert changes(database) == [5]
    with database.read() as connection:
        assert galleries.page(connection, G, 4).position == galleries.position(connection, G)
        assert galleries.recomputed_checksum(connection, G) == galleries.position(connection, G).checksum
        with pytest.raises(Compacted):
            galleries.page(connection, G, 3)


def test_it_is_done_once_a_day_whoever_is_told_to(database: Database) -> None:
    def due(days: float) -> list[str]:
        with database.read() as connection:
            return galleries.compactable(connection, NOW + days * DAY, limit=9)

    enroll(database, 1)
    assert due(20) == [G]
    Compacting(database, 10, lambda: NOW + 20 * DAY).run(G)
    assert (due(20.9), changes(database)) == ([], [])
    enroll(database, 2)
    Compacting(database, 10, lambda: NOW + 20.9 * DAY).run(G)
    assert changes(database) == [3], "another has just seen to it"
    assert due(21) == [G]
    Compacting(database, 10, lambda: NOW + 21 * DAY).run(G)
    assert changes(database) == []


def test_changes_may_be_kept_for_ever(database: Database) -> None:
    enroll(database, 1)
    Compacting(database, 0, lambda: NOW + 9999 * DAY).run(G)
    assert changes(database) == [1, 2]
    with database.read() as connection:
        assert galleries.compactable(connection, NOW + 9999 * DAY, limit=9) == []
