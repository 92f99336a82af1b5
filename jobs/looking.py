"""Looking at an import's photos, a chunk at a time: each becomes an encoding that waits for admission, or a refusal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

from control_plane.store import import_chunks, import_items
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database
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

STAY = timedelta(seconds=5)
"""How long chunk follows chunk without a message between: whoever would stop the worker waits for it."""


class Leased(NamedTuple):
    """A chunk that is ours for now, and those of its photos that are still to be looked at."""

    chunk: Chunk
    items: list[ToLook]


class Looking:
    """What the `look` actor does with an import: chunk after chunk, for as long as `stay`. May run twice, also at once:
    the rows say what is left.

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
        stay: timedelta = timedelta(0),
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._engine = engine
        self._clock = clock
        self._limits = limits or Limits()
        self._photo_limits = photo_limits
        self._stay = stay

    def run(self, key: str) -> None:
        """`key` is the import's id, and perhaps more (`import_chunks.due`)."""
        import_id, owner = key.partition(":")[0], str(uuid4())
        until = self._clock() + self._stay
        with self._database.write() as connection:
            leased = self._claim(connection, import_id, owner)
        if leased is None:
            return
        try:
            with self._blobs.open(leased.chunk.blob) as file:
                while leased is not None:
                    leased = self._looked_at(leased, owner, file, until)
        except FileNotFoundError:
            # The import was cancelled a moment ago, and its archive is gone.
            log.info("import %s has no archive any more", import_id)

    def _claim(self, connection: Connection, import_id: str, owner: str) -> Leased | None:
        chunk = import_chunks.claim(connection, import_id, owner, self._clock())
        return None if chunk is None else Leased(chunk, import_items.to_look(connection, chunk))

    def _looked_at(self, leased: Leased, owner: str, file: BinaryIO, until: datetime) -> Leased | None:
        """Look at a chunk; the next one, if there is time for it."""
        look = self._one_by_one if leased.chunk.attempts > 1 else self._together
        found = look(leased, owner, file)
        if found is None:
            return None
        with self._database.write() as connection:
            if not self._kept(connection, leased.chunk, owner, found):
                return None
            import_chunks.close(connection, leased.chunk)
            return self._claim(connection, leased.chunk.import_id, owner) if self._clock() < until else None

    def _together(self, leased: Leased, owner: str, file: BinaryIO) -> list[dict[str, Any]] | None:
        """What was found and is still to be kept; None if the chunk is somebody else's now."""
        found: list[dict[str, Any]] = []
        renewed = self._clock()
        for item in leased.items:
            if self._clock() - renewed > RENEW_AFTER:
                if not self._keep(leased.chunk, owner, found):
                    return None
                found, renewed = [], self._clock()
            found.append(self._look(file, item))
        return found

    def _one_by_one(self, leased: Leased, owner: str, file: BinaryIO) -> list[dict[str, Any]] | None:
        for item in leased.items:
            if not self._attempt(leased.chunk, owner, item):
                return None
            looked = refused(item.seq, given_up()) if item.attempts >= MAX_ATTEMPTS else self._look(file, item)
            if not self._keep(leased.chunk, owner, [looked]):
                return None
        return []

    def _attempt(self, chunk: Chunk, owner: str, item: ToLook) -> bool:
        with self._database.write() as connection:
            if not import_chunks.held(connection, chunk, owner, self._clock()):
                return False
            import_items.attempt(connection, chunk.import_id, item.seq)
        return True

    def _keep(self, chunk: Chunk, owner: str, found: Sequence[dict[str, Any]]) -> bool:
        with self._database.write() as connection:
            return self._kept(connection, chunk, owner, found)

    def _kept(self, connection: Connection, chunk: Chunk, owner: str, found: Sequence[dict[str, Any]]) -> bool:
        """Keep what was found if the chunk is still ours."""
        held = import_chunks.held(connection, chunk, owner, self._clock())
        if held:
            import_items.looked_at(connection, chunk.import_id, found)
        return held

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
