"""Enrollments: one photo put forward for one identity. The row is the truth; a worker holds it by a lease."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store.db import new_id
from control_plane.store.tables import enrollments
from faces.errors import NotFound, Reason

LEASE = timedelta(seconds=30)
"""How long a worker may be silent about a row before another takes it."""

MAX_ATTEMPTS = 5
"""A photo on which this many workers died is refused as `internal`."""


class State(StrEnum):
    """`PENDING` moves to `ACCEPTED` or `REFUSED`; those two are final."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Purpose(StrEnum):
    """What a photo is handed in for: it shows the person, or somebody who was taken for them."""

    PHOTO = "photo"
    CORRECTION = "correction"


class Enrollment(msgspec.Struct, frozen=True, kw_only=True):
    """An enrollment as the API shows it."""

    id: str
    kind: Purpose
    state: State
    gallery_id: str
    identity_id: str | None
    name: str | None
    photo_id: str | None
    correction_id: str | None
    reason: Reason | None
    message: str | None
    remedy: str | None
    detail: dict[str, Any] | None
    import_id: str | None
    entry: str | None
    created_at: datetime
    finished_at: datetime | None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to know of an enrollment it has claimed."""

    id: str
    kind: Purpose
    gallery_id: str
    identity_id: str | None
    name: str | None
    import_id: str | None
    blob: str
    sha256: str
    force: bool
    attempts: int


def submit(
    connection: sa.Connection,
    now: datetime,
    *,
    gallery_id: str,
    blob: str,
    sha256: str,
    identity_id: str | None = None,
    name: str | None = None,
    force: bool = False,
    import_id: str | None = None,
    entry: str | None = None,
    kind: Purpose = Purpose.PHOTO,
) -> str:
    """Put a stored photo forward for an identity (by id, or by name); returns the enrollment's id."""
    enrollment_id = new_id(now)
    connection.execute(
        enrollments.insert().values(
            id=enrollment_id,
            kind=kind,
            gallery_id=gallery_id,
            identity_id=identity_id,
            name=name,
            import_id=import_id,
            entry=entry,
            blob=blob,
            sha256=sha256,
            force=force,
            state=State.PENDING,
            created_at=now,
            attempts=0,
        )
    )
    return enrollment_id


def get(connection: sa.Connection, enrollment_id: str) -> Enrollment:
    row = connection.execute(sa.select(enrollments).where(enrollments.c.id == enrollment_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no enrollment {enrollment_id!r}")
    return _enrollment(row)


def listing(
    connection: sa.Connection,
    *,
    after: str = "",
    limit: int = 100,
    identity_id: str | None = None,
    import_id: str | None = None,
    state: State | None = None,
) -> list[Enrollment]:
    """Enrollments in id order from `after` on."""
    query = sa.select(enrollments).where(enrollments.c.id > after).order_by(enrollments.c.id).limit(limit)
    for column, value in (("identity_id", identity_id), ("import_id", import_id), ("state", state)):
        if value is not None:
            query = query.where(enrollments.c[column] == value)
    return [_enrollment(r) for r in connection.execute(query)]


def due(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """Pending enrollments that nobody holds, oldest first."""
    query = sa.select(enrollments.c.id).where(_free(now)).order_by(enrollments.c.created_at).limit(limit)
    return list(connection.execute(query).scalars())


def claim(connection: sa.Connection, enrollment_id: str, owner: str, now: datetime) -> Work | None:
    """Take the lease of a pending enrollment; None if it is finished, gone, or somebody else's."""
    taken = connection.execute(
        enrollments.update()
        .where((enrollments.c.id == enrollment_id) & _free(now))
        .values(lease_owner=owner, lease_until=now + LEASE, attempts=enrollments.c.attempts + 1)
        .returning(*(enrollments.c[name] for name in Work.__struct_fields__))
    ).one_or_none()
    return None if taken is None else Work(**{**taken._mapping, "kind": Purpose(taken.kind)})


def held(connection: sa.Connection, enrollment_id: str, owner: str) -> bool:
    """Whether `owner` still holds this pending enrollment; locks the row until the transaction ends."""
    query = sa.select(enrollments.c.id).where(_held(enrollment_id, owner)).with_for_update()
    return connection.execute(query).first() is not None


def accept(
    connection: sa.Connection, enrollment_id: str, now: datetime, *, identity_id: str, name: str, photo_id: str
) -> None:
    """Finish as accepted; the photo's file belongs to the photo from now on."""
    _finish(connection, enrollment_id, now, state=State.ACCEPTED, identity_id=identity_id, name=name, photo_id=photo_id)


def accept_correction(connection: sa.Connection, enrollment_id: str, now: datetime, *, correction_id: str) -> None:
    """Finish as an accepted correction; its photo's file is nobody's from now on."""
    _finish(connection, enrollment_id, now, state=State.ACCEPTED, correction_id=correction_id)


def refuse(
    connection: sa.Connection,
    enrollment_id: str,
    now: datetime,
    *,
    reason: Reason,
    message: str,
    remedy: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Finish as refused, with a reason code and words for a person."""
    _finish(
        connection,
        enrollment_id,
        now,
        state=State.REFUSED,
        reason=reason,
        message=message,
        remedy=remedy,
        detail=detail or {},
    )


def _finish(connection: sa.Connection, enrollment_id: str, now: datetime, **values: object) -> None:
    connection.execute(
        enrollments.update()
        .where((enrollments.c.id == enrollment_id) & (enrollments.c.state == State.PENDING))
        .values(**values, blob=None, finished_at=now, lease_owner=None, lease_until=None)
    )


def _free(now: datetime) -> sa.ColumnElement[bool]:
    expired = enrollments.c.lease_until.is_(None) | (enrollments.c.lease_until <= now)
    return (enrollments.c.state == State.PENDING) & expired


def _held(enrollment_id: str, owner: str) -> sa.ColumnElement[bool]:
    return (
        (enrollments.c.id == enrollment_id)
        & (enrollments.c.state == State.PENDING)
        & (enrollments.c.lease_owner == owner)
    )


def _enrollment(row: sa.Row[Any]) -> Enrollment:
    values = {name: row._mapping[name] for name in Enrollment.__struct_fields__}
    values["kind"] = Purpose(row.kind)
    values["state"] = State(row.state)
    values["reason"] = Reason(row.reason) if row.reason else None
    return Enrollment(**values)
