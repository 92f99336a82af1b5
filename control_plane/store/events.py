"""The event log: appended with a position from a counter, read by cursor, each event once whatever is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from control_plane.store import alarms, counters, erasures, identities, unknowns, webhooks
from control_plane.store import galleries as galleries_store
from control_plane.store import sites as sites_store
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import insert_rows
from control_plane.store.seals import Plain, Sealed, of_thumbnail, seal_all, strangers, unseal_all, vault_of
from control_plane.store.tables import edges, events, galleries, past_events, sites, thumbnails
from control_plane.store.unknowns import Kept
from control_plane.store.vault import person
from faces.errors import NotFound
from faces.events import Event, EventKind, Status
from faces.gallery import Kind, checksum_text
from faces.wire import Verdict

ID_REUSED = "id_reused"


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the API shows it: where it stands in the log, and where it came from.

    `captured_at` is by the edge's clock, which was `clock_offset_s` ahead of ours when it was sent (null: not known);
    `arrived_at` is by ours.
    """

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
    clock_offset_s: float | None
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


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom the face was compared with; of the runner-up the edge tells the distance alone."""

    identity_id: str | None
    name: str | None
    distance: float


class EventInFull(LoggedEvent, frozen=True, kw_only=True):
    """An event with all that decided: the candidates, nearest first, and where the gallery stood, by its name now and
    the checksum of its revision then (null: no longer known)."""

    candidates: list[Candidate]
    gallery: str | None
    gallery_checksum: str | None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are asked for; None asks nothing. `sites`: of any of them; `since` and `until` (excluded) bound the
    time of capture.

    Those of an identity are also those of all who were merged into one person with it.
    """

    sites: frozenset[str] | None = None
    site_id: str | None = None
    edge_id: str | None = None
    camera: str | None = None
    identity_id: str | None = None
    gallery_id: str | None = None
    status: Status | None = None
    kind: EventKind | None = None
    since: datetime | None = None
    until: datetime | None = None

    def terms(self, connection: sa.Connection) -> Iterator[sa.ColumnElement[bool]]:
        for name in ("site_id", "edge_id", "camera", "gallery_id", "status", "kind"):
            if (value := getattr(self, name)) is not None:
                yield events.c[name] == value
        if self.sites is not None:
            yield events.c.site_id.in_(self.sites)
        if self.identity_id is not None:
            person = identities.tree(connection, identities.survivor(connection, self.identity_id))
            yield events.c.identity_id.in_(person)
        if self.since is not None:
            yield events.c.captured_at >= self.since
        if self.until is not None:
            yield events.c.captured_at < self.until


EVERYTHING = Wanted()


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """Events that one edge has sent at once, with the hash of each (`body_hash`)."""

    edge_id: str
    events: Sequence[Event]
    hashes: Sequence[bytes]
    clock_offset_s: float | None = None


class _New(NamedTuple):
    """An event that is not in the log yet, and where it came from."""

    event: Event
    body_hash: bytes
    site_id: str
    arrival: Arrival


def take_in(connection: sa.Connection, arrivals: Sequence[Arrival], now: datetime) -> list[list[Verdict] | NotFound]:
    """Store what several edges have sent, in one transaction; for each either a verdict for every event, in order, or
    NotFound where the edge has never introduced itself.

    Events that are new come with their webhook deliveries and alarms. What arrives late of somebody erased meanwhile
    is kept like their old events: without name and picture.
    """
    places = sites_store.heard_of(connection, [a.edge_id for a in arrivals], now)
    known = [a for a in arrivals if a.edge_id in places]
    verdicts = iter(_store(connection, known, places, now))
    return [next(verdicts) if a.edge_id in places else sites_store.unknown_edge(a.edge_id) for a in arrivals]


def append(
    connection: sa.Connection, received: Sequence[Event], *, site_id: str, edge_id: str, now: datetime
) -> list[Verdict]:
    """Store what one edge of a site has sent; otherwise as `take_in`."""
    arrival = Arrival(edge_id=edge_id, events=received, hashes=[body_hash(e) for e in received])
    return _store(connection, [arrival], {edge_id: site_id}, now)[0]


def _store(
    connection: sa.Connection, arrivals: Sequence[Arrival], places: Mapping[str, str], now: datetime
) -> list[list[Verdict]]:
    # Whoever appends holds the counter from here on: no other can store one of these ids in between.
    last = counters.held(connection, counters.LOG)
    known = _body_hashes(connection, [str(e.id) for a in arrivals for e in a.events])
    gone = erasures.among(connection, [e.identity_id for a in arrivals for e in a.events if e.identity_id])
    fresh: list[_New] = []
    verdicts = [_verdicts(a, places[a.edge_id], known, gone, fresh) for a in arrivals]
    if fresh:
        fresh = [_forgetful(n) if n.event.identity_id in gone else n for n in fresh]
        counters.put(connection, counters.LOG, last + len(fresh))
        _insert(connection, fresh, last + 1, now)
        wanted = [(n.site_id, n.event) for n in fresh if n.event.name or not n.event.identity_id]
        webhooks.enqueue(connection, wanted, now)
    _sound(connection, fresh, now)
    for arrival, told in zip(arrivals, verdicts, strict=True):
        _sound_reuse(connection, arrival.edge_id, places[arrival.edge_id], told, now)
    return verdicts


def _verdicts(
    arrival: Arrival, site_id: str, known: dict[str, bytes], gone: set[str], fresh: list[_New]
) -> list[Verdict]:
    """A verdict for each event; the new ones become known and are added to `fresh`.

    Of those erased (`gone`) an edge keeps less than it may have sent before: they are known by the id alone.
    """
    verdicts = []
    for event, body_hash in zip(arrival.events, arrival.hashes, strict=True):
        event_id = str(event.id)
        if event_id not in known:
            known[event_id] = body_hash
            fresh.append(_New(event, body_hash, site_id, arrival))
            verdicts.append(Verdict(event_id, "stored"))
        elif known[event_id] == body_hash or event.identity_id in gone:
            verdicts.append(Verdict(event_id, "known"))
        else:
            verdicts.append(Verdict(event_id, "refused", ID_REUSED))
    return verdicts


def head(connection: sa.Connection) -> int:
    """The position of the newest event; 0 while there is none."""
    return counters.value(connection, counters.LOG)


def listing(
    connection: sa.Connection,
    *,
    after: int = 0,
    before: int | None = None,
    newest_first: bool = False,
    limit: int = 100,
    wanted: Wanted = EVERYTHING,
) -> list[LoggedEvent]:
    """Events between two positions (both excluded), by position."""
    query = page(connection, wanted, after=after, before=before, newest_first=newest_first)
    return [_logged(r) for r in connection.execute(query.limit(limit))]


def page(
    connection: sa.Connection,
    wanted: Wanted,
    *,
    after: int = 0,
    before: int | None = None,
    newest_first: bool = False,
) -> sa.Select[Any]:
    """The query of `listing`."""
    query = _select().where(events.c.position > after, *wanted.terms(connection))
    if before is not None:
        query = query.where(events.c.position < before)
    return query.order_by(events.c.position.desc() if newest_first else events.c.position)


def get(connection: sa.Connection, event_id: str) -> LoggedEvent:
    row = connection.execute(_select().where(events.c.id == event_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no event {event_id!r}")
    return _logged(row)


def several(connection: sa.Connection, event_ids: Sequence[str]) -> dict[str, LoggedEvent]:
    """Those of these events that are in the log, by id."""
    return {r.id: _logged(r) for r in connection.execute(_select().where(events.c.id.in_(event_ids)))}


def in_full(connection: sa.Connection, event_id: str) -> EventInFull:
    """One event with all that decided; raises NotFound."""
    event = get(connection, event_id)
    told = {name: getattr(event, name) for name in LoggedEvent.__struct_fields__}
    nearest = Candidate(identity_id=event.identity_id, name=event.name, distance=event.distance or 0.0)
    second = Candidate(identity_id=None, name=None, distance=event.runner_up_distance or 0.0)
    gallery = connection.execute(sa.select(galleries.c.name).where(galleries.c.id == event.gallery_id)).scalar()
    checksum = None
    if event.gallery_id is not None and event.gallery_revision is not None:
        checksum = galleries_store.checksum_at(connection, event.gallery_id, event.gallery_revision)
    return EventInFull(
        **told,
        candidates=[nearest] * (event.distance is not None) + [second] * (event.runner_up_distance is not None),
        gallery=gallery,
        gallery_checksum=None if checksum is None else checksum_text(checksum),
    )


def thumbnail(connection: sa.Connection, event_id: str) -> bytes:
    """The small JPEG of an event's face; raises NotFound if there is none."""
    query = sa.select(thumbnails.c.data).join(events).where(events.c.id == event_id)
    picture = connection.execute(query).scalar()
    if picture is None:
        raise NotFound(f"event {event_id!r} has no thumbnail")
    return unseal_all(connection, [Sealed(of_thumbnail(event_id), picture)])[0]


def body_hash(event: Event) -> bytes:
    """What tells a repeat from another event under the same id: a hash of all that is said in it.

    Of what is said alone, not of what is left empty: a field that a later version adds changes no hash.
    """
    told = {name: value for name in Event.__struct_fields__ if (value := getattr(event, name)) not in _EMPTY}
    return blake2b(_ENCODER.encode(told), digest_size=16).digest()


_EMPTY = (None, msgspec.UNSET)
_ENCODER = msgspec.msgpack.Encoder(order="sorted")


def _body_hashes(connection: sa.Connection, ids: list[str]) -> dict[str, bytes]:
    queries = [sa.select(t.c.id, t.c.body_hash).where(t.c.id.in_(ids)) for t in (events, past_events)]
    return {key: bytes(found) for query in queries for key, found in connection.execute(query)}


def _forgetful(new: _New) -> _New:
    return new._replace(event=msgspec.structs.replace(new.event, name=None, thumbnail=None))


def _sound(connection: sa.Connection, fresh: list[_New], now: datetime) -> None:
    """Raise the alarms that events give rise to."""
    for event, _, site_id, arrival in fresh:
        if event.reason == Kind.DENY:
            alarms.sound(
                connection,
                AlarmKind.DENIED_PERSON,
                f"{arrival.edge_id} {event.camera} {event.identity_id}",
                f"somebody on a deny list stands before camera {event.camera!r}",
                now,
                site_id=site_id,
                edge_id=arrival.edge_id,
                gallery_id=event.gallery_id,
                event_id=str(event.id),
            )


def _sound_reuse(connection: sa.Connection, edge_id: str, site_id: str, verdicts: list[Verdict], now: datetime) -> None:
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


def _insert(connection: sa.Connection, fresh: list[_New], first: int, now: datetime) -> None:
    placed = list(enumerate(fresh, start=first))
    insert_rows(connection, events, [_event_row(position, new, now) for position, new in placed])
    pictured = [(position, new) for position, new in placed if new.event.thumbnail is not None]
    sealed = seal_all(connection, _pictures(connection, [new for _, new in pictured], now))
    rows = [{"position": position, "data": data} for (position, _), data in zip(pictured, sealed, strict=True)]
    insert_rows(connection, thumbnails, rows)
    unknowns.keep(
        connection,
        [
            Kept(position, str(new.event.id), new.site_id, new.event.engine or "", new.event.probe)
            for position, new in placed
            if new.event.probe is not msgspec.UNSET
        ],
        now,
    )


def _pictures(connection: sa.Connection, pictured: Sequence[_New], now: datetime) -> list[Plain]:
    """Thumbnails by the key of the person who was recognised, as far as that one is known here, or by the day's."""
    vault = vault_of(connection)
    people = [person(new.event.identity_id or "") for new in pictured]
    known = vault.known(people) if vault is not None else {}
    return [
        Plain(
            owner if owner in known else strangers(new.site_id, now),
            of_thumbnail(str(new.event.id)),
            new.event.thumbnail or b"",
        )
        for new, owner in zip(pictured, people, strict=True)
    ]


def _event_row(position: int, new: _New, now: datetime) -> dict[str, Any]:
    told = {name: getattr(new.event, name) for name in _TOLD}
    return told | {
        "position": position,
        "id": str(new.event.id),
        "dropped": new.event.dropped or None,
        "body_hash": new.body_hash,
        "site_id": new.site_id,
        "edge_id": new.arrival.edge_id,
        "arrived_at": now,
        "clock_offset_s": new.arrival.clock_offset_s,
    }


_TOLD = [name for name in Event.__struct_fields__ if name not in ("id", "thumbnail", "probe")]


def _select() -> sa.Select[Any]:
    return sa.select(
        *(c for c in events.c if c.name != "body_hash"),
        thumbnails.c.position.is_not(None).label("thumbnail"),
        sites.c.name.label("site"),
        edges.c.name.label("edge"),
    ).select_from(
        events.outerjoin(thumbnails)
        .outerjoin(sites, sites.c.id == events.c.site_id)
        .outerjoin(edges, edges.c.id == events.c.edge_id)
    )


def _logged(row: sa.Row[Any]) -> LoggedEvent:
    values = row._asdict() | {
        "kind": EventKind(row.kind),
        "status": Status(row.status) if row.status else None,
        "site": row.site or "",
        "edge": row.edge or "",
        "box": tuple(row.box) if row.box else None,
        "picture": tuple(row.picture) if row.picture else None,
    }
    return LoggedEvent(**values)
