"""What becomes of an event first: it is kept on the disk, and a gate is told."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable

from edge.gate import Gate
from edge.journal import line
from edge.spool import Spool
from faces.events import Event, Status

log = logging.getLogger("edge")


class Recorder:
    """Spools events, tells the gate who passed, and wakes whoever delivers. From any thread."""

    def __init__(self, spool: Spool, gate: Gate | None, wake: Callable[[], None]) -> None:
        self._spool = spool
        self._gate = gate
        self._wake = wake

    def record(self, events: Iterable[Event]) -> None:
        decided_s = self._gate.clock() if self._gate else None
        for event in events:
            told = {"event_id": str(event.id)}
            log.info("%s", line(event), extra=told)
            try:
                self._spool.append(event)
            except (sqlite3.Error, OSError) as error:
                log.error("event %s is lost: the spool cannot be written to (%s)", event.id, error, extra=told)
            if self._gate and event.status is Status.PASS:
                self._gate.offer(event, decided_s)
            self._wake()
