"""What the store writes is sealed, and read by whoever has the key; what was written plain stays readable."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from control_plane.store import (
    discards,
    encodings,
    events,
    galleries,
    identities,
    import_items,
    imports,
    merges,
    seals,
    tables,
    webhooks,
)
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database, new_id
from control_plane.store.import_items import ItemState, NewItem
from control_plane.store.vault import person
from faces.encoding import SFACE
from faces.errors import SettingError
from faces.events import Event, Status
from faces.gallery import EncodingRow
from faces.sealing import Unreadable, key_id
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY
Columns = dict[str, bytes]


def enrolled(connection: Connection, name: str, *, against: bool = False) -> tuple[str, bytes]:
    """A new person with one encoding; returns the id and the encoding."""
    identity_id = identities.create(connection, name, [G], NOW)
    data = secrets.token_bytes(512)
    identities.add_encoding(connection, EncodingRow(new_id(NOW), identity_id, SFACE, data, against), NOW)
    return identity_id, data


def stored(connection: Connection) -> list[bytes]:
    return [bytes(data) for data in connection.execute(sa.select(tables.encodings.c.data)).scalars()]


def owners(database: Database) -> set[str]:
    assert database.vault is not None
    with database.vault.database.read() as connection:
        return set(connection.exec_driver_sql("SELECT owner FROM vault_keys").scalars())


def test_encodings_are_sealed_by_their_persons_key_and_travel_plain(database: Database) -> None:
    with database.write() as connection:
        people = dict(enrolled(connection, name) for name in ("Ann", "Bob"))
        found = stored(connection)
        assert not {*found} & {*people.values()}
        assert len({key_id(data) for data in found}) == 2
        rows = [row for row in galleries.snapshot(connection, G)[1] if isinstance(row, EncodingRow)]
        assert {row.identity_id: row.data for row in rows} == people
        assert {
            r.identity_id: r.data for r in galleries.page(connection, G, 0).put if isinstance(r, EncodingRow)
        } == people
        assert galleries.recomputed_checksum(connection, G) == galleries.position(connection, G).checksum
    assert owners(database) == {person(identity_id) for identity_id in people}


@pytest.mark.parametrize("column", ["data", "id", "model", "against", "identity_id"])
def test_an_encoding_that_was_put_elsewhere_is_refused(database: Database, column: str) -> None:
    with database.write() as connection:
        ann, _ = enrolled(connection, "Ann")
        bob, _ = enrolled(connection, "Bob")
        mine = tables.encodings.c.identity_id == ann
        theirs = sa.select(tables.encodings.c.data).where(tables.encodings.c.identity_id == bob).scalar_subquery()
        other = {"data": theirs, "id": "x", "model": "face_recognition", "against": True, "identity_id": bob}[column]
        connection.execute(tables.encodings.update().where(mine).values({column: other}))
        with pytest.raises(Unreadable):
            list(galleries.snapshot(connection, G)[1])


def test_erasure_destroys_the_key(database: Database, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs", database.vault)
    with database.write() as connection:
        ann, _ = enrolled(connection, "Ann")
        bob, _ = enrolled(connection, "Bob")
        backup = connection.execute(sa.select(tables.encodings)).all()
    with database.write() as connection:
        gone = identities.erase(connection, ann, NOW)
    discards.carry_out(database, blobs, gone)
    assert owners(database) == {person(bob)}
    assert database.vault is not None
    assert database.vault.erasures() == {ann: NOW}
    with database.read() as connection:
        assert len(galleries.encoding_rows(connection, [row for row in backup if row.identity_id == bob])) == 1
        with pytest.raises(Unreadable, match="gone"):
            galleries.encoding_rows(connection, [row for row in backup if row.identity_id == ann])


def test_an_erasure_that_is_taken_back_destroys_nothing(database: Database) -> None:
    with database.write() as connection:
        ann, _ = enrolled(connection, "Ann")
    with database.write() as connection, connection.begin_nested() as part:
        identities.erase(connection, ann, NOW)
        part.rollback()
    with database.read() as connection:
        assert discards.until(connection, NOW) == []
    assert owners(database) == {person(ann)}


def test_what_a_crash_left_of_an_erasure_is_done_later(database: Database, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs", database.vault)
    with database.write() as connection:
        ann, _ = enrolled(connection, "Ann")
        identities.erase(connection, ann, NOW)
    with database.read() as connection:
        due = discards.due(connection, NOW + timedelta(minutes=1))
    for name in due:
        discards.carry_out(database, blobs, [name])
    assert owners(database) == set()


def test_merged_people_keep_a_key_each_and_come_apart_again(database: Database) -> None:
    def held(identity_id: str) -> set[bytes]:
        with database.read() as connection:
            return encodings.data_of(connection, identity_id)

    with database.write() as connection:
        (ann, of_ann), (bob, of_bob) = enrolled(connection, "Ann"), enrolled(connection, "Bob")
        merges.merge(connection, ann, bob, NOW)
    assert held(ann) == {of_ann, of_bob}
    late = secrets.token_bytes(512)
    with database.write() as connection:
        row = EncodingRow(new_id(NOW), ann, SFACE, late, True)
        identities.add_encoding(connection, row, NOW)
        values = {"gallery_id": G, "force": False, "state": "accepted", "attempts": 0, "created_at": NOW}
        connection.execute(
            tables.enrollments.insert().values(
                id=new_id(NOW), identity_id=ann, origin_id=bob, correction_id=row.id, **values
            )
        )
    assert held(ann) == {of_ann, of_bob, late}
    with database.write() as connection:
        merges.unmerge(connection, ann, bob, NOW)
    assert (held(ann), held(bob)) == ({of_ann}, {of_bob, late})
    with database.write() as connection:
        query = sa.select(tables.encodings.c.identity_id, tables.encodings.c.data)
        keys = {(row.identity_id, key_id(bytes(row.data))) for row in connection.execute(query)}
    assert len(keys) == 2
    assert database.vault is not None
    database.vault.erase({ann: NOW})
    assert held(bob) == {of_bob, late}


def test_thumbnails_are_sealed_by_the_persons_key_or_the_days(database: Database) -> None:
    picture = b"\xff\xd8" + secrets.token_bytes(99)

    def seen(identity_id: str | None) -> Event:
        return Event(
            id=uuid4(),
            camera="door",
            captured_at=NOW,
            status=Status.REJECT,
            identity_id=identity_id,
            name=identity_id,
            thumbnail=picture,
        )

    with database.write() as connection:
        ann, _ = enrolled(connection, "Ann")
        sent = [seen(ann), seen(None), seen("of another place")]
        events.append(connection, sent, site_id="s", edge_id="e", now=NOW)
        rows = [bytes(data) for data in connection.execute(sa.select(tables.thumbnails.c.data)).scalars()]
        assert not any(data[i : i + 16] in picture for data in rows for i in range(len(data) - 15))
        assert [events.thumbnail(connection, str(event.id)) for event in sent] == [picture] * 3
    assert owners(database) == {person(ann), seals.strangers("s", NOW)}


def test_an_imports_encodings_are_sealed_by_its_own_key_which_goes_when_it_is_done(database: Database) -> None:
    data = secrets.token_bytes(512)
    with database.write() as connection:
        made = imports.submit(connection, NOW, gallery_id=G, blob="archives/01")
        imports.run(connection, made, NOW, {})
        import_items.add(connection, made, [NewItem(seq=0, entry="a.jpg", gallery_id=G, place=(0, 0), name="Ann")])
        found = {"seq": 0, "encoding": data, "state": ItemState.ENCODED, "sha256": "0", "quality": {}}
        import_items.looked_at(connection, made, [found])
        kept = bytes(connection.execute(sa.select(tables.import_items.c.encoding)).scalar_one())
        assert data[:16] not in kept
        (item,) = import_items.page(connection, made, 9)
        assert item.encoding == data
    assert owners(database) == {f"imports/{made}"}
    with database.write() as connection:
        import_items.admitted(connection, made, [{"seq": 0, "state": ItemState.DUPLICATE, "encoding": None}])
        imports.finish(connection, made, NOW, imports.State.DONE)
        assert discards.until(connection, NOW) == [f"keys/imports/{made}"]


def test_files_are_sealed_each_by_its_own_key_which_goes_with_it(database: Database, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs", database.vault)
    photo, archive = secrets.token_bytes(5000), secrets.token_bytes(300_000)
    blobs.put("photos/01", photo)
    with blobs.receiving() as received:
        received.write(archive[:200_000])
        received.write(archive[200_000:])
        assert archive[:16] not in Path(received.file.name).read_bytes()
        blobs.adopt("archives/02", received)
    assert (blobs.get("photos/01"), blobs.get("archives/02")) == (photo, archive)
    with blobs.open("archives/02") as file:
        file.seek(150_000)
        assert file.read(100) == archive[150_000:150_100]
    assert received.size == len(archive)
    assert owners(database) == {"photos/01", "archives/02"}
    blobs.put("photos/03", photo)
    database.vault.destroy(["photos/03"])
    with pytest.raises(FileNotFoundError):
        blobs.get("photos/03")
    for path in (tmp_path / "blobs").rglob("*"):
        if path.is_file():
            assert not any(part in path.read_bytes() for part in (photo[:16], archive[:16]))
    blobs.path("archives/01").parent.mkdir(parents=True)
    blobs.path("archives/02").rename(blobs.path("archives/01"))
    blobs.path("photos/01").rename(blobs.path("archives/02"))
    with pytest.raises(Unreadable):
        blobs.get("archives/02")
    blobs.delete(["photos/01", "archives/02", "archives/01"])
    assert owners(database) == set()


def test_what_is_plain_stays_readable_and_what_is_sealed_needs_the_key(
    database: Database, tmp_path: Path, without: Database
) -> None:
    plain = without
    BlobStore(tmp_path / "blobs").put("photos/01", b"\xff\xd8 plain")
    with plain.write() as connection:
        ann, of_ann = enrolled(connection, "Ann")
        assert stored(connection) == [of_ann]
    assert BlobStore(tmp_path / "blobs", database.vault).get("photos/01") == b"\xff\xd8 plain"
    with database.write() as connection:
        assert encodings.data_of(connection, ann) == {of_ann}
        bob, _ = enrolled(connection, "Bob")
    with plain.read() as connection:
        assert encodings.data_of(connection, ann) == {of_ann}
        with pytest.raises(SettingError):
            encodings.data_of(connection, bob)


def test_urls_and_secrets_of_webhooks_are_sealed_each_in_its_row(database: Database) -> None:
    urls = [f"http://receiver.example/{secrets.token_hex(8)}" for _ in range(2)]
    table = tables.webhook_secrets
    with database.write() as connection:
        made = [webhooks.create(connection, url, [Status.PASS], NOW) for url in (urls[0], "http://before.example/")]
        webhooks.change(connection, made[1].id, {"url": urls[1]})
        assert {hook.url for hook in webhooks.listing(connection)} == {*urls}
        assert [webhooks.secrets(connection, hook.id, NOW) for hook in made] == [[hook.secret] for hook in made]
        rows = repr([connection.execute(sa.select(t)).all() for t in (tables.webhooks, table)])
        assert not any(text in rows for text in (*urls, *(hook.secret for hook in made)))
        assert "http" not in rows
        assert "whsec_" not in rows
        theirs = sa.select(table.c.secret).where(table.c.webhook_id == made[1].id).scalar_subquery()
        connection.execute(table.update().where(table.c.webhook_id == made[0].id).values(secret=theirs))
        with pytest.raises(Unreadable):
            webhooks.secrets(connection, made[0].id, NOW)
    assert owners(database) == {"webhooks"}


@pytest.fixture
def without(database: Database) -> Iterator[Database]:
    """The same database without a vault."""
    plain = Database(database.url.render_as_string(hide_password=False))
    yield plain
    plain.close()
