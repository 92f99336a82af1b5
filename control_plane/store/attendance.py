"""Attendance: who came and went on a day, from the events of those who passed.

A day is one of the site's own time zone: 23 or 25 hours long where its clocks are set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from control_plane.store import sites
from control_plane.store.sites import Direction
from control_plane.store.tables import cameras, events, identities, past_directions
from faces.events import Status


class Seen(NamedTuple):
    """How often a person passed cameras of one direction (None: of either), and when first and last."""

    identity_id: str
    direction: Direction | None
    first: datetime
    last: datetime
    passes: int
    name: str | None = None


class Person(NamedTuple):
    """Who somebody is now."""

    name: str
    external_id: str | None


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """One person's day. Times bear the site's offset; null: never seen that way.

    `duration_s` is from the first in to the last out, null if there is none after it. `name` is the one they bear now,
    or bore then if they are gone; null for somebody erased, of whom the id is left as a pseudonym.
    """

    identity_id: str
    external_id: str | None
    name: str | None
    first_in: datetime | None
    last_out: datetime | None
    duration_s: int | None
    passes: int


class Attendance(msgspec.Struct, frozen=True, kw_only=True):
    """A day at a site: everybody who passed, by name."""

    day: date
    site_id: str
    site: str
    time_zone: str
    people: list[Presence]


def of_day(connection: sa.Connection, site_id: str, day: date) -> Attendance:
    """Who was at a site on a day, by all events that have arrived so far; raises NotFound."""
    site = sites.get(connection, site_id)
    zone = ZoneInfo(site.time_zone)
    seen = _seen(connection, site_id, *bounds(day, zone))
    people = _people(connection, {s.identity_id for s in seen})
    return Attendance(
        day=day, site_id=site.id, site=site.name, time_zone=site.time_zone, people=presences(seen, people, zone)
    )


def bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When a day begins and when the next one does, in UTC."""
    midnights = (datetime.combine(d, time(), zone) for d in (day, day + timedelta(days=1)))
    begin, end = (midnight.astimezone(UTC) for midnight in midnights)
    return begin, end


def presences(seen: Iterable[Seen], people: Mapping[str, tuple[str, Person | None]], zone: ZoneInfo) -> list[Presence]:
    """What was seen, summed up by person, those with a name first. `people` tells who an id means now: their id, and
    who that is (None: gone); an id that it does not know means itself."""
    grouped: dict[str, list[Seen]] = {}
    for sight in seen:
        grouped.setdefault(people.get(sight.identity_id, (sight.identity_id, None))[0], []).append(sight)
    known = dict(people.values())
    found = [_presence(person_id, known.get(person_id), sights, zone) for person_id, sights in grouped.items()]
    return sorted(found, key=lambda p: (p.name is None, (p.name or "").casefold(), p.identity_id))


def _presence(person_id: str, person: Person | None, sights: list[Seen], zone: ZoneInfo) -> Presence:
    first_in = min((s.first for s in sights if s.direction is not Direction.OUT), default=None)
    last_out = max((s.last for s in sights if s.direction is not Direction.IN), default=None)
    stayed = last_out - first_in if first_in and last_out and last_out >= first_in else None
    return Presence(
        identity_id=person_id,
        external_id=person.external_id if person else None,
        name=person.name if person else max((s.name for s in sights if s.name), default=None),
        first_in=first_in and first_in.astimezone(zone),
        last_out=last_out and last_out.astimezone(zone),
        duration_s=None if stayed is None else int(stayed.total_seconds()),
        passes=sum(s.passes for s in sights),
    )


def _seen(connection: sa.Connection, site_id: str, begin: datetime, end: datetime) -> list[Seen]:
    camera = (cameras.c.edge_id == events.c.edge_id) & (cameras.c.name == events.c.camera)
    past = (past_directions.c.edge_id == events.c.edge_id) & (past_directions.c.camera == events.c.camera)
    direction = sa.case((cameras.c.name.is_not(None), cameras.c.direction), else_=past_directions.c.direction)
    query = (
        sa.select(
            events.c.identity_id,
            direction,
            sa.func.min(events.c.captured_at),
            sa.func.max(events.c.captured_at),
            sa.func.count(),
            sa.func.max(events.c.name),
        )
        .select_from(events.outerjoin(cameras, camera).outerjoin(past_directions, past))
        .where(
            events.c.site_id == site_id,
            events.c.captured_at >= begin,
            events.c.captured_at < end,
            events.c.status == Status.PASS,
            events.c.identity_id.is_not(None),
        )
        .group_by(events.c.identity_id, direction)
    )
    return [Seen(row[0], Direction(row[1]) if row[1] else None, *row[2:]) for row in connection.execute(query)]


def _people(connection: sa.Connection, identity_ids: set[str]) -> dict[str, tuple[str, Person | None]]:
    """Who each id means now: of one that was merged into another person, that person."""
    columns = identities.c.id, identities.c.name, identities.c.external_id, identities.c.merged_into
    rows = {row.id: row for row in connection.execute(sa.select(*columns).where(_gone_over(identity_ids)))}
    found: dict[str, tuple[str, Person | None]] = {}
    for identity_id in identity_ids:
        row = rows.get(identity_id)
        while row is not None and row.merged_into is not None:
            row = rows.get(row.merged_into)
        if row is not None:
            found[identity_id] = row.id, Person(row.name, row.external_id)
    return found


def _gone_over(identity_ids: set[str]) -> sa.ColumnElement[bool]:
    """Those who were seen, and all into whom anybody was ever merged."""
    into = sa.select(identities.c.merged_into).where(identities.c.merged_into.is_not(None))
    return identities.c.id.in_(identity_ids) | identities.c.id.in_(into)
