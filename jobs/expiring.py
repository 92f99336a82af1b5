"""The end of consent: an operator is told before, and then the person is erased."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from control_plane.store import alarms, audit, discards, expiry, galleries, identities
from control_plane.store.alarms import AlarmKind
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database

ACTOR = "job:expire"


class Expiring:
    """What the `expire` and `tell_expiry` actors do with one person, and who is due for them. May run twice."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Callable[[], datetime],
        *,
        identity_days: int,
        notice_days: int,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._identity_days = identity_days
        self._notice_days = notice_days

    def due(self, connection: Connection, now: datetime, *, limit: int) -> list[str]:
        return expiry.due(connection, now, identity_days=self._identity_days, limit=limit)

    def erase(self, identity_id: str) -> None:
        with self._database.write() as connection:
            now = self._clock()
            galleries.lock_all(connection)
            if not expiry.is_due(connection, identity_id, now, identity_days=self._identity_days):
                return
            gone = identities.erase(connection, identity_id, now)
            audit.did(connection, ACTOR, "identity.erase", now, [(identity_id, None)])
        discards.carry_out(self._database, self._blobs, gone)
        self._database.truncate_wal()

    def ending(self, connection: Connection, now: datetime, *, limit: int) -> list[str]:
        return expiry.ending(connection, now, days=self._notice_days, limit=limit)

    def tell(self, identity_id: str) -> None:
        with self._database.write() as connection:
            now = self._clock()
            ends = expiry.notice(connection, identity_id, now, days=self._notice_days)
            if ends is not None:
                # The id alone: an alarm outlives the person.
                told = f"the consent of person {identity_id} ends at {ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
                message = f"{told}: then they are not recognised any more, and erased"
                alarms.sound(connection, AlarmKind.CONSENT_ENDS, identity_id, message, now)
