"""Webhook delivery: what is due to a receiver is posted, one after the other, and done again until it answers 2xx."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from random import random
from typing import Any
from uuid import uuid4

import msgspec

from control_plane.store import alarms, deliveries, events, webhooks
from control_plane.store.db import Connection, Database
from control_plane.store.deliveries import Attempt, DeliveryState, Lane, Outcome, Work
from faces.events import original_fields
from faces.signing import headers, key_of
from jobs.outbound import Outbound, retry_after_s
from jobs.together import Together

log = logging.getLogger(__name__)

BATCH = 64
BATCH_S = 1.0
"""A run keeps what it has done when so much time has gone by, so that little is posted twice after a crash."""

RUN_S = 5.0
"""A run that has taken so long makes room for other receivers; what is still due follows."""


class Delivering:
    """What the `deliver` actor does: everything due to the receiver of one delivery. May run twice: only one run at a
    time has a receiver, and receivers know repeats by the message's id.

    `slow`: for receivers that were slow to answer last time, one post a run. They have threads of their own, so that
    they never hold up the others. `chance` gives numbers from 0 to 1 for the jitter. `count` is told of each post that
    is kept, by the state that it leaves its delivery in.
    """

    def __init__(
        self,
        database: Database,
        together: Together,
        outbound: Outbound,
        clock: Callable[[], datetime],
        *,
        slow: bool = False,
        chance: Callable[[], float] = random,
        count: Callable[[DeliveryState], None] = lambda state: None,
    ) -> None:
        self._database = database
        self._together = together
        self._outbound = outbound
        self._clock = clock
        self._slow = slow
        self._chance = chance
        self._count = count

    def run(self, delivery_id: str) -> None:
        """The first due delivery of a receiver stands for all of them."""
        until = time.monotonic() + RUN_S
        while time.monotonic() < until and self._batch(delivery_id) and not self._slow:
            pass

    def _batch(self, delivery_id: str) -> bool:
        """One batch; False if there was none to be had."""
        owner = str(uuid4())
        lane = self._together.write(lambda c: deliveries.claim(c, delivery_id, owner, self._clock(), slow=self._slow))
        if lane is None:
            return False
        with self._database.read() as connection:
            now = self._clock()
            work = deliveries.batch(connection, lane.webhook_id, now, 1 if self._slow else BATCH)
            keys = [key_of(secret) for secret in webhooks.secrets(connection, lane.webhook_id, now)]
            bodies = _bodies(connection, work)
        outcomes = self._post_all(lane, work, bodies, keys)
        self._together.write(lambda c: deliveries.settle(c, lane, outcomes, self._clock()))
        for outcome in outcomes:
            self._count(outcome.state)
        return True

    def _post_all(self, lane: Lane, batch: list[Work], bodies: dict[str, bytes], keys: list[bytes]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        until = time.monotonic() + BATCH_S
        for work in batch:
            outcomes.append(self._post(lane, work, bodies.get(_message_id(work)), keys))
            last = outcomes[-1]
            if time.monotonic() > until or last.retry_after_s or last.attempt.status == deliveries.GONE_STATUS:
                break
        return outcomes

    def _post(self, lane: Lane, work: Work, body: bytes | None, keys: list[bytes]) -> Outcome:
        now = self._clock()
        if body is None:
            lost = Attempt(at=now, duration_ms=0, status=None, error="what it told of is gone")
            return Outcome(work=work, attempt=lost, lost=True)
        signed = headers(_message_id(work), now, body, keys)
        answer = self._outbound.post(lane.url, body, {"Content-Type": "application/json", **signed})
        failed = answer.error is not None
        if failed:
            log.warning("webhook %s: %s", lane.webhook_id, answer.error, extra={"event_id": _message_id(work)})
        return Outcome(
            work=work,
            attempt=Attempt(at=now, duration_ms=answer.duration_ms, status=answer.status, error=answer.error),
            retry_after_s=retry_after_s(answer.retry_after, now.timestamp()) if failed else 0,
            jitter=self._chance(),
        )


class Forgetting:
    """What the `forget_deliveries` actor does: removes what was finished long ago, a little at a time."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def run(self, _delivery_id: str) -> None:
        with self._database.write() as connection:
            deliveries.forget(connection, self._clock())


def _message_id(work: Work) -> str:
    return work.event_id or work.alarm_id or ""


def _bodies(connection: Connection, batch: list[Work]) -> dict[str, bytes]:
    """What each message says, by its id; what is gone from the log is not among them."""
    told = events.several(connection, [w.event_id for w in batch if w.event_id])
    raised = [a for w in batch if w.alarm_id for a in alarms.listing(connection, alarm_id=w.alarm_id)]
    return {key: event_body(e) for key, e in told.items()} | {a.id: alarm_body(a) for a in raised}


def event_body(event: events.LoggedEvent) -> bytes:
    """What a receiver gets: the original's `name`, `distance` and `timestamp`, and all the rest beside them."""
    return _body("event", original_fields(event.name, event.distance, event.captured_at), event)


def alarm_body(alarm: alarms.Alarm) -> bytes:
    """The same fields for an alarm, which is about nobody by name."""
    return _body("alarm", original_fields(None, None, alarm.raised_at), alarm)


def _body(kind: str, told: dict[str, Any], rest: msgspec.Struct) -> bytes:
    more = {k: v for k, v in msgspec.structs.asdict(rest).items() if k not in told}
    return msgspec.json.encode({"type": kind, **told, **more})
