"""Moving in: the original's people into a gallery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from control_plane.store import audit, encodings, galleries, identities
from control_plane.store.db import Connection, Database, new_id
from faces.encoding import FACE_RECOGNITION_BGR, Vector, to_bytes
from faces.gallery import EncodingRow
from rollcall.access import actor

PAGE = 20
"""People a transaction: longer ones would keep everybody else from writing."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Who moved in from the original's gallery, and who was there already."""

    added: list[str]
    known: list[str]


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
            galleries.lock_all(connection)
            made: list[tuple[str, None]] = []
            for name, vector in items[start : start + PAGE]:
                identity_id = _add(connection, name, vector, clock())
                (known if identity_id is None else added).append(name)
                made += [] if identity_id is None else [(identity_id, None)]
                on_person()
            audit.did(connection, actor(), "identity.enroll", clock(), made)
    return Moved(added=added, known=known)


def _add(connection: Connection, name: str, vector: Vector, now: datetime) -> str | None:
    """The id of who was added; None if they were there already."""
    identity_id = identities.by_name(connection, name, galleries.DEFAULT_GALLERY)
    data = to_bytes(vector)
    if identity_id is not None and data in encodings.data_of(connection, identity_id):
        return None
    if identity_id is None:
        identity_id = identities.create(connection, name, [galleries.DEFAULT_GALLERY], now)
    row = EncodingRow(new_id(now), identity_id, FACE_RECOGNITION_BGR, data)
    identities.add_encoding(connection, row, now)
    return identity_id
