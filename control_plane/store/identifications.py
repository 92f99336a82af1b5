"""Identifications: who is on a photo. The row is the truth; a worker holds it by a lease.

The photo is deleted as soon as it is decided, its encodings are never stored, and the answer is forgotten in a while.
It keeps ids; names, and who was erased meanwhile, are looked up whenever it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import discards
from control_plane.store.db import new_id
from control_plane.store.enrollments import LEASE
from control_plane.store.leases import free
from control_plane.store.seals import note_plain
from control_plane.store.tables import identifications, identities
from faces.errors import NotFound, Reason
from faces.events import Status
from faces.gallery import PRECEDENCE, Kind


class State(StrEnum):
    """`PENDING` moves to `DONE` or `REFUSED`; those two are final."""

    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody a face may be, by one gallery; `threshold` is that gallery's. `name` is filled in when it is told."""

    identity_id: str
    name: str = ""
    gallery_id: str
    kind: Kind
    distance: float
    threshold: float


class FoundFace(msgspec.Struct, frozen=True, kw_only=True):
    """One face: `box` in pixels of the photo, candidates nearest first. `reason`: why it is not worth a search."""

    box: tuple[int, int, int, int]
    quality: dict[str, Any]
    reason: Reason | None = None
    candidates: list[Candidate] = []


class ToldFace(FoundFace, frozen=True, kw_only=True):
    """A face and the decision on it. `match` is who is recognised: deny wins over watch, watch over allow, then the
    nearest; `PASS` if that is in an `allow` gallery."""

    status: Status
    match: Candidate | None


class Identification(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on a photo, as the API shows it: all faces, the most prominent first. Forgotten at `forget_at`."""

    id: str
    state: State
    galleries: list[str]
    engine: str | None
    faces: list[ToldFace]
    reason: Reason | None
    message: str | None
    remedy: str | None
    created_at: datetime
    finished_at: datetime | None
    forget_at: datetime | None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to know of an identification it has claimed."""

    id: str
    galleries: list[str]
    blob: str
    attempts: int


def submit(connection: sa.Connection, now: datetime, *, galleries: Iterable[str], blob: str) -> str:
    """Ask who is on a stored photo; returns the identification's id."""
    note_plain(connection)
    made = new_id(now)
    values = {"galleries": sorted(set(galleries)), "blob": blob, "state": State.PENDING, "created_at": now}
    connection.execute(identifications.insert().values(id=made, attempts=0, **values))
    return made


def get(connection: sa.Connection, identification_id: str) -> Identification:
    """An identification, as if asked now: people erased since are no candidates. Raises NotFound."""
    row = connection.execute(sa.select(identifications).where(identifications.c.id == identification_id)).one_or_none()
    if row is None:
        raise unknown(identification_id)
    values = {name: row._mapping[name] for name in Identification.__struct_fields__}
    values |= {"state": State(row.state), "reason": Reason(row.reason) if row.reason else None}
    return Identification(**{**values, "faces": _told(connection, msgspec.convert(row.faces or [], list[FoundFace]))})


def searched(connection: sa.Connection, identification_id: str) -> list[str]:
    """The galleries that it searches; raises NotFound."""
    mine = identifications.c.id == identification_id
    found: list[str] | None = connection.execute(sa.select(identifications.c.galleries).where(mine)).scalar()
    if found is None:
        raise unknown(identification_id)
    return found


def unknown(identification_id: str) -> NotFound:
    return NotFound(f"there is no identification {identification_id!r}", remedy="Answers are kept a short while.")


def due(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """Pending identifications that nobody holds, oldest first."""
    query = sa.select(identifications.c.id).where(_free(now)).order_by(identifications.c.id).limit(limit)
    return list(connection.execute(query).scalars())


def claim(connection: sa.Connection, identification_id: str, owner: str, now: datetime) -> Work | None:
    """Take the lease of a pending identification; None if it is finished, gone, or somebody else's."""
    taken = connection.execute(
        identifications.update()
        .where((identifications.c.id == identification_id) & _free(now))
        .values(lease_owner=owner, lease_until=now + LEASE, attempts=identifications.c.attempts + 1)
        .returning(*(identifications.c[name] for name in Work.__struct_fields__))
    ).one_or_none()
    return None if taken is None else Work(**taken._mapping)


def finish(
    connection: sa.Connection,
    work: Work,
    owner: str,
    now: datetime,
    forget_at: datetime,
    *,
    engine: str,
    found: Sequence[FoundFace],
) -> list[str]:
    """Keep the answer until `forget_at`, if `owner` still holds it; returns the photo's file for `discards`."""
    values = {"state": State.DONE, "engine": engine, "faces": msgspec.to_builtins(list(found))}
    return _settle(connection, work, owner, now, forget_at, values)


def refuse(
    connection: sa.Connection,
    work: Work,
    owner: str,
    now: datetime,
    forget_at: datetime,
    *,
    reason: Reason,
    message: str,
    remedy: str = "",
) -> list[str]:
    """Finish as refused, with a reason code and words for a person; returns as `finish` does."""
    values = {"state": State.REFUSED, "reason": reason, "message": message, "remedy": remedy}
    return _settle(connection, work, owner, now, forget_at, values)


def old(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """Answers that have been kept long enough."""
    query = sa.select(identifications.c.id).where(identifications.c.forget_at <= now).limit(limit)
    return list(connection.execute(query).scalars())


def forget(connection: sa.Connection, identification_id: str) -> None:
    connection.execute(identifications.delete().where(identifications.c.id == identification_id))


def _settle(
    connection: sa.Connection, work: Work, owner: str, now: datetime, forget_at: datetime, values: dict[str, Any]
) -> list[str]:
    mine = (identifications.c.id == work.id) & (identifications.c.state == State.PENDING)
    held = mine & (identifications.c.lease_owner == owner)
    done = {"blob": None, "finished_at": now, "forget_at": forget_at, "lease_owner": None, "lease_until": None}
    if not connection.execute(identifications.update().where(held).values(**values, **done)).rowcount:
        return []
    return discards.note(connection, [work.blob], now)


def _told(connection: sa.Connection, found: Sequence[FoundFace]) -> list[ToldFace]:
    ids = {c.identity_id for face in found for c in face.candidates}
    query = sa.select(identities.c.id, identities.c.name).where(identities.c.id.in_(ids))
    names: dict[str, str] = dict(connection.execute(query).all())
    return [_decided(face, [c for c in face.candidates if c.identity_id in names], names) for face in found]


def _decided(face: FoundFace, there: Sequence[Candidate], names: dict[str, str]) -> ToldFace:
    named = [msgspec.structs.replace(c, name=names[c.identity_id]) for c in there]
    accepted = [c for c in named if c.distance <= c.threshold]
    match = min(accepted, key=lambda c: (PRECEDENCE.index(c.kind), c.distance), default=None)
    return ToldFace(
        box=face.box,
        quality=face.quality,
        reason=face.reason,
        candidates=named,
        status=Status.PASS if match and match.kind is Kind.ALLOW else Status.REJECT,
        match=match,
    )


def _free(now: datetime) -> sa.ColumnElement[bool]:
    expired = free(identifications.c.lease_until, now, LEASE)
    return (identifications.c.state == State.PENDING) & expired
