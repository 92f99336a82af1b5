"""Alarms: what somebody has to look into, until it is acknowledged."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

import msgspec
import sqlalchemy as sa

from control_plane.store import webhooks
from control_plane.store.db import new_id
from control_plane.store.tables import alarms
from faces.errors import NotFound


class AlarmKind(StrEnum):
    DENIED_PERSON = "denied_person"
    EVENT_ID_REUSED = "event_id_reused"
    EDGE_AHEAD = "edge_ahead"
    EDGE_DIVERGED = "edge_diverged"
    THRESHOLD_OF_OTHER_ENGINE = "threshold_of_other_engine"
    WEBHOOK_DISABLED = "webhook_disabled"
    CONSENT_ENDS = "consent_ends"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm; `count` is how often it was raised while it was open. Open until somebody acknowledges it."""

    id: str
    kind: AlarmKind
    message: str
    site_id: str | None
    edge_id: str | None
    gallery_id: str | None
    event_id: str | None
    count: int
    raised_at: datetime
    last_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None


def sound(
    connection: sa.Connection,
    kind: AlarmKind,
    subject: str,
    message: str,
    now: datetime,
    *,
    site_id: str | None = None,
    edge_id: str | None = None,
    gallery_id: str | None = None,
    event_id: str | None = None,
) -> None:
    """Raise an alarm, and tell the webhooks that ask for alarms; while one of this kind and subject is open, it is
    counted up instead, and nobody is told again."""
    same = (alarms.c.kind == kind) & (alarms.c.subject == subject) & alarms.c.acknowledged_at.is_(None)
    again = alarms.update().where(same).values(count=alarms.c.count + 1, last_at=now)
    if connection.execute(again).rowcount:
        return
    alarm_id = new_id(now)
    connection.execute(
        alarms.insert().values(
            id=alarm_id,
            kind=kind,
            subject=subject,
            message=message,
            site_id=site_id,
            edge_id=edge_id,
            gallery_id=gallery_id,
            event_id=event_id,
            count=1,
            raised_at=now,
            last_at=now,
        )
    )
    webhooks.enqueue_alarm(connection, alarm_id, site_id, gallery_id, now)


def acknowledge(connection: sa.Connection, alarm_id: str, by: str, now: datetime) -> Alarm:
    """Note that somebody has seen it; the first who says so counts. Raises NotFound."""
    still_open = (alarms.c.id == alarm_id) & alarms.c.acknowledged_at.is_(None)
    connection.execute(alarms.update().where(still_open).values(acknowledged_at=now, acknowledged_by=by))
    found = listing(connection, alarm_id=alarm_id)
    if not found:
        raise NotFound(f"there is no alarm {alarm_id!r}")
    return found[0]


def listing(
    connection: sa.Connection,
    *,
    after: str = "",
    limit: int = 100,
    still_open: bool | None = None,
    alarm_id: str | None = None,
    within: Collection[str] | None = None,
) -> list[Alarm]:
    """Alarms in id order from `after` on, of the sites `within` if given: all, or the open or acknowledged
    ones alone."""
    query = sa.select(alarms).where(alarms.c.id > after).order_by(alarms.c.id).limit(limit)
    if still_open is not None:
        is_open = alarms.c.acknowledged_at.is_(None)
        query = query.where(is_open if still_open else ~is_open)
    if alarm_id is not None:
        query = query.where(alarms.c.id == alarm_id)
    if within is not None:
        query = query.where(alarms.c.site_id.in_(within))
    names = [name for name in Alarm.__struct_fields__ if name != "kind"]
    return [
        Alarm(kind=AlarmKind(row.kind), **{name: row._mapping[name] for name in names})
        for row in connection.execute(query)
    ]
