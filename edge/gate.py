"""WEBHOOK_URL: a gate is told by the edge itself, at once, also when the line to the control plane is down."""

from __future__ import annotations

import logging
import queue
import time

import requests

from faces.events import Event, original_message

log = logging.getLogger("edge.gate")

WAITING = 16
"""Messages that may wait for a slow receiver."""

MAX_AGE_S = 10.0
"""A message that waited longer opens nothing any more."""

TIMEOUT_S = (3.0, 5.0)
"""To connect, and to answer."""


class Gate:
    """Posts the original's three fields for each PASS, one after the other, from a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: queue.Queue[tuple[float, Event] | None] = queue.Queue(WAITING)

    def offer(self, event: Event) -> None:
        """Take a PASS; never waits. Where too many wait, the oldest goes: whom it was for has gone on."""
        self._put((time.monotonic(), event))

    def run(self) -> None:
        with requests.Session() as session:
            while (item := self._waiting.get()) is not None:
                offered, event = item
                if time.monotonic() - offered > MAX_AGE_S:
                    log.error("the gate was too slow: event %s is too old to be posted", event.id)
                else:
                    self._post(session, event)

    def stop(self) -> None:
        """End after what waits has been posted."""
        self._put(None)

    def _put(self, item: tuple[float, Event] | None) -> None:
        while True:
            try:
                return self._waiting.put_nowait(item)
            except queue.Full:
                dropped = self._waiting.get_nowait()
                if dropped:
                    log.error("the gate does not keep up: event %s is not posted", dropped[1].id)

    def _post(self, session: requests.Session, event: Event) -> None:
        try:
            with session.post(
                self._url, json=original_message(event), timeout=TIMEOUT_S, allow_redirects=False, stream=True
            ) as response:
                if not 200 <= response.status_code < 300:
                    log.error("the gate answered %d to event %s", response.status_code, event.id)
        except requests.RequestException as error:
            log.error("the gate cannot be reached (%s): event %s is not posted", type(error).__name__, event.id)
