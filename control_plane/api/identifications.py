"""Identification: who is on a photo."""

from __future__ import annotations

from datetime import datetime

import msgspec
from starlette.responses import Response

from control_plane.api.failures import refusal
from control_plane.api.pictures import PICTURE, PICTURES
from control_plane.api.route import Call, Media, Route, answer
from control_plane.api.uploads import form, keep, photo_limit, upload
from control_plane.auth import PEOPLE_READ
from control_plane.dispatch import IDENTIFY
from control_plane.limits import Cost
from control_plane.plane import Plane
from control_plane.problems import PROBLEM_JSON, Problem, problem
from control_plane.store import galleries, identifications
from control_plane.store.db import Connection
from control_plane.store.galleries import DEFAULT_GALLERY
from control_plane.store.identifications import Identification, State
from control_plane.store.reach import Reach
from faces.errors import Invalid, Reason

MOST_GALLERIES = 64


class Against(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`galleries`: ids, with commas between them; empty: the default gallery."""

    galleries: str = ""


class RefusedProbe(Problem, frozen=True, kw_only=True):
    """A photo that nobody can be searched by: a problem with the reason's code, and the whole identification."""

    reason: Reason
    identification: Identification


async def identify(call: Call[None, Against]) -> Response:
    """Ask who is on a photo (with `Prefer: wait=5`: and wait for the answer)."""
    async with upload(call, "image", raw=PICTURES) as sent:
        if sent.file is None:
            raise Invalid("image is missing", remedy="Send a form with the photo in 'image', or the photo itself.")
        asked = _ids(sent.fields.get("galleries", call.query.galleries))

        def submit(connection: Connection, blob: str, _digest: str, now: datetime) -> str:
            for gallery_id in asked:
                call.reach.gallery(connection, gallery_id)
                galleries.settings(connection, gallery_id)
            return identifications.submit(connection, now, galleries=asked, blob=blob)

        made = await keep(call.plane, "probes", sent.file, call.plane.config.max_photo_bytes, submit)
    call.plane.nudge(IDENTIFY, made)
    return _told(await _outcome(call.plane, made, call.wait_s))


async def show(call: Call[None, None]) -> Response:
    """One identification, until it is forgotten."""
    return answer(await _outcome(call.plane, call.path(), call.wait_s))


async def _outcome(plane: Plane, identification_id: str, wait_s: float) -> Identification:
    async def decided() -> Identification | None:
        found = await plane.read(lambda c: identifications.get(c, identification_id))
        return None if found.state is State.PENDING else found

    if wait_s and (found := await plane.feed.until(decided, wait_s)) is not None:
        return found
    return await plane.read(lambda c: identifications.get(c, identification_id))


def _told(found: Identification) -> Response:
    if found.state is State.REFUSED:
        told = problem("refused", found.message or "", found.remedy or "")
        return refusal(told, {"reason": found.reason, "identification": found})
    status = 201 if found.state is State.DONE else 202
    return answer(found, status, {"Location": f"/v1/identifications/{found.id}"})


def _ids(text: str) -> list[str]:
    found = [part for part in (p.strip() for p in text.split(",")) if part] or [DEFAULT_GALLERY]
    if len(found) > MOST_GALLERIES:
        raise Invalid(f"galleries: more than {MOST_GALLERIES}")
    return found


ROUTES = (
    Route(
        "POST",
        "/v1/identify",
        identify,
        PEOPLE_READ,
        {201: Identification, 202: Identification, 422: Media((PROBLEM_JSON,), RefusedProbe)},
        query=Against,
        reads=form("image", galleries={"type": "string", "description": "ids, with commas between them"})
        | dict.fromkeys(PICTURES, PICTURE),
        limit=photo_limit,
        costs=Cost.IDENTIFY,
        within={},
        audit="identification.create",
    ),
    Route(
        "GET",
        "/v1/identifications/{id}",
        show,
        PEOPLE_READ,
        {200: Identification},
        within={"id": Reach.identification},
        audit="identification.see",
    ),
)
