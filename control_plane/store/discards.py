"""Files that no row names any more: noted in the transaction that drops them, so that no crash leaves one behind."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database
from control_plane.store.tables import discards

LEFT_AFTER = timedelta(seconds=5)
"""Whoever noted a file deletes it at once; one that is still there so much later was left by a crash."""


def note(connection: sa.Connection, names: Iterable[str | None], now: datetime) -> list[str]:
    """Have these blobs deleted once the transaction has committed; returns them for `carry_out`."""
    gone = sorted({name for name in names if name is not None})
    if gone:
        connection.execute(discards.delete().where(discards.c.blob.in_(gone)))
        connection.execute(discards.insert(), [{"blob": name, "discarded_at": now} for name in gone])
    return gone


def carry_out(database: Database, blobs: BlobStore, names: Iterable[str]) -> None:
    """Delete files that were noted, then the notes. May be repeated, and broken off anywhere."""
    gone = list(names)
    if not gone:
        return
    blobs.delete(gone)
    with database.write() as connection:
        connection.execute(discards.delete().where(discards.c.blob.in_(gone)))


def until(connection: sa.Connection, before: datetime) -> list[str]:
    """All files that were noted until then and are still there."""
    return list(connection.execute(sa.select(discards.c.blob).where(discards.c.discarded_at <= before)).scalars())


def due(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """Files that were noted a while ago and are still there."""
    left = discards.c.discarded_at < now - LEFT_AFTER
    query = sa.select(discards.c.blob).where(left).order_by(discards.c.discarded_at).limit(limit)
    return list(connection.execute(query).scalars())
