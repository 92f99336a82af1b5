"""Encodings by themselves."""

from __future__ import annotations

import sqlalchemy as sa

from control_plane.store.tables import encodings


def data_of(connection: sa.Connection, identity_id: str) -> set[bytes]:
    """The bytes of an identity's encodings."""
    return set(connection.execute(sa.select(encodings.c.data).where(encodings.c.identity_id == identity_id)).scalars())
