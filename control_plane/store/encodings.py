"""Encodings by themselves."""

from __future__ import annotations

import sqlalchemy as sa

from control_plane.store import galleries
from control_plane.store.tables import encodings


def data_of(connection: sa.Connection, identity_id: str) -> set[bytes]:
    """The bytes of an identity's encodings."""
    rows = connection.execute(sa.select(encodings).where(encodings.c.identity_id == identity_id)).all()
    return {row.data for row in galleries.encoding_rows(connection, rows)}
