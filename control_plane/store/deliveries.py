"""Deliveries: what is still to be posted to which receiver, what became of each attempt, and doing it over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import alarms, webhooks
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import insert_rows, new_id
from control_plane.store.leases import free
from control_plane.store.tables import alarms as alarm_rows
from control_plane.store.tables import deliveries, delivery_attempts, events
from control_plane.store.tables import webhooks as hooks
from control_plane.store.webhooks import Because
from faces.errors import NotFound

LEASE = timedelta(seconds=60)
"""How long a run may be silent about a receiver before another takes it."""

RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each further attempt (the Standard Webhooks specification's example schedule)."""

JITTER = 0.1
"""A wait is longer by up to this share of it, so that what failed together does not come back together."""

LONGEST_PAUSE = timedelta(days=1)
"""The longest that a receiver's Retry-After is obeyed."""

GIVEN_UP_AFTER = timedelta(days=5)
"""A receiver that has only failed for so long is switched off."""

GONE_STATUS = 410
SLOW_MS = 2000
"""A receiver that took longer is asked by the threads for slow ones from then on, until it is quick again."""

KEPT = timedelta(days=30)
"""How long a finished delivery can be looked at and done over."""

FORGOTTEN_AT_ONCE = 500
MOST_REPLAYED = 2000


class DeliveryState(StrEnum):
    """`PENDING` moves to `DELIVERED`, or to `FAILED` when the schedule is used up; a replay makes it `PENDING`."""

    PENDING = webhooks.PENDING
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event or alarm for one webhook."""

    id: str
    webhook_id: str
    event_id: str | None
    alarm_id: str | None
    state: DeliveryState
    attempts: int
    due_at: datetime
    last_status: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One post; `status` is what the receiver answered, `error` why it did not go well."""

    at: datetime
    duration_ms: int
    status: int | None
    error: str | None


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver that a run has claimed."""

    webhook_id: str
    owner: str
    url: str


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery to be made now."""

    id: str
    event_id: str | None
    alarm_id: str | None
    attempts: int
    step: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one post. `lost`: there is nothing to post any more. `jitter` is from 0 to 1, by chance."""

    work: Work
    attempt: Attempt
    retry_after_s: int = 0
    lost: bool = False
    jitter: float = 0.0

    @property
    def ok(self) -> bool:
        return self.attempt.error is None

    @property
    def state(self) -> DeliveryState:
        """Where it leaves the delivery."""
        if self.ok:
            return DeliveryState.DELIVERED
        return DeliveryState.FAILED if self.lost or self.work.step >= len(RETRY_AFTER_S) else DeliveryState.PENDING


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries a replay has made due. `next_since`: there are more from then on; ask again."""

    queued: int
    next_since: datetime | None = None


def due(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """The first due delivery of each receiver that is free and was quick last time, the longest due first."""
    return _due(connection, now, limit, slow=False)


def due_slow(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """The same of receivers that were slow to answer, or did not answer."""
    return _due(connection, now, limit, slow=True)


def claim(connection: sa.Connection, delivery_id: str, owner: str, now: datetime, *, slow: bool) -> Lane | None:
    """Take the lease of a delivery's receiver; None if it is not to be had, or nothing is due."""
    mine = sa.select(deliveries.c.webhook_id).where(deliveries.c.id == delivery_id).scalar_subquery()
    anything = sa.exists().where(_of_hook(now))
    taken = connection.execute(
        hooks.update()
        .where((hooks.c.id == mine) & _free(now, slow) & anything)
        .values(lease_owner=owner, lease_until=now + LEASE)
        .returning(hooks.c.id, hooks.c.url)
    ).one_or_none()
    if taken is None:
        return None
    return Lane(webhook_id=taken.id, owner=owner, url=webhooks.address(connection, taken.id, taken.url))


def batch(connection: sa.Connection, webhook_id: str, now: datetime, limit: int) -> list[Work]:
    """A receiver's due deliveries, the longest due first."""
    d = deliveries.c
    query = (
        sa.select(d.id, d.event_id, d.alarm_id, d.attempts, d.step)
        .where((d.webhook_id == webhook_id) & (d.state == DeliveryState.PENDING) & (d.due_at <= now))
        .order_by(d.due_at, d.id)
        .limit(limit)
    )
    return [Work(**row._mapping) for row in connection.execute(query)]


def settle(connection: sa.Connection, lane: Lane, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Keep what became of a run's posts, set the time of each next attempt, and give the receiver back."""
    # Not held against those who only name the receiver: whoever stores events does, and would wait for all of this.
    mine = sa.select(hooks.c.failing_since).where(hooks.c.id == lane.webhook_id)
    row = connection.execute(mine.with_for_update(key_share=True)).one_or_none()
    if row is None:
        return
    _keep(connection, outcomes, now)
    owned = (hooks.c.id == lane.webhook_id) & (hooks.c.lease_owner == lane.owner)
    connection.execute(hooks.update().where(owned).values(lease_owner=None, lease_until=None))
    posted = [o for o in outcomes if not o.lost]
    if posted:
        _judge(connection, lane, posted, row.failing_since, now)


def listing(
    connection: sa.Connection,
    webhook_id: str,
    *,
    after: str = "",
    limit: int = 100,
    state: DeliveryState | None = None,
) -> list[Delivery]:
    webhooks.get(connection, webhook_id)
    query = (
        sa.select(deliveries)
        .where((deliveries.c.webhook_id == webhook_id) & (deliveries.c.id > after))
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    if state is not None:
        query = query.where(deliveries.c.state == state)
    names = [name for name in Delivery.__struct_fields__ if name != "state"]
    return [
        Delivery(**{name: r._mapping[name] for name in names}, state=DeliveryState(r.state))
        for r in connection.execute(query)
    ]


def attempts(connection: sa.Connection, webhook_id: str, delivery_id: str) -> list[Attempt]:
    """A delivery's attempts, oldest first; raises NotFound."""
    mine = (deliveries.c.id == delivery_id) & (deliveries.c.webhook_id == webhook_id)
    if connection.execute(sa.select(deliveries.c.id).where(mine)).one_or_none() is None:
        raise NotFound(f"there is no delivery {delivery_id!r}")
    columns = [delivery_attempts.c[name] for name in Attempt.__struct_fields__]
    query = (
        sa.select(*columns)
        .where(delivery_attempts.c.delivery_id == delivery_id)
        .order_by(delivery_attempts.c.at, delivery_attempts.c.id)
    )
    return [Attempt(**row._mapping) for row in connection.execute(query)]


def replay(connection: sa.Connection, webhook_id: str, ids: Sequence[str], now: datetime) -> Replayed:
    """Make due, once more or for the first time, what is named by the ids of deliveries or events; raises NotFound.

    Events that name an erased person are not told to anybody.
    """
    webhooks.get(connection, webhook_id)
    d = deliveries.c
    named = (d.webhook_id == webhook_id) & (d.id.in_(ids) | d.event_id.in_(ids))
    known = connection.execute(sa.select(d.id, d.event_id).where(named & may_be_told())).all()
    unknown = set(ids) - {row.id for row in known} - {row.event_id for row in known}
    found = set(connection.execute(sa.select(events.c.id).where(events.c.id.in_(unknown) & _tellable())).scalars())
    if missing := unknown - found:
        raise NotFound(f"there is no delivery and no event {min(missing)!r} that could be told")
    return Replayed(queued=_renew(connection, webhook_id, [row.id for row in known], sorted(found), [], now))


def replay_range(
    connection: sa.Connection, webhook_id: str, since: datetime, until: datetime, now: datetime
) -> Replayed:
    """Make due, once more or for the first time, what the webhook wants of a time: events by their capture, alarms by
    when they were raised. The oldest first, and at most MOST_REPLAYED at once."""
    hook = webhooks.get(connection, webhook_id)
    e = events.c
    wanted = _tellable() & e.status.in_(hook.statuses) & (e.captured_at >= since) & (e.captured_at < until)
    for column, allowed in ((e.site_id, hook.sites), (e.camera, hook.cameras), (e.gallery_id, hook.galleries)):
        if allowed:
            wanted = wanted & column.in_(allowed)
    page = sa.select(e.id, e.captured_at).where(wanted).order_by(e.captured_at, e.position).limit(MOST_REPLAYED + 1)
    found = connection.execute(page).all()
    next_since = found[MOST_REPLAYED].captured_at if len(found) > MOST_REPLAYED else None
    raised = _alarms_of(connection, hook, since, next_since or until)
    chosen = [row.id for row in found[:MOST_REPLAYED]]
    d = deliveries.c
    known = connection.execute(
        sa.select(d.id, d.event_id, d.alarm_id).where(
            (d.webhook_id == webhook_id) & (d.event_id.in_(chosen) | d.alarm_id.in_(raised))
        )
    ).all()
    told = {row.event_id for row in known} | {row.alarm_id for row in known}
    queued = _renew(
        connection,
        webhook_id,
        [row.id for row in known],
        [i for i in chosen if i not in told],
        [i for i in raised if i not in told],
        now,
    )
    return Replayed(queued=queued, next_since=next_since)


def retry(connection: sa.Connection, ids: Sequence[str], now: datetime) -> list[str]:
    """Make those of these deliveries due once more that have failed; returns which."""
    failed = deliveries.c.id.in_(ids) & (deliveries.c.state == DeliveryState.FAILED) & may_be_told()
    due_again = deliveries.update().where(failed).values(**_anew(now)).returning(deliveries.c.id)
    return list(connection.execute(due_again).scalars())


def old(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """The delivery that was finished longest ago, if that is longer ago than they are kept."""
    query = sa.select(deliveries.c.id).where(_old(now)).order_by(deliveries.c.finished_at).limit(1)
    return list(connection.execute(query).scalars())


def forget(connection: sa.Connection, now: datetime) -> int:
    """Remove some of the deliveries, with their attempts, that were finished long ago; returns how many."""
    some = sa.select(deliveries.c.id).where(_old(now)).order_by(deliveries.c.finished_at).limit(FORGOTTEN_AT_ONCE)
    return int(connection.execute(deliveries.delete().where(deliveries.c.id.in_(some))).rowcount)


def _due(connection: sa.Connection, now: datetime, limit: int, *, slow: bool) -> list[str]:
    first = sa.select(deliveries.c.id).where(_of_hook(now)).order_by(deliveries.c.due_at, deliveries.c.id).limit(1)
    head = first.correlate(hooks).scalar_subquery()
    ids = connection.execute(sa.select(head).select_from(hooks).where(_free(now, slow))).scalars()
    heads = sa.select(deliveries.c.id).where(deliveries.c.id.in_([i for i in ids if i is not None]))
    return list(connection.execute(heads.order_by(deliveries.c.due_at).limit(limit)).scalars())


def _of_hook(now: datetime) -> sa.ColumnElement[bool]:
    """A due delivery of the webhook in the query around it."""
    d = deliveries.c
    return (d.webhook_id == hooks.c.id) & (d.state == DeliveryState.PENDING) & (d.due_at <= now)


def _free(now: datetime, slow: bool) -> sa.ColumnElement[bool]:
    """A receiver that nobody delivers to, and that may be delivered to."""
    unheld = free(hooks.c.lease_until, now, LEASE)
    unpaused = hooks.c.paused_until.is_(None) | (hooks.c.paused_until <= now)
    return hooks.c.enabled & (hooks.c.slow == slow) & unheld & unpaused


def _keep(connection: sa.Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
    """The deliveries' new states, and a row for each attempt."""
    if not outcomes:
        return
    # An erasure or another run may have been quicker: only what is still to be made is changed.
    still = (deliveries.c.id == sa.bindparam("key")) & (deliveries.c.state == DeliveryState.PENDING)
    connection.execute(deliveries.update().where(still), [_after(o, now) for o in outcomes])
    kept = sa.select(deliveries.c.id).where(deliveries.c.id.in_([o.work.id for o in outcomes]))
    there = set(connection.execute(kept).scalars())
    rows = [
        {"id": new_id(now), "delivery_id": o.work.id, **msgspec.structs.asdict(o.attempt)}
        for o in outcomes
        if o.work.id in there
    ]
    insert_rows(connection, delivery_attempts, rows)


def _after(outcome: Outcome, now: datetime) -> dict[str, Any]:
    work, attempt = outcome.work, outcome.attempt
    over = outcome.state is not DeliveryState.PENDING
    waits = 0.0 if over else max(RETRY_AFTER_S[work.step], outcome.retry_after_s) * (1 + JITTER * outcome.jitter)
    return {
        "key": work.id,
        "state": outcome.state,
        "attempts": work.attempts + 1,
        "step": work.step + 1,
        "due_at": now + timedelta(seconds=waits),
        "last_status": attempt.status,
        "last_error": attempt.error,
        "finished_at": now if over else None,
    }


def _judge(
    connection: sa.Connection, lane: Lane, posted: Sequence[Outcome], failing_since: datetime | None, now: datetime
) -> None:
    """How the receiver is to be treated, from how it took the posts."""
    for outcome in posted:
        failing_since = None if outcome.ok else failing_since or outcome.attempt.at
    last = posted[-1]
    pause = min(timedelta(seconds=last.retry_after_s), LONGEST_PAUSE)
    connection.execute(
        hooks.update()
        .where(hooks.c.id == lane.webhook_id)
        .values(
            failing_since=failing_since,
            slow=last.attempt.duration_ms > SLOW_MS,
            paused_until=now + pause if pause else None,
        )
    )
    if last.attempt.status == GONE_STATUS:
        _switch_off(connection, lane, Because.GONE, "says that it is gone (410)", now)
    elif failing_since is not None and now - failing_since >= GIVEN_UP_AFTER:
        days = GIVEN_UP_AFTER.days
        _switch_off(connection, lane, Because.FAILING, f"has failed for {days} days without a break", now)


def _switch_off(connection: sa.Connection, lane: Lane, because: Because, why: str, now: datetime) -> None:
    off = hooks.update().where((hooks.c.id == lane.webhook_id) & hooks.c.enabled)
    if connection.execute(off.values(enabled=False, disabled_because=because)).rowcount:
        message = f"webhook {lane.webhook_id} is switched off: its receiver {why}"
        alarms.sound(connection, AlarmKind.WEBHOOK_DISABLED, lane.webhook_id, message, now)


def may_be_told() -> sa.ColumnElement[bool]:
    """Of a delivery: what it tells is not about anybody erased."""
    told = sa.select(events.c.id).where(_tellable())
    return deliveries.c.event_id.is_(None) | deliveries.c.event_id.in_(told)


def _tellable() -> sa.ColumnElement[bool]:
    return events.c.name.is_not(None) | events.c.identity_id.is_(None)


def _alarms_of(connection: sa.Connection, hook: webhooks.Webhook, since: datetime, until: datetime) -> list[str]:
    if not hook.alarms:
        return []
    a = alarm_rows.c
    query = sa.select(a.id, a.site_id, a.gallery_id).where((a.raised_at >= since) & (a.raised_at < until))
    return [row.id for row in connection.execute(query) if hook.wants_alarm(row.site_id, row.gallery_id)]


def _renew(
    connection: sa.Connection,
    webhook_id: str,
    known: Sequence[str],
    new_events: Sequence[str],
    new_alarms: Sequence[str],
    now: datetime,
) -> int:
    connection.execute(deliveries.update().where(deliveries.c.id.in_(known)).values(**_anew(now)))
    rows = [webhooks.delivery(webhook_id, now, event_id=i) for i in new_events]
    rows += [webhooks.delivery(webhook_id, now, alarm_id=i) for i in new_alarms]
    insert_rows(connection, deliveries, rows)
    return len(known) + len(rows)


def _anew(now: datetime) -> dict[str, Any]:
    """The columns of a delivery that is due with the whole schedule before it."""
    return {"state": DeliveryState.PENDING, "step": 0, "due_at": now, "finished_at": None}


def _old(now: datetime) -> sa.ColumnElement[bool]:
    return deliveries.c.finished_at < now - KEPT
