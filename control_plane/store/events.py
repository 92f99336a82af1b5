"""The event log: appended with a position from a counter, read by cursor, each event once whatever is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import alarms, erasures, identities, webhooks
from control_plane.store.alarms import AlarmKind
from control_plane.store.tables import counters, edges, events, sites
from faces.errors import NotFound
from faces.events import Event, EventKind, Status
from faces.gallery import Kind
from faces.wire import Verdict

LOG = "events"
ID_REUSED = "id_reused"


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the API shows it: where it stands in the log, and where it came from."""

    position: int
    id: str
    kind: EventKind
    site_id: str
    site: str
    edge_id: str
    edge: str
    camera: str
    captured_at: datetime
    arrived_at: datetime
    track: int | None
    status: Status | None
    identity_id: str | None
    name: str | None
    distance: float | None
    runner_up_distance: float | None
    box: tuple[int, int, int, int] | None
    picture: tuple[int, int] | None
    engine: str | None
    gallery_id: str | None
    gallery_revision: int | None
    threshold: float | None
    reason: str | None
    dropped: dict[str, int] | None
    thumbnail: bool


def append(
    connection: sa.Connection, received: Sequence[Event], *, site_id: str, edge_id: str, now: datetime
) -> list[Verdict]:
    """Store the events that are new, with their webhook deliveries and alarms; returns a verdict for each, in order.

    What arrives late of somebody erased meanwhile is kept like their old events: without name and picture.
    """
    known = _body_hashes(connection, [str(e.id) for e in received])
    fresh: dict[str, Event] = {}
    verdicts = []
    for event in received:
        event_id = str(event.id)
        if event_id in known:
            verdicts.append(_repeat(event, known[event_id]))
        elif event_id in fresh:
            verdicts.append(_repeat(event, _body_hash(fresh[event_id])))
        else:
            fresh[event_id] = event
            verdicts.append(Verdict(event_id, "stored"))
    if fresh:
        stored = _forgetful(connection, list(fresh.values()))
        _insert(connection, stored, [_body_hash(e) for e in fresh.values()], site_id, edge_id, now)
        webhooks.enqueue(connection, [e for e in stored if e.name or not e.identity_id], now)
    _sound(connection, list(fresh.values()), verdicts, site_id, edge_id, now)
    return verdicts


def head(connection: sa.Connection) -> int:
    """The position of the newest event; 0 while there is none."""
    return int(connection.execute(sa.select(counters.c.value).where(counters.c.name == LOG)).scalar_one())


def listing(
    connection: sa.Connection,
    *,
    after: int = 0,
    before: int | None = None,
    newest_first: bool = False,
    limit: int = 100,
    site_id: str | None = None,
    camera: str | None = None,
    identity_id: str | None = None,
    status: Status | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[LoggedEvent]:
    """Events between two positions (both excluded), by position; `since` and `until` bound the capture time.

    Those of an identity are also those of all who were merged into one person with it.
    """
    query = _select().where(events.c.position > after)
    if before is not None:
        query = query.where(events.c.position < before)
    if identity_id is not None:
        person = identities.tree(connection, identities.survivor(connection, identity_id))
        query = query.where(events.c.identity_id.in_(person))
    for column, value in (("site_id", site_id), ("camera", camera), ("status", status)):
        if value is not None:
            query = query.where(events.c[column] == value)
    if since is not None:
        query = query.where(events.c.captured_at >= since)
    if until is not None:
        query = query.where(events.c.captured_at < until)
    order = events.c.position.desc() if newest_first else events.c.position
    return [_logged(r) for r in connection.execute(query.order_by(order).limit(limit))]


def get(connection: sa.Connection, event_id: str) -> LoggedEvent:
    row = connection.execute(_select().where(events.c.id == event_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no event {event_id!r}")
    return _logged(row)


def thumbnail(connection: sa.Connection, event_id: str) -> bytes:
    """The small JPEG of an event's face; raises NotFound if there is none."""
    picture = connection.execute(sa.select(events.c.thumbnail).where(events.c.id == event_id)).scalar()
    if picture is None:
        raise NotFound(f"event {event_id!r} has no thumbnail")
    return bytes(picture)


def _repeat(event: Event, stored: bytes) -> Verdict:
    if _body_hash(event) == stored:
        return Verdict(str(event.id), "known")
    return Verdict(str(event.id), "refused", ID_REUSED)


def _body_hash(event: Event) -> bytes:
    return blake2b(msgspec.msgpack.encode(event), digest_size=16).digest()


def _body_hashes(connection: sa.Connection, ids: list[str]) -> dict[str, bytes]:
    query = sa.select(events.c.id, events.c.body_hash).where(events.c.id.in_(ids))
    return dict(connection.execute(query).all())


def _forgetful(connection: sa.Connection, fresh: list[Event]) -> list[Event]:
    gone = erasures.among(connection, [e.identity_id for e in fresh if e.identity_id])
    return [msgspec.structs.replace(e, name=None, thumbnail=None) if e.identity_id in gone else e for e in fresh]


def _sound(
    connection: sa.Connection,
    fresh: list[Event],
    verdicts: list[Verdict],
    site_id: str,
    edge_id: str,
    now: datetime,
) -> None:
    """Raise the alarms that events give rise to."""
    for event in fresh:
        if event.reason == Kind.DENY:
            alarms.sound(
                connection,
                AlarmKind.DENIED_PERSON,
                f"{edge_id} {event.camera} {event.identity_id}",
                f"somebody on a deny list stands before camera {event.camera!r}",
                now,
                site_id=site_id,
                edge_id=edge_id,
                gallery_id=event.gallery_id,
                event_id=str(event.id),
            )
    for verdict in verdicts:
        if verdict.reason == ID_REUSED:
            alarms.sound(
                connection,
                AlarmKind.EVENT_ID_REUSED,
                f"{edge_id} {verdict.id}",
                "an edge sent another event under an id that is known: it may be a clone of another edge",
                now,
                site_id=site_id,
                edge_id=edge_id,
                event_id=verdict.id,
            )


def _insert(
    connection: sa.Connection, fresh: list[Event], hashes: list[bytes], site_id: str, edge_id: str, now: datetime
) -> None:
    bump = counters.update().where(counters.c.name == LOG).values(value=counters.c.value + len(fresh))
    last = connection.execute(bump.returning(counters.c.value)).scalar_one()
    connection.execute(
        events.insert(),
        [
            {
                **msgspec.structs.asdict(event),
                "id": str(event.id),
                "dropped": event.dropped or None,
                "position": position,
                "body_hash": body_hash,
                "site_id": site_id,
                "edge_id": edge_id,
                "arrived_at": now,
            }
            for position, (event, body_hash) in enumerate(zip(fresh, hashes, strict=True), start=last - len(fresh) + 1)
        ],
    )


def _select() -> sa.Select[Any]:
    columns = [c for c in events.c if c.name not in ("thumbnail", "body_hash")]
    return sa.select(
        *columns,
        events.c.thumbnail.is_not(None).label("thumbnail"),
        sites.c.name.label("site"),
        edges.c.name.label("edge"),
    ).select_from(
        events.outerjoin(sites, sites.c.id == events.c.site_id).outerjoin(edges, edges.c.id == events.c.edge_id)
    )


def _logged(row: sa.Row[Any]) -> LoggedEvent:
    values = {name: row._mapping[name] for name in LoggedEvent.__struct_fields__}
    values |= {
        "kind": EventKind(row.kind),
        "status": Status(row.status) if row.status else None,
        "site": row.site or "",
        "edge": row.edge or "",
        "box": tuple(row.box) if row.box else None,
        "picture": tuple(row.picture) if row.picture else None,
    }
    return LoggedEvent(**values)
