"""Encoding the kept photos with another engine, a chunk at a time, one transaction a photo."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from control_plane.store import reencodings
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database
from control_plane.store.enrollments import MAX_ATTEMPTS
from control_plane.store.reencodings import ToEncode, Work
from faces.encoding import to_bytes
from faces.engine import Engine
from faces.engine.enroll import DEFAULT_LIMITS, Limits, enroll
from faces.errors import Reason, Refused


class Reencoding:
    """What the `plan_reencoding` and `reencode` actors do. May run twice: the rows say what is left.

    `load` gives an engine by its name. Photos are encoded by the name of the model that galleries are to hold, whatever
    engine the worker enrols with.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        load: Callable[[str], Engine],
        worker_model: str,
        clock: Callable[[], datetime],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._load = load
        self._worker_model = worker_model
        self._clock = clock
        self._limits = limits

    def plan(self, reencoding_id: str) -> None:
        with self._database.write() as connection:
            reencodings.plan(connection, reencoding_id, self._worker_model)

    def run(self, key: str) -> None:
        """`key` is `reencoding:number`."""
        owner = str(uuid4())
        with self._database.write() as connection:
            work = reencodings.claim(connection, key, owner, self._clock())
        if work is None:
            return
        engine = self._load(work.model)
        # The photo that workers die of is the first that has no outcome.
        for place, photo in enumerate(work.photos):
            given_up = place == 0 and work.attempts > MAX_ATTEMPTS
            if not self._settle(work, owner, photo, engine, given_up=given_up):
                return
        with self._database.write() as connection:
            reencodings.close(connection, work, owner)

    def _settle(self, work: Work, owner: str, photo: ToEncode, engine: Engine, *, given_up: bool) -> bool:
        """Give a photo its outcome; False if the chunk is no longer ours."""
        found = self._look(photo, engine, given_up=given_up)
        with self._database.write() as connection:
            now = self._clock()
            if not reencodings.held(connection, work, owner, now):
                return False
            if isinstance(found, bytes):
                reencodings.encoded(connection, work, photo.id, found, now)
            else:
                reencodings.refused(connection, work, photo.id, found.reason, found.message)
        return True

    def _look(self, photo: ToEncode, engine: Engine, *, given_up: bool) -> bytes | Refused:
        if given_up:
            return Refused(Reason.INTERNAL, "This photo could not be looked at: each attempt broke off.")
        try:
            return to_bytes(enroll(engine, self._blobs.get(photo.blob), self._limits).encoding)
        except Refused as refusal:
            return refusal
        except FileNotFoundError:
            return Refused(Reason.INTERNAL, "The photo's file is not there any more.")
