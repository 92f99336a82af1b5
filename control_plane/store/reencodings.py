"""Changing the engine: encodings of another model are made of the kept photos, then all galleries switch to them.

Until then everybody goes on with the old ones. These stay until they are cleaned up, so that going back is the same
again, with nothing left to encode but the photos that came since.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec
import sqlalchemy as sa

from control_plane.store import galleries, identities, imports
from control_plane.store.db import new_id
from control_plane.store.enrollments import LEASE
from control_plane.store.leases import free
from control_plane.store.tables import (
    encodings,
    import_items,
    photos,
    reencoding_chunks,
    reencoding_refusals,
    reencodings,
)
from control_plane.store.tables import galleries as galleries_table
from control_plane.store.tables import identities as people
from control_plane.store.tables import imports as imports_table
from faces.encoding import MODELS
from faces.errors import Conflict, Invalid, NotFound, Reason
from faces.gallery import EncodingRow

CHUNK = 16
"""Photos that a worker leases at once."""

PLAN = 64
"""Chunks that are planned at once; the next follow when these are done."""


class State(StrEnum):
    """`RUNNING` moves to `READY` when every kept photo is encoded or refused, and back when photos come; `READY` to
    `SWITCHED`; both to `CANCELLED`."""

    RUNNING = "running"
    READY = "ready"
    SWITCHED = "switched"
    CANCELLED = "cancelled"


OPEN = (State.RUNNING, State.READY)


class Loss(msgspec.Struct, frozen=True):
    """Somebody who has encodings now, and would have none of the new model."""

    identity_id: str
    name: str


class Reencoding(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the engine as the API shows it: how many of the kept photos are `encoded` and `refused`.

    `losses` counts the people who would not be recognised any more. `corrections` of the old model cannot be carried
    over, and a `th_accept` that a gallery has of its own was chosen for the old model: such galleries are `thresholds`.
    """

    id: str
    model: str
    from_model: str | None
    state: State
    photos: int
    encoded: int
    refused: int
    losses: int
    corrections: int
    thresholds: list[str]
    created_at: datetime
    switched_at: datetime | None


class RefusedPhoto(msgspec.Struct, frozen=True, kw_only=True):
    """A kept photo that the new engine would not enrol, and why."""

    photo_id: str
    identity_id: str
    name: str
    reason: Reason
    message: str


class ToEncode(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    blob: str


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that a worker has claimed, with the photos that are still to be encoded. `attempts` counts this one."""

    reencoding_id: str
    number: int
    model: str
    attempts: int
    photos: list[ToEncode]


def begin(connection: sa.Connection, model: str, now: datetime) -> str:
    """Begin to change to a model; returns the id. Raises Invalid for one that is unknown, Conflict if galleries hold it
    already or another change is under way."""
    if model not in MODELS:
        raise Invalid(
            f"engine: there is none called {model[:40]!r}", remedy=f"Use one of: {', '.join(sorted(MODELS))}."
        )
    galleries.lock_all(connection)
    if connection.execute(sa.select(reencodings.c.id).where(reencodings.c.state.in_(OPEN))).first() is not None:
        raise Conflict("the engine is being changed already", remedy="Wait for it to end, or cancel it.")
    before = galleries.active_model(connection)
    if before == model:
        raise Conflict(f"galleries hold encodings of {model} already")
    made = new_id(now)
    values = {"model": model, "from_model": before, "state": State.RUNNING, "created_at": now}
    connection.execute(reencodings.insert().values(id=made, **values))
    return made


def get(connection: sa.Connection, reencoding_id: str) -> Reencoding:
    row = connection.execute(sa.select(reencodings).where(reencodings.c.id == reencoding_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no reencoding {reencoding_id!r}")
    return _shown(connection, row)


def listing(connection: sa.Connection, *, after: str = "", limit: int = 100) -> list[Reencoding]:
    """Changes of the engine in id order from `after` on."""
    query = sa.select(reencodings).where(reencodings.c.id > after).order_by(reencodings.c.id).limit(limit)
    return [_shown(connection, row) for row in connection.execute(query).all()]


def refusals(connection: sa.Connection, reencoding_id: str) -> list[RefusedPhoto]:
    """The photos that the new engine refused; raises NotFound."""
    get(connection, reencoding_id)
    query = (
        sa.select(reencoding_refusals, photos.c.identity_id, people.c.name)
        .join(photos, photos.c.id == reencoding_refusals.c.photo_id)
        .join(people, people.c.id == photos.c.identity_id)
        .where(reencoding_refusals.c.reencoding_id == reencoding_id)
        .order_by(reencoding_refusals.c.photo_id)
    )
    return [
        RefusedPhoto(
            photo_id=r.photo_id, identity_id=r.identity_id, name=r.name, reason=Reason(r.reason), message=r.message
        )
        for r in connection.execute(query)
    ]


def losses(connection: sa.Connection, reencoding_id: str) -> list[Loss]:
    """Who would not be recognised any more, in id order; raises NotFound."""
    model = get(connection, reencoding_id).model
    query = sa.select(people.c.id, people.c.name).where(_lost(connection, model)).order_by(people.c.id)
    return [Loss(r.id, r.name) for r in connection.execute(query)]


def cancel(connection: sa.Connection, reencoding_id: str) -> None:
    """Give a change up that has not switched; the encodings made stay for another time. Raises NotFound, Conflict."""
    _move(connection, reencoding_id, State.CANCELLED)
    connection.execute(reencoding_chunks.delete().where(reencoding_chunks.c.reencoding_id == reencoding_id))


def reopen(connection: sa.Connection, reencoding_id: str) -> bool:
    """Have a change that was ready go on if photos have come since; whether it has. Raises NotFound."""
    found = get(connection, reencoding_id)
    if found.state is not State.READY or not _missing(connection, reencoding_id, found.model, 1):
        return False
    # Cancelled meanwhile, it stays so.
    ready = (reencodings.c.id == reencoding_id) & (reencodings.c.state == State.READY)
    return connection.execute(reencodings.update().where(ready).values(state=State.RUNNING)).rowcount == 1


def retry(connection: sa.Connection, reencoding_id: str, photo_ids: Sequence[str]) -> list[str]:
    """Have photos that workers died of encoded once more, while the change is under way; returns which."""
    galleries.lock_all(connection)
    under_way = sa.select(reencodings.c.id).where((reencodings.c.id == reencoding_id) & reencodings.c.state.in_(OPEN))
    refusals = reencoding_refusals.c
    chosen = refusals.photo_id.in_(photo_ids) & (refusals.reason == Reason.INTERNAL)
    forgotten = reencoding_refusals.delete().where(refusals.reencoding_id.in_(under_way) & chosen)
    found = list(connection.execute(forgotten.returning(refusals.photo_id)).scalars())
    if found:
        reopen(connection, reencoding_id)
    return found


def switch(connection: sa.Connection, reencoding_id: str, now: datetime, *, accept_losses: bool = False) -> None:
    """Have all galleries hold the new model's encodings from this transaction on.

    Raises Conflict while photos are still to be encoded, while an import is under way (its photos are encoded with the
    old engine), and, without `accept_losses`, if somebody would not be recognised any more.
    """
    galleries.lock_all(connection)
    found = get(connection, reencoding_id)
    if found.state in OPEN and _missing(connection, reencoding_id, found.model, 1):
        raise Conflict("photos are still to be encoded", remedy="Wait until it is ready.")
    busy = sa.select(imports_table.c.id).where(imports_table.c.state.in_(imports.ACTIVE)).limit(1)
    if connection.execute(busy).first() is not None:
        raise Conflict("an import is under way", remedy="Wait until it is done, or cancel it.")
    if found.losses and not accept_losses:
        raise Conflict(
            f"{found.losses} people would not be recognised any more",
            remedy="Give them photos that the new engine takes, or switch with accept_losses.",
        )
    _move(connection, reencoding_id, State.SWITCHED, switched_at=now)
    # What imports keep for an operator who may overrule a refusal was encoded with the old engine.
    kept = import_items.c.encoding.is_not(None)
    connection.execute(import_items.update().where(kept).values(encoding=None))
    galleries.switch(connection, found.model, now)


def clean_up(connection: sa.Connection) -> int:
    """Remove the encodings that galleries do not hold; returns how many. Raises Conflict while the engine is being
    changed, or was never."""
    galleries.lock_all(connection)
    model = galleries.active_model(connection)
    if model is None or connection.execute(sa.select(reencodings.c.id).where(reencodings.c.state.in_(OPEN))).first():
        raise Conflict("the engine is being changed, or was never")
    return connection.execute(encodings.delete().where(encodings.c.model != model)).rowcount


def unplanned(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """Changes under way that have no chunk left, and that nobody is planning."""
    has_chunks = sa.exists().where(reencoding_chunks.c.reencoding_id == reencodings.c.id)
    query = sa.select(reencodings.c.id).where((reencodings.c.state == State.RUNNING) & ~has_chunks).limit(limit)
    return list(connection.execute(query).scalars())


def plan(connection: sa.Connection, reencoding_id: str, worker_model: str) -> None:
    """Make chunks of photos that have no encoding of the new model yet; there are none left: it is ready.

    `worker_model` is the one that photos are enrolled with: if all encodings are of that one, galleries hold those and
    no others from now on, so that the new ones do not travel before their time.
    """
    galleries.lock_all(connection)
    running = (reencodings.c.id == reencoding_id) & (reencodings.c.state == State.RUNNING)
    row = connection.execute(sa.select(reencodings).where(running)).one_or_none()
    chunks = sa.select(reencoding_chunks.c.number).where(reencoding_chunks.c.reencoding_id == reencoding_id)
    if row is None or connection.execute(chunks.limit(1)).first() is not None:
        return
    if row.from_model is None:
        connection.execute(reencodings.update().where(running).values(from_model=worker_model))
        others = sa.select(encodings.c.id).where(encodings.c.model != worker_model).limit(1)
        if galleries.active_model(connection) is None and connection.execute(others).first() is None:
            connection.execute(galleries_table.update().values(model=worker_model))
    missing = _missing(connection, reencoding_id, row.model, CHUNK * PLAN)
    if not missing:
        connection.execute(reencodings.update().where(running).values(state=State.READY))
        return
    parts = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    connection.execute(
        reencoding_chunks.insert(),
        [
            {"reencoding_id": reencoding_id, "number": number, "photos": part, "attempts": 0}
            for number, part in enumerate(parts)
        ],
    )


def due(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """Chunks that nobody holds, as `reencoding:number`."""
    columns = reencoding_chunks.c.reencoding_id, reencoding_chunks.c.number
    query = sa.select(*columns).where(_free(now)).order_by(*columns).limit(limit)
    return [f"{row.reencoding_id}:{row.number}" for row in connection.execute(query)]


def claim(connection: sa.Connection, key: str, owner: str, now: datetime) -> Work | None:
    """Take the lease of a chunk by its key in `due`; None if it is done, or somebody else's."""
    reencoding_id, _, number = key.partition(":")
    taken = connection.execute(
        reencoding_chunks.update()
        .where(_chunk(reencoding_id, int(number)) & _free(now))
        .values(lease_owner=owner, lease_until=now + LEASE, attempts=reencoding_chunks.c.attempts + 1)
        .returning(reencoding_chunks.c.photos, reencoding_chunks.c.attempts)
    ).one_or_none()
    if taken is None:
        return None
    model = connection.execute(sa.select(reencodings.c.model).where(reencodings.c.id == reencoding_id)).scalar_one()
    wanted = photos.c.id.in_(taken.photos) & _without(reencoding_id, model)
    query = sa.select(photos.c.id, photos.c.blob).where(wanted).order_by(photos.c.id)
    found = [ToEncode(id=r.id, blob=r.blob) for r in connection.execute(query)]
    return Work(reencoding_id=reencoding_id, number=int(number), model=model, attempts=taken.attempts, photos=found)


def held(connection: sa.Connection, work: Work, owner: str, now: datetime) -> bool:
    """Whether `owner` still holds this chunk; then for longer. Locks all galleries and the row until the transaction
    ends."""
    galleries.lock_all(connection)
    mine = _chunk(work.reencoding_id, work.number) & (reencoding_chunks.c.lease_owner == owner)
    renewed = reencoding_chunks.update().where(mine).values(lease_until=now + LEASE)
    return connection.execute(renewed).rowcount > 0


def encoded(connection: sa.Connection, work: Work, photo_id: str, data: bytes, now: datetime) -> None:
    """Keep a photo's new encoding, for whoever it belongs to now; nothing if it was removed meanwhile."""
    wanted = (photos.c.id == photo_id) & _without(work.reencoding_id, work.model)
    photo = connection.execute(sa.select(photos.c.identity_id, photos.c.origin_id).where(wanted)).one_or_none()
    if photo is None:
        return
    row = EncodingRow(new_id(now), photo.identity_id, work.model, data)
    identities.add_encoding(connection, row, now, photo_id=photo_id, origin_id=photo.origin_id)


def refused(connection: sa.Connection, work: Work, photo_id: str, reason: Reason, message: str) -> None:
    """Keep that the new engine refuses a photo; nothing if it was removed meanwhile."""
    if connection.execute(sa.select(photos.c.id).where(photos.c.id == photo_id)).first() is not None:
        values = {"reencoding_id": work.reencoding_id, "photo_id": photo_id, "reason": reason, "message": message}
        connection.execute(reencoding_refusals.insert().values(**values))


def close(connection: sa.Connection, work: Work, owner: str) -> None:
    """All of the chunk's photos are done."""
    mine = _chunk(work.reencoding_id, work.number) & (reencoding_chunks.c.lease_owner == owner)
    connection.execute(reencoding_chunks.delete().where(mine))


def _shown(connection: sa.Connection, row: sa.Row[tuple[object, ...]]) -> Reencoding:
    def count(query: sa.Select[tuple[object, ...]]) -> int:
        return int(connection.execute(sa.select(sa.func.count()).select_from(query.subquery())).scalar_one())

    model = row.model
    has = sa.exists().where((encodings.c.photo_id == photos.c.id) & (encodings.c.model == model))
    corrections = encodings.c.against & (encodings.c.model != model)
    mine = reencoding_refusals.c.reencoding_id == row.id
    own = sa.select(galleries_table.c.id).where(galleries_table.c.th_accept.is_not(None))
    return Reencoding(
        id=row.id,
        model=model,
        from_model=row.from_model,
        state=State(row.state),
        photos=count(sa.select(photos.c.id)),
        encoded=count(sa.select(photos.c.id).where(has)),
        refused=count(sa.select(reencoding_refusals.c.photo_id).where(mine)),
        losses=count(sa.select(people.c.id).where(_lost(connection, model))),
        corrections=count(sa.select(encodings.c.id).where(corrections)),
        thresholds=list(connection.execute(own.order_by(galleries_table.c.id)).scalars()),
        created_at=row.created_at,
        switched_at=row.switched_at,
    )


def _lost(connection: sa.Connection, model: str) -> sa.ColumnElement[bool]:
    """Who can be recognised now, and could not by the new model."""
    own = (encodings.c.identity_id == people.c.id) & encodings.c.against.is_(False)
    active = galleries.active_model(connection)
    now = own if active is None else own & (encodings.c.model == active)
    return sa.exists().where(now) & ~sa.exists().where(own & (encodings.c.model == model))


def _without(reencoding_id: str, model: str) -> sa.ColumnElement[bool]:
    """Photos that this change has neither encoded nor refused."""
    has = sa.exists().where((encodings.c.photo_id == photos.c.id) & (encodings.c.model == model))
    mine = (reencoding_refusals.c.photo_id == photos.c.id) & (reencoding_refusals.c.reencoding_id == reencoding_id)
    return ~has & ~sa.exists().where(mine)


def _missing(connection: sa.Connection, reencoding_id: str, model: str, limit: int) -> Sequence[str]:
    query = sa.select(photos.c.id).where(_without(reencoding_id, model)).order_by(photos.c.id).limit(limit)
    return connection.execute(query).scalars().all()


def _move(connection: sa.Connection, reencoding_id: str, to: State, **values: object) -> None:
    """Take a step that only an open change may; raises NotFound and Conflict."""
    still_open = (reencodings.c.id == reencoding_id) & reencodings.c.state.in_(OPEN)
    if not connection.execute(reencodings.update().where(still_open).values(state=to, **values)).rowcount:
        raise Conflict(f"the reencoding is {get(connection, reencoding_id).state} already")


def _chunk(reencoding_id: str, number: int) -> sa.ColumnElement[bool]:
    return (reencoding_chunks.c.reencoding_id == reencoding_id) & (reencoding_chunks.c.number == number)


def _free(now: datetime) -> sa.ColumnElement[bool]:
    return free(reencoding_chunks.c.lease_until, now, LEASE)
