"""Webhook delivery: an event is posted to a receiver until it answers 2xx or the schedule is used up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
import requests

from control_plane.store import events, webhooks
from control_plane.store.db import Database
from faces.errors import NotFound
from faces.events import original_fields

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0


class Delivering:
    """What the `deliver` actor does with one delivery. May run twice: receivers know repeats by the event's id."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def run(self, delivery_id: str) -> None:
        with self._database.write() as connection:
            work = webhooks.claim(connection, delivery_id, str(uuid4()), self._clock())
            if work is None:
                return
            try:
                event = events.get(connection, work.event_id)
            except NotFound:
                webhooks.failed(connection, work.id, work.attempts, None, "the event is gone", self._clock())
                return
        status, error = _post(work.url, body(event), work.event_id)
        with self._database.write() as connection:
            if error is None and status is not None:
                webhooks.delivered(connection, work.id, status, self._clock())
            else:
                webhooks.failed(connection, work.id, work.attempts, status, error or "", self._clock())


def body(event: events.LoggedEvent) -> bytes:
    """What a receiver gets: the original's `name`, `distance` and `timestamp`, and all the rest beside them."""
    told: dict[str, Any] = original_fields(event.name, event.distance, event.captured_at)
    told |= {k: v for k, v in msgspec.structs.asdict(event).items() if k not in told}
    return msgspec.json.encode(told)


def _post(url: str, data: bytes, event_id: str) -> tuple[int | None, str | None]:
    """The status, and why it did not go well (None: it did)."""
    headers = {"Content-Type": "application/json", "webhook-id": event_id}
    try:
        with requests.post(
            url, data=data, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, stream=True
        ) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        return None, type(error).__name__
    return status, None if 200 <= status < 300 else f"the receiver answered {status}"
