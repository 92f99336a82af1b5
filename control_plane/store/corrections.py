"""Corrections ("this was not her"): encodings against a person, so that who looks like these is not taken for her."""

from __future__ import annotations

from datetime import datetime

import msgspec
import sqlalchemy as sa

from control_plane.store import galleries, identities
from control_plane.store.tables import encodings
from faces.encoding import Matrix, many_from_bytes
from faces.errors import NotFound
from faces.gallery import Key


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """A correction as the API shows it; it is of one engine's model, and works with that one."""

    id: str
    identity_id: str
    model: str
    created_at: datetime


def listing(connection: sa.Connection, identity_id: str) -> list[Correction]:
    """A person's corrections, oldest first; raises NotFound if there is no such person."""
    identities.get(connection, identity_id)
    query = sa.select(*(encodings.c[name] for name in Correction.__struct_fields__))
    return [
        Correction(**r._mapping) for r in connection.execute(query.where(_of(identity_id)).order_by(encodings.c.id))
    ]


def remove(connection: sa.Connection, identity_id: str, correction_id: str, now: datetime) -> None:
    """Take a correction back; raises NotFound."""
    galleries.lock_all(connection)
    held = identities.member_of(connection, identity_id)
    this = _of(identity_id) & (encodings.c.id == correction_id)
    found = connection.execute(
        encodings.delete().where(this).returning(encodings.c.hash, encodings.c.model)
    ).one_or_none()
    if found is None:
        raise NotFound(f"identity {identity_id!r} has no correction {correction_id!r}")
    for gallery_id in held:
        removal = galleries.removal(Key("encoding", correction_id), found.hash, found.model)
        galleries.record(connection, gallery_id, [removal], now)


def own(connection: sa.Connection, identity_id: str, model: str) -> Matrix:
    """A person's own encodings of a model, float32, shape (n, 128)."""
    theirs = (encodings.c.identity_id == identity_id) & (encodings.c.model == model) & encodings.c.against.is_(False)
    rows = connection.execute(sa.select(encodings).where(theirs)).all()
    return many_from_bytes([row.data for row in galleries.encoding_rows(connection, rows)])


def _of(identity_id: str) -> sa.ColumnElement[bool]:
    return (encodings.c.identity_id == identity_id) & encodings.c.against.is_(True)
