"""Webhooks: who is told of which events and alarms. A delivery row is written in the event's own transaction.

URLs and secrets are sealed: the one may hold a token of the receiver's, by the other anybody could speak in our name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import seals
from control_plane.store.db import insert_rows, new_id
from control_plane.store.tables import deliveries, galleries, sites, webhook_secrets, webhooks
from faces.errors import Invalid, NotFound
from faces.events import Event, EventKind, Status
from faces.sealing import about
from faces.signing import secret_of

KEY_BYTES = 32
PENDING = "pending"

_OWNER = "webhooks"
"""By whose key URLs and secrets are sealed."""


class Because(StrEnum):
    """Why a webhook was switched off by itself: its receiver answered 410, or nothing but failures for days."""

    GONE = "gone"
    FAILING = "failing"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver, and what it is told: decisions of these `statuses`, at these `sites` (ids), by these `cameras`
    (names), of people of these `galleries` (ids), each empty for all; and `alarms`. A sighting has no status:
    it is told to those who ask for REJECT.

    `failing_since`: when the first of nothing but failures was.
    """

    id: str
    url: str
    statuses: list[Status]
    sites: list[str]
    cameras: list[str]
    galleries: list[str]
    alarms: bool
    enabled: bool
    disabled_because: Because | None
    failing_since: datetime | None
    created_at: datetime

    def wants(self, event: Event, site_id: str) -> bool:
        return (
            (Status.REJECT if event.kind is EventKind.SIGHTING else event.status) in self.statuses
            and (not self.sites or site_id in self.sites)
            and (not self.cameras or event.camera in self.cameras)
            and (not self.galleries or event.gallery_id in self.galleries)
        )

    def wants_alarm(self, site_id: str | None, gallery_id: str | None) -> bool:
        """Whether it is told of an alarm; one that names no site or gallery concerns all of them."""
        return (
            self.alarms
            and (not self.sites or site_id is None or site_id in self.sites)
            and (not self.galleries or gallery_id is None or gallery_id in self.galleries)
        )


class WebhookWithSecret(Webhook, frozen=True, kw_only=True):
    """A webhook that was just made: the one time that its secret is shown."""

    secret: str

    def __repr__(self) -> str:
        return f"WebhookWithSecret({self.id})"


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret, shown this once; the old one signs as well until then."""

    secret: str
    old_valid_until: datetime

    def __repr__(self) -> str:
        return f"Secret({self.old_valid_until})"


def create(
    connection: sa.Connection,
    url: str,
    statuses: Sequence[Status],
    now: datetime,
    *,
    sites: Sequence[str] = (),
    cameras: Sequence[str] = (),
    galleries: Sequence[str] = (),
    alarms: bool = False,
) -> WebhookWithSecret:
    """Add a webhook and make its secret; raises Invalid where it would be told nothing, or of no such site."""
    values: dict[str, Any] = {
        "url": url,
        "statuses": list(statuses),
        "sites": list(sites),
        "cameras": list(cameras),
        "galleries": list(galleries),
        "alarms": alarms,
    }
    _check(connection, values)
    webhook_id = new_id(now)
    values["url"] = _sealed(connection, _url(webhook_id), url)
    connection.execute(webhooks.insert().values(id=webhook_id, enabled=True, created_at=now, **values))
    secret = _add_secret(connection, webhook_id, now)
    return WebhookWithSecret(secret=secret, **msgspec.structs.asdict(get(connection, webhook_id)))


def change(connection: sa.Connection, webhook_id: str, changed: dict[str, Any]) -> Webhook:
    """Change its URL, what it is told, or whether it is enabled. Another URL, or enabling it, is a fresh start."""
    before = get(connection, webhook_id)
    values = dict(changed)
    if "url" in values or values.get("enabled"):
        values |= {"failing_since": None, "paused_until": None, "slow": False}
    if values.get("enabled"):
        values["disabled_because"] = None
    _check(connection, msgspec.structs.asdict(before) | changed)
    if "url" in values:
        values["url"] = _sealed(connection, _url(webhook_id), values["url"])
    if values:
        connection.execute(webhooks.update().where(webhooks.c.id == webhook_id).values(**values))
    return get(connection, webhook_id)


def rotate(connection: sa.Connection, webhook_id: str, keep_old: timedelta, now: datetime) -> Secret:
    """Make a new secret. The one before it signs as well for a while, and any older one no more."""
    get(connection, webhook_id)
    mine = webhook_secrets.c.webhook_id == webhook_id
    connection.execute(webhook_secrets.delete().where(mine & webhook_secrets.c.valid_until.is_not(None)))
    connection.execute(webhook_secrets.update().where(mine).values(valid_until=now + keep_old))
    return Secret(secret=_add_secret(connection, webhook_id, now), old_valid_until=now + keep_old)


def secrets(connection: sa.Connection, webhook_id: str, now: datetime) -> list[str]:
    """What messages are signed with, the newest first."""
    until = webhook_secrets.c.valid_until
    query = (
        sa.select(webhook_secrets.c.id, webhook_secrets.c.secret)
        .where((webhook_secrets.c.webhook_id == webhook_id) & (until.is_(None) | (until > now)))
        .order_by(webhook_secrets.c.id.desc())
    )
    return seals.unseal_texts(connection, [(_secret(row.id), row.secret) for row in connection.execute(query)])


def address(connection: sa.Connection, webhook_id: str, stored: str) -> str:
    """The URL that a row of `webhooks` holds."""
    return seals.unseal_texts(connection, [(_url(webhook_id), stored)])[0]


def seal_plain(connection: sa.Connection) -> None:
    """Seal the URLs and secrets that were written plain."""
    for column, what in ((webhooks.c.url, _url), (webhook_secrets.c.secret, _secret)):
        table = column.table
        plain = sa.select(table.c.id, column).where(~column.startswith(seals.TEXT)).with_for_update()
        for row_id, text in connection.execute(plain).all():
            sealed = _sealed(connection, what(row_id), text)
            connection.execute(table.update().where(table.c.id == row_id).values({column: sealed}))


def get(connection: sa.Connection, webhook_id: str) -> Webhook:
    row = connection.execute(sa.select(webhooks).where(webhooks.c.id == webhook_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no webhook {webhook_id!r}")
    return _webhook(row, address(connection, webhook_id, row.url))


def delete(connection: sa.Connection, webhook_id: str) -> None:
    """Remove a webhook and its deliveries; raises NotFound."""
    get(connection, webhook_id)
    connection.execute(webhooks.delete().where(webhooks.c.id == webhook_id))


def listing(connection: sa.Connection, *, after: str = "", limit: int = 100) -> list[Webhook]:
    query = sa.select(webhooks).where(webhooks.c.id > after).order_by(webhooks.c.id).limit(limit)
    rows = connection.execute(query).all()
    urls = seals.unseal_texts(connection, [(_url(row.id), row.url) for row in rows])
    return [_webhook(row, url) for row, url in zip(rows, urls, strict=True)]


def enqueue(connection: sa.Connection, told: Sequence[tuple[str, Event]], now: datetime) -> None:
    """A delivery of each event (with the id of its site) to each enabled webhook that wants it."""
    hooks = _enabled(connection)
    rows = [
        delivery(hook.id, now, event_id=str(event.id))
        for site_id, event in told
        for hook in hooks
        if hook.wants(event, site_id)
    ]
    insert_rows(connection, deliveries, rows)


def enqueue_alarm(
    connection: sa.Connection, alarm_id: str, site_id: str | None, gallery_id: str | None, now: datetime
) -> None:
    """A delivery of an alarm to each enabled webhook that wants alarms."""
    hooks = [hook for hook in _enabled(connection) if hook.wants_alarm(site_id, gallery_id)]
    rows = [delivery(hook.id, now, alarm_id=alarm_id) for hook in hooks]
    insert_rows(connection, deliveries, rows)


def pending_of(connection: sa.Connection, event_ids: Sequence[str]) -> list[str]:
    """One delivery of these events that is still to be made, for each webhook that has any."""
    query = (
        sa.select(sa.func.min(deliveries.c.id))
        .where(
            deliveries.c.webhook_id.in_(sa.select(webhooks.c.id).where(webhooks.c.enabled))
            & deliveries.c.event_id.in_(event_ids)
            & (deliveries.c.state == PENDING)
        )
        .group_by(deliveries.c.webhook_id)
    )
    return list(connection.execute(query).scalars())


def delivery(
    webhook_id: str, now: datetime, *, event_id: str | None = None, alarm_id: str | None = None
) -> dict[str, Any]:
    """The row of a delivery that is due at once."""
    return {
        "id": new_id(now),
        "webhook_id": webhook_id,
        "event_id": event_id,
        "alarm_id": alarm_id,
        "state": PENDING,
        "due_at": now,
        "created_at": now,
        "attempts": 0,
        "step": 0,
    }


def _enabled(connection: sa.Connection) -> list[Webhook]:
    """Those that are told of something, for whoever asks what: without their URLs, which cost more than that."""
    return [_webhook(r, "") for r in connection.execute(sa.select(webhooks).where(webhooks.c.enabled))]


def _add_secret(connection: sa.Connection, webhook_id: str, now: datetime) -> str:
    secret, secret_id = secret_of(os.urandom(KEY_BYTES)), new_id(now)
    sealed = _sealed(connection, _secret(secret_id), secret)
    connection.execute(
        webhook_secrets.insert().values(id=secret_id, webhook_id=webhook_id, secret=sealed, created_at=now)
    )
    return secret


def _sealed(connection: sa.Connection, what: bytes, text: str) -> str:
    return seals.seal_text(connection, _OWNER, what, text)


def _url(webhook_id: str) -> bytes:
    return about("webhook_url", webhook_id)


def _secret(secret_id: str) -> bytes:
    return about("webhook_secret", secret_id)


def _check(connection: sa.Connection, values: dict[str, Any]) -> None:
    if not values["statuses"] and not values["alarms"]:
        raise Invalid("statuses is empty, and no alarms are asked for: the webhook would be told nothing")
    _check_known(connection, sites, "site", values["sites"])
    _check_known(connection, galleries, "gallery", values["galleries"])


def _check_known(connection: sa.Connection, table: sa.Table, what: str, ids: Iterable[str]) -> None:
    known = set(connection.execute(sa.select(table.c.id).where(table.c.id.in_(list(ids)))).scalars())
    for wanted in ids:
        if wanted not in known:
            raise Invalid(f"there is no {what} {wanted!r}")


def _webhook(row: sa.Row[Any], url: str) -> Webhook:
    values = {name: row._mapping[name] for name in Webhook.__struct_fields__} | {"url": url}
    values["statuses"] = [Status(s) for s in row.statuses]
    values["disabled_because"] = Because(row.disabled_because) if row.disabled_because else None
    return Webhook(**values)
