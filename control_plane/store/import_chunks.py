"""An import's chunks: a few photos each that are still to be looked at, which is what encoders lease."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from control_plane.store.leases import free
from control_plane.store.tables import import_chunks, imports

LEASE = timedelta(seconds=15)
"""How long an encoder may be silent about a chunk before another takes it."""

SIZE = 16
"""Photos that are leased, and stored, at once."""


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Photos that an encoder has claimed. `attempts` counts this one: above 1, somebody broke off before."""

    import_id: str
    number: int
    blob: str
    attempts: int


def add(connection: sa.Connection, import_id: str, seqs: Iterable[int]) -> None:
    """Chunks for photos, by their numbers in the archive: of each, all photos at once."""
    rows = [{"import_id": import_id, "number": n, "attempts": 0} for n in sorted({seq // SIZE for seq in seqs})]
    if rows:
        connection.execute(import_chunks.insert(), rows)


def due(connection: sa.Connection, now: datetime, *, limit: int = 100, wake: int = 8) -> list[str]:
    """Running imports with chunks that nobody holds, as `import:turn`: for as many encoders as there are such chunks,
    but no more than `wake`, as each goes on to its next chunk by itself."""
    query = (
        sa.select(import_chunks.c.import_id, sa.func.count().label("free"))
        .join(imports)
        .where((imports.c.state == "running") & _free(now))
        .group_by(import_chunks.c.import_id)
        .order_by(import_chunks.c.import_id)
        .limit(limit)
    )
    return [f"{row.import_id}:{turn}" for row in connection.execute(query) for turn in range(min(row.free, wake))]


def claim(connection: sa.Connection, import_id: str, owner: str, now: datetime) -> Chunk | None:
    """Take the lease of the first chunk of a running import that nobody holds; None if there is none."""
    blob = sa.select(imports.c.blob).where((imports.c.id == import_id) & (imports.c.state == "running"))
    archive = connection.execute(blob).scalar()
    if archive is None:
        return None
    mine = import_chunks.c.import_id == import_id
    first = sa.select(import_chunks.c.number).where(mine & _free(now)).order_by(import_chunks.c.number).limit(1)
    taken = connection.execute(
        import_chunks.update()
        .where(mine & (import_chunks.c.number == first.with_for_update(skip_locked=True).scalar_subquery()))
        .values(lease_owner=owner, lease_until=now + LEASE, attempts=import_chunks.c.attempts + 1)
        .returning(import_chunks.c.number, import_chunks.c.attempts)
    ).one_or_none()
    if taken is None:
        return None
    return Chunk(import_id=import_id, number=taken.number, blob=archive, attempts=taken.attempts)


def held(connection: sa.Connection, chunk: Chunk, owner: str, now: datetime) -> bool:
    """Whether `owner` still holds this chunk; then for longer. Locks the row until the transaction ends."""
    mine = _chunk(chunk.import_id, chunk.number) & (import_chunks.c.lease_owner == owner)
    renewed = import_chunks.update().where(mine).values(lease_until=now + LEASE).returning(import_chunks.c.number)
    return connection.execute(renewed).first() is not None


def close(connection: sa.Connection, chunk: Chunk) -> None:
    """All of the chunk's photos have been looked at."""
    connection.execute(import_chunks.delete().where(_chunk(chunk.import_id, chunk.number)))


def drop(connection: sa.Connection, import_id: str) -> None:
    """None of an import's photos is to be looked at any more."""
    connection.execute(import_chunks.delete().where(import_chunks.c.import_id == import_id))


def _chunk(import_id: str, number: int) -> sa.ColumnElement[bool]:
    return (import_chunks.c.import_id == import_id) & (import_chunks.c.number == number)


def _free(now: datetime) -> sa.ColumnElement[bool]:
    return free(import_chunks.c.lease_until, now, LEASE)
