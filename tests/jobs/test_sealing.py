"""What was written plain is sealed beside everything else, once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from control_plane.store import encodings, enrollments, events, identities, schema, seals, tables, unsealed, webhooks
from control_plane.store.blobs import BlobStore, Steady
from control_plane.store.db import Database, new_id
from control_plane.store.vault import open_vault
from control_plane.store.webhooks import WebhookWithSecret
from faces.encoding import SFACE
from faces.events import Status
from faces.gallery import EncodingRow
from faces.masterkey import Source
from faces.sealing import CHUNK, key_id
from jobs.sealing import Sealing, due
from tests.conftest import NOW
from tests.control_plane.conftest import event

G = "default"
PHOTO = b"\xff\xd8" + secrets.token_bytes(100_000)


class Place:
    """A database and a folder, opened without a vault, with one, and with one that does not seal."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self._opened = url, folder, list[Database]()
        self.plain = self.opened(sealing=None)
        schema.migrate(self.plain, NOW)
        self.people: dict[str, bytes] = {}
        self.event = event(identity_id=None, thumbnail=PHOTO[:500])
        self.hook: WebhookWithSecret

    def opened(self, *, sealing: bool | None = True) -> Database:
        vault = None
        if sealing is not None:
            vault = open_vault(
                f"sqlite:///{self.folder / 'vault.db'}", Source(self.folder / "secrets" / "k"), sealing=sealing
            )
        self._opened.append(Database(self.url, vault=vault))
        if vault:
            seals.bind(self._opened[-1])
        return self._opened[-1]

    def blobs(self, database: Database) -> BlobStore:
        return BlobStore(self.folder / "blobs", database.vault)

    def fill(self, database: Database, people: int) -> None:
        for number in range(people):
            with database.write() as connection:
                person = identities.create(connection, f"person {number}", [G], NOW)
                self.people[person] = secrets.token_bytes(512)
                row = EncodingRow(new_id(NOW), person, SFACE, self.people[person])
                identities.add_encoding(connection, row, NOW)
        self.blobs(database).put("photos/01", PHOTO)
        with database.write() as connection:
            enrollments.submit(connection, NOW, gallery_id=G, blob="photos/01", sha256="0", name="Ann")
            enrollments.submit(connection, NOW, gallery_id=G, blob="photos/02", sha256="0", name="gone")
            events.append(connection, [self.event, event(identity_id=person)], site_id="s", edge_id="e", now=NOW)
            self.hook = webhooks.create(connection, "http://receiver.example/8c3f2a", [Status.REJECT], NOW)

    def plain_rows(self) -> int:
        found = 0
        with self.plain.read() as connection:
            for column in (tables.encodings.c.data, tables.thumbnails.c.data):
                found += sum(key_id(bytes(data)) is None for data in connection.execute(sa.select(column)).scalars())
            for column in (tables.webhooks.c.url, tables.webhook_secrets.c.secret):
                texts = connection.execute(sa.select(column)).scalars()
                found += sum(not text.startswith(seals.TEXT) for text in texts)
        return found

    def close(self) -> None:
        for database in self._opened:
            database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path / 'rollcall.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    made = Place(url, tmp_path)
    yield made
    made.close()


def is_due(database: Database) -> bool:
    with database.read() as connection:
        return bool(due(connection, NOW, limit=1))


def test_what_an_older_release_wrote_is_sealed_and_reads_as_before(place: Place) -> None:
    place.fill(place.plain, 2 * unsealed.AT_ONCE + 3)
    assert place.plain_rows() == 2 * unsealed.AT_ONCE + 7
    sealing = place.opened()
    assert is_due(sealing)
    job = Sealing(sealing, place.blobs(sealing))
    job.run("all")
    assert not is_due(sealing)
    assert place.plain_rows() == 0
    assert place.blobs(sealing).get("photos/01") == PHOTO
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    secret = [PHOTO, *place.people.values()]
    texts = place.hook.url.encode(), place.hook.secret.encode()
    needles = [*(data[i : i + 16] for data in secret for i in (0, 16, 256)), *texts]
    assert not any(needle in file.read_bytes() for file in files for needle in needles)
    with sealing.read() as connection:
        assert {p: encodings.data_of(connection, p) for p in place.people} == {p: {d} for p, d in place.people.items()}
        assert events.thumbnail(connection, str(place.event.id)) == place.event.thumbnail
        assert webhooks.get(connection, place.hook.id).url == place.hook.url
        assert webhooks.secrets(connection, place.hook.id, NOW) == [place.hook.secret]


def test_a_run_without_sealing_makes_it_due_again(place: Place) -> None:
    sealing = place.opened()
    assert not is_due(sealing)
    without = place.opened(sealing=False)
    place.fill(without, 1)
    assert place.plain_rows() == 5
    assert not is_due(without)
    assert is_due(sealing)
    Sealing(sealing, place.blobs(sealing)).run("all")
    assert place.plain_rows() == 0
    assert not is_due(sealing)


def test_what_is_written_plain_after_all_was_sealed_makes_it_due_again(place: Place) -> None:
    without, sealing = place.opened(sealing=False), place.opened()
    Sealing(sealing, place.blobs(sealing)).run("all")
    assert not is_due(sealing)
    with without.write() as connection:
        enrollments.submit(connection, NOW, gallery_id=G, blob="photos/01", sha256="0", name="Ann")
    assert is_due(sealing)


def test_what_is_written_plain_while_the_rest_is_sealed_makes_it_due_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    without, sealing = place.opened(sealing=False), place.opened()
    blobs = place.blobs(sealing)

    def written_meanwhile() -> None:
        with without.write() as connection:
            enrollments.submit(connection, NOW, gallery_id=G, blob="photos/01", sha256="0", name="Ann")

    monkeypatch.setattr(blobs, "forget_sealing", written_meanwhile)
    Sealing(sealing, blobs).run("all")
    assert is_due(sealing)
    Sealing(sealing, place.blobs(sealing)).run("all")
    assert not is_due(sealing)


def test_two_workers_that_seal_the_same_photo_leave_it_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = secrets.token_bytes(3 * CHUNK)
    place.blobs(place.plain).put("photos/01", photo)
    one, other = (place.blobs(place.opened()) for _ in range(2))
    write, beside = Steady.write, [lambda: other.seal("photos/01", lambda: True)]

    def written(self: Steady, data: bytes) -> None:
        write(self, data)
        if beside:
            beside.pop()()

    monkeypatch.setattr(Steady, "write", written)
    one.seal("photos/01", lambda: True)
    assert one.get("photos/01") == photo
    assert key_id(one.path("photos/01").read_bytes()) is not None


def test_a_photo_that_goes_while_it_is_sealed_is_gone(place: Place) -> None:
    place.fill(place.plain, 1)
    sealing = place.opened()
    blobs = place.blobs(sealing)
    blobs.seal("photos/01", lambda: False)
    assert not blobs.path("photos/01").exists()
