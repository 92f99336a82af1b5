"""Retention: events and thumbnails that a site keeps no longer go, a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from control_plane.store import audit, retention
from control_plane.store.db import Connection, Database
from control_plane.store.retention import FOR_EVER, Days
from control_plane.store.seals import probes_of, strangers_of

Forget = Callable[[Connection, str, datetime], int]


class Retaining:
    """What the `retain` actor does with one site. What a killed one has left over is old the next time as well."""

    def __init__(self, database: Database, default: Days, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._default = default
        self._clock = clock

    def run(self, site_id: str) -> None:
        now = self._clock()
        with self._database.write() as connection:
            days = retention.claim(connection, site_id, self._default, now)
        if days is None:
            return
        gone = self._forget(retention.forget_events, site_id, days.events, now)
        gone += self._forget(retention.forget_thumbnails, site_id, days.thumbnails, now)
        gone += self._forget_before(retention.forget_probes, site_id, now - timedelta(days=days.probes))
        if gone:
            self._database.truncate_wal()
        self._destroy_keys(site_id, days, now)

    def _destroy_keys(self, site_id: str, days: Days, now: datetime) -> None:
        """Those of days of which no thumbnail, or no encoding, is left."""
        vault = self._database.vault
        if vault is None:
            return
        bounds = [kept for kept in (days.events, days.thumbnails) if kept != FOR_EVER]
        if bounds:
            vault.destroy_days(strangers_of(site_id), f"{now - timedelta(days=min(bounds)):%Y-%m-%d}")
        vault.destroy_days(probes_of(site_id), f"{now - timedelta(days=days.probes):%Y-%m-%d}")

    def _forget(self, forget: Forget, site_id: str, days: int, now: datetime) -> int:
        """How many events there were to see to."""
        if days == FOR_EVER:
            return 0
        return self._forget_before(forget, site_id, now - timedelta(days=days))

    def _forget_before(self, forget: Forget, site_id: str, before: datetime) -> int:
        total, now = 0, self._clock()
        while True:
            with self._database.write() as connection:
                gone = forget(connection, site_id, before)
                if gone:
                    audit.did(connection, "job:retain", f"site.{forget.__name__}", now, [(site_id, None)])
            total += gone
            if not gone:
                return total
