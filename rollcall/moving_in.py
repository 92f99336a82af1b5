"""Moving in: the original's people into a gallery, and people's photos into another engine's encodings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from control_plane.store import encodings, galleries, identities
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database, new_id
from faces.encoding import FACE_RECOGNITION_BGR, Vector, to_bytes
from faces.engine import Engine
from faces.engine.enroll import enroll
from faces.errors import Refused
from faces.gallery import EncodingRow

PAGE = 20
"""People a transaction: longer ones would keep everybody else from writing."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Who moved in from the original's gallery, and who was there already."""

    added: list[str]
    known: list[str]


class Reencoded(msgspec.Struct, frozen=True, kw_only=True):
    """Photos that have an encoding of the engine now, and who cannot be carried over, with the reason."""

    model: str
    encoded: int
    already: int
    without_photo: list[str]
    refused: dict[str, str]


def move_in(
    database: Database, people: Mapping[str, Vector], clock: Callable[[], datetime], on_person: Callable[[], None]
) -> Moved:
    """Add the original's people, one encoding each, without a photo, to the default gallery.

    Their encodings are of the model `face_recognition-bgr`: the original encoded pictures in BGR. Running it again
    adds nobody twice.
    """
    added: list[str] = []
    known: list[str] = []
    items = list(people.items())
    for start in range(0, len(items), PAGE):
        with database.write() as connection:
            for name, vector in items[start : start + PAGE]:
                (added if _add(connection, name, vector, clock()) else known).append(name)
                on_person()
    return Moved(added=added, known=known)


def reencode(
    database: Database, blobs: BlobStore, engine: Engine, clock: Callable[[], datetime], on_photo: Callable[[], None]
) -> Reencoded:
    """Give every kept photo an encoding of this engine; the encodings of others stay. May run again at any time."""
    encoded = already = 0
    refused: dict[str, str] = {}
    with database.read() as connection:
        people = list(encodings.by_person(connection))
    for person, photos in people:
        for photo in photos:
            if engine.model in photo.models:
                already += 1
            else:
                try:
                    _encode(database, blobs, engine, person.id, photo, clock())
                    encoded += 1
                except Refused as refusal:
                    refused[person.name] = str(refusal.reason)
            on_photo()
    without = [person.name for person, photos in people if not photos and engine.model not in person.models]
    return Reencoded(model=engine.model, encoded=encoded, already=already, without_photo=without, refused=refused)


def _add(connection: Connection, name: str, vector: Vector, now: datetime) -> bool:
    galleries.lock(connection, [galleries.DEFAULT_GALLERY])
    identity_id = identities.by_name(connection, name, galleries.DEFAULT_GALLERY)
    data = to_bytes(vector)
    if identity_id is not None and data in encodings.data_of(connection, identity_id):
        return False
    if identity_id is None:
        identity_id = identities.create(connection, name, [galleries.DEFAULT_GALLERY], now)
    row = EncodingRow(new_id(now), identity_id, FACE_RECOGNITION_BGR, data)
    identities.add_encoding(connection, row, now)
    return True


def _encode(
    database: Database, blobs: BlobStore, engine: Engine, identity_id: str, photo: encodings.KeptPhoto, now: datetime
) -> None:
    found = enroll(engine, blobs.get(photo.blob))
    row = EncodingRow(new_id(now), identity_id, engine.model, to_bytes(found.encoding))
    with database.write() as connection:
        identities.add_encoding(connection, row, now, photo_id=photo.id)
