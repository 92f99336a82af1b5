from __future__ import annotations

import pytest
import sqlalchemy as sa

from control_plane.store import galleries, identities, members
from control_plane.store.db import Database
from faces.encoding import SFACE
from faces.errors import NotFound
from faces.gallery import Kind, SettingsRow
from faces.replica import Replica
from tests.conftest import NOW
from tests.control_plane.store.test_galleries import G, enroll


def banned(connection: sa.Connection) -> None:
    galleries.create(connection, SettingsRow("banned", "banned", Kind.DENY), NOW)


def copy(connection: sa.Connection, gallery_id: str) -> Replica:
    replica = Replica(SFACE)
    replica.apply(galleries.page(connection, gallery_id, 0))
    return replica


def test_who_joins_is_known_in_both_galleries_and_who_leaves_in_one(database: Database) -> None:
    with database.write() as connection:
        banned(connection)
        ann = enroll(connection, "Ann")
        assert members.join(connection, "banned", ann, NOW)
        assert [len(copy(connection, g).gallery) for g in (G, "banned")] == [1, 1]
        members.leave(connection, G, ann, NOW)
        assert [len(copy(connection, g).gallery) for g in (G, "banned")] == [0, 1]
        assert identities.get(connection, ann).galleries == ["banned"]
        for gallery_id in (G, "banned"):
            checksum = galleries.position(connection, gallery_id).checksum
            assert galleries.recomputed_checksum(connection, gallery_id) == checksum


def test_a_change_to_a_person_reaches_every_gallery_they_are_in(database: Database) -> None:
    with database.write() as connection:
        banned(connection)
        ann = enroll(connection, "Ann")
        members.join(connection, "banned", ann, NOW)
        identities.update(connection, ann, NOW, name="Anna")
        assert [copy(connection, g).gallery.identities[ann].name for g in (G, "banned")] == ["Anna", "Anna"]
        identities.erase(connection, ann, NOW)
        assert [len(copy(connection, g).gallery) for g in (G, "banned")] == [0, 0]


def test_joining_twice_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        before = galleries.position(connection, G)
        assert not members.join(connection, G, ann, NOW)
        assert galleries.position(connection, G) == before


@pytest.mark.parametrize(("gallery_id", "identity_id"), [("nonsense", "ann"), (G, "nonsense")])
def test_nobody_joins_or_leaves_what_is_not_there(database: Database, gallery_id: str, identity_id: str) -> None:
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        who = ann if identity_id == "ann" else identity_id
        with pytest.raises(NotFound):
            members.join(connection, gallery_id, who, NOW)
        with pytest.raises(NotFound):
            members.leave(connection, gallery_id, who, NOW)
