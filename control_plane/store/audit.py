"""The audit log: who did what, and who looked at what. Rows are appended, and never changed or removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from control_plane.store import chain
from control_plane.store.chain import Entry, Fault, Head, Row
from control_plane.store.tables import audit, audit_head

PAGE = 1000


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows; None: any. `concerning` is the id of what was acted on, or the second id of the row."""

    actor: str | None = None
    action: str | None = None
    resource: str | None = None
    concerning: str | None = None
    site_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


ALL = Wanted()


def append(connection: sa.Connection, entries: Sequence[Entry]) -> None:
    """Append in the caller's transaction, as the last thing that it does: others who append wait until it ends."""
    if not entries:
        return
    query = sa.select(audit_head.c.position, audit_head.c.hash).with_for_update()
    rows = chain.chained(Head(*connection.execute(query).one()), entries)
    connection.execute(audit.insert(), [msgspec.structs.asdict(row) for row in rows])
    connection.execute(audit_head.update().values(position=rows[-1].position, hash=rows[-1].hash))


def did(
    connection: sa.Connection,
    actor: str,
    action: str,
    now: datetime,
    of: Iterable[tuple[str | None, str | None]] = ((None, None),),
) -> None:
    """Append that somebody who is no request did this, to each of these ids (and second ids)."""
    resource = action.partition(".")[0]
    entries = [
        Entry(at=now, actor=actor, action=action, resource=resource, resource_id=one, other_id=other)
        for one, other in of
    ]
    append(connection, entries)


def head(connection: sa.Connection) -> Head:
    return Head(*connection.execute(sa.select(audit_head.c.position, audit_head.c.hash)).one())


def listing(
    connection: sa.Connection,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int = 100,
    newest_first: bool = False,
    wanted: Wanted = ALL,
) -> list[Row]:
    """Rows behind position `after` and before `before`, oldest first unless told otherwise."""
    query = sa.select(audit).where(audit.c.position > after)
    if before is not None:
        query = query.where(audit.c.position < before)
    for column, value in (
        (audit.c.actor, wanted.actor),
        (audit.c.action, wanted.action),
        (audit.c.resource, wanted.resource),
        (audit.c.site_id, wanted.site_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.concerning is not None:
        query = query.where((audit.c.resource_id == wanted.concerning) | (audit.c.other_id == wanted.concerning))
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(audit.c.at < wanted.until)
    order = audit.c.position.desc() if newest_first else audit.c.position
    return [Row(**r._mapping) for r in connection.execute(query.order_by(order).limit(limit))]


def verify(connection: sa.Connection, anchor: Head | None = None) -> Fault | None:
    """The first row that is not as it was written; None if all are. `anchor` is a head that was kept elsewhere."""
    return chain.fault(_walk(connection), head(connection), anchor)


def _walk(connection: sa.Connection) -> Iterator[Row]:
    after = 0
    while rows := listing(connection, after=after, limit=PAGE):
        yield from rows
        after = rows[-1].position
