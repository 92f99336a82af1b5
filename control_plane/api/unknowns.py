"""Unknowns: strangers who come again, grouped by likeness, each group enrolled as a person in one step.

Only of sites that keep the encodings of strangers (`probe_days`).
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec
from starlette.responses import Response

from control_plane.api import enrollments, identities
from control_plane.api.enrollments import RefusedPhoto
from control_plane.api.identities import NewIdentity
from control_plane.api.route import Call, Listing, Media, Moment, Paging, Route, answer, listing
from control_plane.auth import EVENTS_READ, EVENTS_WRITE, PEOPLE_WRITE
from control_plane.plane import Plane
from control_plane.problems import PROBLEM_JSON
from control_plane.store import events, unknowns
from control_plane.store.db import Connection
from control_plane.store.enrollments import Enrollment, State
from control_plane.store.events import LoggedEvent
from control_plane.store.identities import Identity
from control_plane.store.reach import Reach
from control_plane.store.unknowns import Asked, Unknown
from faces.errors import Conflict

PHOTOS = 3
"""So many of a group's pictures become photos of the person."""

WAIT_S = 10.0
"""How long each is waited for where the caller says nothing."""

SHOWN = 100


class Which(Paging, frozen=True, kw_only=True):
    """Groups of at least `least` events, captured `since` and before `until`. `site` is an id. `dismissed`: those that
    were dismissed, in place of the others."""

    site: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    least: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 2
    dismissed: bool = False


class UnknownInFull(msgspec.Struct, frozen=True, kw_only=True):
    """A group, and its events, the newest 100 of them."""

    unknown: Unknown
    events: list[LoggedEvent]


class NewPerson(NewIdentity, frozen=True, kw_only=True):
    """Whom the group is enrolled as. `force` enrols a look-alike, or a picture unlike the others, all the same."""

    force: bool = False


class Enrolled(msgspec.Struct, frozen=True):
    """The person, and what became of each picture."""

    identity: Identity
    enrollments: list[Enrollment]


async def browse(call: Call[None, Which]) -> Response:
    """Strangers who came again, by when they were first seen."""
    query = call.query
    asked = Asked(
        sites=call.reach.sites,
        site_id=query.site,
        since=query.since,
        until=query.until,
        least=query.least,
        dismissed=query.dismissed,
    )
    found = await call.plane.read(lambda c: unknowns.listing(c, asked, after=query.after, limit=query.limit + 1))
    return listing(found, query.limit, lambda u: u.id)


async def show(call: Call[None, None]) -> Response:
    """One group with its events, newest first."""
    unknown_id = call.path()

    def work(connection: Connection) -> UnknownInFull:
        unknown = unknowns.get(connection, unknown_id)
        ids = unknowns.members(connection, unknown_id, SHOWN)
        found = events.several(connection, ids)
        return UnknownInFull(unknown=unknown, events=[found[i] for i in ids])

    return answer(await call.plane.read(work))


async def dismiss(call: Call[None, None]) -> Response:
    """Show a group no more, also when whoever it is comes again."""
    unknown_id = call.path()
    await call.plane.write(lambda c: unknowns.dismiss(c, unknown_id, call.plane.clock()))
    return Response(status_code=204)


async def enroll(call: Call[NewPerson, None]) -> Response:
    """Make a group a person, of whom some of its pictures become photos (with `Prefer: wait=30`: and wait so long).

    The group is gone as soon as one is accepted. Where all are refused there is no person, and the group stays.
    """
    unknown_id, plane = call.path(), call.plane
    pictures = await plane.read(lambda c: _pictures(c, unknown_id))
    person = await identities.added(plane, call.reach, _identity(call.body))
    wait_s = call.wait_s or WAIT_S
    outcomes = [await _hand_in(plane, picture, wait_s, person, call.body) for picture in pictures]
    states = {outcome.state for outcome in outcomes}
    if states == {State.REFUSED}:
        await identities.erased(plane, person.id)
        return enrollments.told(outcomes[0])
    if State.ACCEPTED in states:
        await plane.write(lambda c: unknowns.remove(c, unknown_id))
        await plane.run(plane.database.truncate_wal)
    status = 202 if State.PENDING in states else 201
    return answer(Enrolled(person, outcomes), status, {"Location": f"/v1/identities/{person.id}"})


def _identity(body: NewPerson) -> NewIdentity:
    return NewIdentity(**{name: getattr(body, name) for name in NewIdentity.__struct_fields__})


def _pictures(connection: Connection, unknown_id: str) -> list[bytes]:
    """A few pictures of a group, from its first day to its last; raises NotFound, and Conflict if none is kept."""
    unknowns.get(connection, unknown_id)
    ids = unknowns.pictured(connection, unknown_id)
    if not ids:
        raise Conflict("no picture of this group is kept any more", remedy="Enrol the person from a photo.")
    few = min(PHOTOS, len(ids))
    chosen = sorted({round(n * (len(ids) - 1) / max(1, few - 1)) for n in range(few)})
    return [events.thumbnail(connection, ids[n]) for n in chosen]


async def _hand_in(plane: Plane, picture: bytes, wait_s: float, person: Identity, body: NewPerson) -> Enrollment:
    with plane.blobs.receiving() as received:
        await plane.run(partial(received.write, picture))
        return await enrollments.put_forward(
            plane,
            received,
            wait_s,
            gallery_id=body.galleries[0],
            identity_id=person.id,
            name=person.name,
            force=body.force,
        )


ROUTES = (
    Route(
        "GET",
        "/v1/unknowns",
        browse,
        EVENTS_READ,
        {200: Listing[Unknown]},
        query=Which,
        within={},
        audit="unknown.list",
    ),
    Route(
        "GET",
        "/v1/unknowns/{id}",
        show,
        EVENTS_READ,
        {200: UnknownInFull},
        within={"id": Reach.unknown},
        audit="unknown.see",
    ),
    Route(
        "DELETE",
        "/v1/unknowns/{id}",
        dismiss,
        EVENTS_WRITE,
        {204: None},
        within={"id": Reach.unknown},
        audit="unknown.dismiss",
    ),
    Route(
        "POST",
        "/v1/unknowns/{id}/enroll",
        enroll,
        PEOPLE_WRITE,
        {201: Enrolled, 202: Enrolled, 422: Media((PROBLEM_JSON,), RefusedPhoto)},
        body=NewPerson,
        within={"id": Reach.unknown},
        audit="unknown.enroll",
    ),
)
