"""Planning an import: its archive's directory becomes items, each with whose photo it is or why not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import BinaryIO
from uuid import uuid4

from control_plane.store import galleries, import_chunks, import_items, imports
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database
from control_plane.store.import_items import NewItem
from faces.errors import Reason, Refused
from jobs import archive
from jobs.directory import Limits

log = logging.getLogger(__name__)

BATCH = 12 * import_chunks.SIZE
"""Items a transaction: longer ones would keep everybody else from writing."""

MAX_ATTEMPTS = 5
"""An archive on which this many workers died is refused."""


class Planning:
    """What the `read_archive` actor does with one import. May run twice: the same archive has the same plan."""

    def __init__(
        self, database: Database, blobs: BlobStore, clock: Callable[[], datetime], limits: Limits | None = None
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._limits = limits or Limits()

    def run(self, import_id: str) -> None:
        owner = str(uuid4())
        with self._database.write() as connection:
            work = imports.claim(connection, import_id, owner, self._clock())
        if work is None or work.blob is None:
            return
        try:
            if work.attempts > MAX_ATTEMPTS:
                raise Refused(Reason.INTERNAL, "This archive could not be read: each attempt broke off.")
            with self._blobs.open(work.blob) as file:
                found = self._plan(file)
            self._keep(work, owner, found)
        except Refused as refusal:
            self._fail(work, owner, refusal)

    def _plan(self, file: BinaryIO) -> archive.Plan:
        with self._database.read() as connection:
            known = galleries.called(connection)
        return archive.plan(file, self._limits, known)

    def _keep(self, work: imports.Work, owner: str, found: archive.Plan) -> None:
        with self._database.read() as connection:
            done = import_items.next_seq(connection, work.id)
        for start in range(done, len(found.items), BATCH):
            rows = [_row(work, seq, found.items[seq]) for seq in range(start, min(start + BATCH, len(found.items)))]
            if not self._held(work, owner, lambda c, rows=rows: import_items.add(c, work.id, rows)):  # type: ignore[misc]
                return
        self._held(work, owner, lambda c: imports.run(c, work.id, self._clock(), found.skipped))

    def _fail(self, work: imports.Work, owner: str, refusal: Refused) -> None:
        error = {"code": refusal.reason, "message": refusal.message, "remedy": refusal.remedy}
        if self._held(work, owner, lambda c: imports.fail(c, work.id, self._clock(), error)):
            self._blobs.delete([work.blob])
            log.info("import %s failed: %s", work.id, refusal.reason)

    def _held(self, work: imports.Work, owner: str, write: Callable[[Connection], None]) -> bool:
        """Write if the import is still ours."""
        with self._database.write() as connection:
            if not imports.held(connection, work, owner, self._clock()):
                return False
            write(connection)
        return True


def _row(work: imports.Work, seq: int, item: archive.Item) -> NewItem:
    refusal = item.refusal
    return NewItem(
        seq=seq,
        entry=item.entry,
        gallery_id=item.gallery_id or work.gallery_id,
        place=None if item.place is None else tuple(item.place),
        name=item.name or None,
        external_id=item.external_id,
        valid_until=item.valid_until,
        attributes=item.attributes,
        consent=item.consent,
        force=work.force,
        reason=refusal.reason if refusal else None,
        message=refusal.message if refusal else None,
        remedy=refusal.remedy if refusal else None,
        detail=refusal.detail if refusal else None,
    )
