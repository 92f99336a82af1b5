from __future__ import annotations

import numpy as np
import pytest

from control_plane.store import corrections, galleries, identities, members
from control_plane.store.db import Connection, Database, new_id
from faces.encoding import SFACE, from_bytes, to_bytes, unit
from faces.errors import NotFound
from faces.gallery import EncodingRow, Kind, SettingsRow
from faces.replica import Replica
from tests.conftest import NOW
from tests.control_plane.store.test_galleries import G, enroll


def against(connection: Connection, person: str, like: bytes) -> str:
    """A correction by a face almost like this one."""
    nudge = np.random.default_rng(1).normal(size=128).astype(np.float32) / 100
    row = EncodingRow(new_id(NOW), person, SFACE, to_bytes(unit(from_bytes(like) + nudge)), against=True)
    identities.add_encoding(connection, row, NOW)
    return row.id


def test_a_correction_reaches_every_copy_and_its_removal_too(database: Database) -> None:
    with database.write() as connection:
        galleries.create(connection, SettingsRow("staff", "staff", Kind.ALLOW), NOW)
        ann, bob = enroll(connection, "Ann"), enroll(connection, "Bob", seed=1)
        members.join(connection, "staff", ann, NOW)
        probe = corrections.own(connection, bob, SFACE)
        copies = {g: Replica(SFACE) for g in (G, "staff")}

        def found() -> list[str]:
            for g, copy in copies.items():
                copy.apply(galleries.page(connection, g, copy.position.revision))
                assert galleries.recomputed_checksum(connection, g) == galleries.position(connection, g).checksum
            return [m.nearest.name for c in copies.values() if (m := c.gallery.search(probe)[0]).nearest]

        assert found() == ["Bob", "Ann"]
        made = against(connection, ann, to_bytes(probe[0]))
        assert found() == ["Bob"]
        (shown,) = corrections.listing(connection, ann)
        assert (shown.id, shown.identity_id, shown.model) == (made, ann, SFACE)
        corrections.remove(connection, ann, made, NOW)
        assert found() == ["Bob", "Ann"]
        assert corrections.listing(connection, ann) == []


def test_an_erased_person_has_no_corrections_left(database: Database) -> None:
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        against(connection, ann, to_bytes(corrections.own(connection, ann, SFACE)[0]))
        identities.erase(connection, ann, NOW)
        assert galleries.recomputed_checksum(connection, G) == galleries.position(connection, G).checksum
        copy = Replica(SFACE)
        copy.apply(galleries.page(connection, G, 0))
        assert not copy.gallery.encodings


def test_a_correction_that_is_not_there_is_not_found(database: Database) -> None:
    with database.write() as connection:
        ann, bob = enroll(connection, "Ann"), enroll(connection, "Bob", seed=1)
        made = against(connection, ann, to_bytes(corrections.own(connection, bob, SFACE)[0]))
        for person, correction in ((bob, made), (ann, "no such")):
            with pytest.raises(NotFound):
                corrections.remove(connection, person, correction, NOW)
        with pytest.raises(NotFound):
            corrections.listing(connection, "nobody")
