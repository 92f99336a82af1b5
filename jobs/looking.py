"""Looking at an import's photos, a chunk at a time: each becomes an encoding that waits for admission, or a refusal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, BinaryIO
from uuid import uuid4

from control_plane.store import import_chunks, import_items
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database
from control_plane.store.import_chunks import Chunk
from control_plane.store.import_items import ItemState, ToLook
from faces.encoding import to_bytes
from faces.engine import Engine
from faces.engine.enroll import DEFAULT_LIMITS, enroll
from faces.engine.enroll import Limits as PhotoLimits
from faces.errors import Reason, Refused
from jobs import archive
from jobs.directory import Limits, Place

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""A photo on which this many workers died, looking at it alone, is refused."""

RENEW_AFTER = timedelta(seconds=4)


class Looking:
    """What the `look` actor does with one chunk. May run twice: the row says whether there is work left.

    A chunk is looked at in one go. One that somebody broke off before is looked at photo by photo, each noted before
    it is begun, so that a photo on which workers die is found out, and its neighbours are not lost with it.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        engine: Engine,
        clock: Callable[[], datetime],
        *,
        limits: Limits | None = None,
        photo_limits: PhotoLimits = DEFAULT_LIMITS,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._engine = engine
        self._clock = clock
        self._limits = limits or Limits()
        self._photo_limits = photo_limits

    def run(self, key: str) -> None:
        """`key` is `import:number`."""
        import_id, _, number = key.partition(":")
        owner = str(uuid4())
        with self._database.write() as connection:
            chunk = import_chunks.claim(connection, import_id, int(number), owner, self._clock())
            if chunk is None:
                return
            items = import_items.to_look(connection, chunk)
        try:
            with self._blobs.open(chunk.blob) as file:
                if chunk.attempts > 1:
                    self._one_by_one(chunk, items, owner, file)
                else:
                    self._together(chunk, items, owner, file)
        except FileNotFoundError:
            # The import was cancelled a moment ago, and its archive is gone.
            log.info("import %s has no archive any more", import_id)

    def _together(self, chunk: Chunk, items: Sequence[ToLook], owner: str, file: BinaryIO) -> None:
        found: list[dict[str, Any]] = []
        renewed = self._clock()
        for item in items:
            if self._clock() - renewed > RENEW_AFTER:
                if not self._keep(chunk, owner, found):
                    return
                found, renewed = [], self._clock()
            found.append(self._look(file, item))
        self._keep(chunk, owner, found, last=True)

    def _one_by_one(self, chunk: Chunk, items: Sequence[ToLook], owner: str, file: BinaryIO) -> None:
        for item in items:
            if not self._attempt(chunk, owner, item):
                return
            looked = refused(item.seq, given_up()) if item.attempts >= MAX_ATTEMPTS else self._look(file, item)
            if not self._keep(chunk, owner, [looked]):
                return
        self._keep(chunk, owner, [], last=True)

    def _attempt(self, chunk: Chunk, owner: str, item: ToLook) -> bool:
        with self._database.write() as connection:
            if not import_chunks.held(connection, chunk, owner, self._clock()):
                return False
            import_items.attempt(connection, chunk.import_id, item.seq)
        return True

    def _keep(self, chunk: Chunk, owner: str, found: Sequence[dict[str, Any]], *, last: bool = False) -> bool:
        with self._database.write() as connection:
            if not import_chunks.held(connection, chunk, owner, self._clock()):
                return False
            import_items.looked_at(connection, chunk.import_id, found)
            if last:
                import_chunks.close(connection, chunk)
        return True

    def _look(self, file: BinaryIO, item: ToLook) -> dict[str, Any]:
        """The columns of what a photo turned out to be."""
        try:
            data = archive.read(file, Place(*item.place), self._limits)
            seen = enroll(self._engine, data, self._photo_limits)
        except Refused as refusal:
            return refused(item.seq, refusal)
        return {
            "seq": item.seq,
            "state": ItemState.ENCODED,
            "sha256": sha256(data).hexdigest(),
            "encoding": to_bytes(seen.encoding),
            "quality": seen.quality.as_dict(),
        }


def refused(seq: int, refusal: Refused) -> dict[str, Any]:
    """The columns of a refused photo."""
    return {
        "seq": seq,
        "state": ItemState.REFUSED,
        "reason": refusal.reason,
        "message": refusal.message,
        "remedy": refusal.remedy,
        "detail": refusal.detail,
    }


def given_up() -> Refused:
    """Of a photo that workers died of."""
    log.warning("a photo is given up, as workers died of it")
    return Refused(
        Reason.INTERNAL,
        "This photo could not be looked at: each attempt broke off.",
        remedy="Save the picture anew as a JPEG and send it again.",
    )
