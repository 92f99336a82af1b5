"""Reading an archive: each of its photos becomes an enrollment of its own."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from uuid import uuid4

from control_plane.store import enrollments, imports
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, new_id
from faces.errors import Reason, Refused
from jobs import archive

log = logging.getLogger(__name__)


class Reading:
    """What the `read_archive` actor does with one import. May run twice: an entry becomes one enrollment only."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock

    def run(self, import_id: str) -> None:
        with self._database.write() as connection:
            work = imports.claim(connection, import_id, str(uuid4()), self._clock())
        if work is None:
            return
        try:
            with self._blobs.open(work.blob) as file, zipfile.ZipFile(file) as opened:
                self._read(work, opened)
        except zipfile.BadZipFile:
            self._fail(work, Refused(Reason.UNREADABLE_ARCHIVE, "This is not a ZIP archive, or it is damaged."))
        except Refused as refusal:
            self._fail(work, refusal)
        self._blobs.delete([work.blob])

    def _read(self, work: imports.Work, opened: zipfile.ZipFile) -> None:
        with self._database.read() as connection:
            done = enrollments.entries_of(connection, work.id)
        for entry in archive.plan(opened):
            if entry.path not in done:
                self._submit(work, opened, entry)
        with self._database.write() as connection:
            imports.run(connection, work.id)
            imports.finish_if_done(connection, work.id, self._clock())

    def _submit(self, work: imports.Work, opened: zipfile.ZipFile, entry: archive.Entry) -> None:
        now = self._clock()
        blob = f"photos/{new_id(now)}"
        refused: Refused | None = None
        data = b""
        try:
            data = archive.read(opened, entry)
            self._blobs.put(blob, data)
        except Refused as refusal:
            refused = refusal
        with self._database.write() as connection:
            imports.renew(connection, work.id, now)
            enrollment_id = enrollments.submit(
                connection,
                now,
                gallery_id=work.gallery_id,
                name=entry.name,
                blob=blob,
                sha256=sha256(data).hexdigest(),
                force=work.force,
                import_id=work.id,
                entry=entry.path,
            )
            if refused is not None:
                enrollments.refuse(connection, enrollment_id, now, reason=refused.reason, message=refused.message)

    def _fail(self, work: imports.Work, refusal: Refused) -> None:
        error = {"code": refusal.reason, "message": refusal.message}
        with self._database.write() as connection:
            imports.fail(connection, work.id, self._clock(), error)
        log.info("import %s failed: %s", work.id, refusal.reason)
