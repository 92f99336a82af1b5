"""Scrubbing after erasures: what a control plane that stopped in the middle, or a long reader, has left over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from control_plane.store import erasures, remains
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database

PATIENCE = timedelta(seconds=2)
"""So long after an erasure, whoever erased may still be at it; and erasures that follow each other are done in one."""

RESTS = 50
"""A large SQLite database takes long to be written anew, and nobody else writes meanwhile: it rests so many times as
long before the next time."""


def due(connection: Connection, now: datetime, *, limit: int = 1) -> list[str]:
    """The first erasure that waits: all others are done with it."""
    return erasures.unscrubbed(connection, now - PATIENCE, limit=min(limit, 1))


class Scrubbing:
    """What the `scrub` actor does, whichever erasure it is called for. May run twice."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Callable[[], datetime],
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._stopwatch = stopwatch
        self._not_before = 0.0
        self._turn = threading.Lock()

    def run(self, _identity_id: str) -> None:
        # One that waited for its turn would keep a thread from others.
        if not self._turn.acquire(blocking=False):
            return
        try:
            began = self._stopwatch()
            if began < self._not_before:
                return
            now = self._clock()
            remains.scrub(self._database, self._blobs, now, before=now - PATIENCE)
            ended = self._stopwatch()
            self._not_before = ended + RESTS * (ended - began)
        finally:
            self._turn.release()
