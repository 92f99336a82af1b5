"""Enrollments: one photo put forward for one identity. The row is the truth; a worker holds it by a lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store.db import new_id
from control_plane.store.leases import free
from control_plane.store.seals import note_plain
from control_plane.store.tables import enrollments
from faces.errors import NotFound, Reason

LEASE = timedelta(seconds=30)
"""How long a worker may be silent about a row before another takes it."""

MAX_ATTEMPTS = 5
"""A photo on which this many workers died is refused as `internal`."""


LIKE_SOMEBODY_ERASED = "This face was like that of somebody who has been erased since."


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
    note_plain(connection)
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


def forget_person(
    connection: sa.Connection, identity_id: str, name: str, gallery_ids: Sequence[str], now: datetime
) -> list[str]:
    """Keep nothing of an erased person, whom the name alone means in these galleries; what of them is still to be
    looked at is refused. Returns the blobs that are nobody's any more."""
    by_name = (
        enrollments.c.identity_id.is_(None) & (enrollments.c.name == name) & enrollments.c.gallery_id.in_(gallery_ids)
    )
    pending = enrollments.c.state == State.PENDING
    theirs = (enrollments.c.identity_id == identity_id) | by_name
    blobs = connection.execute(sa.select(enrollments.c.blob).where(theirs)).scalars().all()
    for enrollment_id in connection.execute(sa.select(enrollments.c.id).where(by_name & pending)).scalars().all():
        reason, message = Reason.IDENTITY_ERASED, "The person was erased before this photo was looked at."
        _finish(connection, enrollment_id, now, state=State.REFUSED, reason=reason, message=message, name=None)
    connection.execute(enrollments.delete().where(theirs))
    connection.execute(
        enrollments.update().where(names_them(enrollments, identity_id)).values(message=LIKE_SOMEBODY_ERASED, detail={})
    )
    return [blob for blob in blobs if blob is not None]


def names_them(table: sa.Table, identity_id: str) -> sa.ColumnElement[bool]:
    """Photos of others, refused because they are like this person, who is named there."""
    of: sa.ColumnElement[bool] = table.c.detail["identity_id"].as_string() == identity_id
    return (table.c.reason == Reason.LOOK_ALIKE) & of


def _finish(connection: sa.Connection, enrollment_id: str, now: datetime, **values: object) -> None:
    connection.execute(
        enrollments.update()
        .where((enrollments.c.id == enrollment_id) & (enrollments.c.state == State.PENDING))
        .values(**values, blob=None, finished_at=now, lease_owner=None, lease_until=None)
    )


def _free(now: datetime) -> sa.ColumnElement[bool]:
    expired = free(enrollments.c.lease_until, now, LEASE)
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
