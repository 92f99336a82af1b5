"""Enrolment: one photo becomes an encoding in a gallery (or against a person), or a refusal with a reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from control_plane.store import audit, discards, enrollments, galleries
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database
from control_plane.store.enrollments import Purpose
from faces.engine import Engine
from faces.engine.enroll import DEFAULT_LIMITS, Enrolled, Limits, enroll
from faces.errors import Reason, Refused
from jobs.admission import Admission, Candidate
from jobs.copies import Copies
from jobs.correcting import correct

log = logging.getLogger(__name__)

ACTOR = "job:enroll"


class Encoding:
    """What the `enroll` actor does with one enrollment. May run twice: the row says whether there is work left."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        engine: Engine,
        clock: Callable[[], datetime],
        *,
        limits: Limits = DEFAULT_LIMITS,
        admission: Admission | None = None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._engine = engine
        self._clock = clock
        self._limits = limits
        self._admission = admission or Admission(Copies(engine.model), engine.model, engine.th_accept)

    def run(self, enrollment_id: str) -> None:
        owner = str(uuid4())
        work = self._database.committed(lambda c: enrollments.claim(c, enrollment_id, owner, self._clock()))
        if work is None:
            return
        try:
            self._settle(work, owner, self._look_at(work))
        except Refused as refusal:
            self._refuse(work, owner, refusal)

    def _look_at(self, work: enrollments.Work) -> Enrolled:
        if work.attempts > enrollments.MAX_ATTEMPTS:
            raise Refused(
                Reason.INTERNAL,
                "This photo could not be looked at: each attempt broke off.",
                remedy="Save the picture anew as a JPEG and send it again.",
            )
        return enroll(self._engine, self._blobs.get(work.blob), self._limits)

    def _settle(self, work: enrollments.Work, owner: str, found: Enrolled) -> None:
        gone = self._database.committed(lambda connection: self._settled(connection, work, owner, found))
        discards.carry_out(self._database, self._blobs, gone)

    def _settled(self, connection: Connection, work: enrollments.Work, owner: str, found: Enrolled) -> list[str]:
        """The files that are not needed any more."""
        # The galleries first, as everybody holds them who then comes to this row.
        galleries.lock_all(connection)
        if not enrollments.held(connection, work.id, owner):
            return []
        now = self._clock()
        if galleries.active_model(connection) not in (None, self._engine.model):
            # The engine has just been changed: a worker that has the other one takes this when the lease runs out.
            return []
        if work.kind is Purpose.CORRECTION:
            self._correct(connection, work, found, now)
            # The photo shows somebody who may not even be enrolled: it is not kept.
            return discards.note(connection, [work.blob], now)
        self._admit(connection, work, found, now)
        return []

    def _correct(self, connection: Connection, work: enrollments.Work, found: Enrolled, now: datetime) -> None:
        correction_id = correct(connection, work.identity_id or "", self._engine.model, found.encoding, now)
        enrollments.accept_correction(connection, work.id, now, correction_id=correction_id)
        audit.did(connection, ACTOR, "identity.correct", now, [(work.identity_id, correction_id)])

    def _admit(self, connection: Connection, work: enrollments.Work, found: Enrolled, now: datetime) -> None:
        (outcome,) = self._admission.admit(connection, [_candidate(work, found)], now)
        if isinstance(outcome, Refused):
            raise outcome
        enrollments.accept(
            connection,
            work.id,
            now,
            identity_id=outcome.identity_id,
            name=outcome.name,
            photo_id=outcome.photo_id,
        )
        audit.did(connection, ACTOR, "identity.enroll", now, [(outcome.identity_id, outcome.photo_id)])

    def _refuse(self, work: enrollments.Work, owner: str, refusal: Refused) -> None:
        unused = self._database.committed(lambda connection: self._refused(connection, work, owner, refusal))
        discards.carry_out(self._database, self._blobs, unused)

    def _refused(self, connection: Connection, work: enrollments.Work, owner: str, refusal: Refused) -> list[str]:
        """The files that are not needed any more."""
        if not enrollments.held(connection, work.id, owner):
            return []
        now = self._clock()
        enrollments.refuse(
            connection,
            work.id,
            now,
            reason=refusal.reason,
            message=refusal.message,
            remedy=refusal.remedy,
            detail=refusal.detail,
        )
        log.info("enrollment %s refused: %s", work.id, refusal.reason)
        return discards.note(connection, [work.blob], now)


def _candidate(work: enrollments.Work, found: Enrolled) -> Candidate:
    return Candidate(
        gallery_id=work.gallery_id,
        encoding=found.encoding,
        quality=found.quality.as_dict(),
        blob=work.blob,
        sha256=work.sha256,
        identity_id=work.identity_id,
        name=work.name or "",
        force=work.force,
    )
