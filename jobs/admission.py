"""Admission to a gallery: whose photo it is, and whether it may be added, decided while the gallery stands still."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from control_plane.store import enrollments, galleries, identities
from control_plane.store.db import Connection, new_id
from faces.encoding import Vector, to_bytes
from faces.errors import AmbiguousName, NotFound, Reason, Refused
from faces.gallery import EncodingRow, Gallery
from faces.quality import SAME_PERSON_DISTANCE
from jobs.copies import Copies


class Admission:
    """Admits encodings of one model. `th_accept` is the engine's, for galleries that set none."""

    def __init__(self, copies: Copies, model: str, th_accept: float) -> None:
        self._copies = copies
        self._model = model
        self._th_accept = th_accept

    def admit(
        self,
        connection: Connection,
        work: enrollments.Work,
        encoding: Vector,
        quality: dict[str, Any],
        now: datetime,
    ) -> None:
        """Add the encoding to its person, or make the person; the enrollment is accepted in the same transaction.

        Raises Refused before anything is written.
        """
        galleries.lock(connection, [work.gallery_id])
        identity_id = _whose(connection, work)
        if not work.force:
            self._check(self._copies.at(connection, work.gallery_id), encoding, identity_id)
        if identity_id is None:
            identity_id = identities.create(connection, work.name or "", [work.gallery_id], now)
        photo = identities.Photo(id=new_id(now), identity_id=identity_id, quality=quality, created_at=now)
        row = EncodingRow(new_id(now), identity_id, self._model, to_bytes(encoding))
        identities.add_photo(connection, photo, blob=work.blob, sha256=work.sha256)
        identities.add_encoding(connection, row, now, photo_id=photo.id)
        name = identities.get(connection, identity_id).name
        enrollments.accept(connection, work.id, now, identity_id=identity_id, name=name, photo_id=photo.id)

    def _check(self, gallery: Gallery, encoding: Vector, identity_id: str | None) -> None:
        probe = encoding[None, :]
        th_accept = gallery.settings.th_accept if gallery.settings else None
        self._refuse_look_alike(gallery, encoding, identity_id, self._th_accept if th_accept is None else th_accept)
        own = gallery.nearest_distances(probe, identity_id) if identity_id else ()
        if len(own) and min(own) > SAME_PERSON_DISTANCE:
            raise Refused(
                Reason.NOT_SAME_PERSON,
                "This photo shows somebody else than the person's other photos.",
                remedy="Check the photo; send it with force=true if it is the same person after all.",
                detail={"distance": round(float(min(own)), 4), "limit": SAME_PERSON_DISTANCE},
            )

    def _refuse_look_alike(self, gallery: Gallery, encoding: Vector, identity_id: str | None, th_accept: float) -> None:
        match = gallery.search(encoding[None, :])[0]
        other = match.runner_up if match.nearest and match.nearest.identity_id == identity_id else match.nearest
        if other is not None and other.distance <= th_accept:
            raise Refused(
                Reason.LOOK_ALIKE,
                f"This face is so like {other.name} that a camera would take one for the other.",
                remedy="If it is the same person, add the photo to them; send it with force=true to enrol it anyway.",
                detail={"identity_id": other.identity_id, "name": other.name, "distance": round(other.distance, 4)},
            )


def _whose(connection: Connection, work: enrollments.Work) -> str | None:
    """The identity a photo is put forward for; None: a new one."""
    try:
        if work.identity_id is None:
            return identities.by_name(connection, work.name or "", work.gallery_id)
        return identities.get(connection, work.identity_id).id
    except AmbiguousName as error:
        raise Refused(Reason.AMBIGUOUS_NAME, error.message, remedy=error.remedy) from error
    except NotFound as error:
        raise Refused(Reason.IDENTITY_ERASED, "The person was erased before this photo was looked at.") from error
