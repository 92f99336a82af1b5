from __future__ import annotations

from pathlib import Path

import numpy as np

from control_plane.store import galleries, identities, schema
from control_plane.store.db import Database, new_id
from faces.encoding import SFACE, to_bytes, unit
from faces.gallery import EncodingRow
from jobs.copies import Copies
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY


def enroll(database: Database, name: str) -> None:
    data = to_bytes(unit(np.random.default_rng().standard_normal(128).astype(np.float32)))
    with database.write() as connection:
        person = identities.create(connection, name, [G], NOW)
        identities.add_encoding(connection, EncodingRow(new_id(NOW), person, SFACE, data), NOW)


def names(copies: Copies, database: Database) -> list[str]:
    with database.write() as connection:
        gallery = copies.at(connection, G)
        assert len(gallery) == len(gallery.identities)
        return sorted(person.name for person in gallery.identities.values())


def test_a_copy_follows_its_gallery_also_into_a_restored_past_of_the_same_length(tmp_path: Path) -> None:
    path = tmp_path / "rollcall.db"
    database = migrated(path)
    copies = Copies(SFACE)
    enroll(database, "Ann")
    assert names(copies, database) == ["Ann"]
    backup = tmp_path / "backup"
    database.truncate_wal()
    backup.write_bytes(path.read_bytes())
    enroll(database, "Bob")
    assert names(copies, database) == ["Ann", "Bob"]
    for instead in (["Cid"], [], ["Dan", "Eve"]):
        database.truncate_wal()
        database.close()
        path.write_bytes(backup.read_bytes())
        database = Database(f"sqlite:///{path}")
        for name in instead:
            enroll(database, name)
        assert names(copies, database) == sorted(["Ann", *instead])
    database.close()


def migrated(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    schema.migrate(database, NOW)
    return database
