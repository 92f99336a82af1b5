"""Membership: who is in which gallery. Joining puts a person's rows into a gallery, leaving removes them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from control_plane.store import galleries, identities
from control_plane.store.tables import encodings, gallery_members
from faces.errors import NotFound
from faces.gallery import Row


def join(connection: sa.Connection, gallery_id: str, identity_id: str, now: datetime) -> bool:
    """Add a person to a gallery; False if they are in it already. Raises NotFound."""
    galleries.settings(connection, gallery_id)
    galleries.lock(connection, [gallery_id])
    person = rows(connection, identity_id)
    if _is_member(connection, gallery_id, identity_id):
        return False
    connection.execute(gallery_members.insert().values(gallery_id=gallery_id, identity_id=identity_id))
    galleries.record(connection, gallery_id, [galleries.put(row) for row, _ in person], now)
    return True


def leave(connection: sa.Connection, gallery_id: str, identity_id: str, now: datetime) -> None:
    """Take a person out of a gallery; raises NotFound if they are not in it."""
    galleries.lock(connection, [gallery_id])
    if not _is_member(connection, gallery_id, identity_id):
        raise NotFound(f"identity {identity_id!r} is not in gallery {gallery_id!r}")
    person = rows(connection, identity_id)
    connection.execute(gallery_members.delete().where(_membership(gallery_id, identity_id)))
    removals = [galleries.removal_of(row, before) for row, before in reversed(person)]
    galleries.record(connection, gallery_id, removals, now)


def _membership(gallery_id: str, identity_id: str) -> sa.ColumnElement[bool]:
    return (gallery_members.c.gallery_id == gallery_id) & (gallery_members.c.identity_id == identity_id)


def _is_member(connection: sa.Connection, gallery_id: str, identity_id: str) -> bool:
    found = connection.execute(sa.select(gallery_members).where(_membership(gallery_id, identity_id))).first()
    return found is not None


def rows(connection: sa.Connection, identity_id: str) -> list[tuple[Row, int]]:
    """A person's rows with their hashes, the person first; raises NotFound and Merged."""
    person = identities.row(connection, identity_id)
    query = sa.select(encodings).where(encodings.c.identity_id == identity_id).order_by(encodings.c.id)
    templates = connection.execute(query).all()
    plain = galleries.encoding_rows(connection, templates)
    own: list[tuple[Row, int]] = [(galleries.identity_row(person), person.hash)]
    return own + [(row, t.hash) for row, t in zip(plain, templates, strict=True)]
