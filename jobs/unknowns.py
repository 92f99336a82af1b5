"""Grouping the strangers of a site, as they come."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

from control_plane.store import unknowns
from control_plane.store.db import Database, new_id
from jobs.alike import grouped


class Grouping:
    """What the `group` actor does with one site. One that was killed leaves all as it was."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def run(self, site_id: str) -> None:
        now = self._clock()
        with self._database.write() as connection:
            if not unknowns.claim(connection, site_id, now):
                return
        with self._database.read() as connection:
            known = unknowns.encodings(connection, site_id)
        # Ids sort by time: who was seen first comes first.
        moments = (now + timedelta(milliseconds=n) for n in itertools.count())
        found = grouped(known, lambda: new_id(next(moments)))
        with self._database.write() as connection:
            unknowns.group(connection, site_id, found.new, found.joined, found.merged, now)
