"""Sealing what was written before it was to be: once, beside everything else."""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from control_plane.store import unsealed
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database

log = logging.getLogger(__name__)


def due(connection: Connection, now: datetime, *, limit: int) -> list[str]:
    """All of it is one job."""
    return ["all"] if unsealed.left(connection) else []


class Sealing:
    """What the `seal` actor does. May run twice, also at once."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs
        self._turn = threading.Lock()

    def run(self, _all: str) -> None:
        if not self._turn.acquire(blocking=False):
            return
        try:
            with self._database.read() as connection:
                left = unsealed.left(connection)
            if left:
                log.info("sealing what was written plain")
                unsealed.seal_rest(self._database, self._blobs)
        finally:
            self._turn.release()
