"""Webhooks and their deliveries: a delivery row is written in the event's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store.db import insert_rows, new_id
from control_plane.store.tables import deliveries, webhooks
from faces.errors import NotFound
from faces.events import Event, Status

LEASE = timedelta(seconds=60)

RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each further attempt (the Standard Webhooks specification's example schedule)."""


class DeliveryState(StrEnum):
    """`PENDING` moves to `DELIVERED`, or to `FAILED` when the schedule is used up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver; `statuses` are the decisions it is told."""

    id: str
    url: str
    statuses: list[Status]
    enabled: bool
    created_at: datetime


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    webhook_id: str
    event_id: str
    state: DeliveryState
    attempts: int
    due_at: datetime
    last_status: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to know of a delivery it has claimed."""

    id: str
    event_id: str
    url: str
    attempts: int


def create(connection: sa.Connection, url: str, statuses: list[Status], now: datetime) -> Webhook:
    hook = Webhook(id=new_id(now), url=url, statuses=statuses, enabled=True, created_at=now)
    connection.execute(webhooks.insert().values(**msgspec.structs.asdict(hook)))
    return hook


def get(connection: sa.Connection, webhook_id: str) -> Webhook:
    row = connection.execute(sa.select(webhooks).where(webhooks.c.id == webhook_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no webhook {webhook_id!r}")
    return _webhook(row)


def delete(connection: sa.Connection, webhook_id: str) -> None:
    """Remove a webhook and its deliveries; raises NotFound."""
    get(connection, webhook_id)
    connection.execute(webhooks.delete().where(webhooks.c.id == webhook_id))


def listing(connection: sa.Connection, *, after: str = "", limit: int = 100) -> list[Webhook]:
    query = sa.select(webhooks).where(webhooks.c.id > after).order_by(webhooks.c.id).limit(limit)
    return [_webhook(r) for r in connection.execute(query)]


def enqueue(connection: sa.Connection, events: Sequence[Event], now: datetime) -> None:
    """A delivery of each event to each enabled webhook that wants it."""
    hooks = [_webhook(r) for r in connection.execute(sa.select(webhooks).where(webhooks.c.enabled))]
    rows = [
        {
            "id": new_id(now),
            "webhook_id": hook.id,
            "event_id": str(event.id),
            "state": DeliveryState.PENDING,
            "due_at": now,
            "created_at": now,
            "attempts": 0,
        }
        for event in events
        for hook in hooks
        if event.status in hook.statuses
    ]
    insert_rows(connection, deliveries, rows)


def pending_of(connection: sa.Connection, event_ids: Sequence[str]) -> list[str]:
    """The deliveries of these events that are still to be made."""
    query = sa.select(deliveries.c.id).where(
        deliveries.c.event_id.in_(event_ids) & (deliveries.c.state == DeliveryState.PENDING)
    )
    return list(connection.execute(query).scalars())


def delivery_listing(
    connection: sa.Connection, webhook_id: str, *, after: str = "", limit: int = 100
) -> list[Delivery]:
    get(connection, webhook_id)
    query = (
        sa.select(deliveries)
        .where((deliveries.c.webhook_id == webhook_id) & (deliveries.c.id > after))
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    return [
        Delivery(
            **{name: r._mapping[name] for name in Delivery.__struct_fields__ if name != "state"},
            state=DeliveryState(r.state),
        )
        for r in connection.execute(query)
    ]


def due(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """Deliveries whose time has come and that nobody holds."""
    query = sa.select(deliveries.c.id).where(_free(now)).order_by(deliveries.c.due_at).limit(limit)
    return list(connection.execute(query).scalars())


def claim(connection: sa.Connection, delivery_id: str, owner: str, now: datetime) -> Work | None:
    """Take the lease of a due delivery; None if it is not to be had."""
    taken = connection.execute(
        deliveries.update()
        .where((deliveries.c.id == delivery_id) & _free(now))
        .values(lease_owner=owner, lease_until=now + LEASE, attempts=deliveries.c.attempts + 1)
        .returning(deliveries.c.event_id, deliveries.c.webhook_id, deliveries.c.attempts)
    ).one_or_none()
    if taken is None:
        return None
    hook = get(connection, taken.webhook_id)
    return Work(id=delivery_id, event_id=taken.event_id, url=hook.url, attempts=taken.attempts)


def delivered(connection: sa.Connection, delivery_id: str, status: int, now: datetime) -> None:
    _set(connection, delivery_id, state=DeliveryState.DELIVERED, last_status=status, last_error=None, finished_at=now)


def failed(
    connection: sa.Connection, delivery_id: str, attempts: int, status: int | None, error: str, now: datetime
) -> None:
    """Keep why an attempt failed, and set the time of the next, or give up after the last."""
    if attempts > len(RETRY_AFTER_S):
        values: dict[str, Any] = {"state": DeliveryState.FAILED, "finished_at": now}
    else:
        values = {"due_at": now + timedelta(seconds=RETRY_AFTER_S[attempts - 1])}
    _set(connection, delivery_id, last_status=status, last_error=error, **values)


def _set(connection: sa.Connection, delivery_id: str, **values: object) -> None:
    connection.execute(
        deliveries.update().where(deliveries.c.id == delivery_id).values(**values, lease_owner=None, lease_until=None)
    )


def _free(now: datetime) -> sa.ColumnElement[bool]:
    expired = deliveries.c.lease_until.is_(None) | (deliveries.c.lease_until <= now)
    return (deliveries.c.state == DeliveryState.PENDING) & (deliveries.c.due_at <= now) & expired


def _webhook(row: sa.Row[Any]) -> Webhook:
    return Webhook(
        id=row.id,
        url=row.url,
        statuses=[Status(s) for s in row.statuses],
        enabled=row.enabled,
        created_at=row.created_at,
    )
