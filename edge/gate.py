"""WEBHOOK_URL: a gate is told by the edge itself, at once, also when the line to the control plane is down."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import requests
from urllib3.exceptions import ProtocolError

from faces import signing
from faces.events import Event, original_message

log = logging.getLogger("edge.gate")

WAITING = 16
"""Messages that may wait for a slow receiver."""

MAX_AGE_S = 10.0
"""An older decision opens nothing any more: whom it was for has gone on, and somebody else stands there."""

TIMEOUT_S = (3.0, 5.0)
"""To connect, and to answer."""

RETRY_S = 0.5
"""Before a gate that certainly took nothing is tried again."""


class Decided(NamedTuple):
    """A PASS, and when it was decided by the gate's clock."""

    at_s: float
    event: Event


class Gate:
    """Posts the original's three fields for each PASS, one after the other, from a thread of its own.

    A message is tried again while it is young, where the receiver certainly took nothing: it could not be connected to,
    or answered 5xx. With a `key` it is signed by Standard Webhooks, under the event's id. `clock` is one nobody sets.
    """

    def __init__(
        self,
        url: str,
        max_age_s: float = MAX_AGE_S,
        key: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url
        self._max_age = max_age_s
        self._key = key
        self._now = now
        self.clock = clock
        self._stopping = threading.Event()
        self._waiting: queue.Queue[Decided | None] = queue.Queue(WAITING)

    def offer(self, event: Event, decided_s: float | None = None) -> None:
        """Take a PASS, decided at that time of `clock` or now; never waits. Where too many wait, the oldest goes."""
        self._put(Decided(self.clock() if decided_s is None else decided_s, event))

    def run(self) -> None:
        while (decided := self._waiting.get()) is not None:
            while not self._settled(decided) and not self._stopping.wait(RETRY_S):
                pass

    def stop(self) -> None:
        """End after what waits has been tried once."""
        self._stopping.set()
        self._put(None)

    def _put(self, item: Decided | None) -> None:
        while True:
            try:
                return self._waiting.put_nowait(item)
            except queue.Full:
                # Somebody else may have made room meanwhile.
                with suppress(queue.Empty):
                    self._drop()

    def _drop(self) -> None:
        if dropped := self._waiting.get_nowait():
            log.error("the gate does not keep up: event %s is not posted", dropped.event.id)

    def _settled(self, decided: Decided) -> bool:
        """One attempt; False where another may be made."""
        left_s = decided.at_s + self._max_age - self.clock()
        if left_s <= 0:
            log.error("event %s is too old to open the gate", decided.event.id)
            return True
        try:
            return self._post(decided.event, left_s)
        except requests.ConnectionError as error:
            if any(isinstance(cause, ProtocolError) for cause in error.args):
                # There was a connection: the gate may have opened.
                log.error("the gate broke off: event %s may not have opened it", decided.event.id)
                return True
            log.error("the gate cannot be reached (%s): event %s", type(error).__name__, decided.event.id)
            return False
        except requests.RequestException as error:
            log.error("the gate does not answer (%s) to event %s", type(error).__name__, decided.event.id)
            return True

    def _post(self, event: Event, left_s: float) -> bool:
        body = msgspec.json.encode(original_message(event))
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers |= signing.headers(str(event.id), self._now(), body, [self._key])
        connect_s, answer_s = TIMEOUT_S
        # By a connection of its own: of one that was kept, nobody knows whether what fails on it has arrived.
        with requests.post(
            self._url,
            data=body,
            headers=headers,
            timeout=(min(connect_s, left_s), answer_s),
            allow_redirects=False,
            stream=True,
        ) as response:
            status = response.status_code
        if not 200 <= status < 300:
            log.error("the gate answered %d to event %s", status, event.id)
        return status < 500
