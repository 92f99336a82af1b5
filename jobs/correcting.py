"""Corrections: a photo of somebody who was taken for a person becomes an encoding against that person."""

from __future__ import annotations

from datetime import datetime

from control_plane.store import corrections, galleries, identities
from control_plane.store.db import Connection, new_id
from faces.corrections import too_close
from faces.encoding import Vector, to_bytes
from faces.errors import NotFound, Reason, Refused
from faces.gallery import EncodingRow


def correct(connection: Connection, identity_id: str, model: str, encoding: Vector, now: datetime) -> str:
    """Add a correction in the caller's transaction; returns its id. Raises Refused. Holds all galleries until then."""
    galleries.lock_all(connection)
    try:
        identities.get(connection, identity_id)
    except NotFound:
        raise Refused(Reason.IDENTITY_ERASED, "The person was erased before this photo was looked at.") from None
    if too_close(model, corrections.own(connection, identity_id, model), encoding):
        raise Refused(
            Reason.CORRECTION_TOO_CLOSE,
            "This face is so like the person's own photos that they would not be recognised any more.",
            remedy="Check whose face it is. Two people so alike are told apart when both are enrolled.",
        )
    row = EncodingRow(new_id(now), identity_id, model, to_bytes(encoding), against=True)
    identities.add_encoding(connection, row, now)
    return row.id
