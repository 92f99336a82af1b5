"""Compaction: a gallery's old changes go, some at a time; copies that still lack them start over from a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from control_plane.store import galleries
from control_plane.store.db import Database

AT_ONCE = 500
"""Changes that go in one transaction: other writers wait meanwhile."""

FOR_EVER = 0
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Compacting:
    """What the `compact` actor does with one gallery. What a killed one has left over goes the next time."""

    def __init__(self, database: Database, days: int, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._days = days
        self._clock = clock

    def run(self, gallery_id: str) -> None:
        now = self._clock()
        before = BEGINNING if self._days == FOR_EVER else now - timedelta(days=self._days)
        with self._database.write() as connection:
            old = galleries.claim_compaction(connection, gallery_id, before, now)
        for done_to in (old or ())[::AT_ONCE]:
            with self._database.write() as connection:
                galleries.compact(connection, gallery_id, min(done_to + AT_ONCE, old.stop if old else 0))
