"""What is left of erased people beside their rows: files, keys, and the bytes that a database keeps of deleted rows."""

from __future__ import annotations

from datetime import datetime

from control_plane.store import discards, erasures
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database
from control_plane.store.tables import (
    deliveries,
    encodings,
    enrollments,
    events,
    identities,
    import_items,
    photos,
    probes,
    thumbnails,
)

PERSONAL = (identities, photos, encodings, enrollments, import_items, events, thumbnails, probes, deliveries)
"""The tables that hold people."""


def scrub(database: Database, blobs: BlobStore, now: datetime, *, before: datetime) -> None:
    """Leave nothing of those who were erased before that time. Where somebody still reads what was there, it is done
    another time (`erasures.unscrubbed`)."""
    with database.read() as connection:
        waiting = erasures.unscrubbed(connection, before)
        files = discards.until(connection, before)
    if not waiting:
        return
    discards.carry_out(database, blobs, files)
    if database.scrub(table.name for table in PERSONAL) and (database.vault is None or database.vault.scrub()):
        with database.write() as connection:
            erasures.scrubbed(connection, waiting, now)
