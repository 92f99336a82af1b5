"""Corrections: "this was not her", from a photo or from the event that took somebody for her."""

from __future__ import annotations

from functools import partial

import msgspec
from starlette.responses import Response

from control_plane.api import enrollments
from control_plane.api.pictures import PICTURE, PICTURES
from control_plane.api.route import JSON, Call, Listing, Media, Route, answer, checked, decoded
from control_plane.api.uploads import form, photo_limit, upload
from control_plane.auth import PEOPLE_READ, PEOPLE_WRITE
from control_plane.limits import Cost
from control_plane.plane import Plane
from control_plane.store import corrections, events, identities
from control_plane.store.blobs import Steady
from control_plane.store.corrections import Correction
from control_plane.store.db import Connection
from control_plane.store.enrollments import Purpose
from control_plane.store.galleries import DEFAULT_GALLERY
from control_plane.store.reach import Reach
from faces.errors import Conflict, Invalid


class Mistaken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The event that took somebody for this person; its small picture is what is encoded."""

    event_id: str


async def browse(call: Call[None, None]) -> Response:
    """A person's corrections."""
    identity_id = call.path()
    return answer(Listing(await call.plane.read(lambda c: corrections.listing(c, identity_id)), None))


async def create(call: Call[None, None]) -> Response:
    """Say that a face was not this person, by a photo or an event (with `Prefer: wait=5`: and wait for the outcome)."""
    identity_id = call.path()
    if call.media_type == JSON:
        event_id = checked(decoded(await call.request.body(), Mistaken)).event_id
        thumbnail = await call.plane.read(lambda c: _thumbnail(c, call.reach, identity_id, event_id))
        with call.plane.blobs.receiving() as received:
            await call.plane.run(partial(received.write, thumbnail))
            return await _hand_in(call.plane, identity_id, received, call.wait_s)
    async with upload(call, "image", raw=PICTURES) as sent:
        if sent.file is None:
            remedy = 'Send a form with the photo in \'image\', the photo itself, or JSON: {"event_id": "..."}.'
            raise Invalid("image is missing", remedy=remedy)
        return await _hand_in(call.plane, identity_id, sent.file, call.wait_s)


async def remove(call: Call[None, None]) -> Response:
    """Take a correction back."""
    identity_id, correction_id = call.path(), call.path("correction")
    await call.plane.write(lambda c: corrections.remove(c, identity_id, correction_id, call.plane.clock()))
    await call.plane.run(call.plane.database.truncate_wal)
    return Response(status_code=204)


async def _hand_in(plane: Plane, identity_id: str, file: Steady, wait_s: float) -> Response:
    person = await plane.read(lambda c: identities.get(c, identity_id))
    found = await enrollments.put_forward(
        plane,
        file,
        wait_s,
        kind=Purpose.CORRECTION,
        gallery_id=DEFAULT_GALLERY,
        identity_id=person.id,
        name=person.name,
    )
    return enrollments.told(found)


def _thumbnail(connection: Connection, reach: Reach, identity_id: str, event_id: str) -> bytes:
    """The picture of an event that named this person; raises Invalid and NotFound."""
    reach.event(connection, event_id)
    if events.get(connection, event_id).identity_id not in identities.tree(connection, identity_id):
        raise Conflict("event_id: that event names somebody else", remedy="Correct the person whom the event names.")
    return events.thumbnail(connection, event_id)


ROUTES = (
    Route(
        "GET",
        "/v1/identities/{id}/corrections",
        browse,
        PEOPLE_READ,
        {200: Listing[Correction]},
        within={"id": Reach.person},
    ),
    Route(
        "POST",
        "/v1/identities/{id}/corrections",
        create,
        PEOPLE_WRITE,
        enrollments.OUTCOMES,
        reads={JSON: Media((JSON,), Mistaken)} | form("image") | dict.fromkeys(PICTURES, PICTURE),
        limit=photo_limit,
        costs=Cost.ENROLL,
        within={"id": Reach.whole},
        audit="identity.correct",
    ),
    Route(
        "DELETE",
        "/v1/identities/{id}/corrections/{correction}",
        remove,
        PEOPLE_WRITE,
        {204: None},
        within={"id": Reach.whole},
        audit="identity.take_correction_back",
    ),
)
