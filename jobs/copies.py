"""The worker's own copies of the galleries, kept as an edge keeps them: by following the change log."""

from __future__ import annotations

import threading

from control_plane.store import galleries
from control_plane.store.db import Connection
from faces.errors import Compacted, Diverged
from faces.gallery import Gallery
from faces.replica import Replica


class Copies:
    """Galleries of one model as they stand in a transaction. Safe for several threads."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._replicas: dict[str, Replica] = {}
        self._lock = threading.Lock()

    def at(self, connection: Connection, gallery_id: str) -> Gallery:
        """The gallery as this transaction sees it; the caller holds its lock, so that nothing moves on meanwhile."""
        with self._lock:
            replica = self._replicas.setdefault(gallery_id, Replica(self._model))
            try:
                while replica.position != (there := galleries.position(connection, gallery_id)):
                    if replica.position.revision >= there.revision:
                        raise Diverged("the gallery was restored from a backup")
                    replica.apply(galleries.page(connection, gallery_id, replica.position.revision))
            except (Compacted, Diverged):
                head, rows = galleries.snapshot(connection, gallery_id)
                replica.start_over(head.position, rows)
            return replica.gallery
