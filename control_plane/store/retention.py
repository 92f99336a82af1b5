"""How long events and thumbnails are kept: those of a site go a few at a time, oldest first.

Arrival counts, by our own clock: an edge whose clock is wrong loses nothing by it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple

import sqlalchemy as sa

from control_plane.store import unknowns
from control_plane.store.tables import deliveries, events, past_events, sites, thumbnails, webhooks

EVERY = timedelta(minutes=10)
"""How often a site is looked at."""

AT_ONCE = 200
"""Events that go in one transaction: other writers wait meanwhile."""

FOR_EVER = 0


class Days(NamedTuple):
    """How long events and thumbnails are kept; 0: for ever. Encodings of strangers: 0: not at all."""

    events: int
    thumbnails: int
    probes: int = 0


def due(connection: sa.Connection, now: datetime, *, limit: int) -> list[str]:
    """Sites that nobody has seen to lately."""
    return list(connection.execute(sa.select(sites.c.id).where(_due(now)).limit(limit)).scalars())


def claim(connection: sa.Connection, site_id: str, default: Days, now: datetime) -> Days | None:
    """Take a site that is due, and learn how long it keeps things; None if somebody else has taken it."""
    taken = connection.execute(
        sites.update()
        .where((sites.c.id == site_id) & _due(now))
        .values(tidied_at=now)
        .returning(sites.c.event_days, sites.c.thumbnail_days, sites.c.probe_days)
    ).one_or_none()
    if taken is None:
        return None
    return Days(
        default.events if taken.event_days is None else taken.event_days,
        default.thumbnails if taken.thumbnail_days is None else taken.thumbnail_days,
        taken.probe_days,
    )


def forget_events(connection: sa.Connection, site_id: str, before: datetime) -> int:
    """Delete the oldest events of a site that arrived before a time, with their deliveries; returns how many.

    Their ids stay, so that one that is sent again is told to nobody again.
    """
    _hold(connection, site_id)
    old = _oldest(connection, site_id, before, after=0)
    ids = [row.id for row in old]
    if old:
        gone = events.c.position.in_([row.position for row in old])
        kept = sa.select(events.c.id, events.c.body_hash).where(gone)
        connection.execute(past_events.insert().from_select(["id", "body_hash"], kept))
        # By the receivers too, as the index begins with them.
        told = deliveries.c.webhook_id.in_(sa.select(webhooks.c.id)) & deliveries.c.event_id.in_(ids)
        connection.execute(deliveries.delete().where(told))
        connection.execute(events.delete().where(gone))
    return len(old)


def forget_thumbnails(connection: sa.Connection, site_id: str, before: datetime) -> int:
    """Delete the thumbnails of the next events of a site that arrived before a time; returns how many events."""
    done_to = _hold(connection, site_id)
    old = _oldest(connection, site_id, before, after=done_to)
    if old:
        connection.execute(thumbnails.delete().where(thumbnails.c.position.in_([row.position for row in old])))
        connection.execute(sites.update().where(sites.c.id == site_id).values(thumbnails_to=old[-1].position))
    return len(old)


def forget_probes(connection: sa.Connection, site_id: str, before: datetime) -> int:
    """Delete the oldest encodings of strangers of a site that arrived before a time; returns how many."""
    return unknowns.forget(connection, site_id, before, AT_ONCE)


def _due(now: datetime) -> sa.ColumnElement[bool]:
    return sites.c.tidied_at.is_(None) | (sites.c.tidied_at <= now - EVERY)


def _hold(connection: sa.Connection, site_id: str) -> int:
    """Have others who tidy this site wait; returns how far its thumbnails have been seen to."""
    query = sa.select(sites.c.thumbnails_to).where(sites.c.id == site_id).with_for_update()
    return int(connection.execute(query).scalar_one())


def _oldest(connection: sa.Connection, site_id: str, before: datetime, *, after: int) -> list[sa.Row[Any]]:
    """The next events of a site, as long as they are old. The log is in order of arrival: none behind them is older."""
    query = (
        sa.select(events.c.position, events.c.id, events.c.arrived_at)
        .where((events.c.site_id == site_id) & (events.c.position > after))
        .order_by(events.c.position)
        .limit(AT_ONCE)
    )
    return list(takewhile(lambda row: row.arrived_at < before, connection.execute(query)))
