"""Identification: who is on a photo, by the galleries as they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from control_plane.store import discards, galleries, identifications
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database
from control_plane.store.enrollments import MAX_ATTEMPTS
from control_plane.store.identifications import Candidate, FoundFace, Work
from faces import quality
from faces.encoding import Vector
from faces.engine import Engine, images
from faces.engine.enroll import DEFAULT_LIMITS, Limits, faces_in
from faces.errors import NotFound, Reason, Refused
from faces.face import Face, Picture
from faces.gallery import Gallery, Kind
from faces.quality import MIN_FACE_PX_PROBE, MIN_SHARPNESS_PROBE
from jobs.copies import Copies

MOST_FACES = 16
"""Faces of one photo that are looked at, the most prominent ones."""

MOST_CANDIDATES = 5
"""Candidates that are told of a face."""


class Identifying:
    """What the `identify` and `forget` actors do with one identification. May run twice: the row says what is left."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        engine: Engine,
        copies: Copies,
        clock: Callable[[], datetime],
        *,
        keep: timedelta,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._engine = engine
        self._copies = copies
        self._clock = clock
        self._keep = keep
        self._limits = limits

    def run(self, identification_id: str) -> None:
        owner = str(uuid4())
        work = self._database.committed(lambda c: identifications.claim(c, identification_id, owner, self._clock()))
        if work is not None:
            settle = self._settling(work, owner)
            discards.carry_out(self._database, self._blobs, self._database.committed(settle))

    def _settling(self, work: Work, owner: str) -> Callable[[Connection], list[str]]:
        """Look at the photo; what is then to be done with the row, which returns the files not needed any more."""
        try:
            seen, vectors = self._look_at(work)
        except Refused as refusal:
            return partial(self._refused, work, owner, refusal)
        return partial(self._found, work, owner, seen, vectors)

    def _found(
        self,
        work: Work,
        owner: str,
        seen: Sequence[FoundFace],
        vectors: Sequence[Vector | None],
        connection: Connection,
    ) -> list[str]:
        now = self._clock()
        galleries.lock(connection, [*work.galleries, galleries.DEFAULT_GALLERY])
        if galleries.active_model(connection) not in (None, self._engine.model):
            # The engine has just been changed: a worker that has the other one takes this later.
            return []
        found = self._search(connection, work, seen, vectors, now)
        return identifications.finish(
            connection, work, owner, now, now + self._keep, engine=self._engine.name, found=found
        )

    def _refused(self, work: Work, owner: str, refusal: Refused, connection: Connection) -> list[str]:
        now = self._clock()
        return identifications.refuse(
            connection,
            work,
            owner,
            now,
            now + self._keep,
            reason=refusal.reason,
            message=refusal.message,
            remedy=refusal.remedy,
        )

    def forget(self, identification_id: str) -> None:
        with self._database.write() as connection:
            identifications.forget(connection, identification_id)
        self._database.truncate_wal()

    def _look_at(self, work: Work) -> tuple[list[FoundFace], list[Vector | None]]:
        """The photo's faces without candidates, and the encoding of each that is worth one."""
        if work.attempts > MAX_ATTEMPTS:
            raise Refused(
                Reason.INTERNAL,
                "This photo could not be looked at: each attempt broke off.",
                remedy="Save the picture anew as a JPEG and send it again.",
            )
        data = self._blobs.get(work.blob)
        picture = images.load(data, max_pixels=self._limits.max_pixels, max_bytes=self._limits.max_bytes)
        prominent = faces_in(self._engine, picture)[:MOST_FACES]
        exact = [face for near in prominent if (face := self._engine.refine(picture, near)) is not None]
        if not exact:
            raise Refused(
                Reason.NO_FACE,
                "no face was found in the photo",
                remedy="Send a photo that shows the face upright, from the front and in even light.",
            )
        seen = [self._face(picture, face) for face in exact]
        return seen, [
            None if told.reason else self._engine.encode(picture, [face], mirror=True)[0]
            for told, face in zip(seen, exact, strict=True)
        ]

    def _face(self, picture: Picture, face: Face) -> FoundFace:
        found = quality.assess(picture, face, self._engine.sharpness(picture, face))
        reason = Reason.FACE_TOO_SMALL if found.size_px < MIN_FACE_PX_PROBE else None
        if reason is None and found.sharpness < MIN_SHARPNESS_PROBE:
            reason = Reason.TOO_BLURRED
        x1, y1, x2, y2 = face.box
        return FoundFace(box=(x1, y1, x2, y2), quality=found.as_dict(), reason=reason)

    def _search(
        self,
        connection: Connection,
        work: Work,
        seen: Sequence[FoundFace],
        vectors: Sequence[Vector | None],
        now: datetime,
    ) -> list[FoundFace]:
        held: dict[str, Gallery] = {}
        for gallery_id in work.galleries:
            try:
                held[gallery_id] = self._copies.at(connection, gallery_id)
            except NotFound:
                continue
        return [
            face if vector is None else _with_candidates(face, vector, held, self._engine.th_accept, now)
            for face, vector in zip(seen, vectors, strict=True)
        ]


def _with_candidates(
    face: FoundFace, vector: Vector, held: dict[str, Gallery], th_accept: float, now: datetime
) -> FoundFace:
    candidates = []
    for gallery_id, gallery in held.items():
        settings = gallery.settings
        own = settings.th_accept if settings else None
        candidates += [
            Candidate(
                identity_id=near.identity_id,
                gallery_id=gallery_id,
                kind=settings.kind if settings else Kind.ALLOW,
                distance=round(near.distance, 4),
                threshold=th_accept if own is None else own,
            )
            for near in gallery.nearest(vector, MOST_CANDIDATES, at=now)
        ]
    nearest = sorted(candidates, key=lambda c: c.distance)
    further = [c for c in nearest[MOST_CANDIDATES:] if c.distance <= c.threshold]
    return FoundFace(box=face.box, quality=face.quality, candidates=nearest[:MOST_CANDIDATES] + further)
