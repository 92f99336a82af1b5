"""Imports: archives of photos, each entry an enrollment of its own."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import enrollments
from control_plane.store.db import new_id
from control_plane.store.tables import imports
from faces.errors import NotFound

LEASE = timedelta(seconds=60)


class State(StrEnum):
    """`PENDING` (not yet read) moves to `RUNNING` (its photos are enrollments), then `DONE`; or to `FAILED`."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """An import as the API shows it, with the outcomes so far."""

    id: str
    state: State
    gallery_id: str
    accepted: int
    refused: int
    pending: int
    error: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to know of an import it has claimed."""

    id: str
    gallery_id: str
    blob: str
    force: bool


def submit(connection: sa.Connection, now: datetime, *, gallery_id: str, blob: str, force: bool = False) -> str:
    """Hand in a stored archive; returns the import's id."""
    import_id = new_id(now)
    connection.execute(
        imports.insert().values(
            id=import_id,
            gallery_id=gallery_id,
            blob=blob,
            state=State.PENDING,
            force=force,
            created_at=now,
            attempts=0,
        )
    )
    return import_id


def get(connection: sa.Connection, import_id: str) -> Import:
    row = connection.execute(sa.select(imports).where(imports.c.id == import_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no import {import_id!r}")
    return _imports(connection, [row])[0]


def listing(connection: sa.Connection, *, after: str = "", limit: int = 100) -> list[Import]:
    query = sa.select(imports).where(imports.c.id > after).order_by(imports.c.id).limit(limit)
    return _imports(connection, list(connection.execute(query)))


def due(connection: sa.Connection, now: datetime, *, limit: int = 10) -> list[str]:
    """Imports that wait to be read and that nobody holds."""
    query = sa.select(imports.c.id).where(_free(now)).order_by(imports.c.created_at).limit(limit)
    return list(connection.execute(query).scalars())


def claim(connection: sa.Connection, import_id: str, owner: str, now: datetime) -> Work | None:
    """Take the lease of an import that waits to be read; None if it is not to be had."""
    taken = connection.execute(
        imports.update()
        .where((imports.c.id == import_id) & _free(now))
        .values(lease_owner=owner, lease_until=now + LEASE, attempts=imports.c.attempts + 1)
        .returning(*(imports.c[name] for name in Work.__struct_fields__))
    ).one_or_none()
    return None if taken is None else Work(**taken._mapping)


def run(connection: sa.Connection, import_id: str) -> None:
    """Its photos are enrollments now; the archive is no longer needed."""
    _move(connection, import_id, state=State.RUNNING, blob=None)


def renew(connection: sa.Connection, import_id: str, now: datetime) -> None:
    """Hold the lease for longer: the archive is still being read."""
    connection.execute(imports.update().where(imports.c.id == import_id).values(lease_until=now + LEASE))


def fail(connection: sa.Connection, import_id: str, now: datetime, error: dict[str, Any]) -> None:
    _move(connection, import_id, state=State.FAILED, blob=None, error=error, finished_at=now)


def finish_if_done(connection: sa.Connection, import_id: str, now: datetime) -> None:
    """Close a running import whose last photo has its outcome.

    The import's row is locked first: of two photos that finish at the same instant, the second sees the first.
    """
    running = (imports.c.id == import_id) & (imports.c.state == State.RUNNING)
    if connection.execute(sa.select(imports.c.id).where(running).with_for_update()).first() is None:
        return
    if not enrollments.any_pending(connection, import_id):
        connection.execute(imports.update().where(running).values(state=State.DONE, finished_at=now))


def _move(connection: sa.Connection, import_id: str, **values: object) -> None:
    connection.execute(
        imports.update().where(imports.c.id == import_id).values(**values, lease_owner=None, lease_until=None)
    )


def _free(now: datetime) -> sa.ColumnElement[bool]:
    return (imports.c.state == State.PENDING) & (imports.c.lease_until.is_(None) | (imports.c.lease_until <= now))


def _imports(connection: sa.Connection, rows: list[sa.Row[Any]]) -> list[Import]:
    totals = enrollments.counts(connection, [r.id for r in rows])
    return [
        Import(
            id=r.id,
            state=State(r.state),
            gallery_id=r.gallery_id,
            accepted=totals.get(r.id, {}).get(enrollments.State.ACCEPTED, 0),
            refused=totals.get(r.id, {}).get(enrollments.State.REFUSED, 0),
            pending=totals.get(r.id, {}).get(enrollments.State.PENDING, 0),
            error=r.error,
            created_at=r.created_at,
            finished_at=r.finished_at,
        )
        for r in rows
    ]
